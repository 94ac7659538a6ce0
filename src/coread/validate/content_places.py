"""The sections of boxes, masks, numbers and types."""

from collections.abc import Sequence
from dataclasses import replace

from coread.validate.blocks import Block, Cell, Facts, Figures, Heading, Picture, Pictures, Table, Text
from coread.validate.plain import Plain, is_estimate
from coread.validate.plots import afroc_plot, bland_altman_plot, froc_plot, matrix_of
from coread.validate.words import estimate_cell, estimate_text, number, reason_of

_UNITS = {"mm2": "mm\u00b2"}


def box_blocks(report: Plain) -> list[Block]:
    """Return where the reader marks findings, for every output with boxes in the truth."""
    if not report["boxes"]:
        return []
    rows, figures = [], []
    for key, body in report["boxes"].items():
        name = report["outputs"].get(key, {}).get("name", key)
        rows.append((
            Cell(name, f"{body['lesions']:,} lesions on {body['pictures']:,} pictures, {body['marks']:,} marks"),
            *(estimate_cell(body.get(metric), share=metric.startswith("found")) for metric in
              ("ap50", "found_iou50", "found_centre", "false_marks_per_picture", "jafroc", "afroc_area")),
        ))  # fmt: skip
        figures += [
            replace(plot, title=f"{plot.title}, {name}")
            for plot in (froc_plot(body), afroc_plot(body))
            if plot is not None
        ]
    columns = (
        "boxes of", "AP at IoU 0.5", "lesions found, IoU \u2265 0.5", "lesions found, centre", "false marks a picture",
        "JAFROC", "area under AFROC",
    )  # fmt: skip
    note = next(iter(report["boxes"].values()))["note"]
    blocks: list[Block] = [
        Heading("Places", anchor="places"),
        Table(columns, tuple(rows), note[:1].upper() + note[1:] + ".", frozenset(range(1, 7))),
    ]
    blocks += [Figures(tuple(figures))] if figures else []
    return blocks + _missed(report)


def _missed(report: Plain) -> list[Block]:
    rows = tuple(
        (Cell(report["outputs"].get(row["output"], {}).get("name", row["output"])), Cell(row["case_id"]),
         Cell(f"{row['missed']} of {row['lesions']}"), Cell(f"{row['false_marks']}"))
        for row in report.get("worst_boxes", ())
    )  # fmt: skip
    columns = ("boxes of", "case", "lesions missed", "false marks")
    caption = "Cases that were read and in which most lesions have no mark whose centre lies on them."
    return [Heading("Most lesions missed", 2), Table(columns, rows, caption, frozenset({2, 3}))] if rows else []


def mask_blocks(report: Plain, pictures: Sequence[tuple[Plain, Picture]] = ()) -> list[Block]:
    """Return overlap, distances and volumes of masks, and the cases that fit worst."""
    if not report["masks"]:
        return []
    blocks: list[Block] = [Heading("Masks", anchor="masks")]
    for name, body in report["masks"].items():
        unit, distance = _UNITS.get(body["unit"], body["unit"]), body["distance_unit"]
        blocks += [
            Heading(name.capitalize(), 2),
            Facts(
                (
                    ("masks", f"{body['n']:,}"),
                    ("Dice, mean", estimate_cell(body["dice"])),
                    ("Dice, median", estimate_cell(body["dice_median"])),
                    ("Dice, not read = 0", number(body["dice_with_refusals"])),
                    (f"HD95, mean ({distance})", estimate_cell(body["hausdorff95"], digits=2)),
                    (f"HD95, median ({distance})", estimate_cell(body["hausdorff95_median"], digits=2)),
                    (f"surface distance, mean ({distance})", estimate_cell(body.get("surface_distance"), digits=2)),
                    ("answers without a mask", f"{body['empty_answers']:,}"),
                )
            ),
            *_agreement(f"{'volume' if unit == 'ml' else 'area'} of {name}", body["volume"], unit),
        ]
        shown = tuple(picture for row, picture in pictures if row.get("mask") == name)
        rows = tuple(
            (Cell(row["case_id"]), Cell(number(row["dice"]))) for row in report["worst_masks"] if row["mask"] == name
        )
        if shown or rows:
            worst = Pictures(shown) if shown else Table(("case", "Dice"), rows, numeric=frozenset({1}))
            blocks += [Heading(f"Worst fits of {name}", 2), worst]
    return blocks


