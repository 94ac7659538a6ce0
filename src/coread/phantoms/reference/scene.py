"""From a continuous scene to voxels: parts painted one over the other, each voxel the mean over its own volume.

A voxel that no surface can touch is looked at once, at its centre; every other one is sampled ``samples`` times along
each of its axes. Work goes slab by slab, so memory is bounded by the slab and by the result.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry, affine_of
from coread.phantoms.reference.breathing import Breath
from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.shapes import Bounds, Points, Shape, Triple, Values, moved_box, pieces

_SLAB_VOXELS = 600_000
_MIXED_CHUNK = 16_384
IDENTITY = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0))
Pose = tuple[tuple[float, float, float, float], ...]
"""Three rows of the rigid map from anatomy to patient, LPS mm."""


@dataclass(frozen=True, slots=True)
class Part:
    """One painted solid."""

    name: str
    shape: Shape
    value: float
    """What the image shows there (HU, or MR signal); the mean where there is a texture."""
    texture: Callable[[Points], Values] | None = None
    """Added to the value: zero-mean, a function of the place in the anatomy."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Parts in the order in which they are painted, over a background."""

    background: float
    parts: tuple[Part, ...]
    pose: Pose = IDENTITY
    breath: Breath | None = None
    """Shifts organs before the pose is applied."""

    def __post_init__(self) -> None:
        names = [part.name for part in self.parts]
        if len(set(names)) != len(names) or len(names) > 250:
            raise BadTruth("a scene has up to 250 parts of different names")

    def pose_matrix(self) -> NDArray[np.float64]:
        """Return the 4x4 map from anatomy to patient."""
        return np.vstack([np.asarray(self.pose, dtype=np.float64), [0, 0, 0, 1]])

    def part(self, name: str) -> Part:
        """Return a part by name."""
        for part in self.parts:
            if part.name == name:
                return part
        raise BadTruth(f"no part {name!r}")


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of a part the voxels of a grid hold, and where."""

    volume_mm3: float
    """Sum of the shares of all voxels, times the volume of one."""
    center_mm: Triple
    """Centre of mass, LPS mm in the patient; the origin where nothing is in the field of view."""


@dataclass(frozen=True, slots=True, eq=False)
class Rendering:
    """Voxels of a scene on a grid."""

    values: NDArray[np.float32]
    """(slices, rows, columns), without noise."""
    labels: NDArray[np.uint8]
    """(slices, rows, columns): the part at the centre of a voxel, from 1 in the order of painting; 0 is background."""
    extents: dict[str, Extent] = field(default_factory=dict)
    fractions: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    """(slices, rows, columns) for each part that was asked for: how much of the voxel shows it, 0 to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """One part in one slab: within ``box`` 0 is outside, 1 inside, 2 where the surface may pass through the voxel."""

    number: int
    shape: Shape
    low: tuple[int, ...]
    code: NDArray[np.int8]

    def window(self) -> tuple[slice, ...]:
        """Return the part of the slab that ``code`` is about."""
        return tuple(slice(first, first + count) for first, count in zip(self.low, self.code.shape, strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class _Slab:
    """Positions and labels of one slab."""

    points: Points
    """(3, slices, rows, columns), anatomy."""
    labels: NDArray[np.uint8]
    seen: list[_Seen]


def render(
    scene: Scene,
    geometry: Geometry,
    *,
    samples: int = 3,
    measure: Sequence[str] = (),
    keep: Sequence[str] = (),
    thickness_share: float = 1.0,
) -> Rendering:
    """Return the voxels of a scene.

    ``measure`` names parts whose extent on this grid is wanted, ``keep`` those whose share of every voxel is.
    ``thickness_share`` is the slice thickness as a share of the slice distance: below 1 there are gaps.
    """
    out = Rendering(np.empty(geometry.shape, np.float32), np.empty(geometry.shape, np.uint8))
    numbers = {part.name: k for k, part in enumerate(scene.parts, start=1)}
    missing = [name for name in (*measure, *keep) if name not in numbers]
    if missing:
        raise BadTruth(f"the scene has no part {', '.join(missing)}")
    out.fractions.update({name: np.zeros(geometry.shape, dtype=np.float32) for name in keep})
    moments = {name: np.zeros(4) for name in measure}
    wanted = {*measure, *keep, *(part.name for part in scene.parts if part.texture)}
    matrix = np.linalg.inv(scene.pose_matrix()) @ geometry.matrix()
    depth = max(1, _SLAB_VOXELS // (geometry.shape[1] * geometry.shape[2]))
    table = np.asarray([scene.background, *(part.value for part in scene.parts)], dtype=np.float32)
    for start in range(0, geometry.shape[0], depth):
        span = slice(start, min(start + depth, geometry.shape[0]))
        slab = _classified(scene, matrix, (span.start, span.stop), geometry.shape)
        out.values[span], out.labels[span] = table[slab.labels], slab.labels
        present = set(np.unique(slab.labels)) | {seen.number for seen in slab.seen}
        shares = {
            name: (slab.labels == numbers[name]).astype(np.float32) for name in wanted if numbers[name] in present
        }
        within = (matrix[:3, :3] @ (_spread(samples**3) * [[thickness_share], [1.0], [1.0]])).astype(np.float32)
        _sample_mixed(slab, within, table, out.values[span], {numbers[n]: v for n, v in shares.items()})
        for part in scene.parts:
            if part.texture is not None and part.name in shares:
                _add_texture(out.values[span], slab.points, shares[part.name], part.texture)
        for name, share in shares.items():
            if name in moments:
                moments[name] += _moments(share, start)
            if name in out.fractions:
                out.fractions[name][span] = share
    out.extents.update({name: _extent(found, geometry) for name, found in moments.items()})
    return out


def _moments(share: NDArray[np.float32], first: int) -> NDArray[np.float64]:
    """Return the sum of shares and the sums of shares times slice, row and column index."""
    along = [share.sum(axis=other, dtype=np.float64) for other in ((1, 2), (0, 2), (0, 1))]
    offsets = (first, 0, 0)
    sums = [float(one @ (np.arange(len(one)) + offset)) for one, offset in zip(along, offsets, strict=True)]
    return np.asarray([along[0].sum(), *sums])


def _extent(moments: NDArray[np.float64], geometry: Geometry) -> Extent:
    voxel = abs(float(np.linalg.det(geometry.matrix()[:3, :3])))
    if moments[0] <= 0:
        return Extent(0.0, (0.0, 0.0, 0.0))
    center = geometry.to_patient(moments[np.newaxis, 1:] / moments[0])[0]
    return Extent(float(moments[0]) * voxel, (float(center[0]), float(center[1]), float(center[2])))


def _classified(scene: Scene, matrix: NDArray[np.float64], span: tuple[int, int], shape: tuple[int, int, int]) -> _Slab:
    size = (span[1] - span[0], shape[1], shape[2])
    k = np.arange(span[0], span[1], dtype=np.float32)[:, np.newaxis, np.newaxis]
    r = np.arange(shape[1], dtype=np.float32)[np.newaxis, :, np.newaxis]
    c = np.arange(shape[2], dtype=np.float32)[np.newaxis, np.newaxis, :]
    points = np.empty((3, *size), dtype=np.float32)
    for axis in range(3):
        row = matrix[axis].astype(np.float32)
        points[axis] = row[0] * k + row[1] * r + row[2] * c + row[3]
    stretch = 1.0
    if scene.breath is not None:
        points, stretch = scene.breath.to_anatomy(points), scene.breath.stretch()
    reach = np.float32(0.5 * np.abs(_corners(matrix)).max() * 1.001 * stretch)
    labels, seen = np.zeros(size, dtype=np.uint8), []
    solids = [(k, piece) for k, part in enumerate(scene.parts, start=1) for piece in pieces(part.shape)]
    back = np.asarray(np.linalg.inv(matrix), dtype=np.float64)
    for number, solid in solids:
        bounds = solid.bounds() if scene.breath is None else scene.breath.widened(solid.bounds())
        window = _window(bounds, back, span[0], size)
        if window is None:
            continue
        distance = solid.distance(points[(slice(None), *window)])
        inside = distance < 0
        view = labels[window]
        view[inside] = number
        code = inside.astype(np.int8)
        code[np.abs(distance) < reach] = 2
        seen.append(_Seen(number, solid, tuple(w.start for w in window), code))
    return _Slab(points, labels, seen)


def _corners(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the lengths of the diagonals of a voxel, mm."""
    signs = np.asarray([[a, b, 1] for a in (-1, 1) for b in (-1, 1)], dtype=np.float64)
    return np.asarray(np.linalg.norm(signs @ matrix[:3, :3].T, axis=1))


def _window(
    box: Bounds, back: NDArray[np.float64], first: int, size: tuple[int, ...]
) -> tuple[slice, slice, slice] | None:
    low, high = moved_box(box, back)
    slices = []
    for axis, count in enumerate(size):
        offset = first if axis == 0 else 0
        start = int(max(0, np.floor(low[axis]) - 1 - offset))
        stop = int(min(count, np.ceil(high[axis]) + 2 - offset))
        if stop <= start:
            return None
        slices.append(slice(start, stop))
    return slices[0], slices[1], slices[2]


def _sample_mixed(
    slab: _Slab,
    within: NDArray[np.float32],
    table: NDArray[np.float32],
    values: NDArray[np.float32],
    shares: dict[int, NDArray[np.float32]],
) -> None:
    """Replace values and shares of the voxels that a surface may cross by means over samples inside the voxel."""
    mixed = np.zeros(slab.labels.shape, dtype=bool)
    for seen in slab.seen:
        mixed[seen.window()] |= seen.code == 2
    row_of = np.full(mixed.shape, -1, dtype=np.int32)
    row_of[mixed] = np.arange(int(mixed.sum()))
    labels = np.zeros((int(mixed.sum()), within.shape[1]), dtype=np.uint8)
    for seen in slab.seen:
        rows = row_of[seen.window()]
        labels[rows[(seen.code == 1) & (rows >= 0)]] = seen.number
        near = seen.code == 2
        _label_samples(seen, rows[near], slab.points[(slice(None), *seen.window())][:, near], within, labels)
    values[mixed] = table[labels].mean(axis=1)
    for number, share in shares.items():
        share[mixed] = (labels == number).mean(axis=1, dtype=np.float32)


def _spread(count: int) -> NDArray[np.float64]:
    """Return (3, count) places that fill the unit cube around 0 evenly, in line with no plane, their mean 0.

    A lattice would count a face that runs along it all or nothing. The sequence is Roberts' R3, each place with its
    opposite.
    """
    root = 1.22074408460575947536
    steps = np.asarray([root**-1, root**-2, root**-3])
    half = (0.5 + np.outer(steps, np.arange(1, count // 2 + 1))) % 1 - 0.5
    return np.asarray(np.hstack([half, -half, np.zeros((3, count % 2))]))


def _label_samples(
    seen: _Seen,
    rows: NDArray[np.int32],
    centres: NDArray[np.float32],
    within: NDArray[np.float32],
    labels: NDArray[np.uint8],
) -> None:
    for start in range(0, len(rows), _MIXED_CHUNK):
        part = slice(start, start + _MIXED_CHUNK)
        inside = seen.shape.distance(centres[:, part, np.newaxis] + within[:, np.newaxis, :]) < 0
        found = labels[rows[part]]
        found[inside] = seen.number
        labels[rows[part]] = found


def _add_texture(
    values: NDArray[np.float32],
    points: Points,
    share: NDArray[np.float32],
    texture: Callable[[Points], Values],
) -> None:
    where = np.nonzero(share)
    if where[0].size:
        places = points[:, where[0], where[1], where[2]]
        values[where] += np.asarray(share[where] * texture(places))


@dataclass(frozen=True, slots=True)
class Measured:
    """A volume of the continuous scene."""

    volume_mm3: float
    uncertainty_mm3: float
    """0 for closed forms; for sampling, how much two samplings differ."""
    method: str


def measured(scene: Scene, names: Sequence[str], step_mm: float) -> dict[str, Measured]:
    """Return the volume of what is visible of each part: painted, and not painted over.

    Sampled at ``step_mm / 3`` where a surface passes, on two grids that are off by 0.37 of a step.
    """
    found = [_sampled_volumes(scene, names, step_mm, shift) for shift in (0.0, 0.37 * step_mm)]
    return {
        name: Measured(
            (found[0][name] + found[1][name]) / 2,
            abs(found[0][name] - found[1][name]),
            f"sampled every {step_mm / 3:.3g} mm",
        )
        for name in names
    }


def _sampled_volumes(scene: Scene, names: Sequence[str], step: float, shift: float) -> dict[str, float]:
    boxes = np.asarray([scene.part(name).shape.bounds() for name in names])
    low, high = boxes[:, 0].min(axis=0) - step + shift, boxes[:, 1].max(axis=0) + step
    count = np.maximum(1, np.ceil((high - low) / step)).astype(int)
    matrix = np.diag([step, step, step, 1.0])
    matrix[:3, 3] = low
    # What was painted before the first of the named parts hides none of them.
    first = min(k for k, part in enumerate(scene.parts) if part.name in names)
    at_rest = Scene(scene.background, tuple(Part(p.name, p.shape, p.value) for p in scene.parts[first:]))
    totals = dict.fromkeys(names, 0.0)
    depth = max(1, 2 * _SLAB_VOXELS // int(count[1] * count[2]))
    # Axis 0 of the fine grid is x: any order will do, and slabs keep the memory bounded.
    for start in range(0, int(count[0]), depth):
        part = matrix.copy()
        part[0, 3] += start * step
        shape = (min(depth, int(count[0]) - start), int(count[1]), int(count[2]))
        drawn = render(at_rest, Geometry(shape, affine_of(part), "1.2"), measure=names)
        for name in names:
            totals[name] += drawn.extents[name].volume_mm3
    return totals


def exact_or_measured(scene: Scene, name: str, step_mm: float) -> Measured:
    """Return the closed form of a part that nothing is painted over, or else sample it."""
    volume = scene.part(name).shape.volume_mm3()
    if volume is not None and not _painted_over(scene, name):
        return Measured(volume, 0.0, "closed form or quadrature")
    return measured(scene, [name], step_mm)[name]


def _painted_over(scene: Scene, name: str) -> bool:
    """Say whether the box of a later part meets the part's: then the form of the whole is not what is visible."""
    names = [part.name for part in scene.parts]
    at = names.index(name)
    low, high = (np.asarray(corner) for corner in scene.parts[at].shape.bounds())
    for part in scene.parts[at + 1 :]:
        other_low, other_high = (np.asarray(corner) for corner in part.shape.bounds())
        if bool(np.all(other_low < high) and np.all(low < other_high)):
            return True
    return False
