"""How the networks were made: ``python -m coread.readers.mr_reconstruction.recipe STEP --data D --out O``.

Needs the extra ``train``. STEP is ``fit``, ``second``, ``fine``, ``points`` and ``graphs`` for the
reconstruction network, in this order; ``baseline`` for a plain U-Net to compare with; ``self-supervised`` to fit on
with undersampled raw files of a site (``--raw FILES --start FOLDER``); ``compared`` for what is lost without truth. A
broken run goes on.
"""

import argparse
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from coread.imaging.mr.files.opened import open_raw
from coread.readers.mr_reconstruction.acquisition import planes_of
from coread.readers.mr_reconstruction.cohort import MNI, MS, TUMOUR, MagnitudeSlice, learnt, tuned
from coread.train.fitting import use_threads
from coread.train.mr.acquisitions import Acquisition, DrawnAcquisitions, DrawPlan, Source, draw
from coread.train.mr.baseline import MagnitudeNetwork
from coread.train.mr.fitting import (
    WEIGHTS,
    Draw,
    FitModule,
    FitPlan,
    Loss,
    digest_of,
    fit,
    mean_psnr,
    read_weights,
    supervised,
    supervised_magnitude,
)
from coread.train.mr.graphs import LINES, POINTS, write_graphs
from coread.train.mr.network import NetworkPlan, ReconstructionNetwork
from coread.train.mr.ssdu import Measured, MeasuredAcquisitions, SplitPlan, UntoldAcquisitions, self_supervised

FIT, SECOND, FINE, BASELINE = "fit", "second", "fine", "baseline"
GRAPHS, COMPARED_STEP, OWN = "graphs", "compared", "self-supervised"
SHARES = {MS: 0.45, TUMOUR: 0.4, MNI: 0.15}
PLAN = FitPlan(steps=4500)
SECOND_PLAN = FitPlan(steps=2400, schedule=6000, learning_rate=7e-4, square_weight=1.0)
FINE_PLAN = FitPlan(steps=3600, learning_rate=5e-4, square_weight=1.0)
POINTS_PLAN = FitPlan(steps=900, epoch=75, learning_rate=3e-4, square_weight=1.0)
BASELINE_PLAN = FitPlan(steps=1500, square_weight=1.0)
DRAW = DrawPlan()
SECOND_DRAW = DrawPlan(pixels=24_000, side=160, seed=20261130)
FINE_DRAW = replace(SECOND_DRAW, seed=20261131)
POINTS_DRAW = replace(SECOND_DRAW, points_share=1.0, fat_share=0.5, seed=20261133)
CASCADES = NetworkPlan(solving=0)
COMPARED = NetworkPlan(cascades=4, width=24, deep_width=48)
COMPARED_PLAN = FitPlan(steps=750, epoch=150)
COMPARED_DRAW = DrawPlan(points_share=0.0, signal_to_noise=(40.0, 40.0), seed=20261132)
OWN_PLAN = FitPlan(steps=600, learning_rate=1e-4)
OWN_COILS = 8
TO_TUNE = 12
log = logging.getLogger("coread.train")


def sources_of(slices: Sequence[MagnitudeSlice]) -> list[Source]:
    """Return the images of each data set with how often it is drawn from."""
    return [
        Source([item.image for item in slices if item.source == name], share)
        for name, share in SHARES.items()
        if any(item.source == name for item in slices)
    ]


def fit_network(
    data: Path, out: Path, network: nn.Module, plan: FitPlan, loss: Loss, drawn: DrawPlan, tune: DrawPlan = DRAW
) -> list[dict[str, float]]:  # fmt: skip
    """Fit a network on simulated acquisitions of the patients that are learnt from."""
    slices = learnt(data)
    sources = sources_of(slices)
    log.info("%d slices: %s", len(slices), ", ".join(f"{len(source.images)}" for source in sources))
    module = FitModule(network, loss, plan, tune_set(data, tune))
    facts: dict[str, Any] = {
        "images": digest_of([item.image for item in slices]), "draw": asdict(drawn), "network": repr(network),
        "start": digest_of([value.numpy() for value in network.state_dict().values()]),
    }  # fmt: skip
    return fit(module, lambda first, count: DrawnAcquisitions(sources, drawn, first, count), out, facts=facts)


def tune_set(data: Path, drawn: DrawPlan = DRAW) -> list[Acquisition]:
    """Return acquisitions that are drawn once, of patients who are not learnt from."""
    sources = sources_of(tuned(data))
    plan = replace(drawn, seed=DRAW.seed + 1, other_speeds=0.0)
    return [draw(sources, plan, number) for number in range(TO_TUNE)]


def make_first(data: Path, out: Path, steps: int = 0) -> None:
    """Fit the cascades on small pieces, from random weights of a fixed seed, without solving for the samples after."""
    plan = _shortened(PLAN, steps)
    torch.manual_seed(plan.seed)
    fit_network(data, out / FIT, ReconstructionNetwork(CASCADES), plan, supervised(plan), DRAW)


def make_second(data: Path, out: Path, steps: int = 0) -> None:
    """Fit them on, on larger pieces and with the squared differences that PSNR counts."""
    plan = _shortened(SECOND_PLAN, steps)
    network = started(out / FIT, CASCADES)
    fit_network(data, out / SECOND, network, plan, supervised(plan), SECOND_DRAW)


def make_fine(data: Path, out: Path, steps: int = 0) -> None:
    """Fit the whole network, which solves for the samples at the end."""
    plan = _shortened(FINE_PLAN, steps)
    fit_network(data, out / FINE, started(out / SECOND, NetworkPlan()), plan, supervised(plan), FINE_DRAW)


