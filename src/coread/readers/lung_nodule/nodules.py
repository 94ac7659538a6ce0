"""One scan read: its frame, lungs and candidates, and the nodules among them once the network has spoken."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from coread.domain.findings import TrackingId
from coread.domain.identifiers import derived_uid
from coread.domain.images import Volume
from coread.imaging.measuring import Diameters, mask_diameters
from coread.readers.lung_nodule.candidates import Candidate, find_candidates
from coread.readers.lung_nodule.frame import Frame, framed
from coread.readers.lung_nodule.lungs import Lungs, find_lungs
from coread.readers.lung_nodule.outline import Density, Outline, outlined
from coread.readers.lung_nodule.outputs import GLASS_FROM_MM, LARGEST_MM, LEAST_MM, NODULE
from coread.readers.lung_nodule.shape import shape_of


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """One scan with where nodules may be."""

    volume: Volume
    frame: Frame
    lungs: Lungs
    candidates: tuple[Candidate, ...]

    def day(self) -> date | None:
        """Return the day of the study, where the header states one."""
        text = self.volume.headers[0].study_date if self.volume.headers else ""
        try:
            return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
        except ValueError:
            return None


@dataclass(frozen=True, slots=True, eq=False)
class Nodule:
    """One nodule of one scan."""

    outline: Outline
    diameters: Diameters
    probability: float
    side: str
    zone: str
    lobe: str
    tracking: TrackingId

    def mean_diameter_mm(self) -> float:
        """Return the mean of long and short axis in the axial plane, to 0.1 mm (Lung-RADS 2022)."""
        return round((self.diameters.long_axis.value + self.diameters.short_axis.value) / 2, 1)

    def solid_diameter_mm(self) -> float:
        """Return the diameter of the ball of the volume of the solid part; 0 for ground glass."""
        return float((6 * self.outline.solid_mm3 / np.pi) ** (1 / 3))

    def words(self) -> str:
        """Return kind and place in words."""
        return f"{self.outline.density.value} nodule, {self.side} lung, {self.zone} zone, by position {self.lobe}"


def opened(volume: Volume) -> Scan | str:
    """Find lungs and candidates of a scan; in words why not, where there are no lungs to read."""
    frame = framed(volume)
    lungs = find_lungs(frame)
    if isinstance(lungs, str):
        return lungs
    return Scan(volume, frame, lungs, find_candidates(frame, lungs))


def nodules_of(scan: Scan, probabilities: Sequence[float], threshold: float) -> tuple[Nodule, ...]:
    """Return the nodules at or above a probability, outlined and measured, the most probable first.

    Candidates come strongest first, so a nodule is outlined from its main blob; weaker ones within it only lend it
    their probability.
    """
    found: list[Nodule] = []
    for candidate, probability in zip(scan.candidates, probabilities, strict=True):
        if probability < threshold:
            continue
        inside = next((n for n, one in enumerate(found) if _within(candidate, one)), None)
        if inside is not None:
            found[inside] = replace(found[inside], probability=max(probability, found[inside].probability))
            continue
        nodule = nodule_at(scan, candidate, probability)
        if nodule is not None and _called(nodule) and not any(_same(nodule, other) for other in found):
            found.append(nodule)
    return tuple(sorted(found, key=lambda one: (-one.probability, one.tracking.identifier)))


def _called(nodule: Nodule) -> bool:
    """Say whether an outline may be called a nodule: no longer than one, compact, and no speck of partial volume."""
    outline = nodule.outline
    if outline.density is Density.GROUND_GLASS and outline.diameter_mm() < GLASS_FROM_MM:
        return False
    return nodule.diameters.long_axis.value <= LARGEST_MM and shape_of(outline.mask, outline.geometry).compact()


def nodule_at(scan: Scan, candidate: Candidate, probability: float) -> Nodule | None:
    """Outline and measure one candidate; None where nothing of a nodule's size stands out there."""
    outline = outlined(scan.frame, scan.lungs, candidate.place, candidate.radius_mm)
    if outline is None or not LEAST_MM <= outline.diameter_mm() <= LARGEST_MM:
        return None
    diameters = mask_diameters(outline.mask, outline.geometry)
    lungs = scan.lungs
    return Nodule(outline, diameters, probability, lungs.side_of(outline.center), lungs.zone_of(outline.center),
                  lungs.lobe_of(outline.center), tracking_of(scan, outline.center))  # fmt: skip


def tracking_of(scan: Scan, place: NDArray[np.float64]) -> TrackingId:
    """Return the identity of a nodule that is first seen in this scan: from the series and the place to 1 mm.

    The same scan read again, now or later as somebody's earlier study, gives the same identity.
    """
    series = scan.volume.headers[0].series_instance_uid if scan.volume.headers else ""
    rounded = "/".join(str(round(float(v))) for v in place)
    uid = derived_uid("lung_nodule", series, rounded)
    return TrackingId(f"{NODULE} {scan.lungs.side_of(place)} {rounded}", uid)


def _within(candidate: Candidate, nodule: Nodule) -> bool:
    apart = float(np.linalg.norm(np.subtract(candidate.place, nodule.outline.center)))
    return apart < nodule.outline.diameter_mm() / 2


def _same(one: Nodule, other: Nodule) -> bool:
    apart = float(np.linalg.norm(one.outline.center - other.outline.center))
    return apart < max(one.outline.diameter_mm(), other.outline.diameter_mm()) / 2
