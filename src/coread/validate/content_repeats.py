"""Repeated acquisitions on paper: how far the answers of one thing lie apart, and the plot of it."""

from coread.validate.blocks import Block, Cell, Figures, Heading, Table, Text
from coread.validate.plain import Plain, is_estimate
from coread.validate.plots import repeats_plot
from coread.validate.words import counted, counted_cell, estimate_cell, estimate_text, p_words, reason_of

_GROWS = 0.05


def repeat_blocks(name: str, body: Plain, unit: str, *, digits: int = 2) -> list[Block]:
    """Return within-subject standard deviation, repeatability coefficient and limits of agreement of two repeats."""
    if "coefficient" not in body:
        return []
    limits = body["bland_altman"] if "bias" in body.get("bland_altman", {}) else {}
    measured = body.get("measurements", body["subjects"] * body["repeats"])
    rows = [
        (Cell("within-subject standard deviation", unit), counted_cell(body["within_sd"]),
         estimate_cell(body["within_sd"], digits=digits)),
        (Cell("repeatability coefficient", "2.77 times that"), counted_cell(body["coefficient"]),
         estimate_cell(body["coefficient"], digits=digits)),
        *((Cell(words, "second \u2212 first"), counted_cell(limits[key]), estimate_cell(limits[key], digits=digits))
          for key, words in (("bias", "bias"), ("lower", "lower limit"), ("upper", "upper limit")) if key in limits),
    ]  # fmt: skip
    caption = (
        f"{counted(body['subjects'], 'subject')}, {counted(measured, 'measurement')}. Two measurements of one subject "
        "differ by less than the coefficient in 95 % of pairs."
    )
    spread = body.get("spread_p_value")
    if spread is not None:
        word = (
            "goes with its size: one value does not fit all" if spread < _GROWS else "was not seen to go with its size"
        )
        caption += f" The spread of a subject {word} (Kendall's tau, {p_words(spread)})."
    if "note" in body:
        caption += f" Counted by {body['note']}."
    blocks: list[Block] = [
        Heading(f"Repeatability of {name}", 2),
        Table(("repeats", "subjects", "95 % interval"), tuple(rows), caption, frozenset({1, 2})),
    ]
    plot = repeats_plot(body, name, unit)
    return [*blocks, Figures((plot,))] if plot is not None else blocks


def repeats_or_reason(name: str, body: Plain, unit: str) -> list[Block]:
    """Return the section, or why there is none."""
    return repeat_blocks(name, body, unit) or [Text(f"Repeatability: {reason_of(body)}.", "quiet")]


def output_repeats(body: Plain) -> list[Block]:
    """Return the repeats of one finding: of its probability, and how often the call was the same."""
    blocks = repeat_blocks("the probability", body.get("repeatability", {}), "", digits=3)
    calls = body.get("repeated_calls", {})
    if not is_estimate(calls):
        return blocks
    alike = (
        f"All repeats of a subject were called alike in {estimate_text(calls, share=True)} of {calls['n']:,} subjects."
    )
    return [*blocks, Text(alike)]
