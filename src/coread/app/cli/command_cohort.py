"""``coread dataset cohort``: the part of a data set that nothing was learned from, as a cohort to validate on."""

from pathlib import Path
from typing import Annotated

import typer

from coread.app.cli.output import answer_json, say


def cohort(
    folder: Annotated[Path, typer.Argument(help="folder of a split data set")],
    out: Annotated[Path, typer.Option(help="folder for the cohort")],
    part: Annotated[str, typer.Option(help="the part that becomes cases")] = "test",
    output: Annotated[
        list[str] | None, typer.Option(help="LABEL=KEY: label of the set and output of the reader; repeat; none: all")
    ] = None,
    modality: Annotated[str, typer.Option(help="DICOM modality that pictures are wrapped as")] = "DX",
    body_part: Annotated[str, typer.Option(help="Body Part Examined that pictures are wrapped with")] = "",
    spacing_mm: Annotated[float | None, typer.Option(help="distance between pixels, where it is known")] = None,
    json: Annotated[bool, typer.Option("--json", help="answer as one JSON document")] = False,
) -> None:
    """Write a cohort of one part of a data set: truth, patients and how its pictures become DICOM."""
    from coread.app.cohorts import CohortPlan, cohort_of, outputs_from

    plan = CohortPlan(part, outputs_from(output or []), modality, body_part, spacing_mm)
    made = cohort_of(folder, out, plan)
    if json:
        answer_json({"cohort": str(out), "name": made.name, "cases": len(made.cases)})
        return
    say(f"{made.name}: {len(made.cases)} cases in {out}; coread validate freezes it when it reads it")
