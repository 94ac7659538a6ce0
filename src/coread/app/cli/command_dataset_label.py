"""``coread dataset label``: what radiologists' reports say, as labels of the images that they are about."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coread.app.cli.output import answer_json, complain, say, show_table

if TYPE_CHECKING:
    from coread.train.report_labels import ReportJoin, ReportPlan

_SHOWN = 10
_UNCERTAIN = {"unknown": None, "present": 1.0, "absent": 0.0}


def label(
    folder: Annotated[Path, typer.Argument(help="folder of a data set")],
    reports: Annotated[
        list[str], typer.Option(help="text, CSV, Parquet, HL7 or DICOM SR file, or a folder of them; repeat")
    ],
    out: Annotated[Path, typer.Option(help="folder for the labelled set; must be new or empty")],
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="column=COLUMN of the text; uncertain=unknown, present or absent: what a hedged finding becomes; "
            "only=FINDING; FINDING=LABEL: how the set calls it; repeat",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="let reports replace labels that are there")] = False,
    keep_text: Annotated[bool, typer.Option("--keep-text", help="keep the whole texts in the set")] = False,
    json: Annotated[bool, typer.Option("--json", help="answer as one JSON document")] = False,
) -> None:
    """Join reports to images and add what they say as labels, with the words behind each. Human labels stay."""
    from coread.app.cli.shown_progress import shown_progress
    from coread.app.report_texts import report_texts
    from coread.train.report_labels import SignedReport, label_from_reports, summary

    column, plan = _plan(setting or [], overwrite=overwrite, keep_text=keep_text)
    problems = []
    given = []
    for source in report_texts(reports, column):
        if source.problem:
            problems.append(f"{source.name}: {source.problem}")
        given.append(SignedReport(source.name, source.text, *source.of))
    with shown_progress("labelling images", quiet=json) as step:
        join = label_from_reports(folder, given, out, plan, step)
    if json:
        answer_json({"folder": str(out), "images": len(join.index.rows), "reports": len(given), **summary(join)})
        return
    _tell(join, len(given))
    for problem in problems[:_SHOWN]:
        complain(problem)


def _tell(join: "ReportJoin", reports: int) -> None:
    ways = ", ".join(f"{count} by {way}" for way, count in join.matched.items())
    say(f"{sum(join.matched.values())} of {reports} reports belong to images ({ways}) -> {join.index.folder}")
    say(f"{join.without_report} of {len(join.index.rows)} images have no report")
    show_table(("label", "images that have it from a report"), [(name, str(n)) for name, n in join.added.items()])
    for what, names in (
        ("belong to no image here", join.unmatched),
        ("fit several studies or patients, and were not used", join.ambiguous),
        ("were not assessed", [f"{report} ({reason})" for report, reason in join.not_assessed]),
    ):
        if names:
            more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
            complain(f"{len(names)} reports {what}: {', '.join(names[:_SHOWN])}{more}")
    if join.conflicts:
        complain(f"{len(join.conflicts)} labels that were there contradict the report:")
        for one in join.conflicts[:_SHOWN]:
            complain(
                f"  {one.image_id}: {one.label} is {one.there:g}, the report says {one.report:g} ({one.evidence!r})"
            )


def _plan(words: list[str], *, overwrite: bool, keep_text: bool) -> "tuple[str, ReportPlan]":
    """Return the column of the text and what to take, from ``key=value`` words."""
    from coread.train.report_labels import ReportPlan

    column, uncertain, only, names = "", "unknown", [], {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals and value):
            raise typer.BadParameter(f"{word!r} is not key=value", param_hint="--set")
        if key == "column":
            column = value
        elif key == "uncertain":
            uncertain = value
        elif key == "only":
            only.append(value)
        else:
            names[key] = value
    if uncertain not in _UNCERTAIN:
        raise typer.BadParameter(f"{uncertain!r} is none of {', '.join(_UNCERTAIN)}", param_hint="--set uncertain")
    return column, ReportPlan(names, tuple(only), _UNCERTAIN[uncertain], overwrite, keep_text)
