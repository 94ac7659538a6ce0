"""Preprocessing as data: how an image becomes the input of a network, read from ``preprocessing.json`` of a package.

A plan holds numbers and names from closed lists, never code or expressions. It drives readers that have no code of
their own: packages that were imported, or packed from a training run. ``planned_pixels`` follows it.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, get_args, get_origin

from coread.domain.errors import Misconfigured

SCHEMA = 1
FITS = ("stretch", "centre crop", "pad", "inset")
SCORES = ("logit", "probability")
SCORE, CLASS, BOXES, DENSE_BOXES, MASK = "score", "class", "boxes", "dense boxes", "mask"
OUTLINE = "outline"
FORMS = (SCORE, CLASS, BOXES, DENSE_BOXES, MASK, OUTLINE)
PLACES = (BOXES, DENSE_BOXES, MASK, OUTLINE)
COVARIATES = "covariates"
"""Name of the graph's input for the values beside the image."""
MAX_BYTES = 1 << 20
MAX_SIDE = 4096
MAX_ROI = 512
MAX_ENTRIES = 1024
MAX_NUMBER = 1_000_000
_GRAPH = re.compile(r"[A-Za-z0-9_-]{1,64}")
_COVARIATE = re.compile(r"age|sex|sex:[MFO]|view:[A-Z0-9 ]{1,16}")


class BadPlan(Misconfigured):
    """preprocessing.json does not describe a plan that can be followed."""


@dataclass(frozen=True, slots=True)
class PlannedOutput:
    """Where one output of the card stands among the network's numbers."""

    key: str
    output: str
    index: int
    form: str = SCORE
    """What ``output`` holds: ``score`` (N, S), one number each; ``class`` (N, C), logits of classes that exclude one
    another; ``boxes`` and ``dense boxes`` (N, C + 4, R, C), maps of ``detections`` and ``dense_detections``; ``mask``
    (N, 1 or 1 + C, rows, columns), logits of one class, or of the background and the classes; ``outline`` the same
    where no probability was calibrated: present is what has a region."""


@dataclass(frozen=True, slots=True)
class PlanarPlan:
    """Single images: display values in [0, 1], fitted to a size, scaled to [low, high], then (x - mean) / std."""

    outputs: tuple[PlannedOutput, ...]
    rows: int
    columns: int
    channels: int = 1
    fit: str = "stretch"
    """``stretch`` to the size; ``centre crop`` to a square first; ``pad`` with black to keep the aspect, then resize;
    ``inset``: resize with the aspect kept, round to 1/255, and put on black, as few-shot heads are taught."""
    low: float = 0.0
    high: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    """One number per channel, or empty for none."""
    scores: str = "logit"
    """What the network gives: ``logit``, or ``probability``, which is turned back into a logit."""
    graph: str = "network"
    input: str = "image"
    steps: int = 0
    """255: areas are averaged and values rounded to 1/255, as training stores them; 0: neither."""
    covariates: tuple[str, ...] = ()
    """Values beside the image, out of its header: ``age`` (years), ``sex`` (1 male, 0 female), ``sex:F`` and
    ``view:AP`` (1 or 0); missing ones are NaN, which the network was taught to read."""

    def __post_init__(self) -> None:
        _require_names(self.graph, [self.input, *(name for item in self.outputs for name in (item.key, item.output))])
        if self.fit not in FITS or self.scores not in SCORES:
            raise BadPlan(f"fit must be one of {', '.join(FITS)} and scores one of {', '.join(SCORES)}.")
        _require_finite([self.low, self.high, *self.mean, *self.std])
        if not (1 <= self.rows <= MAX_SIDE and 1 <= self.columns <= MAX_SIDE) or self.channels not in (1, 3):
            raise BadPlan(f"a planar plan needs rows and columns from 1 to {MAX_SIDE}, and 1 or 3 channels.")
        if not self.low < self.high or self.steps not in (0, 255):
            raise BadPlan("a planar plan needs low < high, and steps 0 or 255.")
        if any(len(values) not in (0, self.channels) for values in (self.mean, self.std)) or 0.0 in self.std:
            raise BadPlan("mean and std need one number per channel, and std must not be 0.")
        if not self.outputs or any(item.index < 0 or item.form not in FORMS for item in self.outputs):
            raise BadPlan(f"a plan needs outputs with an index >= 0 and a form out of {', '.join(FORMS)}.")
        self._require_places()
        if wrong := [name for name in self.covariates if not in_header(name)]:
            raise BadPlan(f"covariate {wrong[0]!r} is not age, sex, sex:M, sex:F, sex:O or view:VALUE.")

    def _require_places(self) -> None:
        """Places go back to the image only where the whole image was stretched, and scores are logits there."""
        places = any(item.form in PLACES for item in self.outputs)
        if places and (self.fit != "stretch" or self.scores != "logit"):
            raise BadPlan("outputs with places need fit = stretch and scores = logit.")
        if self.scores != "logit" and any(item.form == CLASS for item in self.outputs):
            raise BadPlan("outputs of form class need scores = logit.")


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
        _require_names(self.graph, [self.input, self.output, *(item.key for item in self.regions)])
        _require_finite([*self.spacing_mm, *self.window, self.overlap, *(item.least_ml for item in self.regions)])
        if not self.regions or any(item.label < 1 or item.least_ml < 0 for item in self.regions):
            raise BadPlan("a volume plan needs regions with labels >= 1 and least_ml >= 0.")
        groups = [next((pair for pair in ("RL", "AP", "SI") if letter in pair), "") for letter in self.orientation]
        if sorted(groups) != ["AP", "RL", "SI"]:
            raise BadPlan("orientation needs one letter each of R or L, A or P, S or I.")
        if len(self.spacing_mm) not in (0, 3) or min(self.spacing_mm, default=1.0) <= 0:
            raise BadPlan("spacing_mm needs three numbers above 0, or none.")
        if len(self.roi) not in (0, 3) or not all(1 <= side <= MAX_ROI for side in self.roi):
            raise BadPlan(f"roi needs three sizes from 1 to {MAX_ROI}, or none.")
        if not 0.0 <= self.overlap < 1.0:
            raise BadPlan("overlap lies in [0, 1).")
        if self.window and not (len(self.window) == 4 and self.window[0] < self.window[1]):
            raise BadPlan("window needs low < high and the two new values.")


