"""The quality to expect of fewer lines: what was measured of the reader's own networks, never an estimate between."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coread.app.errors import AppError
from coread.domain.errors import Misconfigured
from coread.imaging.mr.masks import MaskPlan
from coread.models.lineage import sha256_of
from coread.readers.registry import InstalledReader

MEASUREMENTS = ("network_measurements.json", "measurements.json")
"""Files of a reader that may hold a part ``quality`` (``bench/mr_learned.py`` writes it); the first one counts."""
METHOD = "learned"
"""Which of the compared methods the reader's networks are."""
_FURTHEST = 1.5
"""What was measured at more than so many times more or fewer lines says nothing about a plan."""


class BadMeasurements(AppError, Misconfigured):
    """The measurements that come with a reader cannot be read; the message names the file."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A mean over slices with its 95 % interval over patients; no interval where there were too few of them."""

    mean: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class ExpectedQuality:
    """What was measured in the data of one source; ``all`` is every source together."""

    source: str
    slices: int
    patients: int
    psnr: Figure
    """dB."""
    ssim: Figure


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is known of one kind of mask at the measured acceleration that is nearest to the planned one."""

    mask: str
    acceleration: float | None
    """At which was measured; ``None`` where nothing fits."""
    simulated: bool
    """Samples were left out of simulated acquisitions, not of a scanner's."""
    sources: tuple[ExpectedQuality, ...]
    command: str
    """What measures it again."""
    not_measured: str = ""
    """Why nothing is stated; empty where something is."""

    def document(self) -> dict[str, Any]:
        """Return it as plain data."""
        if self.not_measured:
            return {"measured": False, "reason": self.not_measured}
        return {
            "measured": True,
            "mask": self.mask,
            "measured_acceleration": self.acceleration,
            "acquisitions": "simulated" if self.simulated else "measured by a scanner",
            "sources": [
                {"source": one.source, "slices": one.slices, "patients": one.patients}
                | {"psnr_db": _plain(one.psnr), "ssim": _plain(one.ssim)}
                for one in self.sources
            ],
            "command": self.command,
        }


def expected_quality(installed: InstalledReader, plan: MaskPlan) -> Expectation:
    """Return what was measured for a kind of mask near an acceleration, by source.

    Only figures of the very networks that are installed count. Raises BadMeasurements where a file is damaged.
    """
    for name in MEASUREMENTS:
        path = installed.folder / name
        document = _read(path) if path.is_file() else {}
        if isinstance(document.get("quality"), dict):
            if not _same_networks(document, installed.model_folder):
                return _none(plan, f"the figures in {name} are those of other networks than the installed ones")
            return _nearest(path, document["quality"], plan)
    return _none(plan, f"reader {installed.card.reader_id} comes without measurements of its images")


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as problem:
        raise BadMeasurements(f"{path} cannot be read: {problem}") from problem
    if not isinstance(document, dict):
        raise BadMeasurements(f"{path} is not a document of measurements")
    return document


def _same_networks(document: Mapping[str, Any], model: Path) -> bool:
    given = document.get("graphs_sha256")
    if not isinstance(given, dict) or not given:
        return False
    files = {str(name): model / f"{name}.onnx" for name in given}
    return all(path.is_file() and sha256_of(path) == given[name] for name, path in files.items())


def _nearest(path: Path, quality: Mapping[str, Any], plan: MaskPlan) -> Expectation:
    try:
        groups = [row for row in quality["groups"] if (row["method"], row["mask"]) == (METHOD, plan.kind.value)]
        if not groups:
            return _none(plan, f"no figures of {plan.kind.value} lines")
        speeds = sorted({float(row["acceleration"]) for row in groups}, key=lambda one: _apart(one, plan.acceleration))
        if _apart(speeds[0], plan.acceleration) > math.log(_FURTHEST) + 1e-9:
            known = ", ".join(f"{speed:g}" for speed in sorted(speeds))
            return _none(plan, f"{plan.kind.value} lines were measured at accelerations {known} only")
        found = tuple(_row(row) for row in groups if float(row["acceleration"]) == speeds[0])
        command = str(quality.get("command", ""))
        return Expectation(plan.kind.value, speeds[0], "scanner" in quality, found, command)
    except (KeyError, TypeError, ValueError) as problem:
        raise BadMeasurements(f"{path}: the part quality is not as it should be ({problem!r})") from problem


def _apart(one: float, other: float) -> float:
    """Return how far apart two accelerations are: by their ratio, 2 to 4 is as far as 4 to 8."""
    return abs(math.log(one / other))


def _row(row: Mapping[str, Any]) -> ExpectedQuality:
    return ExpectedQuality(
        str(row["source"]), int(row["slices"]), int(row["patients"]), _figure(row["psnr"]), _figure(row["ssim"])
    )


def _figure(given: Mapping[str, Any]) -> Figure:
    bounds: Sequence[float | None] = [float(given[name]) if name in given else None for name in ("low", "high")]
    return Figure(float(given["mean"]), bounds[0], bounds[1])


def _plain(figure: Figure) -> dict[str, float]:
    named = {"mean": figure.mean, "low": figure.low, "high": figure.high}
    return {name: value for name, value in named.items() if value is not None}


def _none(plan: MaskPlan, why: str) -> Expectation:
    return Expectation(plan.kind.value, None, simulated=False, sources=(), command="", not_measured=why)
