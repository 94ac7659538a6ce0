"""From activity concentration to standardised uptake value by body weight, where the header decides it.

The rules are those of the QIBA vendor-neutral pseudo-code (RSNA QIBA wiki, Standardized Uptake Value): images corrected
for attenuation and decay, dose decayed to the moment to which the images are. Anything unclear is refused by name.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from coread.domain.images import Quantity, Volume
from coread.imaging.attributes import dataset_of
from coread.imaging.decode import open_pixels
from coread.imaging.errors import PixelMeaning
from coread.imaging.geometry import numbers

_PHILIPS, _PHILIPS_GROUP, _PHILIPS_FACTOR = "Philips PET Private Group", 0x7053, 0x00
_LONGEST = timedelta(days=1)
_OFFSET = re.compile(r"([+-])(\d{2})(\d{2})$")
"""Of a DT value, or of Timezone Offset From UTC (0008,0201)."""
_SUV_UNIT = "g/ml{SUVbw}"


@dataclass(frozen=True, slots=True)
class SuvFactor:
    """What modality values are multiplied by to give g/ml (SUV by body weight), and how that was found."""

    factor: float
    basis: str


def suv_factor(path: Path) -> SuvFactor:
    """Return the factor of one PET image; raises PixelMeaning naming what is missing or contradictory."""
    dataset = dataset_of(open_pixels(path).raw)
    units = str(dataset.get("Units", "") or "").strip().upper()
    if units == "GML":
        kind = str(dataset.get("SUVType", "") or "BW").strip().upper()
        if kind != "BW":
            raise PixelMeaning(f"SUV Type is {kind}, not body weight")
        return SuvFactor(1.0, "values are SUV already (Units GML)")
    if units == "CNTS":
        return _philips(dataset)
    if units != "BQML":
        raise PixelMeaning(f"Units {units or 'not stated'}: no activity concentration")
    return _from_dose(dataset)


def to_suv(volume: Volume, factor: SuvFactor) -> Volume:
    """Return the volume in g/ml (SUV by body weight)."""
    return replace(
        volume, voxels=volume.voxels * np.float32(factor.factor), quantity=Quantity.SUV_BODY_WEIGHT, unit=_SUV_UNIT,
        changes=(*volume.changes, f"SUV by body weight: times {factor.factor:.6g} ({factor.basis})"),
    )  # fmt: skip


def _philips(dataset: Dataset) -> SuvFactor:
    try:
        value = dataset.private_block(_PHILIPS_GROUP, _PHILIPS)[_PHILIPS_FACTOR].value
    except KeyError as problem:
        raise PixelMeaning("Units CNTS without the maker's SUV factor") from problem
    found = numbers([value], 1)
    if not found or found[0] <= 0:
        raise PixelMeaning("Units CNTS and an SUV factor of 0")
    return SuvFactor(found[0], "Units CNTS, SUV Scale Factor (7053,xx00)")


def _from_dose(dataset: Dataset) -> SuvFactor:
    corrected = {str(part) for part in _several(dataset.get("CorrectedImage"))}
    if not {"ATTN", "DECY"} <= corrected:
        raise PixelMeaning("the images are not corrected for attenuation and decay (Corrected Image)")
    weight = _positive(dataset, "PatientWeight", "Patient's Weight")
    items = dataset.get("RadiopharmaceuticalInformationSequence") or []
    if len(items) != 1:
        raise PixelMeaning(f"{len(items)} radiopharmaceuticals are described, one is needed")
    dose = _positive(items[0], "RadionuclideTotalDose", "Radionuclide Total Dose")
    correction = str(dataset.get("DecayCorrection", "") or "").strip().upper()
    if correction == "ADMIN":
        return SuvFactor(weight * 1000.0 / dose, "weight and dose; decay corrected to administration")
    if correction != "START":
        raise PixelMeaning(f"Decay Correction is {correction or 'not stated'}")
    half_life = _positive(items[0], "RadionuclideHalfLife", "Radionuclide Half Life")
    scanned = _scan_start(dataset)
    elapsed = scanned - _administered(items[0], scanned, str(dataset.get("TimezoneOffsetFromUTC", "") or "").strip())
    if not timedelta(0) <= elapsed <= _LONGEST:
        raise PixelMeaning(f"{elapsed} from administration to scan")
    left = dose * 2.0 ** (-elapsed.total_seconds() / half_life)
    minutes = elapsed.total_seconds() / 60
    return SuvFactor(weight * 1000.0 / left, f"weight, dose and {minutes:.1f} min of decay to the start of the series")


def _scan_start(dataset: Dataset) -> datetime:
    """Return the moment that images with Decay Correction START are corrected to."""
    series = _moment(dataset.get("SeriesDate"), dataset.get("SeriesTime"))
    acquired = _moment(dataset.get("AcquisitionDate"), dataset.get("AcquisitionTime"))
    if series is None or acquired is None:
        raise PixelMeaning("Series or Acquisition Date and Time are missing")
    if series > acquired:
        raise PixelMeaning("the series was made after the scan, so its start is not the one of the decay correction")
    return series


def _administered(item: Dataset, scanned: datetime, zone: str) -> datetime:
    """Return the start of the radiopharmaceutical on the clock of the series, whose offset from UTC is ``zone``."""
    whole = str(item.get("RadiopharmaceuticalStartDateTime", "") or "").strip()
    if whole:
        own = _OFFSET.search(whole[8:])
        clock = whole[8:] if own is None else whole[8 : 8 + own.start()]
        found = _moment(whole[:8], clock)
        if found is not None:
            return found if own is None else found + _east(zone) - _east(own[0])
    found = _moment(scanned.strftime("%Y%m%d"), item.get("RadiopharmaceuticalStartTime"))
    if found is None:
        raise PixelMeaning("no start time of the radiopharmaceutical")
    return found


def _east(offset: str) -> timedelta:
    """Return how far a clock is ahead of UTC; raises PixelMeaning where nobody says it."""
    found = _OFFSET.fullmatch(offset)
    if found is None:
        raise PixelMeaning("the start of the radiopharmaceutical names a time zone, the series does not")
    ahead = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return ahead if found[1] == "+" else -ahead


def _moment(date: Any, time: Any) -> datetime | None:
    day, clock = str(date or "").strip(), str(time or "").strip()
    if len(day) != 8 or len(clock) < 6:
        return None
    try:
        return datetime.strptime(f"{day}{clock[:6]}", "%Y%m%d%H%M%S")
    except ValueError:
        return None


def _positive(item: Dataset, keyword: str, name: str) -> float:
    found = numbers([item.get(keyword)], 1)
    if not found or found[0] <= 0:
        raise PixelMeaning(f"{name} is missing or 0")
    return found[0]


def _several(value: Any) -> list[Any]:
    if value is None or isinstance(value, str):
        return [value] if value else []
    return list(value)
