"""From what a training run left (``plan.json``, or ``head.json`` of a few-shot head) to the plan of a planned reader.

What the clinic could not give, or a plan cannot follow, is refused with what to do instead.
"""

import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coread.imaging.plan import (
    BOXES,
    CLASS,
    DENSE_BOXES,
    MASK,
    OUTLINE,
    PLACES,
    SCORE,
    BadPlan,
    PlanarPlan,
    PlannedOutput,
    in_header,
)
from coread.models.errors import BadImport

NETWORK, PLAN, HEAD = "network.onnx", "plan.json", "head.json"
HEAD_OUTPUT = "finding"
"""Output of the graph that ``coread train --head`` writes."""
_FORMS = {
    "MultiLabel": SCORE, "MultiClass": CLASS, "Ordinal": SCORE, "Boxes": BOXES, "DenseBoxes": DENSE_BOXES,
    "Segmentation": MASK, "WeakSegmentation": MASK,
}  # fmt: skip
_CODE = "write a reader (docs/how-to/write-a-reader.md)"


@dataclass(frozen=True, slots=True)
class Said:
    """One output of a run: its key on the card, its name for people, its name in the calibration, its form."""

    key: str
    label: str
    curve: str
    form: str


@dataclass(frozen=True, slots=True)
class PackedRun:
    """The plan of a run, what it says, and what the plan leaves different from the training, in words."""

    plan: PlanarPlan
    said: tuple[Said, ...]
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Part:
    """One number or map of a head: graph output, place in it, class, and the name that predictions give it."""

    output: str
    index: int
    label: str
    curve: str
    form: str


def key_of(label: str) -> str:
    """Return a label as the key of an output: lower case, words joined by underscores."""
    key = re.sub(r"[^a-z0-9]+", "_", label.lower()).strip("_")
    if not key:
        raise BadImport(f"the label {label!r} gives no key: name it with letters")
    return key


def plan_of(run: Path, curves: Collection[str]) -> PackedRun:
    """Return the plan of a run; ``curves`` are the names that the calibration has. Raises BadImport."""
    try:
        if not (run / PLAN).is_file() and (run / HEAD).is_file():
            return _head_plan(json.loads((run / HEAD).read_text(encoding="utf-8")), curves)
        return _recipe_plan(json.loads((run / PLAN).read_text(encoding="utf-8")), curves)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as problem:
        raise BadImport(f"{run} cannot be packed: {type(problem).__name__}: {problem}. Train it again.") from problem
    except BadPlan as problem:
        raise BadImport(f"{run} cannot be packed: {problem}") from problem


def _head_plan(body: Mapping[str, Any], curves: Collection[str]) -> PackedRun:
    """A line over the frozen encoder: one finding, grey squares that the image is fitted into."""
    label, side = str(body["label"]), int(body["side"])
    (said,) = _said([_Part(HEAD_OUTPUT, 0, label, label, SCORE)], curves)
    output = PlannedOutput(said.key, HEAD_OUTPUT, 0)
    made = f"A line over a frozen encoder, fitted to {body['positives']} examples with and {body['negatives']} without."
    return PackedRun(PlanarPlan((output,), side, side, fit="inset"), (said,), (made,))


def _recipe_plan(body: Mapping[str, Any], curves: Collection[str]) -> PackedRun:
    images = body["images"]
    side = images["side"]
    if len(side) != 2:
        raise BadImport(f"a run over volumes cannot be packed without code: {_CODE}")
    if images["window"] is not None:
        raise BadImport("a run with images.window reads stored values, a planned reader reads display values")
    if images.get("channels"):
        raise BadImport(f"a run over several views as channels of one image cannot be packed without code: {_CODE}")
    parts = list(_parts(body["heads"]))
    said = _said(parts, curves)
    outputs = tuple(
        PlannedOutput(one.key, part.output, part.index, one.form) for one, part in zip(said, parts, strict=True)
    )
    square = side[0] == side[1]
    plan = PlanarPlan(
        outputs, rows=int(side[0]), columns=int(side[1]), channels=3 if images["colour"] else 1,
        steps=255 if square else 0, covariates=_covariates(body.get("covariates") or []),
    )  # fmt: skip
    resized = (
        "Images that are not square are resized here by another program than when it learnt; validate the package."
    )
    return PackedRun(plan, said, () if square else (resized,))


def _covariates(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names; raises BadImport for those that no image's header carries in the words of the training."""
    wanted = tuple(str(name) for name in names)
    if missing := [name for name in wanted if not in_header(name)]:
        raise BadImport(
            f"the run reads {', '.join(missing)} beside the image, which the clinic cannot give: an image's header has "
            f"age, sex and view (view:AP). Train without, or {_CODE}"
        )
    return wanted


def _parts(heads: Sequence[Mapping[str, Any]]) -> Iterator[_Part]:
    """Yield what every head says, named as ``predictions.parquet`` names it (``train.saying``)."""
    taken: set[str] = set()
    for entry in heads:
        head, task = entry["head"], str(entry["task"])
        if task not in _FORMS:
            raise BadImport(
                f"head {head['name']!r} ({task}) gives quantities, which a plan cannot call present or absent: {_CODE}"
            )
        form, name = _FORMS[task], str(head["name"])
        labels = [str(label) for label in (head["levels"][1:] if task == "Ordinal" else head["classes"])]
        for index, label in enumerate(labels):
            own = f"{name} at least {label}" if task == "Ordinal" else f"{name}.{label}" if form in PLACES else label
            curve = own if own not in taken else f"{name}.{own}"
            taken.add(curve)
            yield _Part(name, index, f"{name} at least {label}" if task == "Ordinal" else label, curve, form)


def _said(parts: Sequence[_Part], curves: Collection[str]) -> tuple[Said, ...]:
    """Give every part its key; raises BadImport where two are the same or one was not calibrated."""
    made: dict[str, Said] = {}
    for part in parts:
        form = part.form
        if part.curve not in curves:
            if form != MASK:
                raise BadImport(
                    f"the calibration has no curve for {part.curve!r}: where every case shows it, or none does, "
                    "nothing can be calibrated. Learn from cases with and without it"
                )
            form = OUTLINE
        key = key_of(part.label)
        key = key_of(part.curve) if key in made else key
        if key in made:
            raise BadImport(f"{made[key].label!r} and {part.label!r} have the same key {key!r}: rename one")
        made[key] = Said(key, part.label, part.curve, form)
    return tuple(made.values())