Plan = PlanarPlan | VolumePlan
_KINDS: dict[str, type[Plan]] = {"planar": PlanarPlan, "volume": VolumePlan}


def plan_from_json(document: bytes | str) -> Plan:
    """Read a plan; raises BadPlan for anything that is not exactly one: unknown key, kind, type, value or size."""
    if len(document) > MAX_BYTES:
        raise BadPlan(f"preprocessing.json has {len(document)} bytes, more than {MAX_BYTES}.")
    try:
        body = json.loads(document, parse_constant=_no_constant)
        if body.pop("schema") != SCHEMA:
            raise BadPlan(f"preprocessing.json must have schema {SCHEMA}.")
        plan: Plan = _record(_KINDS[body.pop("kind")], body)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as problem:
        raise BadPlan(f"preprocessing.json: {type(problem).__name__}: {str(problem)[:200]}.") from problem
    return plan


def plan_to_json(plan: Plan) -> str:
    """Write a plan; ``plan_from_json`` gives the same one back."""
    kind = next(name for name, record in _KINDS.items() if isinstance(plan, record))
    return json.dumps({"schema": SCHEMA, "kind": kind} | asdict(plan), indent=2, sort_keys=True) + "\n"


def in_header(covariate: str) -> bool:
    """Say whether a value beside the image can be read out of an image's header."""
    return _COVARIATE.fullmatch(covariate) is not None


def _record(kind: Any, body: Any) -> Any:
    """Build one record of plain data; every value must have the very type of its field."""
    if not isinstance(body, dict):
        raise TypeError(f"{kind.__name__} must be an object")
    known = {item.name: item.type for item in fields(kind)}
    if unknown := sorted(set(body) - set(known)):
        raise TypeError(f"{unknown[0]!r} is no part of {kind.__name__}")
    return kind(**{name: _typed(known[name], value, name) for name, value in body.items()})


def _typed(wanted: Any, value: Any, name: str) -> Any:
    if get_origin(wanted) is tuple:
        if not isinstance(value, list) or len(value) > MAX_ENTRIES:
            raise TypeError(f"{name} must be a list of at most {MAX_ENTRIES} entries")
        inner = get_args(wanted)[0]
        return tuple(_typed(inner, item, name) for item in value)
    if wanted is str:
        if not isinstance(value, str):
            raise TypeError(f"{name} must be text")
        return value
    if wanted in (int, float):
        if isinstance(value, bool) or not isinstance(value, int if wanted is int else int | float):
            raise TypeError(f"{name} must be a {'whole ' if wanted is int else ''}number")
        if not abs(value) <= MAX_NUMBER:
            raise ValueError(f"{name} is beyond {MAX_NUMBER}")
        return wanted(value)
    return _record(wanted, value)


def _require_names(graph: str, names: Sequence[str]) -> None:
    if not _GRAPH.fullmatch(graph):
        raise BadPlan("graph must be the plain name of a graph: letters, digits, _ and -.")
    if any(not 1 <= len(name) <= 200 or not name.isprintable() for name in names):
        raise BadPlan("keys, inputs and outputs need 1 to 200 printable characters.")


def _require_finite(values: Sequence[float]) -> None:
    if not all(math.isfinite(value) for value in values):
        raise BadPlan("every number of a plan must be finite.")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
