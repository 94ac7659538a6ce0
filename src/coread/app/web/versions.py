"""Versions of a result as the case page shows them: current numbers and what they were, regions, who did what."""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from threading import Lock

from coread.app.corrections import current_result
from coread.app.deriving import DERIVED
from coread.domain.cards import ReaderCard, ReaderKind
from coread.domain.corrections import Correction
from coread.domain.findings import Measurement
from coread.domain.results import ReadResult
from coread.imaging.outlines import drawable_outlines
from coread.store import Store

_KEPT = 3
_TOLERANCE = 0.8
"""Pixels by which a shown outline may leave the edges of its mask: fewer points can be dragged."""


@dataclass(frozen=True, slots=True)
class NumberRow:
    """One measurement of the current version; ``own`` is the reader's value where a person has corrected it."""

    index: int
    measurement: Measurement
    own: str
    derived: bool = False
    """Counted again from corrected values, not corrected itself."""


@dataclass(frozen=True, slots=True)
class VersionView:
    """The current version of one reading."""

    work_id: int
    version: int
    result: ReadResult
    corrections: tuple[Correction, ...]
    """Oldest first; the reader's own version is before them."""
    editable: bool
    marks: bool
    """Whether outlines may be drawn: not those of a triage reader (21 CFR 892.2080)."""
    superseded: tuple[Correction, ...] = ()
    """Corrections of the same reader's readings before late images came."""

    def notes(self) -> tuple[str, ...]:
        """Return the notes of the result but for those that tell of corrections, which are listed for themselves."""
        told = tuple(f"Version {item.version}, corrected by " for item in self.corrections)
        notes = tuple(note for note in self.result.notes if not told or not note.startswith(told))
        return notes + tuple(
            f"Before late images came, {item.user} corrected: {item.what} ({item.reason}). "
            "The study was read again since; this result does not hold that correction"
            for item in self.superseded
        )

    def numbers(self, own: ReadResult) -> tuple[NumberRow, ...]:
        """Return the measurements with what the reader itself said."""
        before = dict(zip(_keys(own.measurements), own.measurements, strict=True))
        rows = []
        for index, (key, item) in enumerate(
            zip(_keys(self.result.measurements), self.result.measurements, strict=True)
        ):
            first = before.get(key, item)
            changed = (first.value, first.uncertainty) != (item.value, item.uncertainty)
            own_value = f"{first.value:.4g}{first.spread()}" if changed else ""
            rows.append(NumberRow(index, item, own_value, item.method == DERIVED))
        return tuple(rows)


class ResultShelf:
    """Keeps the last few results in memory: their masks are asked for slice by slice."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: OrderedDict[tuple[int, int], ReadResult] = OrderedDict()
        self._lock = Lock()

    def result(self, work_id: int, version: int) -> ReadResult:
        """Return the result of a version; raises CannotCorrect, NoSuchRecord."""
        key = (work_id, version)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = current_result(self._store, work_id, version)
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return self._kept[key]


def version_of(
    store: Store,
    work_id: int,
    own: ReadResult,
    corrections: Iterable[Correction],
    *,
    card: ReaderCard | None,
    same_version: bool,
) -> VersionView:
    """Return the current version of a reading whose own result is ``own``.

    ``card`` is that of its reader in any version: what a triage reader marked is not drawn after an update either.
    """
    mine = tuple(item for item in corrections if item.work_id == work_id)
    version = mine[-1].version if mine else 1
    result = store.corrections.result(work_id, version) if mine else own
    marks = may_mark(card)
    return VersionView(work_id, version, result, mine, marks and card is not None and same_version, marks)


def may_mark(card: ReaderCard | None) -> bool:
    """Say whether outlines of this reader may be drawn; outlines that a person asked for have no installed card."""
    return card is None or card.kind is not ReaderKind.TRIAGE


def region_places(versions: Sequence[VersionView]) -> dict[str, object]:
    """Return the regions of a study and the frames they lie on, for the script that draws and corrects them.

    ``places`` lists frames once; a region names those that it may lie on (``at``) and does lie on (``on``).
    """
    from coread.evidence.page import OUTLINES

    numbers: dict[tuple[str, int], int] = {}
    regions: list[dict[str, object]] = []
    for view in versions:
        for colour, region in enumerate(view.result.regions):
            at = [numbers.setdefault((image.sop_instance_uid, image.frame), len(numbers)) for image in region.images]
            planes = [bool(plane.any()) for plane in region.mask.reshape(len(at), -1)]
            regions.append(
                {
                    "work": view.work_id,
                    "version": view.version,
                    "uid": region.tracking.uid,
                    "label": region.label,
                    "colour": "#{:02x}{:02x}{:02x}".format(*OUTLINES[colour % len(OUTLINES)]),
                    "at": at,
                    "on": [number for number, there in zip(at, planes, strict=True) if there],
                    "editable": view.editable,
                }
            )
    return {"places": [list(place) for place in numbers], "regions": regions}


def outlines_on(result: ReadResult, sop_instance_uid: str, frame: int) -> list[dict[str, object]]:
    """Return label and polygons (column, row; SCOORD corners) of every region on one frame."""
    found: list[dict[str, object]] = []
    for region in result.regions:
        planes = region.mask.reshape(len(region.images), *region.mask.shape[-2:])
        for image, plane in zip(region.images, planes, strict=True):
            if (image.sop_instance_uid, image.frame) == (sop_instance_uid, frame) and plane.any():
                polygons = [polygon.tolist() for polygon in drawable_outlines(plane, _TOLERANCE)]
                found.append({"region": region.tracking.uid, "label": region.label, "polygons": polygons})
    return found


def _keys(measurements: Sequence[Measurement]) -> list[tuple[str, str, int]]:
    """Return what finds each measurement again in another version: its name, its lesion, and which of several."""
    seen: Counter[tuple[str, str]] = Counter()
    keys = []
    for item in measurements:
        key = (item.name(), item.tracking.uid if item.tracking is not None else "")
        keys.append((*key, seen[key]))
        seen[key] += 1
    return keys
