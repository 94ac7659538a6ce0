"""LIDC-IDRI: CT series with the outlines of up to four radiologists in XML; one row per slice."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from coread.train.adapters.contract import Adapter, Draft, ReadOptions
from coread.train.adapters.dicom_table import dicom_files, row_of_header
from coread.train.adapters.masks import INSIDE, Mask, box_of, from_polygons
from coread.train.datasets import Box, ImageRow
from coread.train.errors import BadTable, DataMissing

LABEL = "nodule"
_MESSAGE = "LidcReadMessage"
_SIDE = 512


@dataclass(frozen=True, slots=True)
class Outline:
    """What one radiologist drew around one nodule of 3 mm or more on one slice, in pixels (column, row)."""

    session: int
    nodule: str
    malignancy: float | None
    inside: bool
    """False where the outline cuts a hole."""
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """All outlines of one XML file by SOP Instance UID, and how many radiologists read the series."""

    series_instance_uid: str
    sessions: int
    outlines: dict[str, tuple[Outline, ...]]


def read_lidc(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read every XML reading below the folder and every CT slice of the series that they name."""
    readings: dict[str, Reading] = {}
    for file in sorted(source.rglob("*.xml")):
        reading = read_xml(file)
        if reading is not None:
            readings[reading.series_instance_uid] = reading
    if not readings:
        raise DataMissing(f"{source} holds no XML file with a {_MESSAGE}")
    seen: set[str] = set()
    for path, header in dicom_files(source):
        found = readings.get(header.series_instance_uid)
        if found is not None:
            seen.add(header.sop_instance_uid)
            outlines = found.outlines.get(header.sop_instance_uid, ())
            shape = (header.rows or _SIDE, header.columns or _SIDE)
            yield _draft(row_of_header(path, header), outlines, found.sessions, shape)
    for reading in readings.values():
        for uid, outlines in reading.outlines.items():
            if uid not in seen:
                row = ImageRow(image_id=uid, path=f"{uid}.dcm", group_id=reading.series_instance_uid)
                yield _draft(row, outlines, reading.sessions, (_SIDE, _SIDE))


def _draft(row: ImageRow, outlines: Sequence[Outline], sessions: int, shape: tuple[int, int]) -> Draft:
    drawn = [outline for outline in outlines if outline.inside]
    raters = {outline.session for outline in drawn}
    malignancy = [outline.malignancy for outline in drawn if outline.malignancy is not None]
    share = len(raters) / max(sessions, 1)
    row = replace(
        row,
        group_id=row.patient_id or row.group_id,
        source="lidc_idri",
        labels={
            LABEL: float(bool(raters)),
            "malignancy": sum(malignancy) / len(malignancy) if malignancy else None,
        },
        label_source=f"{sessions} radiologists",
        label_uncertainty={LABEL: share} if 0 < share < 1 else {},
        boxes=tuple(Box(LABEL, *box_of(outline.points)) for outline in drawn),
        covariates={"raters": sessions, "outlines": [[outline.session, outline.nodule] for outline in drawn]},
    )
    return Draft(row, partial(majority_mask, tuple(outlines), sessions, shape) if drawn else None)


def majority_mask(outlines: Sequence[Outline], sessions: int, shape: tuple[int, int]) -> Mask:
    """Mark what at least half of the radiologists who read the series drew around."""
    votes = np.zeros(shape, dtype=np.int32)
    for session in {outline.session for outline in outlines}:
        own = np.zeros(shape, dtype=bool)
        for outline in sorted((o for o in outlines if o.session == session), key=lambda o: not o.inside):
            area = from_polygons([outline.points], *shape) > 0
            own = own | area if outline.inside else own & ~area
        votes += own
    return np.where(2 * votes >= sessions, INSIDE, 0).astype(np.uint8)


def read_xml(path: Path) -> Reading | None:
    """Read one XML file; None for files that are no CT reading (the set also has radiograph readings)."""
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as problem:
        raise BadTable(f"{path} is no XML: {problem}") from problem
    if _name(root) != _MESSAGE:
        return None
    series = root.findtext(".//{*}ResponseHeader/{*}SeriesInstanceUid", "").strip()
    if not series:
        raise BadTable(f"{path} names no SeriesInstanceUid")
    outlines: dict[str, list[Outline]] = defaultdict(list)
    sessions = root.findall("{*}readingSession")
    for number, session in enumerate(sessions):
        for nodule in session.findall("{*}unblindedReadNodule"):
            for uid, outline in _outlines(nodule, number, path):
                outlines[uid].append(outline)
    return Reading(series, len(sessions), {uid: tuple(found) for uid, found in outlines.items()})


def _outlines(nodule: ElementTree.Element, session: int, path: Path) -> Iterator[tuple[str, Outline]]:
    characteristics = nodule.find("{*}characteristics")
    if characteristics is None or len(characteristics) == 0:
        return  # a nodule below 3 mm: one point, no outline
    try:
        rating = characteristics.findtext("{*}malignancy", "")
        for roi in nodule.findall("{*}roi"):
            points = tuple(
                (float(edge.findtext("{*}xCoord", "")), float(edge.findtext("{*}yCoord", "")))
                for edge in roi.findall("{*}edgeMap")
            )
            inside = roi.findtext("{*}inclusion", "TRUE").strip().upper() == "TRUE"
            uid = roi.findtext("{*}imageSOP_UID", "").strip()
            name = nodule.findtext("{*}noduleID", "").strip()
            if points:
                yield uid, Outline(session, name, float(rating) if rating else None, inside, points)
    except ValueError as problem:
        raise BadTable(f"{path}: an outline holds something that is no number: {problem}") from problem


def _name(element: ElementTree.Element) -> str:
    return element.tag.rsplit("}", 1)[-1]


LIDC_IDRI = Adapter(
    title="LIDC-IDRI: 1,018 thoracic CT series read by four radiologists; outlines of nodules of 3 mm or more",
    licence="CC BY 3.0",
    citation="Armato SG et al. The Lung Image Database Consortium (LIDC) and Image Database Resource Initiative "
    "(IDRI). Med Phys 2011;38(2):915-931.",
    read=read_lidc,
    layout="LIDC-IDRI/LIDC-IDRI-0001/*/*/*.dcm and the XML readings (in the folders, or LIDC-XML-only)",
)
