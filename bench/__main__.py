"""``python -m bench``: every measurement, one after the other; each prints its own table."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MEASUREMENTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("start-up of the command", ("bench/startup.py",)),
    ("receiving", ("bench/receive.py",)),
    ("header indexing", ("bench/headers.py",)),
    ("raw MR data", ("bench/raw_data.py",)),
    ("decoding", ("bench/decode.py",)),
    ("volumes", ("bench/volumes.py",)),
    ("segmentation", ("bench/segmentation.py",)),
    ("MR reconstruction", ("bench/mr_reconstruction.py",)),
    ("MR compressed sensing", ("bench/mr_sparse.py",)),
    ("index search", ("bench/qido.py",)),
    ("DICOMweb", ("bench/web.py",)),
    ("inference", ("bench/inference.py",)),
    ("training", ("bench/train.py",)),
    ("validation", ("bench/validate.py",)),
    ("report labels", ("bench/reports.py",)),
    ("last image to worklist and PACS", ("bench/latency.py",)),
)


def main() -> int:
    failed = []
    for title, command in MEASUREMENTS:
        if not (ROOT / command[0]).is_file():
            continue
        sys.stdout.write(f"\n== {title} ({' '.join(command)}), load {os.getloadavg()[0]:.1f}\n")
        sys.stdout.flush()
        began = time.monotonic()
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        if subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, check=False).returncode:
            failed.append(title)
        sys.stdout.write(f"   ({time.monotonic() - began:.0f} s)\n")
    if failed:
        sys.stdout.write(f"\nnot measured: {', '.join(failed)}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
