"""Frozen records to JSON and back, exactly; arrays travel beside the document, never inside it.

Only records of this package are decoded: nothing in the data can name a class to build (no pickles).
"""

import json
import types
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import InvalidRecord

Record = TypeVar("Record")


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A JSON document and the arrays that it points at by name."""

    document: str
    arrays: dict[str, NDArray[Any]]


def encode(record: object) -> Encoded:
    """Encode a record of dataclasses, enums, tuples, datetimes, numbers, text and arrays."""
    arrays: dict[str, NDArray[Any]] = {}
    return Encoded(json.dumps(_plain(record, arrays), separators=(",", ":"), sort_keys=True, allow_nan=False), arrays)


def decode(kind: type[Record], document: str, arrays: Mapping[str, NDArray[Any]] | None = None) -> Record:
    """Decode a document that ``encode`` wrote; raises InvalidRecord when it does not fit ``kind``."""
    try:
        return cast(Record, _typed(kind, json.loads(document), arrays or {}))
    except (KeyError, TypeError, ValueError) as problem:
        raise InvalidRecord(f"stored {kind.__name__} cannot be decoded: {problem}") from problem


def _plain(value: object, arrays: dict[str, NDArray[Any]]) -> Any:
    if isinstance(value, np.ndarray):
        name = f"array_{len(arrays)}"
        arrays[name] = value
        return {"array": name}
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        body = {item.name: _plain(getattr(value, item.name), arrays) for item in fields(value)}
        return {"type": type(value).__name__} | body
    if isinstance(value, tuple | list):
        return [_plain(item, arrays) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise InvalidRecord(f"{type(value).__name__} has no JSON form")


def _typed(kind: Any, value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return _one_of(get_args(kind), value, arrays)
    if origin is np.ndarray:
        return arrays[value["array"]]
    if origin is tuple:
        return _tuple(get_args(kind), value, arrays)
    if is_dataclass(kind):
        return _record(kind, value, arrays)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if kind is datetime:
        return datetime.fromisoformat(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(kind, type) and isinstance(value, kind) and isinstance(value, bool) == (kind is bool):
        return value
    raise InvalidRecord(f"expected {kind}, found {type(value).__name__}")


def _one_of(kinds: tuple[Any, ...], value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    if value is None and type(None) in kinds:
        return None
    candidates = [kind for kind in kinds if kind is not type(None)]
    if isinstance(value, dict) and "type" in value:
        candidates = [kind for kind in candidates if getattr(kind, "__name__", "") == value["type"]]
    if len(candidates) != 1:
        raise InvalidRecord(f"cannot tell which of {kinds} is meant")
    return _typed(candidates[0], value, arrays)


def _tuple(kinds: tuple[Any, ...], value: Any, arrays: Mapping[str, NDArray[Any]]) -> tuple[Any, ...]:
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        return tuple(_typed(kinds[0], item, arrays) for item in value)
    if len(kinds) != len(value):
        raise InvalidRecord(f"expected {len(kinds)} values, found {len(value)}")
    return tuple(_typed(kind, item, arrays) for kind, item in zip(kinds, value, strict=True))


def _record(kind: Any, value: Any, arrays: Mapping[str, NDArray[Any]]) -> Any:
    """A field that was added to the record later is absent in older documents and takes its default."""
    hints = get_type_hints(kind)
    stored = [item.name for item in fields(kind) if item.name in value]
    return kind(**{name: _typed(hints[name], value[name], arrays) for name in stored})
