"""One series into groups that can each be a volume: by plane, kind and, where images share a position, by time.

Nothing is split that need not be: an attribute of time counts only where several images lie at one position, so a
stack whose every slice has a time of its own stays whole.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.imaging.errors import MixedGeometry
from coread.imaging.geometry import plane_axes
from coread.imaging.slices import Slice
from coread.imaging.stack import ORIENTATION_TOLERANCE, SAME_POSITION_MM
from coread.imaging.traits import ORDERED, TIMES, Value

SPACING_TOLERANCE_MM = 1e-4
_LATERAL_MM = 1.0
_LINE_MM = 0.1
"""Side by side: each stack within this of a line along the normal; a leaning stack is not."""
_HALF = 0.5
Key = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """Slices that belong together, and what distinguishes them from the other groups of their series."""

    slices: tuple[Slice, ...]
    key: Key = ()


def split_slices(slices: Sequence[Slice]) -> list[Group]:
    """Return the groups, the largest first, then by key; every slice is in exactly one of them."""
    groups = [Group(tuple(slices))]
    for name, label in _PLANES:
        groups = [part for group in groups for part in _by(group, name, label)]
    groups = [part for group in groups for part in _by_kind(group)]
    groups = [part for group in groups for part in _resolved(group)]
    groups = [part for group in groups for part in _side_by_side(group)]
    return sorted(groups, key=lambda group: (-len(group.slices), _order(group)))


def _order(group: Group) -> tuple[tuple[str, float, str], ...]:
    return tuple((name, _as_number(value), value) for name, value in group.key)


def _as_number(text: str) -> float:
    try:
        return float(text.split(" ", 1)[0])
    except ValueError:
        return 0.0


def _by(
    group: Group, name: str, label: Callable[[Sequence[Slice]], list[Hashable]]
) -> list[Group]:  # fmt: skip
    """Split by the labels that a function gives the slices; one label leaves the group as it is."""
    labels = label(group.slices)
    parts: dict[Hashable, list[Slice]] = defaultdict(list)
    for item, value in zip(group.slices, labels, strict=True):
        parts[value].append(item)
    if len(parts) == 1:
        return [group]
    return [Group(tuple(part), (*group.key, (name, _text(value)))) for value, part in parts.items()]


def _text(value: Hashable) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def _frame_of_reference(slices: Sequence[Slice]) -> list[Hashable]:
    found: dict[str, int] = {}
    return [found.setdefault(item.frame_of_reference_uid, len(found) + 1) for item in slices]


def _matrix(slices: Sequence[Slice]) -> list[Hashable]:
    return [f"{item.rows} x {item.columns}" for item in slices]


def _spacing(slices: Sequence[Slice]) -> list[Hashable]:
    return _clustered([item.spacing_mm or () for item in slices], SPACING_TOLERANCE_MM, _spacing_text)


def _spacing_text(value: tuple[float, ...]) -> str:
    return " x ".join(f"{part:g}" for part in value) + " mm" if value else "not stated"


def _orientation(slices: Sequence[Slice]) -> list[Hashable]:
    return _clustered([item.image_orientation_patient for item in slices], ORIENTATION_TOLERANCE, _plane_text)


def _plane_text(orientation: tuple[float, ...]) -> str:
    return f"{plane_name(orientation)} ({', '.join(f'{part:.4g}' for part in orientation)})" if orientation else "none"


def plane_name(orientation: Sequence[float]) -> str:
    """Return axial, coronal or sagittal, with "oblique" where the normal is more than 5 degrees off the axis."""
    try:
        normal = np.abs(plane_axes(orientation)[2])
    except MixedGeometry:
        return "no plane"
    axis = int(normal.argmax())
    name = ("sagittal", "coronal", "axial")[axis]
    return name if normal[axis] > np.cos(np.radians(5.0)) else f"oblique {name}"


def _clustered(
    values: Sequence[tuple[float, ...]], tolerance: float, text: Callable[[tuple[float, ...]], str]
) -> list[Hashable]:
    """Label vectors by the first earlier one that every component agrees with."""
    seen: list[tuple[float, ...]] = []
    known: dict[tuple[float, ...], str] = {}
    labels: list[Hashable] = []
    for value in values:
        if value not in known:
            near = next((one for one in seen if _near(one, value, tolerance)), None)
            if near is None:
                seen.append(value)
                near = value
            known[value] = text(near)
        labels.append(known[value])
    return labels


def _near(a: tuple[float, ...], b: tuple[float, ...], tolerance: float) -> bool:
    return len(a) == len(b) and all(abs(x - y) <= tolerance for x, y in zip(a, b, strict=True))


def _quantity(slices: Sequence[Slice]) -> list[Hashable]:
    return [f"{item.quantity.value} {item.unit}".strip() for item in slices]


_PLANES: tuple[tuple[str, Callable[[Sequence[Slice]], list[Hashable]]], ...] = (
    ("frame_of_reference", _frame_of_reference),
    ("matrix", _matrix),
    ("orientation", _orientation),
    ("pixel_spacing", _spacing),
    ("quantity", _quantity),
)


def _by_kind(group: Group) -> list[Group]:
    """Split by the traits that are of different kinds of image: component, map, b-value, echo, stack."""
    groups = [group]
    for name in dict.fromkeys(name for item in group.slices for name, _ in item.traits.kinds):
        groups = [part for one in groups for part in _by(one, name, _kind(name))]
    return groups


def _kind(name: str) -> Callable[[Sequence[Slice]], list[Hashable]]:
    def labels(slices: Sequence[Slice]) -> list[Hashable]:
        return [dict(item.traits.kinds).get(name, "not stated") for item in slices]

    return labels


def _places(slices: Sequence[Slice]) -> NDArray[np.int64]:
    """Number the positions: slices of one plane within 0.01 mm get the same number."""
    positions = np.asarray([item.image_position_patient for item in slices], dtype=np.float64)
    order = np.lexsort(np.round(positions.T / SAME_POSITION_MM).astype(np.int64))
    near = np.linalg.norm(np.diff(positions[order], axis=0), axis=1) >= SAME_POSITION_MM
    numbers = np.empty(len(slices), dtype=np.int64)
    numbers[order] = np.concatenate([[0], np.cumsum(near)])
    return numbers


def _placeable(slices: Sequence[Slice]) -> bool:
    return all(len(item.image_position_patient) == 3 for item in slices)


def _resolved(group: Group) -> list[Group]:
    """Split until no two slices share a position; what cannot be told apart stays together and is refused later."""
    if len(group.slices) < 2 or not _placeable(group.slices):
        return [group]
    places = _places(group.slices)
    counts = np.bincount(places)
    if counts.max() == 1:
        return [group]
    for name in TIMES:
        values = [dict(item.traits.times).get(name) for item in group.slices]
        if any(value is None for value in values):
            continue
        parts = _by_value(group, name, [value for value in values if value is not None], places)
        if parts is not None:
            return [done for part in parts for done in _resolved(part)]
    for name in TIMES:
        values = [dict(item.traits.times).get(name) for item in group.slices]
        if name in ORDERED and not any(value is None for value in values):
            parts = _by_rank(group, name, [value for value in values if value is not None], places)
            if parts is not None:
                return parts
    return [group]


def _by_value(
    group: Group, name: str, values: Sequence[Value], places: NDArray[np.int64]
) -> list[Group] | None:  # fmt: skip
    """Split where each value stands at half of the positions or more, and doubles become fewer; else ``None``."""
    distinct = Counter(values)
    if len(distinct) == 1:
        return None
    here: dict[Value, list[int]] = defaultdict(list)
    for place, value in zip(places.tolist(), values, strict=True):
        here[value].append(place)
    total = int(places.max()) + 1
    if any(len(set(at)) < _HALF * total for at in here.values()):
        return None
    if max(max(Counter(at).values()) for at in here.values()) >= int(np.bincount(places).max()):
        return None
    return _by(group, name, lambda _: list(values))


def _by_rank(
    group: Group, name: str, values: Sequence[Value], places: NDArray[np.int64]
) -> list[Group] | None:  # fmt: skip
    """Split into the first, second ... image of each position, where all have as many and none are equal."""
    counts = np.bincount(places)
    if counts.min() != counts.max():
        return None
    ranks = [0] * len(values)
    for place in range(len(counts)):
        at = np.flatnonzero(places == place).tolist()
        if len({values[i] for i in at}) != len(at) or len({type(values[i]) is str for i in at}) != 1:
            return None
        for rank, i in enumerate(sorted(at, key=lambda i: values[i])):
            ranks[i] = rank + 1
    parts: list[Group] = []
    for rank in range(1, int(counts[0]) + 1):
        chosen = tuple(item for item, own in zip(group.slices, ranks, strict=True) if own == rank)
        seen = [dict(item.traits.times)[name] for item in chosen]
        said = f" ({min(seen):g} to {max(seen):g})" if not any(isinstance(value, str) for value in seen) else ""
        parts.append(Group(chosen, (*group.key, (f"{name}_order", f"{rank}{said}"))))
    return parts


def _side_by_side(group: Group) -> list[Group]:
    """Split parallel stacks that lie beside one another: their positions are on lines along the normal, apart."""
    if len(group.slices) < 4 or not _placeable(group.slices):
        return [group]
    try:
        along_row, along_column, _ = plane_axes(group.slices[0].image_orientation_patient)
    except MixedGeometry:
        return [group]
    positions = np.asarray([item.image_position_patient for item in group.slices])
    lateral = np.stack([positions @ along_row, positions @ along_column], axis=1)
    numbers = _lines(lateral, most=len(group.slices) // 2)
    counts = np.bincount(numbers)
    if not 1 < len(counts) <= len(group.slices) // 2 or counts.min() < 2:
        return [group]
    spread = max(float(np.ptp(lateral[numbers == number], axis=0).max()) for number in range(len(counts)))
    if spread > _LINE_MM:
        return [group]
    return _by(group, "side", lambda _: [int(number) + 1 for number in numbers])


def _lines(lateral: NDArray[np.float64], most: int) -> NDArray[np.int64]:
    """Number places in the plane (N, 2), mm: each line is what lies within 1 mm of the first place that has no number.

    Never by rounding, which would tear one stack apart where its rounded coordinates flip. More than ``most`` lines
    are one: then the stack leans.
    """
    numbers = np.full(len(lateral), -1, dtype=np.int64)
    order = np.lexsort(lateral.T)  # so that names do not depend on the order of the files
    for line in range(most + 1):
        left = order[numbers[order] < 0]
        if not len(left):
            return numbers
        near = np.abs(lateral[left] - lateral[left[0]]).max(axis=1) <= _LATERAL_MM
        numbers[left[near]] = line
    return np.zeros_like(numbers)
