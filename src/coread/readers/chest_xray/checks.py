"""What the header and the pixels of one image must fulfil before the network sees it."""

from datetime import date

import numpy as np

from coread.domain.cards import InputContract
from coread.domain.images import PlanarImage, Quantity
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.study import InstanceHeader

_YEARS = {"Y": 1.0, "M": 1 / 12, "W": 7 / 365.25, "D": 1 / 365.25}


def reason_against(contract: InputContract, image: PlanarImage) -> Reason | None:
    """Return why this image cannot be read, or ``None``."""
    return _header_reason(contract, image.header) or _size_reason(contract, image) or _pixel_reason(image)


def age_years(header: InstanceHeader) -> float | None:
    """Return the patient's age from Patient's Age (AS, PS3.5 table 6.2-1), else from birth and study date."""
    text = header.patient_age.strip()
    if len(text) == 4 and text[:3].isdigit() and text[3] in _YEARS:
        return int(text[:3]) * _YEARS[text[3]]
    born, seen = _date(header.patient_birth_date), _date(header.study_date or header.series_date)
    if born is None or seen is None or seen < born:
        return None
    return (seen - born).days / 365.25


def _header_reason(contract: InputContract, header: InstanceHeader) -> Reason | None:
    if contract.modalities and header.modality not in contract.modalities:
        return Reason(ReasonCode.WRONG_MODALITY, header.modality)
    if contract.sop_class_uids and header.sop_class_uid not in contract.sop_class_uids:
        return Reason(ReasonCode.WRONG_SOP_CLASS, header.sop_class_uid)
    if (
        contract.body_parts
        and header.body_part_examined
        and header.body_part_examined.upper() not in contract.body_parts
    ):
        return Reason(ReasonCode.WRONG_BODY_PART, header.body_part_examined)
    if contract.views and header.view_position and header.view_position.upper() not in contract.views:
        return Reason(ReasonCode.WRONG_VIEW, header.view_position)
    age = age_years(header)
    if age is not None and contract.min_age_years is not None and age < contract.min_age_years:
        return Reason(ReasonCode.WRONG_AGE, f"patient is {age:.0f} years old")
    if age is not None and contract.max_age_years is not None and age > contract.max_age_years:
        return Reason(ReasonCode.WRONG_AGE, f"patient is {age:.0f} years old")
    return None


def _size_reason(contract: InputContract, image: PlanarImage) -> Reason | None:
    rows, columns = image.pixels.shape
    if rows < contract.min_rows or columns < contract.min_columns:
        return Reason(ReasonCode.IMAGE_TOO_SMALL, f"{rows} x {columns}")
    if rows * columns > contract.max_pixels:
        return Reason(ReasonCode.IMAGE_TOO_LARGE, f"{rows} x {columns}")
    return None


def _pixel_reason(image: PlanarImage) -> Reason | None:
    if image.quantity is not Quantity.DISPLAY:
        return Reason(ReasonCode.PIXEL_MEANING, f"display values are needed, got {image.quantity.value}")
    if not np.isfinite(image.pixels).all():
        return Reason(ReasonCode.PIXELS_NOT_FINITE)
    inside = image.pixels if image.valid is None else image.pixels[image.valid]
    if inside.size == 0 or float(inside.max() - inside.min()) < 1e-6:
        return Reason(ReasonCode.PIXELS_CONSTANT)
    return None


def _date(text: str) -> date | None:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError:
        return None
