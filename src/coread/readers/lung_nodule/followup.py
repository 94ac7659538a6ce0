"""The same nodules on an earlier scan: laid over one another, matched, compared."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import Quantity, Volume
from coread.domain.reasons import Reason, ReasonCode
from coread.imaging.change import Change, DoublingTime, Verdict, change_of, doubling_time, match_lesions
from coread.imaging.measuring import Size
from coread.imaging.registration import registered
from coread.imaging.resampling import resampled_array
from coread.readers.lung_nodule.candidates import Candidate
from coread.readers.lung_nodule.grading import GROWTH_MM, History
from coread.readers.lung_nodule.nodules import Nodule, Scan, nodule_at

WITHIN_MM = 15.0
"""How far a nodule may lie off after registration: breath moves the lungs more than a rigid motion follows."""
_AGAIN_MM = 6.0
_LEAST_OVERLAP = 0.75
"""Dice coefficient of the lungs of both dates after registration."""
_LOW_HU, _HIGH_HU = -1000.0, 200.0
_YEAR_DAYS = 365.25


@dataclass(frozen=True, slots=True, eq=False)
class Errors:
    """What repeats of a measurement differ by, from the locked numbers of the package."""

    repeatability: dict[str, float]
    """By density: relative to the mean of two, 95 % of repeats stay below."""
    volume_error: dict[str, float]
    """By density: half width of the 95 % interval of one volume, share of it."""


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """One nodule at both dates."""

    before: Nodule
    after: Nodule
    change: Change
    doubling: DoublingTime | None

    def history(self, days: float | None) -> History:
        """Return growing where it is real and more than 1.5 mm in mean diameter within 12 months."""
        grown = self.after.mean_diameter_mm() - self.before.mean_diameter_mm()
        soon = days is not None and days <= _YEAR_DAYS
        return (
            History.GROWING
            if soon and self.change.verdict is Verdict.GREW and grown > GROWTH_MM
            else (History.UNCHANGED)
        )


@dataclass(frozen=True, slots=True, eq=False)
class FollowUp:
    """What became of the nodules between two dates."""

    days: float | None
    compared: tuple[Compared, ...]
    new: tuple[Nodule, ...]
    vanished: tuple[Nodule, ...]
    outside: tuple[Nodule, ...]
    """Of the earlier date, where the later scan shows no lung."""
    overlap: float


def follow(before: Scan, after: Scan, earlier: tuple[Nodule, ...], now: tuple[Nodule, ...], errors: Errors) -> (
    FollowUp | Reason
):  # fmt: skip
    """Match and compare; a reason where the two scans cannot be laid over one another."""
    found = registered(_coarse(after), _coarse(before), inside=after.lungs.mask)
    overlap = _overlap(before, after, found.matrix)
    if overlap < _LEAST_OVERLAP:
        return Reason(ReasonCode.NOT_ALIGNED, f"lungs overlap by {overlap:.2f} (Dice), {_LEAST_OVERLAP} are needed")
    back = np.linalg.inv(found.matrix)
    places = _places(earlier) @ back[:3, :3].T + back[:3, 3]
    matched = match_lesions(places, _places(now), within_mm=WITHIN_MM)
    pairs = [(earlier[i], now[j]) for i, j in matched.pairs]
    new, vanished, outside = [], [], []
    for j in matched.new:
        there = (found.matrix[:3, :3] @ now[j].outline.center) + found.matrix[:3, 3]
        seen = _looked_again(before, there, now[j])
        if seen is None:
            new.append(now[j])
        else:
            pairs.append((seen, now[j]))
    for i in matched.vanished:
        seen = _looked_again(after, places[i], earlier[i])
        if seen is not None and not any(_near(seen, other) for other in now):
            pairs.append((earlier[i], seen))
        elif _in_lung(after, places[i]):
            vanished.append(earlier[i])
        else:
            outside.append(earlier[i])
    days = _days(before, after)
    compared = tuple(_compared(one, other, days, errors) for one, other in pairs)
    return FollowUp(days, compared, tuple(new), tuple(vanished), tuple(outside), overlap)


def _looked_again(scan: Scan, place: NDArray[np.float64], like: Nodule) -> Nodule | None:
    """Return what stands at the place of a nodule of the other date although the search did not call it."""
    radius = like.outline.diameter_mm() / 2
    near = [one for one in scan.candidates if np.linalg.norm(np.subtract(one.place, place)) < radius + _AGAIN_MM]
    if not near:
        return None
    best = min(near, key=lambda one: float(np.linalg.norm(np.subtract(one.place, place))))
    found = nodule_at(scan, Candidate(best.place, best.radius_mm, best.response, best.roundness), 0.0)
    if found is None or not 1 / 8 <= found.outline.volume_mm3 / like.outline.volume_mm3 <= 8:
        return None
    return found


def _compared(before: Nodule, after: Nodule, days: float | None, errors: Errors) -> Compared:
    both = {before.outline.density, after.outline.density}
    limit = max(errors.repeatability[density.value] for density in both)
    change = change_of(before.outline.volume_mm3, after.outline.volume_mm3, repeatability=limit)
    doubling = None
    if days is not None and days > 0 and change.verdict is not Verdict.WITHIN_ERROR:
        doubling = doubling_time(_size(before, errors), _size(after, errors), days)
    # The identity is that of the earlier study, so the results of both dates name the same nodule.
    return Compared(before, replace(after, tracking=before.tracking), change, doubling)


def _size(nodule: Nodule, errors: Errors) -> Size:
    volume = nodule.outline.volume_mm3
    # Of two repeats: the error of one date is that of a difference divided by the root of two.
    return Size(volume, volume * errors.repeatability[nodule.outline.density.value] / 2**0.5)


def _coarse(scan: Scan) -> Volume:
    hu = np.clip(scan.lungs.hu, _LOW_HU, _HIGH_HU)
    return Volume(np.ascontiguousarray(hu), Quantity.HOUNSFIELD, scan.lungs.geometry, ())


def _overlap(before: Scan, after: Scan, matrix: NDArray[np.float64]) -> float:
    moved = resampled_array(
        before.lungs.mask.astype(np.float32), before.lungs.geometry, after.lungs.geometry, outside=0.0, transform=matrix
    )
    there = moved > 0.5
    both = float(np.count_nonzero(there & after.lungs.mask))
    return 2 * both / max(1.0, float(np.count_nonzero(there)) + float(np.count_nonzero(after.lungs.mask)))


def _in_lung(scan: Scan, place: NDArray[np.float64]) -> bool:
    index = np.rint(scan.lungs.geometry.to_index(place[np.newaxis]))[0].astype(int)
    inside = all(0 <= at < n for at, n in zip(index, scan.lungs.mask.shape, strict=True))
    return inside and bool(scan.lungs.mask[tuple(index)])


def _near(one: Nodule, other: Nodule) -> bool:
    apart = float(np.linalg.norm(one.outline.center - other.outline.center))
    return apart < max(one.outline.diameter_mm(), other.outline.diameter_mm()) / 2


def _places(nodules: tuple[Nodule, ...]) -> NDArray[np.float64]:
    return np.array([one.outline.center for one in nodules], dtype=np.float64).reshape(-1, 3)


def _days(before: Scan, after: Scan) -> float | None:
    first, second = before.day(), after.day()
    return None if first is None or second is None else float((second - first).days)
