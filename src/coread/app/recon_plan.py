"""What an examination would save with fewer lines, what quality is to be expected, and the lines for the scanner."""

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from coread.app.errors import AppError, NothingFound
from coread.domain.errors import InvalidRecord, Misconfigured
from coread.imaging.mr.masks import BadSampling, MaskKind, MaskPlan, sampling_mask
from coread.imaging.mr.planning import PlannedSequence, SequenceTiming, planned

EXAMPLE = "brain-example"
"""A protocol that comes with the program, with round numbers: an example, not the protocol of any site."""
_EXAMPLE_SEQUENCES = (
    SequenceTiming("T1 spin echo, axial", lines=256, repetition_time_ms=550, averages=1, packages=2, fixed_seconds=10),
    SequenceTiming("T2 turbo spin echo, axial", 384, 5000, echo_train=16, averages=2, fixed_seconds=15),
    SequenceTiming("FLAIR, axial", 256, 9000, echo_train=21, packages=2, fixed_seconds=15),
    SequenceTiming("T1 gradient echo 3D, sagittal", 256, 2300, partitions=176, echo_train=176, fixed_seconds=10),
    SequenceTiming("T2* gradient echo, axial", 256, 700, packages=1, fixed_seconds=10),
    SequenceTiming("T1 spin echo after contrast, axial", 256, 550, packages=2, fixed_seconds=10),
)
_MAX_SEQUENCES = 100
_ANY_READOUT = 8
"""Masks of lines are the same along the readout."""


class BadProtocol(AppError, Misconfigured):
    """The description of an examination cannot be read; the message names the line that is wrong."""


@dataclass(frozen=True, slots=True)
class Protocol:
    """An examination: its sequences, where they are described, and what could not be planned, with the reason."""

    name: str
    sequences: tuple[SequenceTiming, ...]
    left_out: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Plan:
    """What is planned for each sequence, and the sum."""

    protocol: Protocol
    mask: MaskPlan
    seed: int
    sequences: tuple[PlannedSequence, ...]

    @property
    def seconds_now(self) -> float:
        """Return the duration of all planned sequences today."""
        return sum(item.seconds_now for item in self.sequences)

    @property
    def seconds_planned(self) -> float:
        """Return their duration with fewer lines; sequences that are faster already stay."""
        return sum(item.seconds_now - item.seconds_saved for item in self.sequences)

    def document(self) -> dict[str, Any]:
        """Return the plan as plain data."""
        return {
            "protocol": self.protocol.name,
            "acceleration": self.mask.acceleration,
            "mask": self.mask.kind.value,
            "centre_share": round(self.mask.fraction, 4),
            "seed": self.seed,
            "seconds_now": round(self.seconds_now, 1),
            "seconds_planned": round(self.seconds_planned, 1),
            "minutes_saved": round((self.seconds_now - self.seconds_planned) / 60, 2),
            "sequences": [_row(item) for item in self.sequences],
            "left_out": [{"sequence": name, "reason": reason} for name, reason in self.protocol.left_out],
        }


def read_protocol(named: str) -> Protocol:
    """Return the protocol of that name, TOML file, or folder of DICOM series.

    Raises BadProtocol or NothingFound with what to do.
    """
    if named == EXAMPLE:
        return Protocol(EXAMPLE, _EXAMPLE_SEQUENCES)
    path = Path(named)
    if path.is_dir():
        return _protocol_of_series(path)
    if not path.is_file():
        raise NothingFound(
            f"no protocol {named}: name a TOML file, a folder of MR series, or {EXAMPLE} (round numbers to try it)"
        )
    return _protocol_of_file(path)


def plan(protocol: Protocol, mask: MaskPlan, seed: int = 0) -> Plan:
    """Plan every sequence of a protocol; raises BadProtocol where the mask cannot be had for its lines."""
    made = tuple(planned(timing, len(mask_lines(timing, mask, seed))) for timing in protocol.sequences)
    return Plan(protocol, mask, seed, made)


