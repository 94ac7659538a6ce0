"""predictions.parquet: the raw logits of a network with the truth, between training, calibration and validation.

Long form, one row per case and output: case_id, patient_id, part, output, truth (NaN: unknown), logit (float64).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import Misconfigured
from coread.models.errors import BadPredictions

FILE = "predictions.parquet"
COLUMNS = ("case_id", "patient_id", "part", "output", "truth", "logit")


@dataclass(frozen=True, slots=True, eq=False)
class OutputPredictions:
    """The known cases of one output: truth bool (N,), logits float64 (N,), case and patient names (N,)."""

    output: str
    truth: NDArray[np.bool_]
    logits: NDArray[np.float64]
    cases: tuple[str, ...]
    patients: tuple[str, ...]
    unknown: int
    """Rows of this output without truth, left out."""


def read_predictions(path: Path, parts: Sequence[str]) -> tuple[OutputPredictions, ...]:
    """Read the rows of some parts, by output; raises BadPredictions with what is wrong and where."""
    columns = _columns(path)
    found = sorted({str(part) for part in columns["part"]})
    missing = sorted(set(parts) - set(found))
    if missing:
        raise BadPredictions(
            f"{path} has no part {', '.join(missing)}; it has {', '.join(found) or 'no rows'}. Use --part."
        )
    inside = np.isin(columns["part"], list(parts))
    outputs = columns["output"][inside]
    if not outputs.size:
        raise BadPredictions(f"{path} holds no row in {', '.join(parts)}.")
    taken = {name: values[inside] for name, values in columns.items()}
    return tuple(_of_output(path, key, {n: v[outputs == key] for n, v in taken.items()}) for key in np.unique(outputs))


def write_predictions(path: Path, rows: Iterable[tuple[str, str, str, str, float, float]]) -> Path:
    """Write rows in the order of ``COLUMNS``, whole or not at all."""
    arrow, parquet = _arrow()
    values = list(zip(*rows, strict=True)) or [()] * len(COLUMNS)
    kinds = [arrow.string()] * 4 + [arrow.float64()] * 2
    arrays = [arrow.array(column, type=kind) for column, kind in zip(values, kinds, strict=True)]
    beside = path.with_name(f".{path.name}.part")
    parquet.write_table(arrow.table(arrays, names=list(COLUMNS)), beside)
    beside.replace(path)
    return path


def _columns(path: Path) -> dict[str, NDArray[Any]]:
    _, parquet = _arrow()
    try:
        table = parquet.read_table(path)
    except FileNotFoundError as problem:
        raise BadPredictions(f"{path} is missing: train first, or write it with {', '.join(COLUMNS)}.") from problem
    except (OSError, ValueError) as problem:  # pyarrow's own errors are ValueErrors
        raise BadPredictions(f"{path} is no Parquet file that can be read: {problem}.") from problem
    lacking = sorted(set(COLUMNS) - set(table.column_names))
    if lacking:
        raise BadPredictions(f"{path} lacks the columns {', '.join(lacking)}.")
    try:
        text = {n: np.array([str(v) for v in table[n].to_pylist()], dtype=object) for n in COLUMNS[:4]}
        numbers = {
            n: np.array([np.nan if v is None else float(v) for v in table[n].to_pylist()], dtype=np.float64)
            for n in COLUMNS[4:]
        }
    except (TypeError, ValueError) as problem:
        raise BadPredictions(f"{path}: truth and logit must be numbers: {problem}.") from problem
    return text | numbers


def _of_output(path: Path, key: str, rows: dict[str, NDArray[Any]]) -> OutputPredictions:
    known = np.isfinite(rows["truth"])
    truth, logits = rows["truth"][known], rows["logit"][known]
    if not np.isin(truth, (0.0, 1.0)).all():
        raise BadPredictions(f"{path}: truth of {key!r} holds other values than 0, 1 and unknown.")
    if not np.isfinite(logits).all():
        case = rows["case_id"][known][~np.isfinite(logits)][0]
        raise BadPredictions(f"{path}: the logit of {key!r} for case {case!r} is not a finite number.")
    cases = rows["case_id"][known]
    if len(set(cases)) != len(cases):
        raise BadPredictions(f"{path}: {key!r} has two rows for one case.")
    if not 0 < truth.sum() < len(truth):
        held = "no known case" if not len(truth) else f"{len(truth)} known cases of one class"
        raise BadPredictions(f"{path}: {key!r} has {held}: nothing can be calibrated. Add cases of the other class.")
    patients = tuple(str(name) for name in rows["patient_id"][known])
    return OutputPredictions(
        str(key), truth == 1.0, logits, tuple(str(name) for name in cases), patients, int((~known).sum())
    )


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as problem:
        raise Misconfigured('predictions need pyarrow: pip install "coread[validate]".') from problem
    return pyarrow, pyarrow.parquet
