"""Reading live: a drawn film, a reader of what is red in it, and the page that shows it on this machine only."""

import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from coread.app.errors import MissingExtra, VideoRefused
from coread.app.video.drawing import drawn
from coread.app.video.frames import VideoSource
from coread.app.video.reading import FrameReader, planar_image
from coread.app.video.station import Station, measured
from coread.app.web.video_pages import COOKIE, create_video_app
from coread.domain.cards import Estimate, ReaderCard
from coread.domain.findings import Box, Finding, Presence, Region, TrackingId
from coread.domain.reading import Arrays, ModelSession, Prepared, ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.phantoms.colon import ColonRecipe, colon_film
from coread.readers.colon_polyp.words import card_of
from coread.readers.planar import reference_to
from tests.web.browser import TestClient

cv2 = pytest.importorskip("cv2")
CARD = card_of(
    threshold=0.3, sensitivity=Estimate(0.9, 0.8, 1.0, 20), measured_on="drawn frames", validation="drawn frames"
)
POLYP = CARD.outputs[0]


@dataclass(frozen=True, slots=True)
class RedFinder:
    """A reader that marks the reddest tenth of a frame; dark frames it refuses."""

    card: ReaderCard = CARD

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        image = inputs.images[0]
        if image.colour is None or image.pixels.max() < 0.1:
            return Refusal(Reason(ReasonCode.LOW_QUALITY, "too dark"))
        return Prepared({"image": image.colour}, image)

    def infer(self, _session: ModelSession, prepared: Prepared) -> Arrays:
        colour = prepared.arrays["image"]
        return {"red": colour[..., 0] / (colour.sum(axis=2) + 0.2)}

    def interpret(self, _session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        mask = outputs["red"] >= np.quantile(outputs["red"], 0.9)
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        reference = reference_to(prepared.context)
        box = Box(reference, float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
        finding = Finding(
            POLYP.key, POLYP.concept, Presence.PRESENT, 0.9, 0.3, "marking", locations=(box,), images=(reference,)
        )
        tracking = TrackingId("red", "2.25.1")
        return ReadResult(
            (finding,), regions=(Region("Red", POLYP.concept, POLYP.concept, mask, (reference,), tracking),)
        )


def frame_reader(card: ReaderCard = CARD) -> FrameReader:
    opened: Any = SimpleNamespace(installed=SimpleNamespace(card=card), reader=RedFinder(card), session=None)
    return FrameReader(opened)


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "colon.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 50.0, (192, 160))
    for frame in colon_film(8, ColonRecipe(rows=160, columns=192)):
        writer.write(cv2.cvtColor(frame.pixels, cv2.COLOR_RGB2BGR))
    writer.release()
    return path


def test_every_frame_of_a_film_is_read_once_and_marked(film: Path) -> None:
    with VideoSource(str(film)) as source:
        paces = list(measured(source, frame_reader(), 100))
    assert [pace.frames for pace in paces] == list(range(1, 9))
    assert paces[-1].marked == 8
    assert paces[-1].refused == 0
    assert paces[-1].frames_per_second > 0


def test_the_marks_are_where_the_reader_put_them_and_the_banner_is_below_the_picture(film: Path) -> None:
    with VideoSource(str(film)) as source:
        frame = next(source.all_frames())
    answer = frame_reader().read(frame.pixels)
    picture = drawn(frame.pixels, answer, frames_per_second=20.0)
    assert picture.shape[0] > frame.pixels.shape[0]
    x0, y0 = (round(share * side) for share, side in zip(answer.marks[0].box[:2], (192, 160), strict=True))
    assert np.abs(picture[y0, x0].astype(int) - (255, 214, 10)).sum() < 60
    assert picture[frame.pixels.shape[0] :].std() > 10, "the bar has words"
    assert "Polyp" in answer.marks[0].words


def test_a_large_frame_is_read_smaller_and_marked_at_the_same_place() -> None:
    small = next(iter(colon_film(1, ColonRecipe(rows=320, columns=320)))).pixels
    large = np.repeat(np.repeat(small, 4, axis=0), 4, axis=1)
    one, other = (frame_reader().read(pixels) for pixels in (small, large))
    assert np.allclose(one.marks[0].box, other.marks[0].box, atol=0.03)


def test_a_frame_that_is_refused_says_why() -> None:
    answer = frame_reader().read(np.zeros((64, 64, 3), dtype=np.uint8))
    assert "too dark" in answer.refused
    assert not answer.marks


def test_a_frame_is_what_its_dicom_object_would_be() -> None:
    image = planar_image(np.full((4, 6, 3), 255, dtype=np.uint8))
    assert image.colour is not None
    assert float(image.colour.max()) == 1.0
    assert float(image.pixels.max()) == pytest.approx(1.0)
    assert (image.header.modality, image.header.rows, image.header.columns) == ("ES", 4, 6)


@pytest.mark.parametrize("name", ["nowhere.avi", "41"])
def test_what_is_no_video_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(VideoRefused):
        VideoSource(name)
    (tmp_path / "text.avi").write_text("no film")
    with pytest.raises(VideoRefused, match="cannot be opened"):
        VideoSource(str(tmp_path / "text.avi"))


def test_a_reader_of_other_pictures_is_refused() -> None:
    from dataclasses import replace

    with pytest.raises(VideoRefused, match="no video"):
        frame_reader(replace(CARD, input=replace(CARD.input, modalities=("MR",))))


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, film: Path) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(MissingExtra, match=r"coread\[video\]"):
        VideoSource(str(film))


@pytest.fixture
def station(film: Path) -> Iterator[Station]:
    with VideoSource(str(film)) as source:
        running = Station(source, frame_reader())
        running.start()
        yield running
        running.stop()


def test_a_film_goes_on_from_its_beginning_and_pictures_are_new_ones(station: Station) -> None:
    seen: list[int] = []
    number = -1
    until = time.monotonic() + 20
    while number < 12 and time.monotonic() < until:
        found = station.picture_after(number)
        assert found is not None
        number, data = found
        assert data.startswith(b"\xff\xd8")
        seen.append(number)
    assert seen == sorted(set(seen))
    assert station.pace().frames >= len(seen)


def test_the_page_opens_with_its_token_only(station: Station) -> None:
    client = TestClient(create_video_app(station, "secret"), follow_redirects=False)
    for path in ("/", "/pace", "/stream", "/?token=guess"):
        assert client.get(path).status_code == 401
    opened = client.get("/?token=secret")
    assert opened.status_code == 303
    assert "httponly" in opened.headers["set-cookie"].lower()
    client.cookies.set(COOKIE, "secret")
    page = client.get("/")
    assert "Research use only" in page.text
    assert CARD.name in page.text
    assert client.get("/pace").json()["running"] is True
    assert client.get("/pace", headers={"authorization": "Bearer secret"}).status_code == 200


def test_the_stream_is_pictures_one_after_the_other_until_it_is_stopped(station: Station) -> None:
    client = TestClient(create_video_app(station, "secret"), cookies={COOKIE: "secret"})
    threading.Timer(1.0, station.stop).start()
    answer = client.get("/stream")
    assert answer.headers["content-type"].startswith("multipart/x-mixed-replace")
    assert answer.content.count(b"Content-Type: image/jpeg") >= 2


def test_a_reader_that_breaks_ends_the_station_with_its_reason(film: Path) -> None:
    broken = frame_reader()
    broken.read = lambda _: 1 / 0  # type: ignore[method-assign, assignment, return-value]
    with VideoSource(str(film)) as source:
        running = Station(source, broken)
        running.start()
        assert running.picture_after(-1) is None
        running.stop()
    assert "ZeroDivisionError" in running.problem
