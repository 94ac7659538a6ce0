"""The text format of the iMRMC software: four fields per line (reader, case, modality, score); reader -1 is the truth.

Everything before the line ``BEGIN DATA:`` is free text. Names may be any text without a comma; blanks in them do not
count, so that ``reader 1`` and ``reader1`` are the same reader (the first spelling is kept).
"""

import math

import numpy as np

from coread.statistics.errors import UnreadableStudy
from coread.statistics.mrmc import ReaderStudy

_BEGIN = "begin data:"
_TRUTH_READER = "-1"
_FIELDS = 4


def read_imrmc(text: str) -> ReaderStudy:
    """Read a fully crossed study; every departure from format or design is named with its line."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    start = next((k for k, line in enumerate(lines) if line.strip().lower() == _BEGIN), None)
    if start is None:
        raise UnreadableStudy("there is no line 'BEGIN DATA:'; this is no iMRMC file.")
    truth: dict[str, bool] = {}
    scores: dict[tuple[str, str, str], float] = {}
    spelled: dict[str, str] = {}
    for number, line in enumerate(lines[start + 1 :], start + 2):
        if line.strip():
            _take(_fields(line, number, spelled), number, truth, scores)
    if not truth or not scores:
        raise UnreadableStudy("the file holds no truth rows (reader -1) or no scores.")
    return _crossed(truth, scores)


def write_imrmc(study: ReaderStudy, *, title: str = "Reader study") -> str:
    """Write a study so that iMRMC and ``read_imrmc`` read it; scores keep every digit."""
    for name in (*study.readers, *study.cases, *study.modalities):
        if not name or name != name.strip() or any(mark in name for mark in ",\n\r") or name == _TRUTH_READER:
            raise UnreadableStudy(
                f"the name {name!r} cannot be written: empty, -1, or with comma, line end or edge space."
            )
    head = [
        title.replace("\n", " "),
        "",
        f"NR: {len(study.readers)}",
        f"N0: {int((~study.truth).sum())}",
        f"N1: {int(study.truth.sum())}",
        f"NM: {len(study.modalities)}",
        "",
        "BEGIN DATA:",
    ]
    rows = [f"-1,{case},0,{int(positive)}" for case, positive in zip(study.cases, study.truth, strict=True)]
    for i, modality in enumerate(study.modalities):
        for j, reader in enumerate(study.readers):
            rows += [
                f"{reader},{case},{modality},{float(score)!r}"
                for case, score in zip(study.cases, study.scores[i, j], strict=True)
            ]
    return "\n".join(head + rows) + "\n"


def _fields(line: str, number: int, spelled: dict[str, str]) -> tuple[str, str, str, str]:
    fields = [field.strip() for field in line.split(",")]
    if len(fields) != _FIELDS or not all(fields):
        raise UnreadableStudy(f"line {number}: expected reader,case,modality,score, got {line.strip()!r}.")
    reader, case, modality = (spelled.setdefault("".join(name.split()), name) for name in fields[:3])
    return reader, case, modality, fields[3]


def _take(
    fields: tuple[str, str, str, str], number: int, truth: dict[str, bool], scores: dict[tuple[str, str, str], float]
) -> None:
    reader, case, modality, given = fields
    try:
        value = float(given)
    except ValueError as problem:
        raise UnreadableStudy(f"line {number}: {given!r} is not a number.") from problem
    if not math.isfinite(value):
        raise UnreadableStudy(f"line {number}: a score must be finite, got {given!r}.")
    if reader == _TRUTH_READER:
        if value not in (0.0, 1.0):
            raise UnreadableStudy(f"line {number}: the truth of a case is 0 or 1, got {given!r}.")
        if case in truth:
            raise UnreadableStudy(f"line {number}: the truth of case {case!r} is given twice.")
        truth[case] = value == 1.0
    else:
        key = (modality, reader, case)
        if key in scores:
            raise UnreadableStudy(f"line {number}: reader {reader!r} scored case {case!r} twice with {modality!r}.")
        scores[key] = value


def _crossed(truth: dict[str, bool], scores: dict[tuple[str, str, str], float]) -> ReaderStudy:
    modalities, readers = (tuple(dict.fromkeys(key[part] for key in scores)) for part in (0, 1))
    cases = tuple(truth)
    unknown = sorted({key[2] for key in scores} - set(truth))
    if unknown:
        raise UnreadableStudy(f"case {unknown[0]!r} has scores but no truth ({len(unknown)} such cases).")
    missing = [(m, r, c) for m in modalities for r in readers for c in cases if (m, r, c) not in scores]
    if missing:
        modality, reader, case = missing[0]
        raise UnreadableStudy(
            f"the design is not crossed: reader {reader!r} has no score for case {case!r} with {modality!r} "
            f"({len(missing)} missing). Leave out such cases or readers."
        )
    table = np.array([[[scores[m, r, c] for c in cases] for r in readers] for m in modalities], dtype=np.float64)
    return ReaderStudy(modalities, readers, cases, np.array([truth[c] for c in cases], dtype=np.bool_), table)
