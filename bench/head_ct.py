"""Head CT triage: seconds from the last image to the flag on the worklist, ``python -m bench.head_ct [--studies 3]``.

A real ``coread serve`` (receiver, settling, reading process), generated heads with blood sent over C-STORE one study at
a time; times come from the history. The wait until a study counts as settled is part of them and shown on its own.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from tests.acceptance.conftest import Server

from coread.app.errors import NothingFound
from coread.app.opening import open_store
from coread.app.settings import load_settings
from coread.app.why import study_story
from coread.phantoms.reference.registry import made
from coread.phantoms.reference.scan import Setup

READER = "head_ct_hemorrhage"
STARTED, ENDED = "engine.started", "engine.finished"
LIMIT_S = 300


def write_study(folder: Path, seed: int) -> str:
    """Write a head with 30 ml of blood as DICOM files and return its Accession Number."""
    series = (
        made("ct-head", ["intraparenchymal_ml=30"], Setup(seed=seed, spacing_mm=(5.0, 0.9, 0.9))).visits[0].series[0]
    )
    folder.mkdir(parents=True)
    accession = ""
    for number, dataset in enumerate(series.datasets()):
        dataset.save_as(folder / f"{number:03d}.dcm", enforce_file_format=True)
        accession = str(dataset.AccessionNumber)
    return accession


def ended(store: Any, accession: str) -> Any:
    """Wait until every reader of a study has an outcome."""
    deadline = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline:
        try:
            story = study_story(store, accession)
        except NothingFound:
            time.sleep(0.1)
            continue
        if story.readers and all(reader.outcome for reader in story.readers):
            return story
        time.sleep(0.1)
    raise SystemExit(f"{accession} has no outcome after {LIMIT_S} s")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=3)
    wanted = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        studies = [(folder / f"study{number}", number) for number in range(wanted.studies)]
        named = {place: write_study(place, 300 + number) for place, number in studies}
        server = Server(folder / "server").start()
        try:
            time.sleep(5)
            with open_store(load_settings(server.settings)) as store:
                for place, accession in named.items():
                    server.send(place)
                    story = ended(store, accession)
                    last = {stage.key: stage.at for stage in story.stages}["last"]
                    at = {entry.event: entry.at for entry in story.history}
                    rows.append({
                        "outcome": {reader.reader_id: str(reader.outcome) for reader in story.readers},
                        "flag_s": (at[ENDED] - last).total_seconds(),
                        "events": {event: round((when - last).total_seconds(), 2) for event, when in at.items()},
                    })  # fmt: skip
        finally:
            server.stop()
    flags = [row["flag_s"] for row in rows]
    print(json.dumps({
        "studies": rows, "flag_p50_s": statistics.median(flags), "flag_max_s": max(flags),
        "load_average": psutil.getloadavg()[0],
    }, indent=1))  # fmt: skip
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
