"""card.toml to ReaderCard: strict, so that a typing error in a card is found when it is written, not in use.

The keys of the file are the fields of the records in ``domain/cards.py``; an absent optional key means ``None``.
"""

import re
import tomllib
import types
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from coread.domain.cards import InputContract, OutputSpec, ReaderCard
from coread.domain.errors import InvalidRecord
from coread.readers.errors import BadCard

CARD_FILE = "card.toml"
_READER_ID = re.compile(r"[a-z][a-z0-9_]{1,39}")
_OUTPUT_KEY = re.compile(r"[a-z][a-z0-9_]{0,39}")
_PRESENTATIONS = ("planar", "volume", "loop", "kspace")
_VOLUMES = ("one", "all")
_GAPS = ("refuse", "resample")
_WORDS: dict[object, str] = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}

Record = TypeVar("Record")


class _Wrong(Exception):
    """What is wrong at which key; turned into BadCard with the file's name at the border of this module."""


def read_card(path: Path) -> ReaderCard:
    """Read and check one card file; raises BadCard naming the file, the key and how to mend it."""
    try:
        with path.open("rb") as stream:
            body = tomllib.load(stream)
        card = _record(ReaderCard, body, "")
        _check(card)
    except FileNotFoundError as problem:
        raise BadCard(f"{path} is missing: a reader is a folder with a {CARD_FILE}.") from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise BadCard(f"{path} cannot be read: {problem}.") from problem
    except tomllib.TOMLDecodeError as problem:
        raise BadCard(f"{path} is not valid TOML: {problem}.") from problem
    except (_Wrong, InvalidRecord) as problem:
        raise BadCard(f"{path}: {problem}") from problem
    return card


def _record(kind: type[Record], body: Any, where: str) -> Record:
    if not isinstance(body, dict):
        raise _Wrong(f"{where or 'the file'} must be a table of {kind.__name__}. Write [{where}].")
    hints = get_type_hints(kind)
    known = {item.name: item for item in fields(cast(Any, kind))}
    for key in body:
        if key not in known:
            raise _Wrong(f"key {_at(where, key)!r} is unknown. Remove it, or use one of: {', '.join(known)}.")
    values: dict[str, Any] = {}
    for name, item in known.items():
        if name in body:
            values[name] = _value(hints[name], body[name], _at(where, name))
        elif type(None) in get_args(hints[name]):
            values[name] = None
        elif item.default is MISSING:
            raise _Wrong(f"key {_at(where, name)!r} is missing. Add it ({_expected(hints[name])}).")
    try:
        return kind(**values)
    except InvalidRecord as problem:
        raise _Wrong(f"{where or 'the card'}: {problem}.") from problem


def _value(kind: Any, value: Any, where: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        (kind,) = (item for item in get_args(kind) if item is not type(None))
        return _value(kind, value, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise _Wrong(f"key {where!r} must be a list. Write [...], or [] for none.")
        return tuple(_value(get_args(kind)[0], item, f"{where}[{index}]") for index, item in enumerate(value))
    if is_dataclass(kind):
        return _record(cast(type[Any], kind), value, where)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return _member(kind, value, where)
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise _Wrong(f"key {where!r} must be {_expected(kind)}, found {value!r}.")
    if kind is str and not value.strip():
        raise _Wrong(f"key {where!r} is empty. Say it in words.")
    return value


def _member(kind: type[Enum], value: Any, where: str) -> Enum:
    for member in kind:
        if member.value == value:
            return member
    raise _Wrong(f"key {where!r} is {value!r}; use one of: {', '.join(str(member.value) for member in kind)}.")


def _expected(kind: Any) -> str:
    if get_origin(kind) is tuple:
        return "a list; [] means any or none"
    if is_dataclass(kind):
        return f"a table with {', '.join(item.name for item in fields(kind))}"
    if isinstance(kind, type) and issubclass(kind, Enum):
        return "one of " + ", ".join(str(member.value) for member in kind)
    return _WORDS.get(kind, str(kind))


def _at(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _check(card: ReaderCard) -> None:
    if not _READER_ID.fullmatch(card.reader_id):
        raise _Wrong(f"key 'reader_id' is {card.reader_id!r}; use lower case letters, digits and _, at most 40.")
    if not card.research_use:
        raise _Wrong("key 'research_use' must be true: no reader of this system is a medical device.")
    _check_input(card.input)
    if card.resources.memory_mb < 1 or card.resources.seconds <= 0:
        raise _Wrong("keys 'resources.memory_mb' and 'resources.seconds' must be above 0.")
    if not card.outputs:
        raise _Wrong("no [[outputs]]: a reader reports at least one finding. Add one.")
    if len({output.key for output in card.outputs}) != len(card.outputs):
        raise _Wrong("two [[outputs]] have the same key. Give each its own.")
    for output in card.outputs:
        _check_output(output)


def _check_input(contract: InputContract) -> None:
    if contract.presentation not in _PRESENTATIONS:
        raise _Wrong(f"key 'input.presentation' must be one of {', '.join(_PRESENTATIONS)}.")
    if contract.volumes not in _VOLUMES:
        raise _Wrong(f"key 'input.volumes' must be one of {', '.join(_VOLUMES)}.")
    if contract.gaps not in _GAPS:
        raise _Wrong(f"key 'input.gaps' must be one of {', '.join(_GAPS)}.")
    if not 1 <= contract.min_images <= contract.max_images:
        raise _Wrong("keys 'input.min_images' and 'input.max_images' need 1 <= min <= max.")
    if min(contract.min_rows, contract.min_columns, contract.max_pixels) < 1:
        raise _Wrong("keys 'input.min_rows', 'input.min_columns' and 'input.max_pixels' must be at least 1.")
    if contract.max_priors < 0 or not 0 < contract.prior_years <= 150:
        raise _Wrong("key 'input.max_priors' must be at least 0 and 'input.prior_years' lie in (0, 150].")
    if contract.companion_series_words and contract.presentation != "volume":
        raise _Wrong("key 'input.companion_series_words' is for readers of volumes: leave it out.")
    if contract.min_coils < 1 or (contract.min_coils > 1 and contract.presentation != "kspace"):
        raise _Wrong("key 'input.min_coils' must be at least 1 and is for readers of raw data.")
    youngest, oldest = contract.min_age_years, contract.max_age_years
    if youngest is not None and oldest is not None and youngest > oldest:
        raise _Wrong("keys 'input.min_age_years' and 'input.max_age_years' contradict each other.")


def _check_output(output: OutputSpec) -> None:
    where = f"outputs {output.key!r}"
    if not _OUTPUT_KEY.fullmatch(output.key):
        raise _Wrong(f"{where}: use lower case letters, digits and _ in 'key', at most 40.")
    names = [point.name for point in output.operating_points]
    if output.default_operating_point not in names or len(set(names)) != len(names):
        raise _Wrong(
            f"{where}: 'default_operating_point' is {output.default_operating_point!r}; "
            f"the operating points are {', '.join(names) or 'none'} (each name once)."
        )
    estimates = [] if output.auc is None else [output.auc]
    for point in output.operating_points:
        if not 0.0 < point.threshold < 1.0:
            raise _Wrong(f"{where}: threshold {point.threshold} of {point.name!r} must lie between 0 and 1.")
        estimates += [item for item in (point.sensitivity, point.specificity) if item is not None]
    if any(not 0.0 <= estimate.low <= estimate.high <= 1.0 for estimate in estimates):
        raise _Wrong(f"{where}: AUC, sensitivity and specificity are proportions in [0, 1], with their interval.")
