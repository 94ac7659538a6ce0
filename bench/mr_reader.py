"""How the package of MR reconstruction is locked, and what was measured of its proofs. Needs the extra ``train``.

``python -m bench.mr_reader --data FOLDER`` locks; ``python -m bench.mr_reader --measure`` reads simulated heads, writes
``measurements.json``: quality against the noise-free images, how often a drawn lesion that is not there is found to be
contradicted by the samples, and how often nothing is when nothing was drawn.

The golden case is the reader's own arithmetic on a small simulated acquisition. Graphs, where there are some, lie in
``model`` already; the ranges that a network was taught on stand in ``model/parameters.json`` under ``taught``.
"""

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import ReaderCard
from coread.domain.kspace import RAW_DATA_STORAGE
from coread.domain.reading import ModelSession, Prepared, ReaderInputs
from coread.domain.results import ReadResult, Refusal
from coread.domain.study import InstanceHeader
from coread.engine.samples import study_of
from coread.imaging.mr.masks import MaskKind, MaskPlan, sampling_mask
from coread.imaging.mr.metrics import quality
from coread.imaging.mr.simulate import Scanner, Simulated, simulated
from coread.models.golden import save_golden_case
from coread.models.package import lock_package
from coread.models.session import open_session
from coread.phantoms.mr_raw import RawTruth, make
from coread.phantoms.reference.made import Made
from coread.phantoms.reference.objects import ReferenceSeries
from coread.phantoms.reference.scan import Setup
from coread.readers import mr_reconstruction as package
from coread.readers.card_file import CARD_FILE, read_card
from coread.readers.mr_reconstruction import learned
from coread.readers.mr_reconstruction.acquisition import assembled
from coread.readers.mr_reconstruction.plane import CLASSICAL, plane_of
from coread.readers.mr_reconstruction.proofs import contradiction, lesions_for
from coread.readers.mr_reconstruction.reader import reader
from coread.readers.mr_reconstruction.reconstructing import FACTS, METHODS
from coread.train.reader_folder import lock_whole

FOLDER = Path(package.__file__).parent
SIDE = 48
TAUGHT = {
    "acceleration": [1.9, 11.0],
    "side": [96, 400],
    "coils": [4, 8],
    "signal_to_noise": 12.0,
    "source": "coread.train.mr.acquisitions.DrawPlan: what was drawn to learn from (masks of a nominal 2 to 10 times "
    "leave out 1.9 to 11 times); noise a little beyond it",
}
"""What the network was taught on."""
LEARNT_FROM = ("brain_mr_ms", "brain_mr_tumor_boxes", "brain_mr_mni152")
SEEDS = (501, 502, 503)
SPEEDS = (2.0, 4.0, 8.0)
TRUTH: dict[str, Any] = {"matrix": 160, "slices": 2, "coils": 8, "oversampling": 1, "centre_percent": 8.0}
DRAWN = (0.0, 0.15, 0.3, 0.6)
"""Contrast of lesions that are drawn into finished images; 0 is none."""
PARAMETERS = json.loads((FOLDER / "model" / "parameters.json").read_text(encoding="utf-8"))
SETTINGS = PARAMETERS["safety"]["lesions"]


def golden_samples() -> NDArray[np.complex64]:
    """Return samples (coils, a, b) of a disc with two spots, four coils."""
    return _golden().samples


def _golden() -> Simulated:
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    disc = (np.hypot(x, y) < 0.8).astype(np.float32) * 100
    disc += 60 * (np.hypot(x - 0.3, y) < 0.15) + 30 * (np.hypot(x + 0.2, y - 0.3) < 0.2)
    return simulated(disc, Scanner(coils=4), 7)


def golden_arrays() -> dict[str, NDArray[Any]]:
    """Return a prepared acquisition of one plane with every other line."""
    found = _golden()
    mask = sampling_mask(MaskPlan(MaskKind.EQUISPACED, 2.0, 0.25), (SIDE, SIDE), 7)
    return {
        "samples_0": (found.samples * mask)[np.newaxis].astype(np.complex64),
        "mask_0": mask[np.newaxis],
        "noise_0": np.array([found.noise_deviation * np.sqrt(2), 1.0]),
        "frames_0": np.ones(1, dtype=np.int64),
        "outside_0": np.zeros(1, dtype=np.int64),
    }


