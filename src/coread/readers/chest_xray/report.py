"""Measures the chest reader out of fold: findings, places, view and input gate, all as numbers with intervals."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import Estimate
from coread.readers.chest_xray.cohort import BOX_NAMES, Cohort, GateImages
from coread.readers.chest_xray.outputs import FINDINGS, GATE, SIDE
from coread.readers.chest_xray.places import Place, place_of
from coread.readers.chest_xray.preprocess import Window, display_of_bytes, network_image
from coread.statistics.calibration import Platt, fit_platt
from coread.statistics.intervals import clopper_pearson
from coread.statistics.roc import auc_estimate
from coread.train.export import fold_and_round
from coread.train.fitting import Predictions, predict, single
from coread.train.measure import OutOfFold, OutputMeasurement, measure_output
from coread.train.network import Member

MEASURED_ON = "out-of-fold, NIH ChestX-ray14 subset"
INSIDE = "boxes"
"""The source set in which every image has some finding: there the source tells nothing about normal or not."""
PASS_SHARE = 0.985
"""Share of good images (adult, upright, frontal) that the gate is set to let through."""


@dataclass(frozen=True, slots=True)
class PlaceMeasurement:
    """How well the boxes of one output fit the radiologists' boxes, over images that have one."""

    key: str
    hit: Estimate
    """Share of images whose brightest spot lies in a radiologist's box of that finding."""
    median_overlap: float
    """Median intersection over union with the best radiologist's box."""


@dataclass(frozen=True, slots=True)
class Measured:
    """Everything that card, README and calibration are written from."""

    images: int
    patients: int
    folds: int
    outputs: tuple[OutputMeasurement, ...]
    places: tuple[PlaceMeasurement, ...]
    view_auc: Estimate
    view_auc_inside: Estimate
    view: Platt
    gate: Platt
    gate_passed: Estimate
    gate_refused: tuple[tuple[str, Estimate], ...]
    command: str = "python -m coread.readers.chest_xray.recipe --data FOLDER --out FOLDER"

    def as_json(self) -> dict[str, Any]:
        """Return the record as plain data."""
        return asdict(self)


def measure_all(
    cohort: Cohort,
    gate: GateImages,
    members: Sequence[Member],
    folds: NDArray[np.int64],
    gate_folds: NDArray[np.int64],
) -> Measured:
    """Predict every image by the network that did not see its patient, and measure."""
    networks = [single(fold_and_round(member)) for member in members]
    said = _out_of_fold(networks, cohort.inputs, folds)
    inside = np.array([row.source_set == INSIDE for row in cohort.rows])
    patients = [row.patient_id for row in cohort.rows]
    cases = OutOfFold(patients, folds, inside)
    view = cohort.samples.view.numpy()
    known, anteroposterior = np.flatnonzero(np.isfinite(view)), view == 1
    known_inside = known[inside[known]]
    margins = gate_margin(said.gate)
    good = cohort.samples.gate.numpy() == GATE.index("frontal_chest")
    limit = float(np.quantile(margins[good], 1 - PASS_SHARE))
    return Measured(
        images=len(patients),
        patients=len(set(patients)),
        folds=len(members),
        outputs=tuple(
            measure_output(key, cohort.truth[:, k], said.logits[:, k], cases, measured_on=MEASURED_ON)
            for k, key in enumerate(FINDINGS)
        ),
        places=tuple(_places(cohort, said.maps, key) for key in FINDINGS),
        view_auc=auc_estimate(anteroposterior[known], said.view[known, 0], [patients[i] for i in known]),
        view_auc_inside=auc_estimate(
            anteroposterior[known_inside], said.view[known_inside, 0], [patients[i] for i in known_inside]
        ),
        view=fit_platt(said.view[known, 0], anteroposterior[known]),
        gate=Platt(1.0, -limit),
        gate_passed=_passed(margins[good], folds[good], margins[good], folds[good]),
        gate_refused=_refused(networks, cohort, gate, folds, gate_folds, margins[good], folds[good]),
    )


