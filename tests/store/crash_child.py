"""A process that works on a store until somebody kills it. Run by test_crashes: python -m tests.store.crash_child."""

import json
import sys
from pathlib import Path

from coread.domain.study import InstanceHeader, Origin
from coread.store import StagedFile, Store, StoreSettings
from tests.store.examples import PACS, evidence, header, positive

STUDIES = 3


def header_of(path: Path) -> InstanceHeader:
    """Scan a test file: its bytes name its study and number."""
    study, number = json.loads(path.read_bytes())
    return header(study, f"image {number}", instance_number=number)


def receive_for_ever(store: Store, run: str) -> None:
    """Acknowledge objects on standard output as a receiver would, then index them in batches."""
    batch: list[StagedFile] = []
    number = 0
    while True:
        number += 1
        study = f"{run} {number % STUDIES}"
        data = json.dumps([study, number]).encode()
        path = store.staging_folder() / f"{run}-{number}.part"
        path.write_bytes(data)
        ready = path.rename(path.with_suffix(".ready"))
        sys.stdout.write(f"{study},{number}\n")
        sys.stdout.flush()
        batch.append(_staged(ready, data))
        if number % 5 == 0:
            store.add_files(batch)
            batch = []


def _staged(ready: Path, data: bytes) -> StagedFile:
    import hashlib

    digest = hashlib.sha256(data).hexdigest()
    return StagedFile(ready, header_of(ready), len(data), digest, Origin("c-store", "child", "", ""))


def work_for_ever(store: Store, run: str) -> None:
    """Claim and finish work items until none is left."""
    sys.stdout.write("started\n")
    sys.stdout.flush()
    while (item := store.claim_work(run, 60)) is not None:
        made = [evidence(f"{item.study_instance_uid} {kind}") for kind in ("one", "two")]
        store.finish_work(item.work_id, run, positive(), made, [PACS])


def main() -> None:
    what, folder, url, run = sys.argv[1:5]
    with Store.open(StoreSettings(Path(folder), url, durable=False)) as store:
        if what == "receive":
            receive_for_ever(store, run)
        else:
            work_for_ever(store, run)


if __name__ == "__main__":
    main()
