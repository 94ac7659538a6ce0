"""How many objects per second the store indexes, by batch size. Usage: python -m bench.index [url]."""

import hashlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

from coread.domain.identifiers import derived_uid
from coread.domain.study import InstanceHeader, Origin
from coread.store import StagedFile, Store, StoreSettings

OBJECTS = 3200
ORIGIN = Origin("c-store", "BENCH", "127.0.0.1", "bench")


def main() -> None:
    """Stage small files, index them, print rows per second."""
    url = sys.argv[1] if len(sys.argv) > 1 else ""
    for durable in (False, True):
        for batch in (1, 16, 64, 256):
            with tempfile.TemporaryDirectory() as folder:
                settings = StoreSettings(Path(folder), url, durable=durable)
                with Store.open(settings, migrate=True) as store:
                    _measure(store, batch, f"{batch} {durable} {time.time()}")


def _measure(store: Store, batch: int, run: str) -> None:
    items = [_item(store, run, number) for number in range(OBJECTS if batch > 1 else OBJECTS // 8)]
    times = []
    started = time.perf_counter()
    for start in range(0, len(items), batch):
        before = time.perf_counter()
        store.add_files(items[start : start + batch])
        times.append(1000 * (time.perf_counter() - before))
    rate = len(items) / (time.perf_counter() - started)
    sync = "synced  " if store.settings.durable else "unsynced"
    print(f"{sync} batch {batch:3d}: {rate:8.0f} objects/s   {statistics.median(times):7.2f} ms per batch (median)")


def _item(store: Store, run: str, number: int) -> StagedFile:
    study = derived_uid(run, str(number // 200))
    data = f"{run} {number}".encode()
    path = store.staging_folder() / f"{number}.ready"
    path.write_bytes(data)
    header = InstanceHeader(
        study_instance_uid=study,
        series_instance_uid=f"{study}.{number // 100}",
        sop_instance_uid=f"{study}.{number // 100}.{number}",
        sop_class_uid="1.2.840.10008.5.1.4.1.1.2",
        transfer_syntax_uid="1.2.840.10008.1.2.1",
        patient_id="P1",
        patient_name="Doe^Jane",
        study_date="20260101",
        modality="CT",
        instance_number=number,
        rows=512,
        columns=512,
        image_position_patient=(0.0, 0.0, float(number)),
        image_orientation_patient=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    )
    return StagedFile(path, header, len(data), hashlib.sha256(data).hexdigest(), ORIGIN, durable_already=True)


if __name__ == "__main__":
    main()
