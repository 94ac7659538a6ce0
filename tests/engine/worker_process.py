"""A worker as its own process, for tests that kill it: python -m tests.engine.worker_process STORE PACKAGES OWNER."""

import sys
from collections.abc import Sequence
from pathlib import Path

from coread.domain.cards import ReaderCard
from coread.domain.identifiers import derived_uid
from coread.domain.results import Reading
from coread.domain.work import DeliveryProtocol, Destination, EncodedObject, EvidenceKind
from coread.engine.worker_loop import WorkLoop, WorkSettings
from coread.readers.registry import inspect_reader
from coread.store import Store, StoreSettings

PACS = Destination("pacs", DeliveryProtocol.C_STORE, "127.0.0.1:1")
SR_CLASS = "1.2.840.10008.5.1.4.1.1.88.34"


def evidence(reading: Reading, card: ReaderCard, paths: Sequence[Path]) -> tuple[EncodedObject, ...]:
    """One object, named by its input as real evidence is."""
    uid = derived_uid(reading.provenance.input_digest, reading.provenance.package_digest, "SR")
    series = derived_uid(reading.provenance.input_digest, reading.provenance.package_digest, "series")
    return (EncodedObject(EvidenceKind.SR, SR_CLASS, uid, series, uid.encode() * 100, f"{len(paths)} images"),)


def settings(folder: Path, attempts: int) -> StoreSettings:
    return StoreSettings(folder, max_attempts=attempts)


def main(folder: str, packages: str, owner: str, attempts: str) -> None:
    sys.path.insert(0, packages)
    with Store.open(settings(Path(folder), int(attempts))) as store:
        reader = inspect_reader("tiny_worker", Path(packages) / "tiny_worker")
        loop = WorkLoop(store, [reader], evidence, [PACS], settings=WorkSettings(owner=owner))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while loop.run_once():
            pass


if __name__ == "__main__":
    main(*sys.argv[1:])
