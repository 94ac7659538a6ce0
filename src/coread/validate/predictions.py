"""Every score of a run as a table (``predictions.parquet``, long form), for other tools and for comparing runs."""

import os
from collections.abc import Sequence
from pathlib import Path

from coread.validate.errors import MissingExtra
from coread.validate.observations import Observation

PREDICTIONS_FILE = "predictions.parquet"
COLUMNS = ("case_id", "patient_id", "part", "output", "truth", "logit", "probability", "presence")


def write_predictions(path: Path, observations: Sequence[Observation]) -> None:
    """Write one row for each score; unknown truth is null, the part is the cohort. What was not read has none."""
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as problem:
        raise MissingExtra("pyarrow") from problem
    rows = [row for item in observations for row in _rows(item)]
    schema = arrow.schema(
        [(name, arrow.float64() if name in ("truth", "logit", "probability") else arrow.string()) for name in COLUMNS]
    )
    table = arrow.Table.from_pylist(rows, schema=schema)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    parquet.write_table(table, beside)
    beside.replace(path)


def _rows(item: Observation) -> list[dict[str, object]]:
    case, record = item.case, item.record
    return [
        {
            "case_id": case.case_id, "patient_id": case.patient_id, "part": item.cohort, "output": key,
            "truth": float(case.truth[key]) if key in case.truth else None,
            "logit": output.logit, "probability": output.probability, "presence": output.presence,
        }
        for key, output in record.outputs.items()
        if output.probability is not None
    ]  # fmt: skip
