"""Pictures of the cases that the reader got most wrong: with the reader's marks and those of the truth."""

import io
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from coread.domain.errors import Refused
from coread.imaging.planar import load_planar
from coread.validate.blocks import Picture
from coread.validate.cohort import Case
from coread.validate.plain import Plain
from coread.validate.records import CaseRecord
from coread.validate.running import CohortRun
from coread.validate.sources import Sources
from coread.validate.wrapping import wrap_case

SIDE = 300
_READER, _TRUTH = (224, 153, 79), (93, 178, 208)
Corners = tuple[float, float, float, float]


def pictures_of_worst(rows: Sequence[Plain], runs: Sequence[CohortRun]) -> tuple[tuple[Plain, Picture], ...]:
    """Return one picture for each row of the report's ``worst``; a case whose picture cannot be drawn is left out."""
    found = []
    for run in runs:
        cases = {case.case_id: (case, record) for case, record in zip(run.cohort.cases, run.records, strict=True)}
        with Sources(run.cohort.root, run.frozen.files) as sources:
            for row in rows:
                if row["cohort"] == run.cohort.name:
                    case, record = cases[row["case_id"]]
                    picture = _picture(run, row, case, record, sources)
                    if picture is not None:
                        found.append((row, picture))
    return tuple(found)


def _picture(run: CohortRun, row: Plain, case: Case, record: CaseRecord, sources: Sources) -> Picture | None:
    with tempfile.TemporaryDirectory(prefix="coread-picture-") as folder:
        wrapped = wrap_case(run.cohort, case, sources, Path(folder))
        if not wrapped.sources:
            return None
        number = _place_to_show(row, case, record, len(wrapped.sources))
        path, header = wrapped.sources[number]
        try:
            shown = load_planar(path, header)
        except Refused:
            return None  # it was read together with others that can be shown; this one cannot
    levels = shown.pixels[..., None].repeat(3, axis=2) if shown.colour is None else shown.colour
    image = Image.fromarray(np.rint(np.clip(levels, 0, 1) * 255).astype(np.uint8))
    scale = SIDE / max(image.size)
    image = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    truth = [(b.x0, b.y0, b.x1, b.y1) for b in case.boxes or () if b.label == row["output"] and b.image == number]
    marks = [(b.x0, b.y0, b.x1, b.y1) for b in record.boxes if b.key == row["output"] and b.image == number]
    _draw(image, truth, scale, _TRUTH)
    _draw(image, marks, scale, _READER)
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=85)
    words = f"{row['kind']}, {row['probability']:.3f}: {case.case_id}"
    words += " (orange: reader, blue: truth)" if truth or marks else ""
    return Picture(stream.getvalue(), words, f"{row['kind']} of {row['output']} in case {case.case_id}")


def _place_to_show(row: Plain, case: Case, record: CaseRecord, count: int) -> int:
    """Return which of several pictures to show: one with a mark of the reader or of the truth, else the middle one."""
    marked = [box.image for box in record.boxes if box.key == row["output"]]
    marked += [box.image for box in case.boxes or () if box.label == row["output"]]
    return min(marked[0], count - 1) if marked else count // 2


def _draw(image: Image.Image, boxes: Iterable[Corners], scale: float, colour: tuple[int, int, int]) -> None:
    pen = ImageDraw.Draw(image)
    for box in boxes:
        x0, y0, x1, y1 = (value * scale for value in box)
        pen.rectangle((x0, y0, max(x0, x1 - 1), max(y0, y1 - 1)), outline=colour, width=2)
