"""Preprocessing as data: how an image becomes the input of a network, read from ``preprocessing.json`` of a package.

A plan holds numbers and names from closed lists, never code or expressions. It drives readers that have no code of
their own (imported packages).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coread.domain.errors import Misconfigured
from coread.domain.images import PlanarImage

SCHEMA = 1
FITS = ("stretch", "centre crop", "pad")
SCORES = ("logit", "probability")
_AREA = Image.Resampling.BOX
_LINEAR = Image.Resampling.BILINEAR


class BadPlan(Misconfigured):
    """preprocessing.json does not describe a plan that can be followed."""


@dataclass(frozen=True, slots=True)
class PlannedOutput:
    """Where one output of the card stands among the network's numbers."""

    key: str
    output: str
    index: int


@dataclass(frozen=True, slots=True)
class PlanarPlan:
    """Single images: display values in [0, 1], fitted to a size, scaled to [low, high], then (x - mean) / std."""

    outputs: tuple[PlannedOutput, ...]
    rows: int
    columns: int
    channels: int = 1
    fit: str = "stretch"
    """``stretch`` to the size, ``centre crop`` to a square first, or ``pad`` with black to keep the aspect."""
    low: float = 0.0
    high: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    """One number per channel, or empty for none."""
    scores: str = "logit"
    """What the network gives: ``logit``, or ``probability``, which is turned back into a logit."""
    graph: str = "network"
    input: str = "image"

    def __post_init__(self) -> None:
        if self.fit not in FITS or self.scores not in SCORES:
            raise BadPlan(f"fit must be one of {', '.join(FITS)} and scores one of {', '.join(SCORES)}.")
        if min(self.rows, self.columns) < 1 or self.channels not in (1, 3) or not self.low < self.high:
            raise BadPlan("a planar plan needs rows, columns >= 1, 1 or 3 channels, and low < high.")
        if any(len(values) not in (0, self.channels) for values in (self.mean, self.std)) or 0.0 in self.std:
            raise BadPlan("mean and std need one number per channel, and std must not be 0.")
        if not self.outputs or any(item.index < 0 for item in self.outputs):
            raise BadPlan("a plan needs outputs with an index >= 0.")


@dataclass(frozen=True, slots=True)
class PlannedRegion:
    """One label of a segmentation and the output of the card that it answers."""

    key: str
    label: int
    least_ml: float = 0.0
    """Smaller regions count as absent."""


@dataclass(frozen=True, slots=True)
class VolumePlan:
    """Whole volumes. Without ``roi`` the modality values go to ``graph`` with their affine, and it gives a label map on
    the same grid. With it they are turned, resampled and scaled, and the graph reads them window by window."""

    regions: tuple[PlannedRegion, ...]
    graph: str = "process"
    input: str = "volume"
    output: str = "scores"
    """Of the graph: (1, classes, *roi); the class with the highest mean score is the label."""
    orientation: str = "RAS"
    """Where the three axes of the network's input lead to, as letters of R L A P S I."""
    spacing_mm: tuple[float, ...] = ()
    """Along the axes of ``orientation``; empty: as it comes."""
    window: tuple[float, ...] = ()
    """(low, high, new low, new high): values are clipped to low and high and scaled; empty: as they are."""
    roi: tuple[int, ...] = ()
    """Size of a window along the axes of ``orientation``."""
    overlap: float = 0.25
    """Share of a window that the next one repeats."""

    def __post_init__(self) -> None:
        if not self.regions or any(item.label < 1 or item.least_ml < 0 for item in self.regions):
            raise BadPlan("a volume plan needs regions with labels >= 1 and least_ml >= 0.")
        groups = [next((pair for pair in ("RL", "AP", "SI") if letter in pair), "") for letter in self.orientation]
        if sorted(groups) != ["AP", "RL", "SI"]:
            raise BadPlan("orientation needs one letter each of R or L, A or P, S or I.")
        if len(self.spacing_mm) not in (0, 3) or min(self.spacing_mm, default=1.0) <= 0:
            raise BadPlan("spacing_mm needs three numbers above 0, or none.")
        if len(self.roi) not in (0, 3) or min(self.roi, default=1) < 1 or not 0.0 <= self.overlap < 1.0:
            raise BadPlan("roi needs three sizes, or none, and overlap lies in [0, 1).")
        if self.window and not (len(self.window) == 4 and self.window[0] < self.window[1]):
            raise BadPlan("window needs low < high and the two new values.")