def make_points(data: Path, out: Path, steps: int = 0) -> None:
    """Fit it on for masks of points alone, and for fat whose phase differs from that of water."""
    plan, network = _shortened(POINTS_PLAN, steps), started(out / FINE, NetworkPlan())
    fit_network(data, out / POINTS, network, plan, supervised(plan), POINTS_DRAW, POINTS_DRAW)


def started(folder: Path, plan: NetworkPlan) -> ReconstructionNetwork:
    """Return a network with the weights of a finished stage."""
    network = ReconstructionNetwork(plan)
    network.load_state_dict(network.state_dict() | read_weights(folder / WEIGHTS))
    return network


def make_baseline(data: Path, out: Path, steps: int = 0) -> None:
    """Fit the U-Net on zero-filled magnitudes."""
    plan = _shortened(BASELINE_PLAN, steps)
    torch.manual_seed(plan.seed)
    fit_network(data, out / BASELINE, MagnitudeNetwork(), plan, supervised_magnitude(plan), DRAW)


def make_compared(data: Path, out: Path, steps: int = 0) -> None:
    """Fit small networks from the same weights on the same undersampled acquisitions, with and without their truth."""
    slices, plan = learnt(data), _shortened(COMPARED_PLAN, steps)
    sources, tune = sources_of(slices), tune_set(data)
    draws: dict[str, tuple[Loss, Draw]] = {
        "with-truth": (supervised(plan), partial(DrawnAcquisitions, sources, COMPARED_DRAW)),
        "without-truth": (self_supervised, partial(UntoldAcquisitions, sources, COMPARED_DRAW)),
    }
    facts = {"images": digest_of([item.image for item in slices]), "draw": asdict(COMPARED_DRAW)}
    for name, (loss, draws_of) in draws.items():
        torch.manual_seed(plan.seed)
        module = FitModule(ReconstructionNetwork(COMPARED), loss, plan, tune)
        log.info("%s, before: psnr %.3f", name, mean_psnr(module.network, tune))
        fit(module, draws_of, out / name, facts=facts)


def make_own(raw: Sequence[Path], start: Path, out: Path, steps: int = 0) -> None:
    """Fit the network on for what a site measures: undersampled raw files, no fully sampled image needed.

    ``start`` is the folder of a finished stage. Graphs are written into ``out``; they are validated before anybody
    relies on them. Raises ImagingRefused for raw files that cannot be read, BadPlan for what cannot be learnt from.
    """
    planes = [plane for path in raw for plane in measured_planes(path)]
    log.info("%d planes of %d files", len(planes), len(raw))
    plan, network = _shortened(OWN_PLAN, steps), started(start, NetworkPlan())
    facts = {"planes": digest_of([plane.samples for plane in planes])}
    fit(
        FitModule(network, self_supervised, plan, []), partial(MeasuredAcquisitions, planes, SplitPlan()), out,
        facts=facts,
    )  # fmt: skip
    log.info("graphs differ from the network by %.1e", write_graphs(network, out))


def measured_planes(path: Path) -> list[Measured]:
    """Return the undersampled planes of a Cartesian raw file, whitened, with at most 8 virtual coils."""
    found = planes_of(open_raw(path), OWN_COILS)
    energy = np.linalg.norm(found.samples.reshape(len(found.samples), -1), axis=1)
    return [
        Measured(samples, mask)
        for samples, mask, size in zip(found.samples, found.mask, energy, strict=True)
        if size > 0.2 * energy.max() and not mask.all()
    ]


def make_graphs(out: Path) -> None:
    """Write the graphs of the finished networks: that for lines, and the one that was fitted on for points."""
    for name, stage in ((LINES, FINE), (POINTS, POINTS)):
        differs = write_graphs(started(out / stage, NetworkPlan()), out / GRAPHS, (name,))
        log.info("%s differs from the network by %.1e", name, differs)


def _shortened(plan: FitPlan, steps: int) -> FitPlan:
    return replace(plan, steps=steps, epoch=min(plan.epoch, steps)) if steps else plan


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the shell."""
    steps: dict[str, Callable[[Path, Path, int], object]] = {
        FIT: make_first, SECOND: make_second, FINE: make_fine, POINTS: make_points, BASELINE: make_baseline,
        COMPARED_STEP: make_compared,
    }  # fmt: skip
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=(*steps, GRAPHS, OWN))
    parser.add_argument("--data", type=Path, help="folder that holds the data sets")
    parser.add_argument("--raw", type=Path, nargs="+", default=[], help="undersampled raw files, for self-supervised")
    parser.add_argument("--start", type=Path, help="folder of a finished stage, for self-supervised")
    parser.add_argument("--out", type=Path, required=True, help="folder for the fits")
    parser.add_argument("--threads", type=int, default=1, help="processor threads")
    parser.add_argument("--steps", type=int, default=0, help="acquisitions to learn from; 0: as the network was made")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    use_threads(chosen.threads)
    if chosen.step == GRAPHS:
        make_graphs(chosen.out)
    elif chosen.step == OWN:
        if not chosen.raw or chosen.start is None:
            parser.error("self-supervised needs --raw FILES and --start FOLDER")
        make_own(chosen.raw, chosen.start, chosen.out, chosen.steps)
    elif chosen.data is None:
        parser.error(f"{chosen.step} needs --data FOLDER")
    else:
        steps[chosen.step](chosen.data, chosen.out, chosen.steps)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
