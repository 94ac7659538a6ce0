"""Categories by size and kind, with their sources. They are arithmetic on the measurements, no advice.

Lung-RADS v2022: Christensen J et al. J Am Coll Radiol 2024; 21: 473 (size limits of solid, part-solid and non-solid
nodules at baseline, new and growing; growth is more than 1.5 mm in mean diameter within 12 months).
Fleischner Society 2017: MacMahon H et al. Radiology 2017; 284: 228 (limits 6 and 8 mm, or 100 and 250 mm3).
"""

from enum import StrEnum

from coread.readers.lung_nodule.outline import Density

GROWTH_MM = 1.5


class History(StrEnum):
    """What an earlier scan says of a nodule."""

    FIRST = "first scan"
    UNCHANGED = "there before"
    GROWING = "growing"
    NEW = "new"


def lung_rads(density: Density, mean_mm: float, solid_mm: float, history: History) -> str:
    """Return the category of one nodule. Never lowered for stability, never raised to 4X: both need a person."""
    if density is Density.GROUND_GLASS:
        return "2" if mean_mm < 30 else "3"
    if density is Density.SOLID:
        if history is History.NEW:
            return _step(mean_mm, (4, "2"), (6, "3"), (8, "4A"))
        if history is History.GROWING:
            return _step(mean_mm, (8, "4A"))
        return _step(mean_mm, (6, "2"), (8, "3"), (15, "4A"))
    if history is History.GROWING or (history is History.NEW and mean_mm >= 6):
        return _step(solid_mm, (4, "4A"))
    if mean_mm < 6:
        return "3" if history is History.NEW else "2"
    return _step(solid_mm, (6, "3"), (8, "4A"))


def fleischner(density: Density, volume_mm3: float) -> str:
    """Return the size class of one nodule by volume."""
    if density is Density.SOLID:
        if volume_mm3 < 100:
            return "solid, below 100 mm3"
        return "solid, 100 to 250 mm3" if volume_mm3 <= 250 else "solid, above 250 mm3"
    return f"{density.value}, {'below' if volume_mm3 < 100 else 'at least'} 100 mm3"


def highest(categories: list[str]) -> str:
    """Return the category of the scan: that of its most suspicious nodule; 1 without any."""
    order = ("1", "2", "3", "4A", "4B")
    return max(categories, key=order.index, default="1")


def _step(value: float, *limits: tuple[float, str]) -> str:
    for limit, name in limits:
        if value < limit:
            return name
    return "4B"
