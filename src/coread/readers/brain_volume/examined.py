"""One volume, measured: tissues, hippocampi, and what limits them."""

from dataclasses import dataclass, replace

import numpy as np

from coread.domain.images import Volume
from coread.domain.reading import ModelSession
from coread.domain.reasons import Reason, ReasonCode
from coread.readers.brain_volume.head import Head, sampled
from coread.readers.brain_volume.hippocampi import Hippocampus, hippocampi_of
from coread.readers.brain_volume.lesions import Lesions, lesions_of
from coread.readers.brain_volume.tissues import Levels, Mask, Tissues, levels_of, tissues_of

_PLAUSIBLE_ML = (700.0, 2400.0)
_BLACK = 0.12
_CUT_CM2 = 15.0
"""Of the cavity at an outer face of the field; at the foramen magnum less is open."""
_SEPARATE = 2.5
_SHELL_CELLS = (3, 6)
_LEAST_OUTSIDE = 0.12
"""Share of the shell around the cavity (12 to 24 mm away) that is not black: a head has skin and fat there."""
_THICKEST_HIPPOCAMPUS_MM = 2.1


@dataclass(frozen=True, slots=True, eq=False)
class Examined:
    """What one T1 volume gave."""

    volume: Volume
    head: Head
    tissues: Tissues
    hippocampi: tuple[Hippocampus, ...]
    cut: bool
    """The field cuts the brain."""

    def separate(self) -> bool:
        """Return whether grey and white matter differ enough in brightness to be told apart."""
        return self.tissues.mixture.separation() >= _SEPARATE


def examined(session: ModelSession | None, volume: Volume, head: Head, levels: Levels) -> Examined | Reason:
    """Measure a T1 volume; without a session the hippocampi are left out."""
    if skull_is_missing(volume, head, levels):
        return Reason(ReasonCode.INDETERMINATE, "no head around the brain: the skull seems to have been taken out")
    tissues = tissues_of(volume, head, levels)
    cut = cut_by_field(tissues.inside, volume)
    cavity = tissues.cavity_ml()
    if not _PLAUSIBLE_ML[0] <= cavity <= _PLAUSIBLE_ML[1]:
        return Reason(ReasonCode.INDETERMINATE, f"an intracranial volume of {cavity:.0f} ml is not plausible")
    hippocampi: tuple[Hippocampus, ...] = ()
    if session is not None and max(volume.geometry.spacing_mm()) <= _THICKEST_HIPPOCAMPUS_MM:
        hippocampi = hippocampi_of(session, volume, head)
    return Examined(volume, head, tissues, hippocampi, cut)


def skull_is_missing(volume: Volume, head: Head, levels: Levels) -> bool:
    """Return whether nothing is to be seen around the cavity; its border cannot be found then."""
    from scipy import ndimage

    inside = head.inside() > 0.5
    near, far = (ndimage.binary_dilation(inside, iterations=count) for count in _SHELL_CELLS)
    shell = sampled(volume, head.grid)[far & ~near]
    return float((shell > _BLACK * levels.white).mean()) < _LEAST_OUTSIDE


def lesions_or_reason(volume: Volume, head: Head) -> Lesions | Reason:
    """Measure a FLAIR volume."""
    if skull_is_missing(volume, head, levels_of(volume, head)):
        return Reason(ReasonCode.INDETERMINATE, "no head around the brain: the skull seems to have been taken out")
    found = lesions_of(volume, head)
    if not _PLAUSIBLE_ML[0] <= found.inside_ml <= _PLAUSIBLE_ML[1]:
        return Reason(ReasonCode.INDETERMINATE, f"an intracranial volume of {found.inside_ml:.0f} ml is not plausible")
    return replace(found, cut=cut_by_field(found.inside, volume))


def cut_by_field(inside: Mask, volume: Volume) -> bool:
    """Return whether an outer face of the field goes through the brain."""
    spacing = np.asarray(volume.geometry.spacing_mm())
    for axis in range(3):
        area = float(np.prod(np.delete(spacing, axis))) / 100
        if max(int(inside.take(end, axis).sum()) for end in (0, -1)) * area > _CUT_CM2:
            return True
    return False
