"""``coread send``: a C-STORE client for files and folders."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.front import Front
from coread.app.cli.output import answer_json, complain, say

if TYPE_CHECKING:
    from coread.deliver.outcome import SendResult
    from coread.deliver.peer import Peer


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def send(
        context: typer.Context,
        paths: Annotated[list[Path], typer.Argument(help="DICOM files, files of raw MR data (HDF5), or folders")],
        to: Annotated[str, typer.Option(help="host:port of the receiver; default: the server of these settings")] = "",
        called: Annotated[str, typer.Option(help="called AE title; default: that of these settings")] = "",
        calling: Annotated[str, typer.Option(help="our AE title")] = "COREAD-SEND",
        associations: Annotated[int, typer.Option(min=1, max=32, help="associations side by side")] = 1,
        timeout: Annotated[float, typer.Option(help="seconds to wait for each answer")] = 30.0,
        json: Annotated[bool, typer.Option("--json", help="answer as one JSON document")] = False,
    ) -> None:
        """Send DICOM files or folders to a receiver, as they are stored; raw MR data as DICOM Raw Data objects."""
        from coread.app.paths import files_below
        from coread.deliver.peer import Peer

        front: Front = context.obj
        settings = front.settings()
        own = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.dicom_host, settings.dicom_host)
        host, _, port = (to or f"{own}:{settings.dicom_port}").rpartition(":")
        if not host or not port.isdigit():
            raise typer.BadParameter(f"{to!r} is not host:port", param_hint="--to")
        files = files_below(paths)
        if not files:
            complain("there are no files at: " + ", ".join(str(path) for path in paths))
            raise typer.Exit(ExitCode.NOT_FOUND)
        peer = Peer(host, int(port), called or settings.ae_title, calling, timeout)
        with _wrapped(files) as objects:
            results = _send_with_progress(peer, objects, associations, quiet=json)
        _answer(results, json=json)
        if len(objects) < len(files):
            raise typer.Exit(ExitCode.INCOMPLETE)


@contextmanager
def _wrapped(files: Sequence[Path]) -> Iterator[list[Path]]:
    """Give the files to send: those of raw MR data as DICOM objects around them, which go when all is sent.

    HDF5 files that hold no raw data are left out, and it is said why.
    """
    from coread.imaging.errors import ImagingRefused
    from coread.imaging.mr.files.raw_object import is_raw_file, write_wrapped

    with tempfile.TemporaryDirectory(prefix="coread-send-") as folder:
        objects = []
        for number, path in enumerate(files):
            if not is_raw_file(path):
                objects.append(path)
                continue
            target = Path(folder) / f"{number:06d}-{path.stem}.dcm"
            try:
                write_wrapped(path, target)
            except ImagingRefused as refusal:
                complain(f"{path} is not sent: {refusal}")
                continue
            objects.append(target)
        yield objects


def _send_with_progress(
    peer: "Peer", files: Sequence[Path], associations: int, *, quiet: bool
) -> "tuple[SendResult, ...]":
    from rich.progress import Progress

    from coread.deliver.send import send_objects

    with Progress(disable=quiet, transient=True) as bar:
        task = bar.add_task(f"to {peer}", total=len(files))
        return send_objects(peer, files, associations=associations, progress=lambda _: bar.advance(task))


def _answer(results: "Sequence[SendResult]", *, json: bool) -> None:
    bad = [result for result in results if not result.stored]
    if json:
        rows = [{"path": str(r.path), "ok": r.stored, "status": r.status, "message": r.message} for r in results]
        answer_json({"sent": len(results) - len(bad), "failed": len(bad), "files": rows})
    else:
        say(f"{len(results) - len(bad)} of {len(results)} files were accepted")
        for result in bad[:20]:
            complain(f"{result.path}: {result.message}")
        if len(bad) > 20:
            complain(f"... and {len(bad) - 20} more (use --json for all)")
    if bad:
        raise typer.Exit(ExitCode.INCOMPLETE if len(bad) < len(results) else ExitCode.UNREACHABLE)
