"""How long queries take among many studies: p50 and p95 per kind. Usage: python -m bench.qido [studies] [url].

The processor time (of this thread: with PostgreSQL the server's is not in it) hardly depends on what else runs.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench.studies import fill
from coread.domain.results import Outcome
from coread.store import InstanceQuery, SeriesQuery, Store, StoreSettings, StudyQuery, WorklistQuery

REPEATS = 30
STUDIES: dict[str, StudyQuery] = {
    "everything, first 100": StudyQuery(),
    "page 50 of everything": StudyQuery(offset=5000),
    "patient ID": StudyQuery(patient_id="P001234"),
    "patient ID prefix": StudyQuery(patient_id="P0012*"),
    "accession": StudyQuery(accession_number="A00054321"),
    "name prefix": StudyQuery(patient_name="smith12*"),
    "name prefix, wide": StudyQuery(patient_name="S*"),
    "name, contained": StudyQuery(patient_name="*aka1234^*"),
    "one day": StudyQuery(study_date="20230405"),
    "date range, wide": StudyQuery(study_date="20210101-20251231"),
    "modality, common": StudyQuery(modalities_in_study=("DX",)),
    "modality, rare, and a week": StudyQuery(modalities_in_study=("MG",), study_date="20230401-20230407"),
    "modality and name prefix": StudyQuery(modalities_in_study=("MR",), patient_name="smith*"),
    "two modalities": StudyQuery(modalities_in_study=("MG", "US")),
    "nothing matches": StudyQuery(patient_name="nobody*"),
    "description, contained, rare": StudyQuery(study_description="*nothing*"),
}
WORKLIST: dict[str, WorklistQuery] = {
    "worklist": WorklistQuery(),
    "worklist, positive": WorklistQuery(outcome=Outcome.POSITIVE),
    "worklist, failed (rare)": WorklistQuery(outcome=Outcome.FAILED),
    "worklist, modality MG": WorklistQuery(modality="MG"),
    "worklist, text": WorklistQuery(text="smith12"),
    "worklist, text, nothing": WorklistQuery(text="nobody"),
    "worklist, since": WorklistQuery(since=datetime(2025, 12, 31, tzinfo=UTC)),
}


def main() -> None:
    """Build, ask, print."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    url = sys.argv[2] if len(sys.argv) > 2 else ""
    with tempfile.TemporaryDirectory() as folder:
        settings = StoreSettings(Path(folder), url, durable=False)
        with Store.open(settings, migrate=True) as store:
            started = time.perf_counter()
            fill(store, count)
            print(f"{count} studies in {time.perf_counter() - started:.1f} s")
            _ask(store)


def _ask(store: Store) -> None:
    for name, query in STUDIES.items():
        _measure(name, partial(_count_studies, store, query))
    for name, wanted in WORKLIST.items():
        _measure(name, partial(_count_rows, store, wanted))
    uid = store.find_studies(StudyQuery(limit=1)).items[0].study_instance_uid
    _measure("series of a study", lambda: len(store.find_series(SeriesQuery(uid)).items))
    _measure("instances of a study", lambda: len(store.find_instances(InstanceQuery(uid)).items))
    _measure("change token", store.change_token)
    _measure("unsettled", lambda: len(store.unsettled_studies()))


def _count_studies(store: Store, query: StudyQuery) -> int:
    return len(store.find_studies(query).items)


def _count_rows(store: Store, query: WorklistQuery) -> int:
    return len(store.worklist(query).items)


def _measure(name: str, ask: Callable[[], int]) -> None:
    clock, cpu = [], []
    found = 0
    for _ in range(REPEATS):
        started, worked = time.perf_counter(), time.thread_time()
        found = ask()
        clock.append((time.perf_counter() - started) * 1000)
        cpu.append((time.thread_time() - worked) * 1000)
    texts = [
        f"{kind} p50 {statistics.median(times):7.2f} p95 {statistics.quantiles(times, n=20)[-1]:7.2f} ms"
        for kind, times in (("clock", clock), ("cpu", cpu))
    ]
    print(f"{name:32s} {'   '.join(texts)}   {found} found")


if __name__ == "__main__":
    main()
