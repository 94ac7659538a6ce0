"""From a case to what the engine reads: DICOM files with their headers, in a folder that lives while it reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from coread.domain.errors import InvalidRecord, Refused
from coread.domain.study import InstanceHeader
from coread.imaging.header import scan_header
from coread.phantoms.picture import Picture, Subject, Wrapping, read_picture
from coread.phantoms.picture_file import picture_file
from coread.validate.cohort import Case, Cohort
from coread.validate.errors import RunFailed
from coread.validate.sources import Reference, Sources, is_dicom

_DAMAGED = (OSError, InvalidRecord, ValueError, SyntaxError, Image.DecompressionBombError)
"""What Pillow raises for damaged or hostile pictures."""
_DICOM_NAMES = (".dcm", ".dicom", ".ima")


@dataclass(frozen=True, slots=True)
class WrappedCase:
    """The DICOM files of a case, in the order of its ``files`` (one file each, more for a stack in one array)."""

    case: Case
    sources: tuple[tuple[Path, InstanceHeader], ...]
    problem: str = ""
    """Why the case cannot be handed to the engine at all: a header that cannot be read, a picture that is none."""


def wrap_case(cohort: Cohort, case: Case, sources: Sources, folder: Path) -> WrappedCase:
    """Bring the files of a case into ``folder`` as DICOM; what is DICOM already is left as it is.

    Raises CohortChanged and BadCohort; a damaged image is no error of the run but the ``problem`` of this case.
    """
    paths: list[Path] = []
    try:
        for reference in case.files:
            paths += _files_of(cohort, case, reference, sources, folder, start=len(paths) + 1)
        return WrappedCase(case, tuple((path, scan_header(path)) for path in paths))
    except Refused as problem:
        return WrappedCase(case, (), str(problem))
    except _NoPicture as problem:
        return WrappedCase(case, (), str(problem))
    except OSError as problem:
        raise RunFailed(
            f"{folder} cannot be written or read: {problem}. Make room, and run it again: finished cases are kept."
        ) from problem


class _NoPicture(Exception):
    """A file holds no picture that can be decoded; turned into the ``problem`` of its case."""


def subject_of(cohort: Cohort, case: Case) -> Subject:
    """Return what the header of a wrapped picture says of the case."""
    return Subject(
        patient_id=case.patient_id,
        case_id=case.case_id,
        uid_seed=f"{cohort.name}/{case.case_id}",
        sex=case.sex,
        age_years=case.age_years,
        view=case.view,
        laterality=case.laterality,
        site=case.site,
        scanner=case.scanner,
    )


def _files_of(
    cohort: Cohort, case: Case, reference: Reference, sources: Sources, folder: Path, *, start: int
) -> list[Path]:
    if reference.is_array:
        return _written(_pictures(sources, reference, cohort.wrapping), cohort, case, folder, start)
    data = sources.read(reference)
    plain = sources.path(reference)
    if is_dicom(data) or (reference.member or reference.file).lower().endswith(_DICOM_NAMES):
        if plain is not None:
            return [plain]
        path = folder / f"{start:05d}.dcm"
        path.write_bytes(data)
        return [path]
    return _written([_decoded(data, cohort.wrapping.colour)], cohort, case, folder, start)


def _decoded(data: bytes, colour: str) -> Picture:
    try:
        return read_picture(data, colour)
    except _DAMAGED as problem:
        raise _NoPicture(f"{type(problem).__name__}: {problem}") from problem


def _pictures(sources: Sources, reference: Reference, wrapping: Wrapping) -> list[Picture]:
    """Return the pictures of an array: (rows, columns), (rows, columns, 3) or a stack (slices, rows, columns)."""
    values = sources.array(reference)
    if values.dtype == np.bool_:
        values = values.astype(np.uint8) * np.uint8(255)
    colour = values.ndim == 3 and values.shape[2] == 3 and wrapping.colour != "grey"
    stack = values.ndim == 3 and not colour
    try:
        return [Picture(np.asarray(item)) for item in (values if stack else [values])]
    except InvalidRecord as problem:
        raise _NoPicture(str(problem)) from problem


def _written(pictures: Sequence[Picture], cohort: Cohort, case: Case, folder: Path, start: int) -> list[Path]:
    paths = []
    subject = subject_of(cohort, case)
    for number, picture in enumerate(pictures, start=start):
        path = folder / f"{number:05d}.dcm"
        path.write_bytes(picture_file(picture, subject, cohort.wrapping, number=number))
        paths.append(path)
    return paths
