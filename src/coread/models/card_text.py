"""Writes a ReaderCard as card.toml; ``readers.card_file.read_card`` reads the same card back."""

import json
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

from coread.domain.cards import ReaderCard


def card_toml(card: ReaderCard, heading: str) -> str:
    """Return the card as TOML under a comment line; absent values are left out."""
    plain: list[str] = []
    tables: list[str] = []
    for item in fields(card):
        value = getattr(card, item.name)
        if is_dataclass(value):
            tables.append(_table(f"[{item.name}]", value))
        elif isinstance(value, tuple) and value and is_dataclass(value[0]):
            tables += [_nested(item.name, entry) for entry in value]
        elif value is not None:
            plain.append(f"{item.name} = {_value(value)}")
    return "\n".join([f"# {heading}", *plain, "", *tables])


def _nested(name: str, record: Any) -> str:
    """Write one entry of an array of tables, and the arrays of tables inside it after it."""
    inner = [item.name for item in fields(record) if _is_records(getattr(record, item.name))]
    text = _table(f"[[{name}]]", record, leave_out=inner)
    for key in inner:
        text += "".join("\n" + _table(f"[[{name}.{key}]]", entry) for entry in getattr(record, key))
    return text


def _table(heading: str, record: Any, leave_out: list[str] | None = None) -> str:
    lines = [heading]
    for item in fields(record):
        value = getattr(record, item.name)
        if value is not None and item.name not in (leave_out or ()):
            lines.append(f"{item.name} = {_value(value)}")
    return "\n".join(lines) + "\n"


def _is_records(value: Any) -> bool:
    return isinstance(value, tuple) and bool(value) and is_dataclass(value[0])


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Enum):
        return _value(value.value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        text = f"{value:.6f}".rstrip("0")
        return text + "0" if text.endswith(".") else text
    if isinstance(value, tuple):
        lines = [_value(entry) for entry in value]
        wide = any(isinstance(entry, str) and len(entry) > 40 for entry in value)
        return "[\n" + "".join(f"  {line},\n" for line in lines) + "]" if wide else "[" + ", ".join(lines) + "]"
    pairs = [(item.name, getattr(value, item.name)) for item in fields(value)]
    return "{ " + ", ".join(f"{key} = {_value(entry)}" for key, entry in pairs if entry is not None) + " }"
