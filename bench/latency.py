"""How long a radiologist waits: from the last image to the flag on the worklist and to the SR in the PACS.

    python bench/latency.py [--studies 30] [--json]

A real ``coread serve`` (receiver, reading process, delivery), a real Orthanc as the PACS, generated radiographs sent
one study at a time and then as fast as they go; times come from the history and from asking the PACS.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from tests.acceptance.conftest import Server, radiograph, save
from tests.peers.orthanc import running_orthanc

from coread.app.errors import NothingFound
from coread.app.opening import open_store
from coread.app.settings import load_settings
from coread.app.why import study_story

ENDED = "engine.finished"
"""The history line that is written in the transaction that puts the outcome on the worklist."""


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, round(share * (len(ordered) - 1)))]


def one_by_one(server: Server, folder: Path, count: int) -> dict[str, list[float]]:
    flag: list[float] = []
    arrived: list[float] = []
    settings = load_settings(server.settings)
    with open_store(settings) as store:
        for number in range(count):
            path = save(radiograph(1000 + number, "effusion", rows=1024), folder / f"{number}.dcm")
            server.send(path)
            story = wait_for(store, f"TEST-{1000 + number:03d}")
            stages = {stage.key: stage.at for stage in story.stages}
            last = stages["last"]
            ended = next(entry.at for entry in story.history if entry.event == ENDED)
            flag.append((ended - last).total_seconds())
            if "delivered" in stages:
                arrived.append((stages["delivered"] - last).total_seconds())
    return {"flag": flag, "pacs": arrived}


def wait_for(store: Any, accession: str) -> Any:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            story = study_story(store, accession)
        except NothingFound:
            time.sleep(0.05)
            continue
        read = story.readers and all(reader.outcome for reader in story.readers)
        if read and all(d.finished_at for r in story.readers for o in r.objects for d in o.deliveries):
            return story
        time.sleep(0.05)
    raise SystemExit(f"{accession} has no outcome")


def sustained(server: Server, folder: Path, count: int) -> float:
    for number in range(count):
        save(radiograph(5000 + number, rows=1024), folder / "burst" / f"{number}.dcm")
    began = time.monotonic()
    server.send(folder / "burst")
    with open_store(load_settings(server.settings)) as store:
        for number in range(count):
            wait_for(store, f"TEST-{5000 + number:03d}")
    return 60.0 * count / (time.monotonic() - began)


def memory_mb(server: Server) -> float:
    if server.process is None:
        return 0.0
    root = psutil.Process(server.process.pid)
    return sum(process.memory_full_info().pss for process in [root, *root.children(recursive=True)]) / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=30)
    parser.add_argument("--json", action="store_true")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, running_orthanc() as pacs:
        folder = Path(name)
        destination = (
            f'[[destinations]]\nname = "pacs"\naddress = "127.0.0.1:{pacs.dicom_port}"\nae_title = "ORTHANC"\n'
        )
        server = Server(folder / "server", extra=destination).start()
        try:
            time.sleep(8)
            idle = memory_mb(server)
            times = one_by_one(server, folder, wanted.studies)
            rate = sustained(server, folder, wanted.studies * 2)
            busy = memory_mb(server)
        finally:
            server.stop()
    result = {
        "studies": wanted.studies,
        "load_average": psutil.getloadavg()[0],
        "flag_p50_s": statistics.median(times["flag"]),
        "flag_p95_s": percentile(times["flag"], 0.95),
        "pacs_p50_s": statistics.median(times["pacs"]) if times["pacs"] else None,
        "pacs_p95_s": percentile(times["pacs"], 0.95) if times["pacs"] else None,
        "sustained_studies_per_minute": rate,
        "idle_memory_mb": idle,
        "busy_memory_mb": busy,
    }
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
