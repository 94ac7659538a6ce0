"""``coread volume``: how a series is understood as volumes, and the volumes as NIfTI files."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.flags import command_with
from coread.app.cli.output import RESEARCH_USE, answer_json, complain, say, show_table

if TYPE_CHECKING:
    from coread.app.volumes import FoundSeries
    from coread.imaging.series import Choices

Paths = Annotated[list[Path], typer.Argument(help="DICOM files or folders")]
Gaps = Annotated[str, typer.Option(help="slices at uneven distances: refuse, or resample between the real positions")]
Copies = Annotated[
    bool, typer.Option("--drop-copies", help="leave out slices that are equal to another at their place")
]
Least = Annotated[int, typer.Option(help="fewest slices that are a volume", min=1)]
AsJson = Annotated[bool, typer.Option("--json", help="answer as one JSON document")]


@dataclass(frozen=True, slots=True)
class InfoFlags:
    """What to look at and how strictly."""

    paths: Paths
    gaps: Gaps = "refuse"
    drop_copies: Copies = False
    min_slices: Least = 2
    json: AsJson = False


@dataclass(frozen=True, slots=True)
class ExportFlags:
    """What to write, where, and what is done to it before."""

    paths: Paths
    to: Annotated[Path, typer.Option(help="NIfTI file (.nii or .nii.gz); numbered where there are several volumes")]
    series: Annotated[list[str] | None, typer.Option(help="only these Series Instance UIDs")] = None
    gaps: Gaps = "refuse"
    drop_copies: Copies = False
    min_slices: Least = 2
    straighten: Annotated[bool, typer.Option("--straighten", help="take the shear of a tilted gantry out")] = False
    spacing: Annotated[str, typer.Option(help="resample to SLICE,ROW,COLUMN mm, such as 1,1,1")] = ""
    suv: Annotated[bool, typer.Option("--suv", help="PET in g/ml by body weight, where the header decides it")] = False
    json: AsJson = False


def register(app: typer.Typer) -> None:
    """Add the commands."""
    volume = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Series as volumes.")
    volume.command("info")(command_with(InfoFlags, info))
    volume.command("export")(command_with(ExportFlags, export))
    app.add_typer(volume, name="volume")


def info(_: typer.Context, flags: InfoFlags) -> None:
    """Say how series are understood: slices, spacing, tilt, gaps, splits, units, and why a part is no volume."""
    from coread.app.volumes import series_below, series_document

    found, refused = series_below(flags.paths, _choices(flags))
    if flags.json:
        answer_json({
            "notice": RESEARCH_USE,
            "series": [series_document(item) for item in found],
            "refused": [{"file": str(path), "reason": why} for path, why in refused],
        })  # fmt: skip
    else:
        for item in found:
            _tell(item)
        if refused:
            show_table(("file", "why it was not read"), [(str(path), why) for path, why in refused], "Refused files")
    volumes = sum(len(item.opened.volumes()) for item in found)
    whole = all(len(item.opened.volumes()) == len(item.opened.stacks) for item in found)
    if not volumes:
        raise typer.Exit(ExitCode.NOT_ANALYSED)
    raise typer.Exit(ExitCode.OK if whole else ExitCode.INCOMPLETE)


def export(_: typer.Context, flags: ExportFlags) -> None:
    """Write the volumes of series as NIfTI, in modality values (HU for CT); refused ones are named."""
    from coread.app.volumes import Changes, export_volumes, is_nifti_name, series_below

    spacing = _spacing(flags.spacing)
    if not is_nifti_name(flags.to):
        complain(f"{flags.to} must end in .nii or .nii.gz")
        raise typer.Exit(ExitCode.USAGE)
    choices = _choices(flags)
    found, _refused = series_below(flags.paths, choices)
    if flags.series:
        found = [item for item in found if item.series_instance_uid in flags.series]
    written = export_volumes(found, flags.to, choices, Changes(flags.straighten, spacing, flags.suv))
    if flags.json:
        answer_json({"notice": RESEARCH_USE, "volumes": [asdict(item) for item in written]})
    else:
        rows = [(item.file or "not written", _size(item.shape), item.volume, item.detail) for item in written]
        show_table(("file", "slices x rows x columns", "volume", "what was done, or why not"), rows)
    if not written:
        raise typer.Exit(ExitCode.NOT_FOUND)
    done = sum(bool(item.file) for item in written)
    if not done:
        raise typer.Exit(ExitCode.NOT_ANALYSED)
    raise typer.Exit(ExitCode.OK if done == len(written) else ExitCode.INCOMPLETE)


def _choices(flags: InfoFlags | ExportFlags) -> "Choices":
    from coread.imaging.series import Choices, Doubles, Gaps

    if flags.gaps not in list(Gaps):
        complain(f"--gaps must be one of {', '.join(Gaps)}")
        raise typer.Exit(ExitCode.USAGE)
    doubles = Doubles.DROP_COPIES if flags.drop_copies else Doubles.REFUSE
    return Choices(min_slices=flags.min_slices, gaps=Gaps(flags.gaps), doubles=doubles)


def _spacing(text: str) -> tuple[float, float, float] | None:
    if not text:
        return None
    try:
        parts = [float(part) for part in text.split(",")]
    except ValueError:
        parts = []
    if len(parts) != 3 or not all(0.01 <= part <= 100 for part in parts):
        complain("--spacing needs three numbers from 0.01 to 100 mm, such as 1,1,1")
        raise typer.Exit(ExitCode.USAGE)
    return parts[0], parts[1], parts[2]


def _tell(item: "FoundSeries") -> None:
    from coread.app.volumes import stack_words

    first = item.instances[0][1]
    title = f"Series {first.series_number if first.series_number is not None else '?'} {first.modality}"
    title = f"{title} {first.series_description}: {len(item.instances)} objects"
    rows = []
    for stack in item.opened.stacks:
        spacing = "-" if stack.refusal else " x ".join(f"{step:.3g}" for step in stack.geometry().spacing_mm())
        unit = stack.slices[0].unit or stack.slices[0].quantity.value
        rows.append((_size(stack.shape()), spacing, stack.plane, unit, stack_words(stack)))
    show_table(("slices x rows x columns", "mm", "plane", "unit", "notes"), rows, title)
    for apart in item.opened.set_apart:
        say(f"  {apart.name} is in no volume: {apart.reason.text()}")
    say("")


def _size(shape: tuple[int, ...]) -> str:
    return " x ".join(str(extent) for extent in shape)
