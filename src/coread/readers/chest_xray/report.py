"""What the members say of patients that they did not learn from: logits to calibrate on, and facts for the record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import Estimate
from coread.readers.chest_xray.cohort import BOX_NAMES, INSIDE, SET, Cohort, GateImages, network_inputs
from coread.readers.chest_xray.outputs import FINDINGS, GATE, SIDE
from coread.readers.chest_xray.places import Place, place_of
from coread.readers.chest_xray.preprocess import Window, display_of_bytes, network_image
from coread.readers.planar import one_against_rest
from coread.statistics.calibration import Platt
from coread.statistics.errors import NotEstimable
from coread.statistics.intervals import clopper_pearson
from coread.statistics.roc import auc_estimate
from coread.train.crossfit import platt_of
from coread.train.fitting import Predictions, predict
from coread.train.radiographs import LabelledBox
from coread.train.samples import GATE_CHEST

PASS_SHARE = 0.985
"""Share of good images (adult, upright, frontal) that the gate lets through at the least."""
LIKELIER = 0.0
"""Log odds above which an image is never refused: an adult's frontal chest is likelier than everything else."""
_SPOILT_EVERY = 3
"""One of this many images is spoilt, or taken of what is to be refused, to see whether the gate refuses it."""


@dataclass(frozen=True, slots=True, eq=False)
class Unfit:
    """Images that are no adult's chest, and the part of each: -1 is held out, else the member that did not see it."""

    images: GateImages
    parts: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class CrossFitted:
    """Answers to the images that are not held out, each by the one member that did not learn from its patient."""

    patients: tuple[str, ...]
    truth: NDArray[np.bool_]
    said: Predictions
    view: Platt
    gate: Platt
    """Shifts the log odds of a frontal chest so that what passes is at 0 or above."""
    facts: Mapping[str, Any]
    """For training.json: inside the one source set, places, view and gate."""


def cross_fitted(
    data: Path, members: Sequence[Path], cohort: Cohort, unfit: Unfit, pass_share: float = PASS_SHARE
) -> CrossFitted:
    """Let each member answer for its part of ``cohort``, whose set lies below ``data``, and of what is to be refused.

    ``members`` are graphs of one member each, rounded as what is shipped is.
    """
    rows = np.flatnonzero(cohort.parts >= 0)
    parts = cohort.parts[rows]
    inputs = network_inputs(data / SET, [cohort.rows[i] for i in rows], SIDE)
    said = _said(members, inputs, parts)
    margins = chest_margin(said.gate)
    good = cohort.samples.gate.numpy()[rows] == GATE_CHEST
    limit = min(float(np.quantile(margins[good], 1 - pass_share)), LIKELIER)
    view = cohort.samples.view.numpy()[rows]
    known = np.isfinite(view)
    patients = tuple(cohort.rows[i].patient_id for i in rows)
    inside = np.array([cohort.rows[i].source_set == INSIDE for i in rows])
    truth = cohort.truth[rows]
    facts = {
        "inside": {
            key: _auc(truth[inside, k], said.logits[inside, k], patients, inside) for k, key in enumerate(FINDINGS)
        },
        "view_auc": _auc(view[known] == 1, said.view[known, 0], patients, known),
        "places": {key: _places(cohort, rows, said.maps, key) for key in FINDINGS},
        "gate": {
            "passed": _plain(clopper_pearson(int((margins[good] >= limit).sum()), int(good.sum()))),
            "refused": _spoilt(members, inputs, parts, limit) | _others(members, unfit, limit),
        },
    }
    curve = platt_of(said.view[known, 0], view[known] == 1)
    return CrossFitted(patients, truth, said, curve, Platt(1.0, -limit), facts)