def number_blocks(report: Plain) -> list[Block]:
    """Return measured numbers against their truth."""
    if not report["numbers"]:
        return []
    blocks: list[Block] = [Heading("Measurements", anchor="numbers")]
    for name, body in report["numbers"].items():
        title = name.replace("_", " ")
        blocks += [Heading(title.capitalize(), 2), Text(f"{body['n']:,} cases, {body['not_measured']:,} not measured.")]
        blocks += _agreement(title, body, body["unit"])
        repeated = body["repeatability"]
        if "coefficient" in repeated:
            blocks.append(
                Text(
                    f"Repeatability coefficient {estimate_text(repeated['coefficient'], digits=2)} {body['unit']} "
                    f"({repeated['subjects']} subjects, {repeated['repeats']} acquisitions each)."
                )
            )
        else:
            blocks.append(Text(f"Repeatability: {reason_of(repeated)}.", "quiet"))
        if "within" in body:
            limit = number(body["within"]["limit"], 2)
            share = estimate_text(body["within"]["share"], share=True)
            blocks.append(Text(f"Within {limit} {body['unit']} of the truth: {share}."))
        rows = tuple(
            (Cell(row["case_id"]), *(Cell(number(row[value], 2)) for value in ("truth", "found", "error")))
            for row in report.get("worst_numbers", ())
            if row["number"] == name
        )
        if rows:
            columns = ("largest errors", "truth", "reader", "reader \u2212 truth")
            blocks.append(Table(columns, rows, numeric=frozenset({1, 2, 3})))
    return blocks


def type_blocks(report: Plain) -> list[Block]:
    """Return tables of classes."""
    blocks: list[Block] = []
    for name, body in report["types"].items():
        blocks += [
            Heading(f"Type: {name.replace('_', ' ')}", anchor=f"type-{name}"),
            Facts(
                (
                    ("cases", f"{body['n']:,}"),
                    ("not read", f"{body['not_read']:,}"),
                    ("accuracy", estimate_cell(body["accuracy"], share=True)),
                    ("accuracy, not read = wrong", estimate_cell(body.get("accuracy_with_refusals"), share=True)),
                    ("balanced accuracy", estimate_cell(body.get("balanced_accuracy"), share=True)),
                    ("Cohen's kappa", estimate_cell(body.get("kappa"))),
                )
            ),
        ]
        matrix = matrix_of(name, body)
        if matrix is not None:
            rows = tuple((Cell(key), estimate_cell(found, share=True)) for key, found in body["sensitivity"].items())
            blocks += [Figures((matrix,)), Table(("class", "share recognised"), rows, numeric=frozenset({1}))]
    return blocks


def _agreement(name: str, body: Plain, unit: str) -> list[Block]:
    if "bland_altman" not in body:
        return [Text(f"{name.capitalize()}: {reason_of(body['mean_absolute_error'])}.", "quiet")]
    icc = body["icc"].get("agreement", body["icc"])
    rows = [
        (Cell("mean absolute error", unit), estimate_cell(body["mean_absolute_error"], digits=2)),
        (Cell("intraclass correlation", "two-way random, single (2,1)"), estimate_cell(icc)),
        (Cell("concordance correlation"), estimate_cell(body["concordance"])),
    ]
    limits = body["bland_altman"]
    if is_estimate(limits.get("bias")):
        rows += [
            (Cell("bias", "reader \u2212 truth"), estimate_cell(limits["bias"], digits=2)),
            (Cell("lower limit of agreement"), estimate_cell(limits["lower"], digits=2)),
            (Cell("upper limit of agreement"), estimate_cell(limits["upper"], digits=2)),
        ]
    blocks: list[Block] = [Table(("agreement", "95 % interval"), tuple(rows), numeric=frozenset({1}))]
    plot = bland_altman_plot(body, name, unit)
    return [*blocks, Figures((plot,))] if plot is not None else blocks
