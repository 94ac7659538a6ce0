"""What is known exactly: the values a caller may state for each phantom, and the truth file that goes with a series."""

import dataclasses
import types
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np

from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.scene import Measured
from coread.phantoms.reference.shapes import Triple

T = TypeVar("T")


def stated(
    default: Any, help_text: str, *, low: float | None = None, high: float | None = None, choices: Sequence[str] = ()
) -> Any:
    """Declare one value of a phantom's truth: default, meaning with unit, and what is allowed."""
    return field(default=default, metadata={"help": help_text, "low": low, "high": high, "choices": tuple(choices)})


def checked(record: Any) -> None:
    """Raise BadTruth where a field of a truth record lies outside what it declares (call it in ``__post_init__``)."""
    for item in fields(record):
        value = getattr(record, item.name)
        for one in value if isinstance(value, tuple) else (value,):
            _check_one(item.name, one, item.metadata)


def _check_one(name: str, value: Any, rules: "types.MappingProxyType[Any, Any]") -> None:
    low, high, choices = rules.get("low"), rules.get("high"), rules.get("choices", ())
    if isinstance(value, str):
        if choices and value not in choices:
            raise BadTruth(f"{name}={value}: one of {', '.join(c or 'empty' for c in choices)}")
        return
    if not np.isfinite(value):
        raise BadTruth(f"{name}={value}: a finite number")
    if (low is not None and value < low) or (high is not None and value > high):
        raise BadTruth(f"{name}={value:g}: {'any' if low is None else f'{low:g}'} to "
                       f"{'any' if high is None else f'{high:g}'}")  # fmt: skip


def parsed(record: type[T], pairs: Sequence[str]) -> T:
    """Build a truth record from ``KEY=VALUE`` texts; several values are divided by commas."""
    hints = get_type_hints(record)
    known = {item.name for item in fields(record)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or key not in known:
            raise BadTruth(f"truth {pair!r}: KEY=VALUE with KEY one of {', '.join(sorted(known))}")
        if key in values:
            raise BadTruth(f"truth {key} is stated twice")
        values[key] = _converted(key, text.strip(), hints[key])
    return record(**values)


def _converted(key: str, text: str, kind: Any) -> Any:
    if get_origin(kind) is tuple:
        inner = get_args(kind)[0]
        return tuple(_converted(key, part.strip(), inner) for part in text.split(",") if part.strip())
    if kind is bool:
        if text.lower() not in ("yes", "no", "true", "false"):
            raise BadTruth(f"{key}={text}: yes or no")
        return text.lower() in ("yes", "true")
    if kind is str:
        return text
    try:
        return kind(text)
    except ValueError as problem:
        raise BadTruth(f"{key}={text}: {'a whole number' if kind is int else 'a number'}") from problem


def described(record: type[Any]) -> list[dict[str, Any]]:
    """Return the fields of a truth record for people and programs: name, default, meaning, range."""
    return [
        {
            "name": item.name,
            "default": list(item.default) if isinstance(item.default, tuple) else item.default,
            "help": item.metadata.get("help", ""),
            "low": item.metadata.get("low"),
            "high": item.metadata.get("high"),
            "choices": list(item.metadata.get("choices", ())),
        }
        for item in fields(record)
    ]


@dataclass(frozen=True, slots=True)
class Structure:
    """One structure in one examination: the continuous truth beside what the voxels of the series hold."""

    name: str
    exact: Measured
    voxel_volume_mm3: float
    """Sum of the shares of all voxels; beside ``exact`` it says what the grid alone loses."""
    center_mm: Triple
    value: float
    """HU or MR signal in the model, before blur and noise."""
    more: dict[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the JSON form; volumes in ml."""
        return {
            "name": self.name,
            "volume_ml": {
                "exact": self.exact.volume_mm3 / 1000,
                "uncertainty": self.exact.uncertainty_mm3 / 1000,
                "method": self.exact.method,
                "from_voxels": self.voxel_volume_mm3 / 1000,
            },
            "center_mm": [round(v, 4) for v in self.center_mm],
            "value": self.value,
            **self.more,
        }


def parameters(record: Any) -> dict[str, Any]:
    """Return a truth record as plain JSON values."""
    return {key: list(v) if isinstance(v, tuple) else v for key, v in dataclasses.asdict(record).items()}
