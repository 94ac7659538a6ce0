"""``coread send``: a C-STORE client for files and folders."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.front import Front
from coread.app.cli.output import answer_json, complain, say

if TYPE_CHECKING:
    from coread.deliver.outcome import SendResult
    from coread.deliver.peer import Peer

_WRAPPED_BYTES = 1 << 30
"""Raw files that are wrapped at the same time, together; a larger one alone."""


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
        results = _send_with_progress(peer, files, associations, quiet=json)
        _answer(results, json=json)


def _send_with_progress(
    peer: "Peer", files: Sequence[Path], associations: int, *, quiet: bool
) -> "tuple[SendResult, ...]":
    from rich.progress import Progress

    from coread.deliver.send import send_objects
    from coread.imaging.mr.files.raw_object import is_raw_file

    raw = [path for path in files if is_raw_file(path)]
    plain = [path for path in files if path not in set(raw)]
    with Progress(disable=quiet, transient=True) as bar:
        task = bar.add_task(f"to {peer}", total=len(files))

        def sent(objects: Sequence[Path]) -> "tuple[SendResult, ...]":
            return send_objects(peer, objects, associations=associations, progress=lambda _: bar.advance(task))

        results = list(sent(plain)) if plain else []
        for batch in _batches(raw):
            results += _sent_wrapped(batch, sent)
    return tuple(results)


def _batches(files: Sequence[Path]) -> Iterator[list[Path]]:
    """Yield raw files that are wrapped at one time: each needs as much room again until it is sent."""
    batch: list[Path] = []
    size = 0
    for path in files:
        own = path.stat().st_size
        if batch and size + own > _WRAPPED_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(path)
        size += own
    if batch:
        yield batch


def _sent_wrapped(
    files: Sequence[Path], sent: "Callable[[Sequence[Path]], tuple[SendResult, ...]]"
) -> "list[SendResult]":
    """Send files of raw MR data as DICOM objects around them; HDF5 that holds no raw data is not sent, and why."""
    from coread.deliver.outcome import SendResult
    from coread.imaging.errors import ImagingRefused
    from coread.imaging.mr.files.raw_object import write_wrapped

    refused: list[SendResult] = []
    objects: dict[Path, Path] = {}
    with tempfile.TemporaryDirectory(prefix="coread-send-") as folder:
        for number, path in enumerate(files):
            target = Path(folder) / f"{number:06d}.dcm"
            try:
                write_wrapped(path, target)
                objects[target] = path
            except ImagingRefused as refusal:
                refused.append(SendResult(path, "", "", None, f"not sent: {refusal}", refusal))
        results = sent(list(objects)) if objects else ()
    return [*(replace(one, path=objects[one.path]) for one in results), *refused]


def _answer(results: "Sequence[SendResult]", *, json: bool) -> None:
    from coread.imaging.errors import ImagingRefused

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
        untried = all(isinstance(result.error, ImagingRefused) for result in bad)  # raw data that are none
        raise typer.Exit(ExitCode.INCOMPLETE if untried or len(bad) < len(results) else ExitCode.UNREACHABLE)
