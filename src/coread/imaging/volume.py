"""Images that must be one volume, as one volume; whole series of unknown content go through ``series.py``."""

from collections.abc import Sequence

from coread.domain.images import Volume
from coread.imaging.errors import MixedGeometry, TooFewImages
from coread.imaging.series import MAX_VOXELS, Choices, OpenedSeries, load, open_series, refused
from coread.imaging.slices import Located


def load_volume(instances: Sequence[Located], *, min_slices: int = 2, max_pixels: int = MAX_VOXELS) -> Volume:
    """Return voxels in modality values (HU for CT), slices ordered along the normal of the planes.

    A tilted gantry is allowed: the slice axis is then not perpendicular to the planes. Everything that is given must
    be in the one volume: raises ImagingRefused with the reason otherwise.
    """
    if not instances:
        raise TooFewImages("no images")
    choices = Choices(min_slices=min_slices, max_voxels=max_pixels)
    opened = open_series(instances, choices)
    if opened.set_apart:
        raise refused(opened.set_apart[0].reason)
    if len(opened.stacks) > 1:
        raise MixedGeometry(f"{len(opened.stacks)} volumes, which differ in {differences(opened)}")
    return load(opened.stacks[0], choices)


def differences(opened: OpenedSeries) -> str:
    """Name what distinguishes the stacks of a series, in words."""
    names = dict.fromkeys(name for stack in opened.stacks for name, _ in stack.key)
    return ", ".join(name.replace("_", " ") for name in names)


__all__ = ["Located", "differences", "load_volume"]
