"""How the networks were made: ``python -m coread.readers.mr_reconstruction.recipe STEP --data D --out O``.

Needs the extra ``train``. STEP is ``fit``, ``second`` and ``fine`` (the stages of the reconstruction network, in this
order), ``baseline`` (a plain U-Net) or ``self-supervised`` (from undersampled samples alone: a site's own, or simulated
ones). A broken run goes on.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from coread.readers.mr_reconstruction.cohort import MNI, MS, TUMOUR, MagnitudeSlice, learnt, tuned
from coread.train.fitting import use_threads
from coread.train.mr.acquisitions import Acquisition, DrawnAcquisitions, DrawPlan, Source, draw
from coread.train.mr.baseline import MagnitudeNetwork
from coread.train.mr.fitting import (
    WEIGHTS,
    FitModule,
    FitPlan,
    Loss,
    digest_of,
    fit,
    read_weights,
    supervised,
    supervised_magnitude,
)
from coread.train.mr.network import NetworkPlan, ReconstructionNetwork

FIT, SECOND, FINE, BASELINE = "fit", "second", "fine", "baseline"
SHARES = {MS: 0.45, TUMOUR: 0.4, MNI: 0.15}
PLAN = FitPlan(steps=4500)
SECOND_PLAN = FitPlan(steps=2400, schedule=6000, learning_rate=7e-4, square_weight=1.0)
FINE_PLAN = FitPlan(steps=3600, learning_rate=5e-4, square_weight=1.0)
BASELINE_PLAN = FitPlan(steps=1800, square_weight=1.0)
DRAW = DrawPlan()
SECOND_DRAW = DrawPlan(pixels=24_000, side=160, seed=20261130)
FINE_DRAW = replace(SECOND_DRAW, seed=20261131)
CASCADES = NetworkPlan(solving=0)
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
    data: Path, out: Path, network: nn.Module, plan: FitPlan, loss: Loss, drawn: DrawPlan
) -> list[dict[str, float]]:  # fmt: skip
    """Fit a network on simulated acquisitions of the patients that are learnt from."""
    slices = learnt(data)
    sources = sources_of(slices)
    log.info("%d slices: %s", len(slices), ", ".join(f"{len(source.images)}" for source in sources))
    module = FitModule(network, loss, plan, tune_set(data))
    facts: dict[str, Any] = {
        "images": digest_of([item.image for item in slices]), "draw": asdict(drawn), "network": repr(network),
        "start": digest_of([value.numpy() for value in network.state_dict().values()]),
    }  # fmt: skip
    return fit(module, lambda first, count: DrawnAcquisitions(sources, drawn, first, count), out, facts=facts)


def tune_set(data: Path) -> list[Acquisition]:
    """Return acquisitions that are drawn once, of patients who are not learnt from."""
    sources = sources_of(tuned(data))
    plan = replace(DRAW, seed=DRAW.seed + 1, other_speeds=0.0)
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


def _shortened(plan: FitPlan, steps: int) -> FitPlan:
    return replace(plan, steps=steps, epoch=min(plan.epoch, steps)) if steps else plan


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the shell."""
    parser = argparse.ArgumentParser(description=__doc__)
    steps = {FIT: make_first, SECOND: make_second, FINE: make_fine, BASELINE: make_baseline}
    parser.add_argument("step", choices=tuple(steps))
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder for the fits")
    parser.add_argument("--threads", type=int, default=1, help="processor threads")
    parser.add_argument("--steps", type=int, default=0, help="acquisitions to learn from; 0: as the network was made")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    use_threads(chosen.threads)
    steps[chosen.step](chosen.data, chosen.out, chosen.steps)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
