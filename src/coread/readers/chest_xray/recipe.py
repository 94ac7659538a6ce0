"""How the shipped network was made: ``python -m coread.readers.chest_xray.recipe --data FOLDER --out FOLDER``.

Needs the extras ``train`` and ``start`` (weights to begin the encoder with). Steps, each kept in ``--out`` and not done
twice: fit three members, each without one third of the patients that are not held out, all layers learning; calibrate
on what they say of it; export their mean; lock; measure the locked package on the held-out patients; write card,
validation and page.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.readers.chest_xray.cohort import (
    AUXILIARY,
    MEMBERS,
    SEED,
    SET,
    SMALL_SETS,
    Cohort,
    GateImages,
    read_cohort,
    read_gate_images,
)
from coread.readers.chest_xray.outputs import FINDINGS, GATE
from coread.readers.chest_xray.packaging import release_reader, write_graph
from coread.readers.chest_xray.report import PASS_SHARE, Unfit, cross_fitted
from coread.train.efficientnet_lite import imagenet_weights
from coread.train.fitting import FitPlan, fit, use_threads
from coread.train.network import FindingNetwork, NetworkPlan
from coread.train.reader_folder import install
from coread.train.samples import GATE_CHEST, BatchPlan, Samples, joined, only_for_gate
from coread.train.splits import patient_folds

SHAPE = NetworkPlan(findings=len(FINDINGS), gate_classes=len(GATE), auxiliary=len(AUXILIARY) + 2)
FIT = FitPlan(sides=((224, 5), (320, 6)), batch=BatchPlan(main=16, gate=3), seed=SEED)
GATE_LIMIT = 250
"""About how many images of each set for the gate are read."""
log = logging.getLogger("coread.train")


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the data lie, where the work goes, and how much of it is done."""

    data: Path
    out: Path
    shape: NetworkPlan = SHAPE
    fit: FitPlan = FIT
    gate_limit: int = GATE_LIMIT
    refused_each: int = 20
    """About how many held-out images of each of these sets are measured."""
    pass_share: float = PASS_SHARE
    """Share of good images that the gate is set to let through."""
    from_nothing: bool = False
    """Begin with random weights instead of learnt ones."""


def fast(settings: Settings) -> Settings:
    """Return settings that run through every step in seconds and learn next to nothing."""
    return replace(
        settings,
        shape=replace(settings.shape, map_width=8, head_width=8),
        fit=replace(settings.fit, sides=((64, 1), (96, 1)), batch=BatchPlan(main=12, gate=2)),
        gate_limit=4,
        refused_each=1,
        pass_share=1.0,
        from_nothing=True,
    )


def run(settings: Settings, *, only_fit: bool = False) -> Path:
    """Do every step and return the folder of the finished reader."""
    log.info("reading images")
    cohort = read_cohort(settings.data / SET)
    gate = read_gate_images(settings.data, settings.gate_limit)
    members = fit_members(settings, cohort, gate)
    if only_fit:
        return settings.out
    log.info("measuring")
    graphs = [settings.out / f"member{number}" / "network.onnx" for number in range(len(members))]
    for member, path in zip(members, graphs, strict=True):
        log.info("graph of one member: %s", write_graph([member], path))
    found = cross_fitted(settings.data, graphs, cohort, Unfit(gate, gate_parts_of(gate)), settings.pass_share)
    return release_reader(settings.data, settings.out, members, cohort, found, refused_of(gate, settings.refused_each))


def refused_of(gate: GateImages, each: int) -> list[tuple[str, str]]:
    """Return (group, file) of about ``each`` held-out images of every set that is refused, and not for its size."""
    aside, origins = gate_parts_of(gate) == -1, gate.origins()
    chosen: list[int] = []
    for origin in sorted(set(origins.tolist()) - SMALL_SETS):
        here = np.flatnonzero(aside & (origins == origin))
        chosen += here[:: max(1, len(here) // each)].tolist()
    return [(gate.groups[number], gate.files[number]) for number in chosen]


def fit_members(settings: Settings, cohort: Cohort, gate: GateImages) -> list[FindingNetwork]:
    """Fit the members, number k without part k and without the held-out part; finished ones are read back."""
    samples = _with_gate(cohort.samples, gate)
    start = None if settings.from_nothing else imagenet_weights(5)
    members = []
    for number in range(MEMBERS):
        log.info("member %d of %d", number + 1, MEMBERS)
        main, only_gate = learnt_rows(cohort, gate, number)
        plan = replace(settings.fit, seed=settings.fit.seed + number)
        folder = settings.out / f"member{number}"
        members.append(fit(samples, main, only_gate, shape=settings.shape, plan=plan, folder=folder, start=start))
    return members


def learnt_rows(cohort: Cohort, gate: GateImages, part: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows that are learnt from without ``part``, and those drawn for the gate (others stand after these).

    Half of the gate's draws are adult chests of the same rows (to be spoilt), half other images.
    """
    main = np.flatnonzero((cohort.parts >= 0) & (cohort.parts != part))
    adults: NDArray[np.int64] = main[cohort.samples.gate.numpy()[main] == GATE_CHEST]
    gate_parts = gate_parts_of(gate)
    others = np.flatnonzero((gate_parts >= 0) & (gate_parts != part))
    if not len(others):
        return main, adults
    draws: NDArray[np.int64] = np.concatenate([np.resize(adults, len(others)), len(cohort.rows) + others])
    return main, draws


def gate_parts_of(gate: GateImages) -> NDArray[np.int64]:
    """Divide the images for the gate by patient as the others are: -1 is held out, else a member's fold."""
    if not len(gate.classes):
        return np.zeros(0, dtype=np.int64)
    spread = np.column_stack([gate.origins() == origin for origin in np.unique(gate.origins())])
    return patient_folds(gate.groups, spread, folds=MEMBERS + 1, seed=SEED) - 1


def _with_gate(samples: Samples, gate: GateImages) -> Samples:
    if not len(gate.classes):
        return samples
    return joined([samples, only_for_gate(gate.images, gate.classes, like=samples)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the recipe from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sets named on the card")
    parser.add_argument("--out", type=Path, required=True, help="folder for the work and the finished package")
    parser.add_argument("--fast", action="store_true", help="run through every step in seconds, learning nothing")
    parser.add_argument("--install", action="store_true", help="copy the finished reader into the reader's folder")
    parser.add_argument("--only-fit", action="store_true", help="stop when the members are fitted")
    parser.add_argument("--threads", type=int, default=2, help="processor threads for fitting")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    use_threads(chosen.threads)
    settings = Settings(chosen.data, chosen.out)
    settings = fast(settings) if chosen.fast else settings
    finished = run(settings, only_fit=chosen.only_fit)
    if chosen.install and not chosen.only_fit:
        install(finished, Path(__file__).parent)
    log.info("finished: %s", finished)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
