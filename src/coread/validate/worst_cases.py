"""Pictures of the cases that the reader got most wrong: with the reader's marks and those of the truth."""

import io
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from coread.domain.errors import Refused
from coread.domain.findings import Region
from coread.domain.results import ReadResult
from coread.engine.run import run_reader
from coread.engine.samples import study_of
from coread.engine.sessions import OpenReader, open_reader
from coread.imaging.planar import load_planar
from coread.validate.blocks import Picture
from coread.validate.cohort import Case
from coread.validate.mask_measures import WHOLE, joined_regions, regions_named, truth_mask
from coread.validate.plain import Plain
from coread.validate.records import CaseRecord
from coread.validate.running import CohortRun, RunSettings
from coread.validate.sources import Sources
from coread.validate.wrapping import WrappedCase, wrap_case

SIDE = 300
_READER, _TRUTH = (224, 153, 79), (93, 178, 208)
_LEGEND = " (orange: reader, blue: truth)"
Corners = tuple[float, float, float, float]


def pictures_of_worst(
    report: Plain, runs: Sequence[CohortRun], settings: RunSettings
) -> tuple[tuple[Plain, Picture], ...]:
    """Return one picture for each row of ``worst`` and ``worst_masks``; what cannot be drawn is left out.

    Masks are not kept in a run: the few cases whose masks are shown are read once more.
    """
    opened = open_reader(runs[0].reader, settings.session().open) if report["worst_masks"] else None
    found = []
    for run in runs:
        cases = {case.case_id: (case, record) for case, record in zip(run.cohort.cases, run.records, strict=True)}
        with Sources(run.cohort.root, run.frozen.files) as sources:
            for row in (*report["worst"], *report["worst_masks"]):
                if row["cohort"] != run.cohort.name:
                    continue
                with tempfile.TemporaryDirectory(prefix="coread-picture-") as folder:
                    case, record = cases[row["case_id"]]
                    wrapped = wrap_case(run.cohort, case, sources, Path(folder))
                    scene = _Scene(run, row, case, record, wrapped, sources)
                    picture = scene.outlined(opened) if opened is not None and "mask" in row else scene.boxed()
                if picture is not None:
                    found.append((row, picture))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Scene:
    """One case that is to be drawn."""

    run: CohortRun
    row: Plain
    case: Case
    record: CaseRecord
    wrapped: WrappedCase
    sources: Sources

    def boxed(self) -> Picture | None:
        """Draw the boxes of the reader and of the truth."""
        if not self.wrapped.sources:
            return None
        key, number = self.row["output"], self._place()
        image = self._image(number)
        if image is None:
            return None
        scale = _scale(image)
        shown = _shrunk(image, scale)
        truth = [(b.x0, b.y0, b.x1, b.y1) for b in self.case.boxes or () if b.label == key and b.image == number]
        marks = [(b.x0, b.y0, b.x1, b.y1) for b in self.record.boxes if b.key == key and b.image == number]
        _draw(shown, truth, scale, _TRUTH)
        _draw(shown, marks, scale, _READER)
        words = f"{self.row['kind']}, {self.row['probability']:.3f}: {self.case.case_id}"
        words += _LEGEND if truth or marks else ""
        return _picture(shown, words, f"{self.row['kind']} of {key} in case {self.case.case_id}")

    def outlined(self, opened: OpenReader) -> Picture | None:
        """Draw the outlines of the reader's mask and of the truth, on the slice where the truth is largest."""
        name = "" if self.row["mask"] == WHOLE else self.row["mask"]
        spec = self.run.cohort.masks.get(name)
        truth = truth_mask(self.case.masks[name], self.sources, spec.value if spec is not None else None)
        answer = joined_regions(regions_named(self._regions(opened), name, spec), truth, self.case)
        number = 0
        if truth.ndim == 3:
            number = int((truth.sum(axis=(1, 2)) + answer.sum(axis=(1, 2)) / truth.size).argmax())
            truth, answer = truth[number], answer[number]
        image = self._image(min(number, len(self.wrapped.sources) - 1))
        if image is None or (image.height, image.width) != truth.shape:
            return None
        shown = _shrunk(image, _scale(image))
        for mask, colour in ((truth, _TRUTH), (answer, _READER)):
            _outline(shown, mask, colour)
        words = f"Dice {self.row['dice']:.3f}: {self.case.case_id}{_LEGEND}"
        return _picture(shown, words, f"mask of case {self.case.case_id}")

    def _regions(self, opened: OpenReader) -> tuple[Region, ...]:
        study = study_of([header for _, header in self.wrapped.sources])
        now = datetime.now(UTC)
        reading = run_reader(opened.installed, opened.session, opened.reader, study, self.wrapped.sources, now)
        return reading.ending.regions if isinstance(reading.ending, ReadResult) else ()

    def _image(self, number: int) -> Image.Image | None:
        path, header = self.wrapped.sources[number]
        try:
            found = load_planar(path, header)
        except Refused:
            return None  # it was read together with others that can be shown; this one cannot
        levels = found.pixels[..., None].repeat(3, axis=2) if found.colour is None else found.colour
        return Image.fromarray(np.rint(np.clip(levels, 0, 1) * 255).astype(np.uint8))

    def _place(self) -> int:
        """Return which of several pictures to show: one with a mark of reader or truth, else the middle one."""
        count = len(self.wrapped.sources)
        marked = [box.image for box in self.record.boxes if box.key == self.row["output"]]
        marked += [box.image for box in self.case.boxes or () if box.label == self.row["output"]]
        return min(marked[0], count - 1) if marked else count // 2


def _scale(image: Image.Image) -> float:
    return SIDE / max(image.size)


def _shrunk(image: Image.Image, scale: float) -> Image.Image:
    return image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))


def _draw(image: Image.Image, boxes: Iterable[Corners], scale: float, colour: tuple[int, int, int]) -> None:
    pen = ImageDraw.Draw(image)
    for box in boxes:
        x0, y0, x1, y1 = (value * scale for value in box)
        pen.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colour, width=2)


def _outline(image: Image.Image, mask: NDArray[np.bool_], colour: tuple[int, int, int]) -> None:
    """Colour the pixels just inside the border of a mask, brought to the size of the picture."""
    sized = np.asarray(Image.fromarray(mask).resize(image.size, Image.Resampling.NEAREST), dtype=np.bool_)
    padded = np.pad(sized, 2)
    inside = sized.copy()
    for down, right in ((-2, 0), (2, 0), (0, -2), (0, 2)):
        inside &= padded[2 + down : 2 + down + sized.shape[0], 2 + right : 2 + right + sized.shape[1]]
    edge = Image.fromarray(np.asarray(sized & ~inside, dtype=np.uint8) * 255)
    image.paste(colour, (0, 0, image.width, image.height), edge)


def _picture(image: Image.Image, words: str, alternative: str) -> Picture:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85)
    return Picture(stream.getvalue(), words, alternative)
