"""The phases of one short-axis stack out of the volumes of a series: same grid, in the order of time, or why not."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import InputContract
from coread.domain.findings import ImageReference
from coread.domain.images import Quantity, Volume
from coread.domain.reasons import Reason, ReasonCode
from coread.readers.volumes import reason_against

LEAST_PHASES = 8
_SAME_MM = 0.5
_PHASE_KEYS = ("temporal_position", "cardiac_phase", "trigger_time", "acquisition_number", "acquisition_time",
               "content_time", "frame_reference_time")  # fmt: skip
"""What may tell phases apart (``imaging/traits.py``); echoes, inversion times and flip angles are no heart beat."""
_RANGE = re.compile(r"\((?P<first>-?[0-9.]+) to (?P<last>-?[0-9.]+)\)")


@dataclass(frozen=True, slots=True, eq=False)
class Cine:
    """The phases of a stack with all index axes along the patient's positive directions, whatever way they came."""

    volumes: tuple[Volume, ...]
    """In the order of time, as they came."""
    turned: tuple[bool, bool, bool]
    """Index axes (slice, row, column) that are read backwards."""
    spacing_mm: tuple[float, float, float]
    times_ms: tuple[float, ...]
    """Mean trigger time of each phase; empty where it is not known."""

    @property
    def phases(self) -> int:
        """Return the number of phases."""
        return len(self.volumes)

    def values(self, phase: int) -> NDArray[np.float32]:
        """Return a phase (slices, rows, columns), a view."""
        return self.as_came(self.volumes[phase].voxels)

    def as_came(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn the axes of (slices, rows, columns) from one way to the other."""
        return values[tuple(slice(None, None, -1) if back else slice(None) for back in self.turned)]

    def slice_distance_mm(self) -> float:
        """Return the distance between the planes: along their normal, as disc summation needs it."""
        matrix = self.volumes[0].geometry.matrix()[:3, :3]
        normal = np.cross(matrix[:, 1], matrix[:, 2])
        return abs(float(matrix[:, 0] @ normal)) / float(np.linalg.norm(normal))


def cine_of(contract: InputContract, volumes: Sequence[Volume]) -> tuple[Cine, tuple[Volume, ...]] | Reason:
    """Return the largest set of phases on one grid and the volumes that are not in it, or why there is none."""
    if not volumes:
        return Reason(ReasonCode.NO_ELIGIBLE, "the study has no volume")
    groups: list[list[Volume]] = []
    for volume in volumes:
        same = next((group for group in groups if _same_grid(group[0], volume)), None)
        groups.append([volume]) if same is None else same.append(volume)
    chosen = max(groups, key=lambda group: (len(group), len(group[0].voxels)))
    for volume in chosen:
        if (reason := reason_against(contract, volume, Quantity.ARBITRARY)) is not None:
            return reason
    moving = [volume for volume in chosen if any(name.startswith(_PHASE_KEYS) for name, _ in volume.key)]
    if len(moving) < LEAST_PHASES:
        found = f"{len(moving)} phases of one stack, at least {LEAST_PHASES} of a heart beat are needed"
        return Reason(ReasonCode.TOO_FEW_IMAGES, found)
    rest = tuple(volume for group in groups if group is not chosen for volume in group)
    short = [volume for volume in rest if _same_plane(chosen[0], volume)]
    if short:
        return Reason(ReasonCode.MISSING_SLICE, f"{len(short)} phases have other slices than the other {len(chosen)}")
    ordered = tuple(sorted(chosen, key=_order))
    matrix = ordered[0].geometry.matrix()[:3, :3]
    turned = tuple(bool(axis[np.abs(axis).argmax()] < 0) for axis in matrix.T)
    rows, columns = (float(np.linalg.norm(matrix[:, k])) for k in (1, 2))
    slices = float(np.linalg.norm(matrix[:, 0]))
    backwards = turned[0], turned[1], turned[2]
    return Cine(ordered, backwards, (slices, rows, columns), _times(ordered)), rest


def references_of(volumes: Sequence[Volume]) -> list[ImageReference]:
    """Return every source image of some volumes."""
    return [reference for volume in volumes for reference in volume.references()]


def _same_grid(one: Volume, other: Volume) -> bool:
    if one.voxels.shape != other.voxels.shape:
        return False
    corners = np.array(np.meshgrid(*((0, n - 1) for n in one.voxels.shape))).reshape(3, -1).T
    apart = one.geometry.to_patient(corners) - other.geometry.to_patient(corners)
    return bool(np.abs(apart).max() < _SAME_MM)


def _same_plane(one: Volume, other: Volume) -> bool:
    """Say whether two stacks differ in their slices only."""
    a, b = one.geometry.matrix()[:3, 1:3], other.geometry.matrix()[:3, 1:3]
    return one.voxels.shape[1:] == other.voxels.shape[1:] and bool(np.abs(a - b).max() < 1e-3)


def _order(volume: Volume) -> tuple[float, ...]:
    """Return what sorts the phases: the numbers that tell a volume from the others of its series."""
    return tuple(_leading(value) for _, value in volume.key)


def _leading(text: str) -> float:
    found = re.match(r"-?[0-9.]+", text)
    return float(found.group()) if found else 0.0


def _times(volumes: Sequence[Volume]) -> tuple[float, ...]:
    times = []
    for volume in volumes:
        values = [value for name, value in volume.key if name.startswith("trigger_time")]
        found = _RANGE.search(values[0]) if values else None
        if not values:
            return ()
        times.append(float(np.mean([float(part) for part in found.groups()])) if found else _leading(values[0]))
    rising = bool((np.diff(times) > 0).all())
    return tuple(times) if rising else ()