def chest_margin(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the log odds of "frontal chest" against all other classes together, (N,)."""
    odds: NDArray[np.float64] = one_against_rest(logits)[:, GATE.index("frontal_chest")]
    return odds


def _said(members: Sequence[Path], images: NDArray[np.float32], parts: NDArray[np.int64]) -> Predictions:
    found: dict[str, NDArray[np.float32]] = {}
    for number, path in enumerate(members):
        here = np.flatnonzero(parts == number)
        if not len(here):
            continue
        said = predict(path, images[here])
        for name in Predictions.__slots__:
            values = getattr(said, name)
            found.setdefault(name, np.zeros((len(parts), *values.shape[1:]), dtype=np.float32))[here] = values
    return Predictions(**found)


def _spoilt(
    members: Sequence[Path], inputs: NDArray[np.float32], parts: NDArray[np.int64], limit: float
) -> dict[str, Any]:
    """Spoil some of the images and count how many are refused; the limit is the one that is shipped."""
    some = np.arange(0, len(inputs), _SPOILT_EVERY)
    turned = np.stack([np.rot90(image, 1 + number % 3) for number, image in enumerate(inputs[some])])
    spoilt = {"negatives": 1 - inputs[some], "turned by 90, 180 or 270 degrees": turned}
    return {
        name: _share_below(chest_margin(_said(members, images, parts[some]).gate), limit)
        for name, images in spoilt.items()
    }


def _others(members: Sequence[Path], unfit: Unfit, limit: float) -> dict[str, Any]:
    found = {}
    origins = unfit.images.origins()
    for origin in np.unique(origins):
        here = np.flatnonzero((origins == origin) & (unfit.parts >= 0))[::_SPOILT_EVERY]
        if not len(here):
            continue
        shown = [network_image(display_of_bytes(image), None, SIDE)[0] for image in unfit.images.images[here]]
        margins = chest_margin(_said(members, np.stack(shown), unfit.parts[here]).gate)
        found[str(origin)] = _share_below(margins, limit)
    return found


def _share_below(margins: NDArray[np.float64], limit: float) -> dict[str, Any]:
    return _plain(clopper_pearson(int((margins < limit).sum()), len(margins)))


def _plain(found: Estimate) -> dict[str, Any]:
    return {
        "value": round(found.value, 4), "low": round(found.low, 4), "high": round(found.high, 4), "n": found.n,
    }  # fmt: skip


def _auc(
    truth: NDArray[np.bool_], said: NDArray[np.float32], patients: Sequence[str], chosen: NDArray[np.bool_]
) -> dict[str, Any]:
    names = [name for name, taken in zip(patients, chosen, strict=True) if taken]
    try:
        found = _plain(auc_estimate(truth, said, names))
    except NotEstimable as problem:
        return {"not_estimable": str(problem)}
    return found | {"positives": int(truth.sum())}


def _places(cohort: Cohort, rows: NDArray[np.int64], maps: NDArray[np.float32], key: str) -> dict[str, Any]:
    """Over images with a radiologist's box: how often the brightest spot lies in one, and how well the boxes agree."""
    overlaps, hits = [], 0
    for row, answer in zip(rows, maps[:, FINDINGS.index(key)], strict=True):
        boxes = [box for box in cohort.rows[row].boxes if BOX_NAMES[box.finding] == key]
        if not boxes:
            continue
        place = place_of(answer, Window(0, 1, 0, 1))
        overlaps.append(max(_overlap(place, box) for box in boxes))
        down, across = place.peak
        hits += any(box.row_min <= down <= box.row_max and box.column_min <= across <= box.column_max for box in boxes)
    if not overlaps:
        return {"not_estimable": "no image has a box"}
    return {
        "spot_in_box": _plain(clopper_pearson(hits, len(overlaps))),
        "median_overlap": round(float(np.median(overlaps)), 4),
    }


def _overlap(place: Place, box: LabelledBox) -> float:
    width = min(place.column_max, box.column_max) - max(place.column_min, box.column_min)
    height = min(place.row_max, box.row_max) - max(place.row_min, box.row_min)
    shared = max(0.0, width) * max(0.0, height)
    area = (place.column_max - place.column_min) * (place.row_max - place.row_min)
    other = (box.column_max - box.column_min) * (box.row_max - box.row_min)
    return float(shared / (area + other - shared))
