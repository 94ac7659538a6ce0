"""Whether the dates of a DICOM object are those of the examination: what de-identification wrote about them."""

from pathlib import Path

from coread.imaging.errors import NotDicom

_MODIFIED, _FULL = "113107", "113106"
"""Context group 7050: Retain Longitudinal Temporal Information Modified Dates, and Full Dates, Option."""


def dates_moved(path: Path) -> bool | None:
    """Return whether dates were moved or removed, as the object itself states it; None where it does not.

    Longitudinal Temporal Information Modified (0028,0303), else the code of the method that was used (0012,0064); an
    object whose identity was not removed (0012,0062) has the dates of its examination. PS3.3 section C.7.1.1.
    """
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    tags = [
        "LongitudinalTemporalInformationModified", "DeidentificationMethodCodeSequence", "PatientIdentityRemoved",
    ]  # fmt: skip
    try:
        found = dcmread(path, stop_before_pixels=True, specific_tags=tags)
    except InvalidDicomError as problem:
        raise NotDicom(str(problem)) from problem
    stated = str(found.get("LongitudinalTemporalInformationModified") or "").strip().upper()
    if stated in ("MODIFIED", "REMOVED"):
        return True
    if stated == "UNMODIFIED":
        return False
    codes = {str(item.get("CodeValue") or "") for item in found.get("DeidentificationMethodCodeSequence") or ()}
    if codes & {_MODIFIED, _FULL}:
        return _MODIFIED in codes
    return None if str(found.get("PatientIdentityRemoved") or "").strip().upper() == "YES" else False
