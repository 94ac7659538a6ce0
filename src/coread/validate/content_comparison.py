"""The section that compares this run with another one on the same cases."""

from coread.validate.blocks import Block, Cell, Heading, Table, Text
from coread.validate.plain import Plain, is_estimate
from coread.validate.words import counted, estimate_cell, number, p_value, percent, reason_of


def comparison_blocks(body: Plain) -> list[Block]:
    """Return paired differences: this run minus the other one."""
    changed = body["changed_calls"]
    blocks: list[Block] = [
        Heading("Against another run", anchor="comparison"),
        Text(f"This: {_named(body['this'])}. Other: {_named(body['other'])}. Differences are this minus other."),
        Text(
            f"Of {counted(changed['cases'], 'case')}, {changed['other_outcome']:,} ended otherwise; "
            f"{counted(changed['other_calls'], 'call')} of findings changed."
        ),
    ]
    rows = [row for output in body["outputs"].values() for row in _rows(output)]
    columns = ("", "this", "other", "difference", "p", "test")
    caption = (
        "AUC among cases that both read (paired DeLong, clustered by patient where needed). Sensitivity and "
        "specificity: a case that was not read counts as wrong (exact McNemar; Newcombe's paired interval, or "
        "bootstrap over patients where a patient has several cases)."
    )
    blocks.append(Table(columns, tuple(rows), caption, frozenset({1, 2, 3, 4})))
    if body["boxes"]:
        cells = tuple(
            (Cell(key), *(estimate_cell(item[name]) for name in ("this", "other", "difference")))
            for key, item in body["boxes"].items()
        )
        blocks.append(Table(("AP at IoU 0.5", "this", "other", "difference"), cells, numeric=frozenset({1, 2, 3})))
    return blocks + _measured(body)


def _measured(body: Plain) -> list[Block]:
    kinds = (("masks", "Dice, mean"), ("numbers", "absolute error, mean"), ("types", "accuracy"))
    rows = tuple(
        (Cell(name.replace("_", " "), f"{words}, {counted(item['n'], 'case')}"),
         *(Cell(number(item[side])) if side in item else Cell("-") for side in ("this", "other")),
         estimate_cell(item["difference"]))
        for kind, words in kinds
        for name, item in body.get(kind, {}).items()
    )  # fmt: skip
    caption = (
        "Cases that both measured; for accuracy a case that was not read counts as wrong. Intervals of differences are "
        "bootstrapped over patients (accuracy with one case for each patient: Newcombe's paired interval)."
    )
    columns = ("masks, numbers, types", "this", "other", "difference")
    return [Table(columns, rows, caption, frozenset({1, 2, 3}))] if rows else []


def _named(who: Plain) -> str:
    return f"{who['reader_id']} {who['version']} (package {who['package_digest'][:12]})"


def _rows(output: Plain) -> list[tuple[Cell, ...]]:
    auc = output["auc"]
    rows: list[tuple[Cell, ...]] = []
    if "difference" in auc:
        rows.append((
            Cell(output["name"], "AUC"), estimate_cell(auc["this"]), estimate_cell(auc["other"]),
            estimate_cell(auc["difference"]), Cell(p_value(auc["p_value"])), Cell(auc["method"]),
        ))  # fmt: skip
    else:
        rows.append(
            (Cell(output["name"], "AUC"), Cell("-"), Cell("-"), Cell("-", reason_of(auc), "quiet"), Cell("-"), Cell(""))
        )
    for name in ("sensitivity", "specificity"):
        item, test = output[name], output[f"{name}_mcnemar"]
        if "difference" not in item:
            rows.append(
                (
                    Cell(output["name"], name),
                    Cell("-"),
                    Cell("-"),
                    Cell("-", reason_of(item), "quiet"),
                    Cell("-"),
                    Cell(""),
                )
            )
            continue
        only = f"{test['only_this_right']} against {test['only_other_right']}"
        only += f"; {test['note']}" if "note" in test else ""
        rows.append((
            Cell(output["name"], name), Cell(percent(item["this"])), Cell(percent(item["other"])),
            _points(item["difference"]), Cell(p_value(test["p_exact"])), Cell("McNemar", only),
        ))  # fmt: skip
    return rows


def _points(body: Plain) -> Cell:
    """Return a difference of shares in percentage points."""
    if not is_estimate(body):
        return Cell("-", reason_of(body), "quiet")
    low, value, high = (number(100 * body[name], 1) for name in ("low", "value", "high"))
    return Cell(f"{value} points", f"{low} to {high}")
