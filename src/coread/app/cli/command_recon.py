"""``coread recon``: images from raw MR data, what a raw file holds, and what an examination would save."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.flags import command_with
from coread.app.cli.front import Front
from coread.app.cli.output import RESEARCH_USE, answer_json, complain, say, show_table
from coread.app.cli.shown_progress import shown_progress

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


@dataclass(frozen=True, slots=True)
class RunFlags:
    """Which raw data, by which method, where the images go."""

    file: Annotated[
        Path, typer.Argument(help="ISMRMRD or fastMRI HDF5, BART .cfl, NumPy .npy, or a DICOM Raw Data object")
    ]
    out: Annotated[Path, typer.Option(help="folder for the images")] = Path("coread-recon")
    method: Annotated[
        str,
        typer.Option(help="reader (DICOM series, as the server makes it), or zero-filled, sense, l1-wavelet, "
        "total-variation, grappa (NIfTI and a picture)"),
    ] = "reader"  # fmt: skip
    reader: Annotated[str, typer.Option(help="id of the reader")] = READER
    workers: Annotated[int, typer.Option(min=1, help="threads of the classical methods")] = 1
    json: AsJson = False


def register(app: typer.Typer) -> None:
    """Add the commands."""
    recon = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Images from raw MR data.")
    recon.command("info")(info)
    recon.command("run")(command_with(RunFlags, run))
    recon.command("wrap")(wrap)
    recon.command("plan")(command_with(PlanFlags, plan))
    app.add_typer(recon, name="recon")


def info(
    file: Annotated[Path, typer.Argument(help="file of raw MR data")],
    json: AsJson = False,
) -> None:
    """Say what a raw file holds, and whether it can be reconstructed or why not."""
    from coread.app.recon import raw_document

    _need(file)
    document = {"notice": RESEARCH_USE, **raw_document(file)}
    if json:
        answer_json(document)
    else:
        rows = [(name.replace("_", " "), _text(value)) for name, value in document.items() if name != "notice"]
        show_table(("what", "value"), rows, "Raw MR data")
        say(RESEARCH_USE)
    raise typer.Exit(ExitCode.OK if document["usable"] else ExitCode.NOT_ANALYSED)


def run(context: typer.Context, flags: RunFlags) -> None:
    """Reconstruct images from raw data: by the reader into DICOM, or by a classical method into NIfTI and a picture."""
    from coread.imaging.mr.methods import Method

    _need(flags.file)
    if flags.method == "reader":
        _run_reader(context, flags)
    elif flags.method in list(Method):
        _run_classically(flags)
    else:
        complain(f"--method must be reader or one of {', '.join(Method)}")
        raise typer.Exit(ExitCode.USAGE)


def wrap(
    file: Annotated[Path, typer.Argument(help="file of raw MR data")],
    out: Annotated[Path, typer.Argument(help="DICOM file to write")],
) -> None:
    """Wrap raw data as a DICOM Raw Data object, to be sent to a Coread server like any image."""
    from coread.imaging.mr.files.raw_object import write_wrapped

    _need(file)
    _need_folder(out)
    if out.exists() and out.samefile(file):
        complain(f"{out} is the raw file itself; name another file. Nothing was written.")
        raise typer.Exit(ExitCode.USAGE)
    say(f"{out}: {write_wrapped(file, out)}")


def _need(file: Path) -> None:
    """Leave with a clear line where there is no such file; BART files may be named without an ending."""
    if not file.exists() and not file.with_name(f"{file.name}.hdr").exists():
        complain(f"no such file: {file}. Nothing was read.")
        raise typer.Exit(ExitCode.NOT_FOUND)


def _need_folder(file: Path) -> None:
    """Leave with a clear line where the folder of a file to be written is not there."""
    if not file.absolute().parent.is_dir() or file.is_dir():
        complain(f"cannot write {file}: name a file in a folder that exists. Nothing was written.")
        raise typer.Exit(ExitCode.NOT_FOUND)


def _run_reader(context: typer.Context, flags: RunFlags) -> None:
    from coread.app.cli.command_read import exit_code
    from coread.app.recon import read_raw

    front: Front = context.obj
    with shown_progress("reconstructing", quiet=flags.json) as progress:
        summary = read_raw(
            front.settings(), flags.file, flags.out, flags.reader, lambda done, total, _what: progress(done, total)
        )
    if flags.json:
        answer_json(summary.document())
    else:
        rows = [(row.reader_id, row.outcome.replace("_", " "), row.text) for row in summary.rows]
        show_table(("reader", "outcome", "findings"), rows)
        for path, reason in summary.refused:
            complain(f"{path.name}: {reason}")
        say(f"{summary.objects} objects in {flags.out}")
        say(RESEARCH_USE)
    raise typer.Exit(exit_code(summary))


def _run_classically(flags: RunFlags) -> None:
    from coread.app.recon import reconstruct_classically, write_images
    from coread.imaging.mr.methods import Method

    with shown_progress("reconstructing", quiet=flags.json) as progress:
        made = reconstruct_classically(flags.file, Method(flags.method), workers=flags.workers, progress=progress)
    written = write_images(made, flags.out, f"{flags.file.stem}-{flags.method}")
    if flags.json:
        answer_json({
            "notice": RESEARCH_USE, "method": flags.method, "images": list(made.images.shape), "files": written,
            "notes": list(made.notes), "seconds": round(made.seconds, 2),
        })  # fmt: skip
        return
    frames, slices, rows, columns = made.images.shape
    say(f"{frames} x {slices} images of {rows} x {columns} by {flags.method} in {made.seconds:.1f} s")
    for line in (*made.notes, *written, RESEARCH_USE):
        say(line)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(one) for one in value) or "-"
    return "-" if value is None or value == "" else str(value)


def plan(_: typer.Context, flags: PlanFlags) -> None:
    """Say how many minutes an examination would save, the quality to expect, and which lines to measure."""
    from coread.app.recon_plan import plan as planned
    from coread.app.recon_plan import read_protocol, sequence_named, write_mask
    from coread.app.recon_quality import expected_quality
    from coread.validate.reader_choice import chosen_reader

    mask = _mask(flags)
    if flags.to is not None:
        _need_folder(flags.to)
    protocol = read_protocol(flags.protocol)
    made = planned(protocol, mask, flags.seed)
    document: dict[str, Any] = {"notice": RESEARCH_USE, **made.document()}
    document["expected_quality"] = expected_quality(chosen_reader(flags.reader), mask).document()
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
    _tell_quality(document["expected_quality"])
    if "mask_file" in document:
        written = document["mask_file"]
        say(f"{written['lines']} lines of {written['sequence']} are in {written['file']}")
    say(RESEARCH_USE)


def _tell_quality(expected: dict[str, Any]) -> None:
    if not expected["measured"]:
        say(f"Expected quality: not measured ({expected['reason']}).")
        return
    rows = [
        (row["source"], f"{row['slices']} / {row['patients']}", _figure(row["psnr_db"], 1), _figure(row["ssim"], 3))
        for row in expected["sources"]
    ]
    title = f"Expected quality: {expected['mask']}, measured at {expected['measured_acceleration']:g} times fewer lines"
    show_table(("source", "slices / patients", "PSNR, dB", "SSIM"), rows, title)
    say(f"Acquisitions: {expected['acquisitions']}. In brackets: 95 % interval over patients. {expected['command']}")


def _figure(given: dict[str, float], digits: int) -> str:
    interval = f" ({given['low']:.{digits}f} to {given['high']:.{digits}f})" if "low" in given else ""
    return f"{given['mean']:.{digits}f}{interval}"


def _minutes(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
