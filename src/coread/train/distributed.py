"""Several processes on one or more machines: what ``torchrun`` tells each of them, and who writes files."""

import os
import time
from dataclasses import replace
from pathlib import Path

from coread.train.errors import BadPlan
from coread.train.module import FitPlan

WAIT_SECONDS = 600.0


def is_first_process() -> bool:
    """Tell whether this process writes the files: the only one, or number 0 of a group."""
    return os.environ.get("RANK", "0") == "0" and os.environ.get("LOCAL_RANK", "0") == "0"


def for_this_launch(plan: FitPlan) -> FitPlan:
    """Return the plan with devices, nodes and strategy as ``torchrun`` started this process; else as it is."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return plan
    here, everywhere = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    if plan.batch < everywhere:
        raise BadPlan(f"a batch of {plan.batch} images cannot feed {everywhere} processes: raise fit.batch")
    strategy = "ddp" if plan.strategy == "auto" and everywhere > 1 else plan.strategy
    return replace(plan, devices=here, nodes=everywhere // here, strategy=strategy)


def wait_for(path: Path, seconds: float = WAIT_SECONDS) -> None:
    """Wait for a file of the first process; raises BadPlan when it does not come."""
    until = time.monotonic() + seconds
    while not path.is_file():
        if time.monotonic() > until:
            raise BadPlan(f"{path} did not appear: all processes need the same folder (a shared file system)")
        time.sleep(0.05)
