"""How fast each installed reader's network runs on one core, from its locked package; beside OpenVINO where it is."""

import statistics
import sys
import time

import numpy as np

from coread.models.session import open_session
from coread.readers.registry import installed_readers

RUNS = 30


def main() -> None:
    for reader in installed_readers():
        for engine in ("onnxruntime", "openvino"):
            try:
                session = open_session(reader.model_folder, reader.card_path, threads=1, engine=engine)
            except ImportError:
                continue
            golden = next((reader.model_folder / "golden").glob("*.npz"))
            with np.load(golden) as case:
                inputs = {name.removeprefix("in_"): case[name] for name in case.files if name.startswith("in_")}
            times = []
            for _ in range(RUNS + 3):
                began = time.perf_counter()
                session.run("network", inputs)
                times.append(time.perf_counter() - began)
            size = sum(path.stat().st_size for path in reader.model_folder.rglob("*") if path.is_file()) / 1e6
            p50 = statistics.median(times[3:]) * 1000
            line = f"{reader.card.reader_id:20s} {session.runtime:50s} p50 {p50:6.1f} ms on one core"
            sys.stdout.write(f"{line}, package {size:.1f} MB\n")


if __name__ == "__main__":
    main()