def lock(folder: Path = FOLDER, learnt_from: Sequence[Path] = ()) -> str:
    """Write the golden cases and lock the package; returns its digest. ``learnt_from`` are the folders of the data.

    Graphs that lie in ``model`` get golden cases and the ranges of ``TAUGHT``; a package without them has neither.
    """
    card, model = read_card(folder / CARD_FILE), folder / "model"
    graphs = [name for name in (learned.LINES, learned.POINTS) if (model / f"{name}.onnx").is_file()]
    _state_ranges(model / "parameters.json", bool(graphs))
    lock_package(model, folder / CARD_FILE)
    session = open_session(model, folder / CARD_FILE, engine="onnxruntime")
    for name in graphs:
        inputs, outputs = _seen_by(session, name)
        save_golden_case(model, "plane", inputs, outputs, graph=name)
    arrays = golden_arrays()
    save_golden_case(model, "acquisition", arrays, reader(card).infer(session, Prepared(arrays)), graph="reader")
    return lock_whole(folder, card, code=FOLDER, learnt_from=learnt_from)


def _state_ranges(path: Path, has_network: bool) -> None:
    body = json.loads(path.read_text(encoding="utf-8"))
    body.pop("taught", None)
    if has_network:
        body["taught"] = TAUGHT
    path.write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")


