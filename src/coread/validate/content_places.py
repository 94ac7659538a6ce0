"""The sections of boxes, masks, numbers and types."""

from collections.abc import Sequence
from dataclasses import replace

from coread.validate.blocks import Block, Cell, Facts, Figures, Heading, Picture, Pictures, Table, Text
from coread.validate.content_repeats import repeat_blocks, repeats_or_reason
from coread.validate.plain import Plain, is_estimate
from coread.validate.plots import afroc_plot, bland_altman_plot, forest_of, froc_plot, matrix_of
from coread.validate.words import counted_cell, estimate_cell, estimate_text, number, reason_of, tests_sentence

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
    return blocks + _rates(report) + _box_strata(report) + _missed(report)


def _rates(report: Plain) -> list[Block]:
    """Return the lesion sensitivity at fixed numbers of false marks."""
    rows = tuple(
        (Cell(report["outputs"].get(key, {}).get("name", key)), Cell(f"{body['lesions']:,}"),
         *(estimate_cell(found, share=True) for found in body["sensitivity_at"].values()),
         estimate_cell(body["cpm"]), estimate_cell(body["jafroc1"]))
        for key, body in report["boxes"].items()
        if "sensitivity_at" in body
    )  # fmt: skip
    if not rows:
        return []
    rates = next(body["sensitivity_at"] for body in report["boxes"].values() if "sensitivity_at" in body)
    columns = (
        "lesions found, centre, at",
        "lesions",
        *(f"{float(rate):g} a picture" for rate in rates),
        "CPM",
        "JAFROC1",
    )
    caption = (
        "False marks a picture; a mark counts when its centre lies in the lesion's box. CPM: mean from 1/8 to 8 "
        "false marks. "
        "JAFROC1 counts false marks on pictures with lesions, too."
    )
    return [Table(columns, rows, caption, frozenset(range(1, len(columns))))]


def _box_strata(report: Plain) -> list[Block]:
    """Return lesions found, average precision and false marks in every stratum."""
    blocks: list[Block] = []
    for key, body in report["boxes"].items():
        groups = body.get("subgroups", {"rows": []})
        if not groups["rows"]:
            continue
        name = report["outputs"].get(key, {}).get("name", key)
        if not any(is_estimate(row["found_centre"]) for row in groups["rows"]):
            blocks.append(Text(f"Subgroups, {name}: no stratum has {groups['fewest']} lesions.", "quiet"))
            continue
        forest = forest_of(
            groups, "found_centre", f"Lesions found in subgroups, {name}", whole=body.get("found_centre")
        )
        metrics = ("found_centre", "found_iou50", "ap50", "false_marks_per_picture")
        rows = tuple(
            (Cell(row["level"], row["grouping"]), Cell(f"{row['lesions']:,}", f"on {row['n']:,} pictures"),
             Cell(f"{row['not_read']:,}"),
             *(estimate_cell(row[metric], share=metric.startswith("found")) for metric in metrics))
            for row in groups["rows"]
        )  # fmt: skip
        columns = (
            "subgroup", "lesions", "not read", "found, centre", "found, IoU \u2265 0.5", "AP at IoU 0.5",
            "false marks a picture",
        )  # fmt: skip
        caption = (
            f"Strata with fewer than {groups['fewest']} lesions get no estimate; intervals of AP and false marks from "
            f"{groups['resamples']} resamples of patients. {tests_sentence(groups)}"
        )
        blocks.append(Heading(f"Subgroups, {name}", 2))
        blocks += [Figures((forest,))] if forest is not None else []
        blocks.append(Table(columns, rows, caption, frozenset(range(1, 7))))
    return blocks


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
                    ("Dice, not read = 0", estimate_cell(body["dice_with_refusals"])),
                    (f"HD95, mean ({distance})", estimate_cell(body["hausdorff95"], digits=2)),
                    (f"HD95, median ({distance})", estimate_cell(body["hausdorff95_median"], digits=2)),
                    (f"surface distance, mean ({distance})", estimate_cell(body.get("surface_distance"), digits=2)),
                    ("answers without a mask", f"{body['empty_answers']:,}"),
                    ("not read", f"{body['not_read']:,}"),
                    ("without a distance, one is empty", f"{body['without_distance']:,}"),
                )
            ),
            *_agreement(f"{'volume' if unit == 'ml' else 'area'} of {name}", body["volume"], unit),
            *repeat_blocks(
                f"the {'volume' if unit == 'ml' else 'area'} of {name}", body.get("repeatability", {}), unit
            ),
            *_mask_strata(name, body),
        ]
        shown = tuple(picture for row, picture in pictures if row.get("mask") == name)
        rows = tuple(
            (Cell(row["case_id"]), Cell(number(row["dice"]))) for row in report["worst_masks"] if row["mask"] == name
        )
        if shown or rows:
            worst = Pictures(shown) if shown else Table(("case", "Dice"), rows, numeric=frozenset({1}))
            blocks += [Heading(f"Worst fits of {name}", 2), worst]
    return blocks


