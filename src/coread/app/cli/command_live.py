"""``coread live``: one reader over a video stream, its marks drawn over the picture in the browser of this machine."""

from typing import TYPE_CHECKING, Annotated

import typer

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.front import Front
from coread.app.cli.output import RESEARCH_USE, answer_json, complain, say

if TYPE_CHECKING:
    from coread.app.video.frames import VideoSource
    from coread.app.video.reading import FrameReader
    from coread.readers.registry import InstalledReader


def register(app: typer.Typer) -> None:
    """Add the command."""

    @app.command()
    def live(
        context: typer.Context,
        reader: Annotated[str, typer.Argument(help="id of a reader of endoscopic pictures, such as colon_polyp")],
        source: Annotated[str, typer.Option(help="a film, or the number of a capture device (0)")],
        port: Annotated[int, typer.Option(help="port of the page on this machine")] = 8045,
        measure: Annotated[int, typer.Option(help="read so many frames as fast as possible, show no page")] = 0,
        json: Annotated[bool, typer.Option("--json", help="with --measure: answer as one JSON document")] = False,
    ) -> None:
        """Read a film or a capture device live; the page shows picture, marks and frame rate. Research use only."""
        from coread.app.video.frames import VideoSource

        front: Front = context.obj
        installed = _installed(front, reader)
        opened = _opened(front, installed)
        with VideoSource(source) as video:
            if measure:
                _measure(video, opened, measure, as_json=json)
            else:
                _show(video, opened, port)


def _installed(front: Front, name: str) -> "InstalledReader":
    from coread.app.site_models import SiteReaders

    found = [item for item in SiteReaders(front.settings()).listing().readers if item.card.reader_id == name]
    if not found:
        complain(f"no such reader: {name} (see `coread readers`)")
        raise typer.Exit(ExitCode.NOT_FOUND)
    return found[0]


def _opened(front: Front, installed: "InstalledReader") -> "FrameReader":
    from coread.app.video.reading import FrameReader
    from coread.engine.sessions import SessionSettings, open_reader

    settings = front.settings()
    threads = SessionSettings(threads=settings.reader_threads, programs=settings.allowed_programs)
    return FrameReader(open_reader(installed, threads.open))


def _measure(video: "VideoSource", reader: "FrameReader", frames: int, *, as_json: bool) -> None:
    from rich.progress import Progress

    from coread.app.errors import VideoRefused
    from coread.app.video.station import measured

    pace = None
    with Progress(disable=as_json, transient=True) as bar:
        task = bar.add_task("reading frames", total=frames)
        for pace in measured(video, reader, frames):
            bar.update(task, completed=pace.frames)
    if pace is None:
        raise VideoRefused("the source gave no frame. Check the film or the device.")
    if as_json:
        answer_json({"notice": RESEARCH_USE, "reader": reader.card.reader_id} | pace.document())
        return
    say(f"{pace.frames} frames at {pace.frames_per_second:.1f} frames/s, {pace.reading_ms:.0f} ms a frame")
    say(f"{pace.marked} with a mark, {pace.refused} not read")
    say(RESEARCH_USE)


def _show(video: "VideoSource", reader: "FrameReader", port: int) -> None:
    from coread.app.video.serving import serve_station
    from coread.app.video.station import Station

    station = Station(video, reader)

    def tell(address: str) -> None:
        say(f"Live: {reader.card.name}")
        say(f"Open {address}")
        say(f"{RESEARCH_USE} Ctrl-C ends it.")

    serve_station(station, port, tell)
    if station.problem:
        complain(station.problem)
        raise typer.Exit(ExitCode.FAILED)
