"""Releases of the tiny reader for tests: locked, signed, validated, in as many versions as a test needs."""

import json
import shutil
from pathlib import Path

from coread.models.lineage import write_record
from coread.models.locking import Locked, LockPlan, lock_release
from coread.models.signing import make_key
from tests.models.tiny_reader import CARD, write_tiny_reader

IMPORTED = "tiny_square"


def release(folder: Path, *, version: str = "1.1.0", a: float = 1.0, b: float = 0.0, key: Path | None = None) -> Locked:
    """Write and lock a version whose calibration differs: what a retrained reader looks like from outside."""
    write_tiny_reader(folder, card=CARD.replace('version = "1.0.0"', f'version = "{version}"'), lock=False)
    (folder / "README.md").write_text("# Tiny\n", encoding="utf-8")
    calibration = {"schema": 1, "method": "platt", "outputs": {"square": {"a": a, "b": b}}}
    (folder / "model/calibration.json").write_text(json.dumps(calibration), encoding="utf-8")
    return lock_release(folder, LockPlan(key=key, signer="Maker" if key else ""))


def validation(folder: Path, digest: str, *, passed: bool | None = None) -> Path:
    """Write what ``coread validate`` leaves, for one digest."""
    folder.mkdir(parents=True)
    body: dict[str, object] = {"package_digest": digest, "cohorts": [{"name": "generated squares"}]}
    if passed is not None:
        body["criteria"] = {"passed": passed}
    (folder / "report.json").write_text(json.dumps(body), encoding="utf-8")
    (folder / "predictions.parquet").write_bytes(b"case by case")
    outputs = ["report.json", "predictions.parquet"]
    write_record(folder, "validate", inputs={"package": digest}, outputs=outputs)
    return folder


def key_pair(folder: Path, name: str = "maker") -> Path:
    """Make a key pair and return the private half."""
    make_key(folder / name)
    return folder / name


def copy(source: Path, target: Path) -> Path:
    """Copy a release to change it."""
    shutil.copytree(source, target)
    return target