def _mask_strata(name: str, body: Plain) -> list[Block]:
    """Return Dice in every stratum."""
    groups = body.get("subgroups", {"rows": []})
    if not groups["rows"]:
        return []
    forest = forest_of(groups, "dice", f"Mean Dice in subgroups, {name}", whole=body["dice"])
    rows = tuple(
        (Cell(row["level"], row["grouping"]), Cell(f"{row['n']:,}", f"of {row['patients']:,} patients"),
         Cell(f"{row['not_read']:,}"), estimate_cell(row["dice"]), estimate_cell(row["dice_median"]))
        for row in groups["rows"]
    )  # fmt: skip
    columns = ("subgroup", "masks", "not read", "Dice, mean", "Dice, median")
    caption = f"Strata with fewer than {groups['fewest']} masks get no estimate. {tests_sentence(groups)}"
    blocks: list[Block] = [Heading(f"Subgroups, {name}", 2)]
    blocks += [Figures((forest,))] if forest is not None else []
    return [*blocks, Table(columns, rows, caption, frozenset({1, 2, 3, 4}))]


def number_blocks(report: Plain) -> list[Block]:
    """Return measured numbers against their truth."""
    if not report["numbers"]:
        return []
    blocks: list[Block] = [Heading("Measurements", anchor="numbers")]
    for name, body in report["numbers"].items():
        title = name.replace("_", " ")
        blocks += [Heading(title.capitalize(), 2), Text(f"{body['n']:,} cases, {body['not_measured']:,} not measured.")]
        blocks += _agreement(title, body, body["unit"])
        if "within" in body:
            limit = number(body["within"]["limit"], 2)
            share = estimate_text(body["within"]["share"], share=True)
            blocks.append(Text(f"Within {limit} {body['unit']} of the truth: {share}."))
        blocks += repeats_or_reason(title, body["repeatability"], body["unit"])
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
            Heading("Type" if name == "type" else f"Type: {name.replace('_', ' ')}", anchor=f"type-{name}"),
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
            rows = tuple(
                (Cell(key), counted_cell(found), estimate_cell(found, share=True))
                for key, found in body["sensitivity"].items()
            )
            blocks += [
                Figures((matrix,)),
                Table(("class", "cases", "share recognised"), rows, numeric=frozenset({1, 2})),
            ]
    return blocks


def _agreement(name: str, body: Plain, unit: str) -> list[Block]:
    if "bland_altman" not in body:
        return [Text(f"{name.capitalize()}: {reason_of(body['mean_absolute_error'])}.", "quiet")]
    icc = body["icc"].get("agreement", body["icc"])
    limits = body["bland_altman"]
    entries = [
        ("mean absolute error", unit, body["mean_absolute_error"], 2),
        ("intraclass correlation", "two-way random, single (2,1)", icc, 3),
        ("concordance correlation", "", body["concordance"], 3),
    ]
    if is_estimate(limits.get("bias")):
        entries += [
            ("bias", "reader \u2212 truth", limits["bias"], 2),
            ("lower limit of agreement", "", limits["lower"], 2),
            ("upper limit of agreement", "", limits["upper"], 2),
        ]
    rows = tuple(
        (Cell(words, note), counted_cell(found), estimate_cell(found, digits=digits))
        for words, note, found, digits in entries
    )
    blocks: list[Block] = [Table(("agreement", "cases", "95 % interval"), rows, numeric=frozenset({1, 2}))]
    plot = bland_altman_plot(body, name, unit)
    return [*blocks, Figures((plot,))] if plot is not None else blocks
