"""How a sequence was timed, from the headers of the images that it made."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from coread.imaging.errors import BadHeader
from coread.imaging.mr.planning import SequenceTiming

_ASKED = (
    "Modality", "SeriesInstanceUID", "SeriesDescription", "RepetitionTime", "EchoTrainLength", "NumberOfAverages",
    "NumberOfPhaseEncodingSteps", "AcquisitionDuration", "ParallelReductionFactorInPlane", "MRAcquisitionType",
    "Rows", "Columns", "InPlanePhaseEncodingDirection", "ImageOrientationPatient",
)  # fmt: skip


def timings_of(paths: Iterable[Path]) -> tuple[tuple[SequenceTiming, ...], tuple[tuple[str, str], ...]]:
    """Return one timing for each MR series, and (series, reason) for those whose headers do not decide it.

    Read: Repetition Time (0018,0080), Echo Train Length (0018,0091), Number of Averages (0018,0083), Number of Phase
    Encoding Steps (0018,0089), Acquisition Duration (0018,9073), Parallel Reduction Factor In-plane (0018,9069). 3D
    series are left out: their headers do not state how many partitions were measured.
    """
    found: dict[str, Any] = {}
    for path in paths:
        header = _header(path)
        if header is not None:
            found.setdefault(str(header.get("SeriesInstanceUID", "")), header)
    timings, refused = [], []
    for header in found.values():
        name = str(header.get("SeriesDescription", "")) or "series without a description"
        try:
            timings.append(_timing(name, header))
        except BadHeader as problem:
            refused.append((name, str(problem)))
    return tuple(timings), tuple(refused)


def _header(path: Path) -> Any:
    import pydicom
    from pydicom.errors import InvalidDicomError

    try:
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=list(_ASKED))
    except InvalidDicomError:
        return None
    return header if header.get("Modality") == "MR" else None


def _timing(name: str, header: Any) -> SequenceTiming:
    if header.get("MRAcquisitionType") == "3D":
        raise BadHeader("3D: the header does not state the measured partitions; describe it in a protocol file")
    repetition = _number(header, "RepetitionTime")
    steps = _number(header, "NumberOfPhaseEncodingSteps")
    if repetition is None or steps is None or repetition <= 0 or steps < 1:
        raise BadHeader("the header has no Repetition Time or no Number of Phase Encoding Steps")
    timing = SequenceTiming(
        name=name,
        lines=int(steps),
        repetition_time_ms=repetition,
        echo_train=max(int(_number(header, "EchoTrainLength") or 1), 1),
        averages=_number(header, "NumberOfAverages") or 1.0,
        acceleration=max(_number(header, "ParallelReductionFactorInPlane") or 1.0, 1.0),
    )
    duration = _number(header, "AcquisitionDuration")
    return timing if duration is None or duration <= 0 else _fitted(timing, duration)


def _fitted(timing: SequenceTiming, seconds: float) -> SequenceTiming:
    """Explain the stated duration by packages of slices, and the rest by time that does not depend on the lines."""
    from dataclasses import replace

    one = timing.seconds(timing.lines_now())
    packages = max(math.floor(seconds / one + 0.05), 1)
    return replace(timing, packages=packages, fixed_seconds=max(seconds - packages * one, 0.0))


def _number(header: Any, keyword: str) -> float | None:
    value = header.get(keyword)
    try:
        number = None if value in (None, "") else float(value)
    except (TypeError, ValueError) as problem:
        raise BadHeader(f"{keyword} is no number: {value!r}") from problem
    return number if number is None or math.isfinite(number) else None
