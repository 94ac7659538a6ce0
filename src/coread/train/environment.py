"""Versions and machine of a fit, kept beside what it makes: a package later says with what it was made."""

import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

import coread
from coread.models.sbom import COMPONENTS, ENVIRONMENT, NOT_INSTALLED, MadeWith, recorded
from coread.models.writing import write_json
from coread.train.distributed import is_first_process

__all__ = ["ENVIRONMENT", "environment", "fits_below", "keep_environment"]


def environment() -> dict[str, Any]:
    """Return versions and machine, for the record."""
    packages = {}
    for name in ("coread", *COMPONENTS):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = NOT_INSTALLED
    graphics = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count())]
    return {
        "coread": coread.__version__, "python": sys.version.split()[0], "platform": platform.platform(),
        "processor": _processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads(), "gpus": graphics,
        "packages": packages,
    }  # fmt: skip


def keep_environment(folder: Path) -> None:
    """Write ``environment.json`` into the folder of a fit that begins, or goes on, now."""
    if is_first_process():
        write_json(folder / ENVIRONMENT, environment())


def fits_below(folder: Path) -> Iterator[MadeWith]:
    """Yield the versions that the fits somewhere below a folder left, each once."""
    seen: list[MadeWith] = []
    for path in sorted(folder.rglob(ENVIRONMENT)):
        found = recorded(path, "fit")
        if found not in seen:
            seen.append(found)
            yield found


def _processor() -> str:
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
