"""How the networks were made: ``python -m coread.readers.mr_reconstruction.recipe STEP --data D --out O``.

Needs the extra ``train``. STEP is ``fit`` (the reconstruction network), ``baseline`` (a plain U-Net, to compare with)
or ``self-supervised`` (from undersampled samples alone: a site's own, or simulated ones). A broken run goes on.
"""

import argparse
import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from coread.readers.mr_reconstruction.cohort import MNI, MS, TUMOUR, MagnitudeSlice, learnt, tuned
from coread.train.fitting import use_threads
from coread.train.mr.acquisitions import Acquisition, DrawnAcquisitions, DrawPlan, Source, draw
from coread.train.mr.baseline import MagnitudeNetwork
from coread.train.mr.fitting import FitModule, FitPlan, Loss, digest_of, fit, supervised, supervised_magnitude
from coread.train.mr.network import ReconstructionNetwork
from coread.train.progress import EpochLog

FIT, BASELINE = "fit", "baseline"
SHARES = {MS: 0.45, TUMOUR: 0.4, MNI: 0.15}
PLAN = FitPlan(steps=4500)
BASELINE_PLAN = FitPlan(steps=1800)
DRAW = DrawPlan()
TO_TUNE = 12
log = logging.getLogger("coread.train")


def sources_of(slices: Sequence[MagnitudeSlice]) -> list[Source]:
    """Return the images of each data set with how often it is drawn from."""
    return [
        Source([item.image for item in slices if item.source == name], share)
        for name, share in SHARES.items()
        if any(item.source == name for item in slices)
    ]


def fit_network(data: Path, out: Path, network: nn.Module, plan: FitPlan, loss: Loss) -> list[dict[str, float]]:
    """Fit a network on simulated acquisitions of the patients that are learnt from."""
    slices = learnt(data)
    sources = sources_of(slices)
    log.info("%d slices: %s", len(slices), ", ".join(f"{len(source.images)}" for source in sources))
    module = FitModule(network, loss, plan, tune_set(data))
    facts: dict[str, Any] = {"images": digest_of([item.image for item in slices]), "network": repr(network)}
    return fit(
        module, lambda first, count: DrawnAcquisitions(sources, DRAW, first, count), out, facts=facts,
        watchers=[EpochLog(out.name)],
    )  # fmt: skip


def tune_set(data: Path) -> list[Acquisition]:
    """Return acquisitions that are drawn once, of patients who are not learnt from."""
    sources = sources_of(tuned(data))
    plan = replace(DRAW, seed=DRAW.seed + 1, other_speeds=0.0)
    return [draw(sources, plan, number) for number in range(TO_TUNE)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the shell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("step", choices=(FIT, BASELINE))
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder for the fits")
    parser.add_argument("--threads", type=int, default=1, help="processor threads")
    parser.add_argument("--steps", type=int, default=0, help="acquisitions to learn from; 0: as the network was made")
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    use_threads(chosen.threads)
    reconstruction = chosen.step == FIT
    plan = PLAN if reconstruction else BASELINE_PLAN
    if chosen.steps:
        plan = replace(plan, steps=chosen.steps, epoch=min(plan.epoch, chosen.steps))
    network = ReconstructionNetwork() if reconstruction else MagnitudeNetwork()
    loss = supervised(plan) if reconstruction else supervised_magnitude(plan)
    fit_network(chosen.data, chosen.out / chosen.step, network, plan, loss)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