def mask_lines(timing: SequenceTiming, mask: MaskPlan, seed: int = 0) -> tuple[int, ...]:
    """Return the numbers (from 0) of the lines to be measured, in order; the same wish gives the same lines.

    Raises BadProtocol for masks of points, which are no lines, and where the sequence has too few lines.
    """
    import numpy as np

    if mask.kind is MaskKind.POISSON:
        raise BadProtocol("poisson chooses points of two phase encodings; plan with random, equispaced or magic")
    try:
        drawn = sampling_mask(mask, (timing.lines, _ANY_READOUT), seed)
    except BadSampling as problem:
        raise BadProtocol(f"sequence {timing.name!r}: {problem}") from problem
    return tuple(int(line) for line in np.flatnonzero(drawn[:, 0]))


def write_mask(path: Path, timing: SequenceTiming, mask: MaskPlan, seed: int = 0) -> int:
    """Write the lines of one sequence for the scanner, one number (from 0) a row; returns how many there are.

    A file that is there is replaced whole or not at all.
    """
    lines = mask_lines(timing, mask, seed)
    head = (
        f"# {timing.name}: {len(lines)} of {timing.lines} phase-encoding lines, the centre of k-space is line "
        f"{timing.lines // 2}\n# {mask.kind.value}, acceleration {mask.acceleration:g}, centre {mask.fraction:g}, "
        f"seed {seed}. Research use only.\nline\n"
    )
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(head + "".join(f"{line}\n" for line in lines), encoding="utf-8")
    beside.replace(path)
    return len(lines)


def _protocol_of_series(folder: Path) -> Protocol:
    from coread.imaging.mr.series_timing import timings_of

    timings, refused = timings_of(sorted(path for path in folder.rglob("*") if path.is_file()))
    if not timings:
        told = "; ".join(f"{name}: {reason}" for name, reason in refused) or "no MR series"
        raise NothingFound(f"no sequence to plan below {folder} ({told})")
    return Protocol(str(folder), timings, refused)


def _protocol_of_file(path: Path) -> Protocol:
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise BadProtocol(f"{path}: {problem}") from problem
    rows = table.get("sequences")
    if not isinstance(rows, list) or not 1 <= len(rows) <= _MAX_SEQUENCES:
        raise BadProtocol(f"{path}: needs 1 to {_MAX_SEQUENCES} tables [[sequences]]")
    return Protocol(str(table.get("name", path.stem)), tuple(_sequence(path, n, row) for n, row in enumerate(rows, 1)))


def _sequence(path: Path, number: int, row: Any) -> SequenceTiming:
    known: Mapping[str, Any] = {field.name: field.type for field in fields(SequenceTiming)}
    if not isinstance(row, dict) or (unknown := sorted(row.keys() - known.keys())):
        told = f"unknown {', '.join(unknown)}; known: {', '.join(known)}" if isinstance(row, dict) else "no table"
        raise BadProtocol(f"{path}, sequence {number}: {told}")
    try:
        return SequenceTiming(**{name: _number(name, value, known[name]) for name, value in row.items()})
    except (TypeError, InvalidRecord) as problem:
        raise BadProtocol(f"{path}, sequence {number}: {problem}") from problem


def _number(name: str, value: Any, kind: Any) -> Any:
    if kind is str:
        return str(value)
    whole = isinstance(value, int) and not isinstance(value, bool)
    if whole or (kind is float and isinstance(value, float)):
        return kind(value)
    raise TypeError(f"{name} = {value!r} is no {'whole number' if kind is int else 'number'}")


def _row(item: PlannedSequence) -> dict[str, Any]:
    return {
        "sequence": item.timing.name,
        "lines": item.timing.lines,
        "lines_measured": item.lines,
        "seconds_now": round(item.seconds_now, 1),
        "seconds_planned": round(item.seconds_planned, 1),
        "kept_as_it_is": item.kept,
    }


def sequence_named(protocol: Protocol, name: str) -> SequenceTiming:
    """Return the sequence whose name holds these words, or the only one; raises NothingFound naming the others."""
    found: Sequence[SequenceTiming] = [item for item in protocol.sequences if name.lower() in item.name.lower()]
    if len(found) == 1:
        return found[0]
    names = ", ".join(item.name for item in protocol.sequences)
    raise NothingFound(f"{len(found)} sequences are called {name!r}; {protocol.name} has {names}")
