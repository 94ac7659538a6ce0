"""``coread dataset clinical``: indication, earlier examinations and laboratory values beside the images of a set."""

from pathlib import Path
from typing import Annotated

import typer

from coread.app.cli.output import answer_json, complain, say, show_table


def clinical(
    folder: Annotated[Path, typer.Argument(help="folder of a data set")],
    out: Annotated[Path, typer.Option(help="folder for the new set; must be new or empty")],
    indication: Annotated[
        bool, typer.Option("--indication", help="flags of why the examination was asked for")
    ] = False,
    priors: Annotated[
        bool, typer.Option("--priors", help="number of earlier examinations, days since the last")
    ] = False,
    labs: Annotated[
        Path | None, typer.Option(help="CSV of laboratory values: patient_id, date, name, value; one a line")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", help="lab=NAME to take (all if none), window=DAYS (7), same_day=yes (no); repeat"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="answer as one JSON document")] = False,
) -> None:
    """Put clinical data into the covariates of a set, for `covariates` of a recipe. Nothing from after the image."""
    from coread.train.clinical import ClinicalPlan, add_clinical

    names, window, same_day = [], 7, False
    for word in setting or []:
        key, _, value = word.partition("=")
        if key == "lab" and value:
            names.append(value)
        elif key == "window" and value.isdecimal():
            window = int(value)
        elif key == "same_day" and value in ("yes", "no"):
            same_day = value == "yes"
        else:
            raise typer.BadParameter(f"{word!r} is none of lab=NAME, window=DAYS, same_day=yes", param_hint="--set")
    added = add_clinical(folder, out, ClinicalPlan(indication, priors, labs, tuple(names), window, same_day))
    images = len(added.index.rows)
    if json:
        answer_json(
            {
                "folder": str(out), "images": images, "known": dict(added.known),
                "later": added.later, "stale": added.stale, "strangers": added.strangers,
            }
        )  # fmt: skip
        return
    say(f"{added.index.name}: {images} images -> {out}")
    show_table(("covariate", "known of images"), [(name, f"{n} of {images}") for name, n in added.known.items()])
    if labs is not None:
        complain(f"{added.later} values were taken too late for an image (its own day or after it) and not used for it")
        complain(f"{added.stale} images have an earlier value, but none within {window} days")
        complain(f"{added.strangers} values are of patients without an image here")
