"""Writing a cohort from a program: the two files that ``cohort.py`` reads."""

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from coread.validate.cohort import CASES_FILE, COHORT_FILE, Cohort, read_cohort
from coread.validate.errors import BadCohort
from coread.validate.freezing import FROZEN_FILE

Row = Mapping[str, Any]


def write_cohort(folder: Path, description: Mapping[str, Any], rows: Sequence[Row]) -> Cohort:
    """Write ``cohort.toml`` and ``cohort.csv`` and read them back; a frozen cohort is never overwritten by another.

    ``rows`` use the columns of the reference page; ``files`` may be a list, ``boxes`` a list of
    ``[label, x0, y0, x1, y1]``, truth a bool, a number or None.
    """
    if not rows:
        raise BadCohort("a cohort without a case measures nothing.")
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _cell(key, value) for key, value in row.items()} for row in rows)
    texts = {COHORT_FILE: _toml(description), CASES_FILE: table.getvalue()}
    frozen = (folder / FROZEN_FILE).exists()
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        path = folder / name
        if frozen and (not path.is_file() or path.read_text(encoding="utf-8") != text):
            raise BadCohort(f"{folder} holds a frozen cohort with another {name}. Write to another folder.")
        beside = path.with_name(f".{name}.{os.getpid()}")
        beside.write_text(text, encoding="utf-8")
        beside.replace(path)
    return read_cohort(folder)


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if key == "files" and not isinstance(value, str):
        return ";".join(str(item) for item in value)
    if key == "boxes" and not isinstance(value, str):
        return json.dumps([list(item) for item in value])
    if isinstance(value, float):
        return repr(int(value)) if value.is_integer() else repr(value)
    return str(value)


def _toml(description: Mapping[str, Any]) -> str:
    plain = {key: value for key, value in description.items() if not isinstance(value, Mapping)}
    tables = {key: value for key, value in description.items() if isinstance(value, Mapping)}
    lines = [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    for name, table in tables.items():
        lines += ["", f"[{_key(name)}]"]
        lines += [f"{_key(key)} = {_value(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def _key(key: str) -> str:
    return json.dumps(key) if not key.replace("_", "").replace("-", "").isalnum() or not key.isascii() else key


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return json.dumps(str(value), ensure_ascii=False)