Plan = PlanarPlan | VolumePlan
_KINDS: dict[str, type[Plan]] = {"planar": PlanarPlan, "volume": VolumePlan}


def plan_from_json(document: bytes | str) -> Plan:
    """Read a plan; raises BadPlan for an unknown key, kind or value."""
    try:
        body = json.loads(document)
        if body.pop("schema") != SCHEMA:
            raise BadPlan(f"preprocessing.json must have schema {SCHEMA}.")
        kind = _KINDS[body.pop("kind")]
        return kind(**{name: _value(name, value) for name, value in body.items()})
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise BadPlan(f"preprocessing.json: {type(problem).__name__}: {problem}.") from problem


def plan_to_json(plan: Plan) -> str:
    """Write a plan; ``plan_from_json`` gives the same one back."""
    kind = next(name for name, record in _KINDS.items() if isinstance(plan, record))
    return json.dumps({"schema": SCHEMA, "kind": kind} | asdict(plan), indent=2, sort_keys=True) + "\n"


def planned_array(plan: PlanarPlan, image: PlanarImage) -> NDArray[np.float32]:
    """Return the network's input (channels, rows, columns) of one image; padding is black."""
    planes = _planes(plan, image)
    fitted = np.stack([_fitted(plan, plane) for plane in planes])
    scaled = plan.low + fitted * np.float32(plan.high - plan.low)
    if plan.mean:
        scaled = scaled - np.asarray(plan.mean, dtype=np.float32)[:, None, None]
    if plan.std:
        scaled = scaled / np.asarray(plan.std, dtype=np.float32)[:, None, None]
    return np.asarray(scaled, dtype=np.float32)


def _planes(plan: PlanarPlan, image: PlanarImage) -> list[NDArray[np.float32]]:
    if plan.channels == 3 and image.colour is not None:
        planes = [image.colour[..., channel] for channel in range(3)]
    else:
        planes = [image.pixels] * plan.channels
    if image.valid is None:
        return planes
    return [np.where(image.valid, plane, np.float32(0.0)) for plane in planes]


def _fitted(plan: PlanarPlan, plane: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = plane.shape
    if plan.fit == "centre crop":
        side = min(rows, columns)
        top, left = (rows - side) // 2, (columns - side) // 2
        plane = plane[top : top + side, left : left + side]
    elif plan.fit == "pad":
        scale = max(rows / plan.rows, columns / plan.columns)
        wide = (max(rows, round(plan.rows * scale)), max(columns, round(plan.columns * scale)))
        padded = np.zeros(wide, dtype=np.float32)
        top, left = (wide[0] - rows) // 2, (wide[1] - columns) // 2
        padded[top : top + rows, left : left + columns] = plane
        plane = padded
    return _resized(np.ascontiguousarray(plane, dtype=np.float32), plan.rows, plan.columns)


def _resized(plane: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Average areas where the image gets smaller, draw lines between pixels where it gets larger."""
    if plane.shape == (rows, columns):
        return plane
    method = _AREA if plane.shape[0] >= rows and plane.shape[1] >= columns else _LINEAR
    return np.asarray(Image.fromarray(plane).resize((columns, rows), method), dtype=np.float32)


def _value(name: str, value: Any) -> Any:
    if name == "outputs":
        return tuple(PlannedOutput(**_exact(item)) for item in value)
    if name == "regions":
        return tuple(PlannedRegion(**_exact(item)) for item in value)
    if name in ("mean", "std", "spacing_mm", "window"):
        return tuple(float(item) for item in value)
    if name == "roi":
        return tuple(int(item) for item in value)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise TypeError(f"{name} must be text or a number")
    return value


def _exact(item: Mapping[str, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in item.items()}
