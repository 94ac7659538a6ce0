"""``coread phantom``: digital reference objects of exactly known truth, as real DICOM series."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.flags import command_with
from coread.app.cli.output import answer_json, complain, say, show_table

if TYPE_CHECKING:
    from coread.phantoms.reference.scan import Setup


@dataclass(frozen=True, slots=True)
class PhantomFlags:
    """What to make, and how it is scanned."""

    name: Annotated[str, typer.Argument(help="which phantom; without one, all are listed")] = ""
    truth: Annotated[
        list[str] | None, typer.Option(help="KEY=VALUE, repeated; `coread phantom NAME` without --out lists the keys")
    ] = None
    out: Annotated[Path | None, typer.Option(help="new or empty folder for the series and truth.json")] = None
    seed: Annotated[int, typer.Option(help="the same seed and truth give the same files")] = 1
    spacing: Annotated[str, typer.Option(help="mm: one value, or SLICE,ROW,COLUMN; empty: the phantom's own")] = ""
    orientation: Annotated[str, typer.Option(help="axial, coronal, sagittal, or 0 to 47")] = "axial"
    tilt: Annotated[float, typer.Option(help="gantry tilt, degrees")] = 0.0
    noise: Annotated[float | None, typer.Option(help="standard deviation: HU (CT), per cent (MR), per mille (US)")] = (
        None
    )
    kernel: Annotated[float | None, typer.Option(help="in-plane blur, mm full width at half maximum")] = None
    dates: Annotated[str, typer.Option(help="YYYYMMDD of each examination, divided by commas")] = ""
    json: Annotated[bool, typer.Option("--json", help="answer with one JSON document")] = False


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("phantom")(command_with(PhantomFlags, phantom))


def phantom(_: typer.Context, flags: PhantomFlags) -> None:
    """Write a SYNTHETIC examination whose volumes, densities and places are known exactly, with its truth file."""
    from coread.phantoms.reference.errors import BadTruth

    try:
        if not flags.name:
            _list(as_json=flags.json)
        elif flags.out is None:
            _describe(flags.name, as_json=flags.json)
        else:
            _make(flags, flags.out)
    except BadTruth as problem:
        complain(f"coread phantom: {problem}")
        sys.exit(ExitCode.USAGE)


def _list(*, as_json: bool) -> None:
    from coread.phantoms.reference.registry import PHANTOMS

    if as_json:
        answer_json([{"name": one.name, "summary": one.summary} for one in PHANTOMS.values()])
        return
    show_table(("phantom", "what it is"), [(one.name, one.summary) for one in PHANTOMS.values()])


def _describe(name: str, *, as_json: bool) -> None:
    from coread.phantoms.reference.registry import phantom as phantom_named
    from coread.phantoms.reference.truth import described

    kind = phantom_named(name)
    rows = described(kind.truth)
    if as_json:
        answer_json({"name": kind.name, "summary": kind.summary, "truth": rows})
        return
    say(f"{kind.name}: {kind.summary}. Add --out FOLDER to make it.")
    show_table(("truth", "default", "meaning"), [(row["name"], _text(row["default"]), _meaning(row)) for row in rows])


def _meaning(row: dict[str, Any]) -> str:
    allowed = ", ".join(choice or "empty" for choice in row["choices"])
    if row["low"] is not None:
        allowed = f"{row['low']:g} to {row['high']:g}"
    return f"{row['help']} ({allowed})" if allowed else str(row["help"])


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(f"{one:g}" if isinstance(one, float) else str(one) for one in value)
    return str(value)


def _make(flags: PhantomFlags, out: Path) -> None:
    from coread.phantoms.reference.registry import made

    document = made(flags.name, flags.truth or (), _setup(flags)).write(out)
    if flags.json:
        answer_json(document)
        return
    for visit in document["examinations"]:
        for series in visit["series"]:
            say(f"{out / series['folder']}: {series['images']} images, {series['description']}")
        rows = [_row(structure) for structure in visit["structures"]]
        if rows:
            show_table(("structure", "volume ml", "in voxels ml", "value"), rows, title=visit["date"])
    say(f"The truth is in {out / 'truth.json'}. SYNTHETIC: computed, not a person.")


def _row(structure: dict[str, Any]) -> tuple[str, str, str, str]:
    volume = structure["volume_ml"]
    return structure["name"], f"{volume['exact']:.4g}", f"{volume['from_voxels']:.4g}", f"{structure['value']:.4g}"


def _setup(flags: PhantomFlags) -> "Setup":
    from coread.phantoms.reference.scan import Setup

    return Setup(
        seed=flags.seed,
        spacing_mm=_spacing(flags.spacing),
        orientation=flags.orientation,
        tilt_degrees=flags.tilt,
        noise=flags.noise,
        kernel_mm=flags.kernel,
        dates=tuple(part.strip() for part in flags.dates.split(",") if part.strip()),
    )


def _spacing(text: str) -> tuple[float, float, float] | None:
    from coread.phantoms.reference.errors import BadTruth

    if not text.strip():
        return None
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError as problem:
        raise BadTruth(f"spacing {text!r}: one number, or three divided by commas, mm") from problem
    if len(values) == 1:
        values *= 3
    if len(values) != 3:
        raise BadTruth(f"spacing {text!r}: one number, or three (slice, row, column)")
    return values[0], values[1], values[2]
