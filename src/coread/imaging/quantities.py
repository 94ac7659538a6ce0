"""What the numbers of an image mean and in which unit (UCUM), read from what the object states and nothing else."""

from collections.abc import Sequence

from coread.domain.images import Quantity

HOUNSFIELD_UNIT = "[hnsf'U]"
"""UCUM has it since version 1.7; PS3.16 CID 7181 uses it."""
_PET_UNITS: dict[str, tuple[Quantity, str]] = {
    "BQML": (Quantity.ACTIVITY, "Bq/ml"),
    "CNTS": (Quantity.COUNTS, "{counts}"),
    "CPS": (Quantity.COUNTS, "{counts}/s"),
    "PROPCNTS": (Quantity.COUNTS, "{propcounts}"),
    "PROPCPS": (Quantity.COUNTS, "{propcounts}/s"),
}
"""Units (0054,1001) of PS3.3 C.8.9.1.1.3 that name one quantity."""
_SUV: dict[str, tuple[Quantity, str]] = {
    "": (Quantity.SUV_BODY_WEIGHT, "g/ml{SUVbw}"),
    "BW": (Quantity.SUV_BODY_WEIGHT, "g/ml{SUVbw}"),
    "LBM": (Quantity.SUV_OTHER, "g/ml{SUVlbm}"),
    "LBMJANMA": (Quantity.SUV_OTHER, "g/ml{SUVlbm(Janma)}"),
    "LBMJAMES128": (Quantity.SUV_OTHER, "g/ml{SUVlbm(James128)}"),
    "BSA": (Quantity.SUV_OTHER, "cm2/ml{SUVbsa}"),
    "IBW": (Quantity.SUV_OTHER, "g/ml{SUVibw}"),
}
"""SUV Type (0054,1006), PS3.3 C.8.9.1.1.3: GML without a type is SUV by body weight."""
_MAPS: tuple[tuple[frozenset[str], Quantity], ...] = (
    (frozenset({"ADC", "ADC_UNSPECIFIED", "DIFFUSION_ADC"}), Quantity.ADC),
    (frozenset({"FA", "FRACTIONAL_ANISOTROPY"}), Quantity.FRACTIONAL_ANISOTROPY),
    (frozenset({"T1 MAP", "T1_MAP", "T1MAP"}), Quantity.T1),
    (frozenset({"T2 MAP", "T2_MAP", "T2MAP"}), Quantity.T2),
    (frozenset({"VELOCITY", "VELOCITY MAP"}), Quantity.VELOCITY),
    (frozenset({"CBF", "RCBF", "REL_CBF"}), Quantity.BLOOD_FLOW),
    (frozenset({"CBV", "RCBV", "REL_CBV"}), Quantity.BLOOD_VOLUME),
    (frozenset({"MTT"}), Quantity.MEAN_TRANSIT_TIME),
    (frozenset({"TTP", "TMAX"}), Quantity.TIME_TO_PEAK),
)
"""Image Type values that name a map. Their unit is not in Image Type, so it stays unstated."""


def quantity_and_unit(
    modality: str, image_type: Sequence[str], *, rescale_type: str = "", units: str = "", suv_type: str = "",
    rescaled: bool = True,
) -> tuple[Quantity, str]:  # fmt: skip
    """Return the quantity of modality values and its UCUM unit, ``""`` where none is stated.

    CT is in Hounsfield units when Rescale Type says so, or when it says nothing and the values are rescaled
    (PS3.3 C.8.2.1.1: type 1C, absent means HU for ORIGINAL images); perfusion maps of CT are not.
    """
    named = {value.upper() for value in image_type}
    for values, quantity in _MAPS:
        if not values.isdisjoint(named):
            return quantity, ""
    if modality == "PT" or units:
        if units == "GML":
            return _SUV.get(suv_type, (Quantity.SUV_OTHER, f"g/ml{{SUV {suv_type.lower()}}}"))
        return _PET_UNITS.get(units, (Quantity.ARBITRARY, ""))
    if rescale_type == "HU" or (not rescale_type and modality == "CT" and rescaled):
        return Quantity.HOUNSFIELD, HOUNSFIELD_UNIT
    return Quantity.ARBITRARY, ""