def gate_margin(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the log odds of "frontal chest" against all other classes together, (N,)."""
    wide = logits.astype(np.float64)
    others = wide[:, 1:]
    top = others.max(axis=1)
    return np.asarray(wide[:, 0] - (top + np.log(np.exp(others - top[:, None]).sum(axis=1))), dtype=np.float64)


def _out_of_fold(networks: Sequence[Any], images: NDArray[np.float32], folds: NDArray[np.int64]) -> Predictions:
    said: dict[str, NDArray[np.float32]] = {}
    for fold, network in enumerate(networks):
        here = np.flatnonzero(folds == fold)
        if not len(here):
            continue
        part = predict(network, images[here])
        for name in Predictions.__slots__:
            values = getattr(part, name)
            said.setdefault(name, np.zeros((len(folds), *values.shape[1:]), dtype=np.float32))[here] = values
    return Predictions(**said)


def _passed(
    margins: NDArray[np.float64],
    folds: NDArray[np.int64],
    good: NDArray[np.float64],
    good_folds: NDArray[np.int64],
) -> Estimate:
    """Count who passes when the limit is chosen on the good images of the other folds."""
    passed = 0
    for fold in np.unique(folds):
        limit = float(np.quantile(good[good_folds != fold], 1 - PASS_SHARE))
        passed += int((margins[folds == fold] >= limit).sum())
    return clopper_pearson(passed, len(margins))


def _refused(
    networks: Sequence[Any],
    cohort: Cohort,
    gate: GateImages,
    folds: NDArray[np.int64],
    gate_folds: NDArray[np.int64],
    good: NDArray[np.float64],
    good_folds: NDArray[np.int64],
) -> tuple[tuple[str, Estimate], ...]:
    turned = np.stack([np.rot90(image, 1 + number % 3) for number, image in enumerate(cohort.inputs)])
    spoilt = {"negative of an adult chest": 1 - cohort.inputs, "adult chest turned by 90, 180 or 270 degrees": turned}
    found = []
    for name, images in spoilt.items():
        margins = gate_margin(_out_of_fold(networks, images, folds).gate)
        found.append((name, _complement(_passed(margins, folds, good, good_folds))))
    origins = gate.origins()
    for origin in sorted(set(origins)):
        here = np.flatnonzero(origins == origin)
        images = np.stack([network_image(display_of_bytes(gate.images[i]), None, SIDE)[0] for i in here])
        margins = gate_margin(_out_of_fold(networks, images, gate_folds[here]).gate)
        found.append((str(origin), _complement(_passed(margins, gate_folds[here], good, good_folds))))
    return tuple(found)


def _complement(passed: Estimate) -> Estimate:
    return Estimate(1 - passed.value, 1 - passed.high, 1 - passed.low, passed.n)


def _places(cohort: Cohort, maps: NDArray[np.float32], key: str) -> PlaceMeasurement:
    channel, whole = FINDINGS.index(key), Window(0, 1, 0, 1)
    overlaps, hits = [], 0
    for number, row in enumerate(cohort.rows):
        boxes = [box for box in row.boxes if BOX_NAMES[box.finding] == key]
        if not boxes:
            continue
        place = place_of(maps[number, channel], whole)
        overlaps.append(max(_overlap(place, box) for box in boxes))
        row_share, column_share = place.peak
        hits += any(
            box.row_min <= row_share <= box.row_max and box.column_min <= column_share <= box.column_max
            for box in boxes
        )
    return PlaceMeasurement(key, clopper_pearson(hits, len(overlaps)), float(np.median(overlaps)))


def _overlap(place: Place, box: Any) -> float:
    width = min(place.column_max, box.column_max) - max(place.column_min, box.column_min)
    height = min(place.row_max, box.row_max) - max(place.row_min, box.row_min)
    shared = max(0.0, width) * max(0.0, height)
    area = (place.column_max - place.column_min) * (place.row_max - place.row_min)
    other = (box.column_max - box.column_min) * (box.row_max - box.row_min)
    return float(shared / (area + other - shared))
