"""``coread recon``: images from raw MR data, what a raw file holds, and what an examination would save."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.flags import command_with
from coread.app.cli.output import RESEARCH_USE, answer_json, complain, say, show_table

if TYPE_CHECKING:
    from coread.imaging.mr.masks import MaskPlan

READER = "mr_reconstruction"
AsJson = Annotated[bool, typer.Option("--json", help="answer as one JSON document")]


@dataclass(frozen=True, slots=True)
class PlanFlags:
    """Which examination, how much faster, with which lines."""

    protocol: Annotated[
        str, typer.Option(help="TOML file, folder of MR series, or brain-example (round numbers to try it)")
    ]
    acceleration: Annotated[float, typer.Option(help="how many times fewer lines", min=1)] = 4.0
    mask: Annotated[str, typer.Option(help="which lines: equispaced, random or magic")] = "equispaced"
    centre: Annotated[
        float | None, typer.Option(help="share of the lines that is measured whole; default 0.32 / acceleration")
    ] = None
    seed: Annotated[int, typer.Option(help="the same seed gives the same lines")] = 0
    sequence: Annotated[str, typer.Option(help="words of the name of the sequence whose lines --to writes")] = ""
    to: Annotated[Path | None, typer.Option(help="file (CSV) for the lines to be measured, for the scanner")] = None
    reader: Annotated[str, typer.Option(help="reader whose validation says what quality to expect")] = READER
    json: AsJson = False


def register(app: typer.Typer) -> None:
    """Add the commands."""
    recon = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Images from raw MR data.")
    recon.command("plan")(command_with(PlanFlags, plan))
    app.add_typer(recon, name="recon")


def plan(_: typer.Context, flags: PlanFlags) -> None:
    """Say how many minutes an examination would save, the quality to expect, and which lines to measure."""
    from coread.app.recon_plan import plan as planned
    from coread.app.recon_plan import read_protocol, sequence_named, write_mask

    mask = _mask(flags)
    protocol = read_protocol(flags.protocol)
    made = planned(protocol, mask, flags.seed)
    document: dict[str, Any] = {"notice": RESEARCH_USE, **made.document()}
    if flags.to is not None:
        timing = sequence_named(protocol, flags.sequence)
        count = write_mask(flags.to, timing, mask, flags.seed)
        document["mask_file"] = {"file": str(flags.to), "sequence": timing.name, "lines": count}
    if flags.json:
        answer_json(document)
    else:
        _tell_plan(document)


def _mask(flags: PlanFlags) -> "MaskPlan":
    from coread.domain.errors import InvalidRecord
    from coread.imaging.mr.masks import MaskKind, MaskPlan

    try:
        return MaskPlan(MaskKind(flags.mask), flags.acceleration, flags.centre)
    except (ValueError, InvalidRecord) as problem:
        complain(f"coread recon plan: {problem}")
        raise typer.Exit(ExitCode.USAGE) from problem


def _tell_plan(document: dict[str, Any]) -> None:
    rows = [
        (
            row["sequence"],
            f"{row['lines_measured']} of {row['lines']}",
            _minutes(row["seconds_now"]),
            "stays" if row["kept_as_it_is"] else _minutes(row["seconds_planned"]),
        )
        for row in document["sequences"]
    ]
    rows.append(("together", "", _minutes(document["seconds_now"]), _minutes(document["seconds_planned"])))
    title = f"{document['protocol']}: {document['mask']}, {document['acceleration']:g} times fewer lines"
    show_table(("sequence", "lines", "min:s now", "min:s planned"), rows, title)
    say(f"Saved: {document['minutes_saved']:.1f} minutes of scanning; positioning and pauses are not counted.")
    for item in document["left_out"]:
        say(f"Left out: {item['sequence']}: {item['reason']}")
    if "mask_file" in document:
        written = document["mask_file"]
        say(f"{written['lines']} lines of {written['sequence']} are in {written['file']}")
    say(RESEARCH_USE)


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
