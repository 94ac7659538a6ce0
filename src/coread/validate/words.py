"""Numbers as people read them: an estimate with its interval, a share in percent, or why there is none."""

from typing import Any

from coread.validate.blocks import Cell
from coread.validate.plain import is_estimate

NONE = "-"
MINUS = "\u2212"


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with so many decimals, without a sign in front of zero."""
    if value is None:
        return NONE
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("-", MINUS)


def percent(value: float | None) -> str:
    """Return a share in percent with one decimal."""
    return NONE if value is None else f"{number(100 * value, 1)} %"


def p_value(value: float | None) -> str:
    """Return a p value; small ones as a bound."""
    if value is None:
        return NONE
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def p_words(value: float | None) -> str:
    """Return ``p = 0.042`` or ``p < 0.001``."""
    if value is None:
        return NONE
    return f"p {p_value(value)}" if value < 0.001 else f"p = {p_value(value)}"


def estimate_cell(body: Any, *, share: bool = False, digits: int = 3) -> Cell:
    """Return an estimate with its interval beside it, or the reason why there is none."""
    if isinstance(body, int | float):
        return Cell(percent(body) if share else number(body, digits))
    if not is_estimate(body):
        return Cell(NONE, reason_of(body), "quiet")
    if share:
        low, high = (number(100 * body[name], 1) for name in ("low", "high"))
        return Cell(percent(body["value"]), f"{low} to {high}")
    low, high = (number(body[name], digits) for name in ("low", "high"))
    return Cell(number(body["value"], digits), f"{low} to {high}")


def counted_cell(body: Any) -> Cell:
    """Return how many cases an estimate rests on."""
    return Cell(f"{body['n']:,}") if is_estimate(body) and "n" in body else Cell(NONE)


def tests_sentence(groups: Any) -> str:
    """Return which groupings differ, in what, by which test, adjusted for how many looks."""
    tested = [test for test in groups["tests"] if "p_adjusted" in test]
    if not tested:
        return "No difference could be tested."
    found = "; ".join(
        f"{test['grouping']} ({test.get('metric', 'auc').replace('_', ' ')}) {p_words(test['p_adjusted'])}"
        for test in tested
    )
    how = dict.fromkeys(test.get("test", "Cochran's Q on the AUCs") for test in tested)
    looks = f"{len(tested)} look" if len(tested) == 1 else f"{len(tested)} looks"
    return f"Do the strata differ ({', '.join(how)}; p adjusted by Holm for {looks})? {found}."


def estimate_text(body: Any, *, share: bool = False, digits: int = 3) -> str:
    """Return an estimate as one text: ``0.853 (0.801 to 0.897)``."""
    cell = estimate_cell(body, share=share, digits=digits)
    return f"{cell.text} ({cell.note})" if cell.note else cell.text


def reason_of(body: Any) -> str:
    """Return why a number is not there."""
    return str(body.get("not_estimable", "not measured")) if isinstance(body, dict) else "not measured"


def counted(count: int, one: str, many: str = "") -> str:
    """Return ``1 case`` or ``3 cases``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