def _seen_by(session: ModelSession, graph: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return what a graph is given for a small plane, and what it answers."""
    kind, share = (MaskKind.EQUISPACED, 0.2) if graph == learned.LINES else (MaskKind.POISSON, 0.2)
    mask = sampling_mask(MaskPlan(kind, 3.0, share), (SIDE, SIDE), 7)
    samples = (golden_samples() * mask).astype(np.complex64)
    watched = _Watched(session)
    learned.reconstruct(watched, samples, mask)
    return watched.given, watched.answered


class _Watched:
    """A session that keeps what went through it last."""

    def __init__(self, session: ModelSession) -> None:
        self._session = session
        self.digest, self.runtime, self.parameters = session.digest, session.runtime, session.parameters
        self.given: dict[str, Any] = {}
        self.answered: dict[str, Any] = {}

    def run(self, graph: str, inputs: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Run the graph."""
        self.given, self.answered = dict(inputs), self._session.run(graph, inputs)
        return self.answered

    def calibrate(self, key: str, logit: float) -> float:
        """Ask the session."""
        return self._session.calibrate(key, logit)


def measured() -> dict[str, Any]:
    """Return what the reader makes of simulated heads of seeds that were chosen before it was written."""
    card = read_card(FOLDER / CARD_FILE)
    session = open_session(FOLDER / "model", FOLDER / CARD_FILE, engine="onnxruntime")
    rows = [_case(card, session, seed, speed) for seed in SEEDS for speed in SPEEDS]
    return {
        "data": f"simulated heads (phantom mr-raw), seeds {list(SEEDS)}, {TRUTH} and each acceleration",
        "command": "python -m bench.mr_reader --measure",
        "package": session.digest,
        "cases": rows,
    }


def _case(card: ReaderCard, session: ModelSession, seed: int, speed: float) -> dict[str, Any]:
    truth = RawTruth(**TRUTH, acceleration=speed, dicom=False)
    made = make(truth, Setup(seed=seed))
    kspace = made.kspace
    if kspace is None:
        raise SystemExit("the phantom holds no raw data")
    header = InstanceHeader("1.2", "1.3", f"1.4.{seed}", RAW_DATA_STORAGE, "1.2.840.10008.1.2.1", modality="MR")
    inputs = ReaderInputs(study_of([header]), kspaces=(kspace,), kspace_headers=(header,))
    ours = reader(card)
    prepared = ours.prepare(inputs)
    if isinstance(prepared, Refusal):
        return {"seed": seed, "acceleration": speed, "refused": prepared.reason.code.value}
    began = time.process_time()
    outputs = ours.infer(session, prepared)
    seconds = time.process_time() - began
    ending = ours.interpret(session, prepared, outputs)
    if not isinstance(ending, ReadResult):
        raise SystemExit("an acquisition that was prepared is not refused later")
    facts = dict(zip(FACTS, outputs["facts_0"].tolist(), strict=True))
    known = _noise_free(made)
    zero = assembled(np.asarray(outputs["zero_filled_0"]), kspace)[0]
    return {
        "seed": seed,
        "acceleration": speed,
        "method": METHODS[int(facts["method"])],
        "quality": asdict(quality(known, ending.images[0].voxels)),
        "zero_filled": asdict(quality(known, zero)),
        "uncertainty": _uncertainty(known, ending),
        "invented": _invented(prepared.arrays),
        "seconds_a_slice": round(seconds / len(known), 2),
        **{name: round(facts[name], 4) for name in ("residual", "held_out", "weakest", "elsewhere", "contradicted")},
    }


def _uncertainty(known: NDArray[np.float32], result: ReadResult) -> dict[str, float]:
    """Return the share of the head whose error is within 2 standard errors, and how errors go with them (Spearman).

    Means over squares of 8 x 8 pixels are ranked too: of one pixel, noise decides.
    """
    from scipy.stats import spearmanr

    error, spread = np.abs(result.images[0].voxels - known), result.maps[0].values
    inside = known > 0.1 * known.max()
    side = known.shape[-1] // 8 * 8
    blocks = [
        part[:, :side, :side].reshape(len(part), side // 8, 8, side // 8, 8).mean(axis=(2, 4))
        for part in (error * inside, spread * inside, inside)
    ]
    full = blocks[2] > 0.5
    return {
        "within_two": round(float((error <= 2 * spread)[inside].mean()), 3),
        "mean_error": round(float(error[inside].mean()), 2),
        "mean_standard_error": round(float(spread[inside].mean()), 2),
        "rank_correlation_of_pixels": round(float(spearmanr(spread[inside], error[inside])[0]), 3),
        "rank_correlation_of_squares": round(float(spearmanr(blocks[1][full], blocks[0][full])[0]), 3),
    }


def _noise_free(made: Made) -> NDArray[np.float32]:
    """Return the images (slices, rows, columns) that the samples were computed from."""
    (series,) = [one for one in made.visits[0].series if isinstance(one, ReferenceSeries)]
    return series.voxels


def _invented(arrays: Mapping[str, Any]) -> list[float]:
    """Return, for lesions of no, 15, 30 and 60 % contrast drawn into each image, what the samples contradict.

    In test lesions, the mean over planes. Their places were not among those of the test lesions.
    """
    found: list[list[float]] = []
    for number, samples in enumerate(arrays["samples_0"]):
        problem = plane_of(samples[np.newaxis], arrays["mask_0"][number : number + 1], None)
        made = problem.made(_NoSession(), CLASSICAL)
        lesions = lesions_for(made.images[0], problem.maps, SETTINGS | {"count": 6})
        if lesions is None or len(lesions.centres) < 4:
            continue
        judge = lesions_for(made.images[0], problem.maps, SETTINGS)
        row, column = lesions.centres[-1]
        y, x = np.indices(made.images.shape[1:])
        shape = np.exp(-((np.hypot(y - row, x - column) / lesions.radius) ** 4))
        unit = made.images[0] / np.maximum(np.abs(made.images[0]), 1e-12)
        level = float(np.abs(made.images[0])[row, column])
        drawn = [replace(made, images=made.images + share * level * shape * unit) for share in DRAWN]
        if judge is not None:
            found.append([contradiction(problem, one, judge) for one in drawn])
    return [round(float(value), 3) for value in np.mean(found, axis=0)] if found else []


class _NoSession:
    """The classical method asks no network."""

    digest = runtime = ""
    parameters: Mapping[str, Any] = PARAMETERS

    def run(self, graph: str, inputs: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Refuse: there is none."""
        raise SystemExit(f"{graph} of {sorted(inputs)}: no network is asked here")

    def calibrate(self, key: str, logit: float) -> float:
        """Refuse: there is nothing to calibrate."""
        raise SystemExit(f"{key} {logit}")


def main() -> None:
    """Run from the shell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="read simulated heads and write measurements.json")
    parser.add_argument("--data", type=Path, help="folder of the data that the network learnt from, for its statement")
    asked = parser.parse_args()
    if not asked.measure:
        print(lock(learnt_from=[asked.data / name for name in LEARNT_FROM] if asked.data else ()))
        return
    text = json.dumps(measured(), indent=1) + "\n"
    (FOLDER / "measurements.json").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
