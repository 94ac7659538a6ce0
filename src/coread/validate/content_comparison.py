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
        "specificity: a case that was not read counts as wrong. With one case for each patient: McNemar's exact test "
        "and Newcombe's paired interval. Where a patient has several cases: McNemar's test clustered by patient "
        "(Obuchowski 1998; beside it the exact value of all swaps of the two within patients) and a bootstrap over "
        "patients. p values are not adjusted for the number of lines."
    )
    blocks.append(Table(columns, tuple(rows), caption, frozenset({1, 2, 3, 4})))
    if body["boxes"]:
        cells = tuple(
            (
                Cell(body["outputs"].get(key, {}).get("name", key), counted(item["lesions"], "lesion")),
                *(estimate_cell(item[name]) for name in ("this", "other", "difference")),
            )
            for key, item in body["boxes"].items()
        )
        blocks.append(Table(("AP at IoU 0.5", "this", "other", "difference"), cells, numeric=frozenset({1, 2, 3})))
    return blocks + _measured(body)


def _measured(body: Plain) -> list[Block]:
    kinds = (("masks", "Dice, mean"), ("numbers", "absolute error, mean"), ("types", "accuracy"))
    rows = tuple(
        (Cell(name.replace("_", " "), f"{words}, {counted(item['n'], 'case')}"),
         *(Cell(number(item[side])) if side in item else Cell("-") for side in ("this", "other")),
         estimate_cell(item["difference"]), *test_cells(item.get("mcnemar", {})))
        for kind, words in kinds
        for name, item in body.get(kind, {}).items()
    )  # fmt: skip
    caption = (
        "Cases that both measured; for accuracy a case that was not read counts as wrong. Intervals of differences are "
        "bootstrapped over patients (accuracy with one case for each patient: Newcombe's paired interval)."
    )
    columns = ("masks, numbers, types", "this", "other", "difference", "p", "test")
    return [Table(columns, rows, caption, frozenset({1, 2, 3, 4}))] if rows else []


def _named(who: Plain) -> str:
    return f"{who['reader_id']} {who['version']} (package {who['package_digest'][:12]})"


def _rows(output: Plain) -> list[tuple[Cell, ...]]:
    auc = output["auc"]
    rows: list[tuple[Cell, ...]] = []
    if "difference" in auc:
        rows.append((
            Cell(output["name"], f"AUC, {counted(output['read_by_both'], 'case')}"), estimate_cell(auc["this"]),
            estimate_cell(auc["other"]),
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
        rows.append((
            Cell(output["name"], f"{name}, {counted(item['n'], 'case')}"), Cell(percent(item["this"])),
            Cell(percent(item["other"])), _points(item["difference"]), *test_cells(test),
        ))  # fmt: skip
    return rows


def test_cells(test: Plain) -> tuple[Cell, Cell]:
    """Return the p value of a paired test, and its name with what it rests on."""
    if not test:
        return Cell(""), Cell("")
    if "p_value" not in test:
        return Cell("-", reason_of(test), "quiet"), Cell("")
    only = f"right alone: this {test['only_this_right']}, other {test['only_other_right']}"
    if "chi_square" in test:
        only += (
            f"; {test['unequal_patients']} of {test['patients']} patients unequal; swaps p {p_value(test['p_exact'])}"
        )
    return Cell(p_value(test["p_value"])), Cell(test["method"], only)


def _points(body: Plain) -> Cell:
    """Return a difference of shares in percentage points."""
    if not is_estimate(body):
        return Cell("-", reason_of(body), "quiet")
    low, value, high = (number(100 * body[name], 1) for name in ("low", "value", "high"))
    return Cell(f"{value} points", f"{low} to {high}")
