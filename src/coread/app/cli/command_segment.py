"""``coread segment``: one lesion outlined and measured from a point, a RECIST line or a box."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.flags import command_with
from coread.app.cli.output import RESEARCH_USE, answer_json, complain, say, show_table

if TYPE_CHECKING:
    from coread.app.lesions import Outline, Pointed, Source
    from coread.app.outline_methods import Method

_COUNTS = {"point": 3, "line": 6, "box": 6}


@dataclass(frozen=True, slots=True)
class SegmentFlags:
    """Which series, what was pointed at, and where the objects go."""

    series_folder: Annotated[Path, typer.Argument(help="folder (or files) of one series")]
    point: Annotated[str, typer.Option(help="x,y,z inside the lesion, LPS mm")] = ""
    line: Annotated[str, typer.Option(help="both ends of its longest diameter: x,y,z,x,y,z, LPS mm")] = ""
    box: Annotated[str, typer.Option(help="two opposite corners around it: x,y,z,x,y,z, LPS mm")] = ""
    voxels: Annotated[bool, typer.Option("--voxels", help="the numbers are voxel indices slice,row,column, from 0")] = (
        False
    )
    method: Annotated[
        str, typer.Option(help="auto (what was measured better), classical (calculated), network (boxes)")
    ] = "auto"
    series: Annotated[str, typer.Option(help="Series Instance UID, where the folder holds several")] = ""
    out: Annotated[Path | None, typer.Option(help="folder for the SEG, SR and page; without it nothing is written")] = (
        None
    )
    json: Annotated[bool, typer.Option("--json", help="answer as one JSON document")] = False


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(command_with(SegmentFlags, segment))


def segment(_: typer.Context, flags: SegmentFlags) -> None:
    """Outline a lesion from a point, a line or a box: volume, RECIST diameters, HU; SEG and SR with --out."""
    from datetime import UTC, datetime

    from coread.app.lesions import outline_lesion
    from coread.engine.samples import study_of
    from coread.readers.registry import installed_readers

    pointed, method = _pointed(flags), _method(flags)
    sources = _sources(flags)
    study = study_of([header for _, header in sources])
    outline = outline_lesion(study, sources, pointed, datetime.now(UTC), method=method, readers=installed_readers())
    written = _write(flags.out, outline, sources) if flags.out is not None else []
    document = {"notice": RESEARCH_USE, "prompt": pointed.text(), **outline.document(), "objects": written}
    if flags.json:
        answer_json(document)
    else:
        _tell(document)


def _pointed(flags: SegmentFlags) -> "Pointed":
    from coread.app.lesions import Pointed

    given = {kind: text for kind in _COUNTS if (text := getattr(flags, kind))}
    if len(given) != 1:
        complain("give one of --point, --line and --box")
        raise typer.Exit(ExitCode.USAGE)
    ((kind, text),) = given.items()
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != _COUNTS[kind]:
        complain(f"--{kind} needs {_COUNTS[kind]} numbers divided by commas, not {text!r}")
        raise typer.Exit(ExitCode.USAGE)
    return Pointed(kind, numbers, flags.voxels)


def _method(flags: SegmentFlags) -> "Method":
    from coread.app.outline_methods import Method

    if flags.method not in set(Method):
        complain(f"--method is one of {', '.join(Method)}, not {flags.method!r}")
        raise typer.Exit(ExitCode.USAGE)
    return Method(flags.method)


def _sources(flags: SegmentFlags) -> "list[Source]":
    from coread.app.volumes import series_below
    from coread.imaging.series import Choices

    found, refused = series_below([flags.series_folder], Choices())
    chosen = [item for item in found if not flags.series or item.series_instance_uid == flags.series]
    if len(chosen) == 1:
        return list(chosen[0].instances)
    if not chosen:
        complain(f"no such series below {flags.series_folder}" + (f": {refused[0][1]}" if refused else ""))
        raise typer.Exit(ExitCode.NOT_FOUND)
    complain(f"{len(chosen)} series: choose with --series {' or '.join(item.series_instance_uid for item in chosen)}")
    raise typer.Exit(ExitCode.USAGE)


def _write(out: Path, outline: "Outline", sources: "list[Source]") -> list[str]:
    from coread.app.lesions import encoded

    out.mkdir(parents=True, exist_ok=True)
    written = []
    for item in encoded(outline, sources):
        path = out / f"{outline.reading.provenance.reader_id}_{item.kind.value}_{item.sop_instance_uid[-12:]}.dcm"
        path.write_bytes(item.data)
        written.append(str(path))
    return written


def _tell(document: dict[str, Any]) -> None:
    rows = [
        ("volume", f"{document['volume_ml']:.3g} ± {document['volume_ml_half_width']:.2g} ml (voxel grid alone)"),
        ("longest diameter", f"{document['long_axis_mm']:.1f} mm"),
        ("short axis", f"{document['short_axis_mm']:.1f} mm"),
    ]
    rows += [(f"HU {name.replace('_', ' ')}", f"{value:g}") for name, value in (document["hounsfield"] or {}).items()]
    rows += [("outlined by", document["made_by"] or "calculation")]
    rows += [("written", path) for path in document["objects"]]
    show_table(("what", "value"), rows, "Lesion")
    for note in document["notes"]:
        say(note)
    say(RESEARCH_USE)
