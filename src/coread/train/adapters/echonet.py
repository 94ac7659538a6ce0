"""EchoNet-Dynamic: apical four-chamber films with ejection fraction, and traced left ventricles."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from coread.train.adapters.contract import Adapter, Draft, ReadOptions
from coread.train.adapters.files import SourceTree, first_file, optional_file
from coread.train.adapters.masks import Mask, from_polygons
from coread.train.adapters.tables import TableRow, read_table
from coread.train.datasets import ImageRow
from coread.train.errors import BadTable

_LINE = ("X1", "Y1", "X2", "Y2")
_NEEDED = ("FileName", "EF", "ESV", "EDV", "FrameHeight", "FrameWidth", "FPS", "NumberOfFrames", "Split")

Lines = tuple[tuple[float, ...], ...]
"""Segments (x1, y1, x2, y2): the long axis, then chords across it from apex to base."""


def read_echonet(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read FileList.csv (a row per film) and VolumeTracings.csv (a row with a mask per traced frame)."""
    tree = SourceTree(source, (".avi",))
    tracings = _tracings(source)
    for row in read_table(first_file(source, "FileList.csv"), _NEEDED):
        name = row.needed("FileName").removesuffix(".avi")
        path = tree.named(f"{name}.avi")
        yield Draft(_row(row, name, path))
        shape = (row.whole("FrameHeight"), row.whole("FrameWidth"))
        for frame, lines in tracings.get(name, {}).items():
            traced = _row(row, f"{name}#{frame}", f"{path}#{frame}", frame=frame)
            yield Draft(traced, partial(ventricle_mask, lines, shape))


def _row(row: TableRow, image: str, path: str, *, frame: int | None = None) -> ImageRow:
    split = row.choice("Split", ("TRAIN", "VAL", "TEST"))
    facts = {"official_split": split, "fps": row.number("FPS"), "frames": row.number("NumberOfFrames")}
    return ImageRow(
        image_id=image,
        path=path,
        group_id=row.needed("FileName").removesuffix(".avi"),
        study_id=row.needed("FileName").removesuffix(".avi"),
        site="Stanford Hospital",
        view="A4C",
        source="echonet_dynamic",
        labels={"ef_percent": row.number("EF"), "esv_ml": row.number("ESV"), "edv_ml": row.number("EDV")},
        label_source="sonographer, confirmed by a cardiologist",
        covariates=facts if frame is None else {**facts, "frame": frame},
    )


def _tracings(source: Path) -> dict[str, dict[int, Lines]]:
    table = optional_file(source, "VolumeTracings.csv")
    lines: dict[str, dict[int, list[tuple[float, ...]]]] = defaultdict(lambda: defaultdict(list))
    for row in read_table(table, ("FileName", *_LINE, "Frame")) if table is not None else ():
        segment = row.numbers(_LINE)
        if segment is None:
            raise BadTable(f"{row.where}: a coordinate is missing")
        lines[row.needed("FileName").removesuffix(".avi")][row.whole("Frame")].append(segment)
    return {name: {frame: tuple(found) for frame, found in frames.items()} for name, frames in lines.items()}


def ventricle_mask(lines: Sequence[Sequence[float]], shape: tuple[int, int]) -> Mask:
    """Fill the outline that the ends of the chords describe; the first line is the long axis and is left out."""
    chords = lines[1:]
    outline = [(line[0], line[1]) for line in chords] + [(line[2], line[3]) for line in reversed(chords)]
    return from_polygons([outline], *shape)


ECHONET = Adapter(
    title="EchoNet-Dynamic: 10,030 echocardiography films with ejection fraction and traced ventricles",
    licence="Stanford University Dataset Research Use Agreement; no redistribution",
    citation="Ouyang D et al. Video-based AI for beat-to-beat assessment of cardiac function. Nature 2020;580:252-256.",
    read=read_echonet,
    layout="FileList.csv, VolumeTracings.csv, Videos/*.avi",
)
