"""``coread read``: the same path as the server's, over a store that lives as long as the command."""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from coread.app.export import ResultRow, write_story, write_table
from coread.app.paths import files_below
from coread.app.pipeline import Pipeline, evidence_maker, pipeline_of, settle_and_route
from coread.app.settings import Settings
from coread.app.why import study_story
from coread.domain.study import Origin, SettledReason
from coread.receive.folder import UNREADABLE, FileFate, FolderSettings, take_file
from coread.store import Store, StoreSettings

Progress = Callable[[int, int, str], None]
"""(done, total, what)"""


@dataclass(frozen=True, slots=True)
class ReadSummary:
    """Everything that was read or refused."""

    rows: tuple[ResultRow, ...]
    refused: tuple[tuple[Path, str], ...]
    objects: int

    def document(self) -> dict[str, Any]:
        """Return the summary as plain JSON values."""
        return {
            "notice": "Research use only. Not a medical device.",
            "readings": [asdict(row) for row in self.rows],
            "refused": [{"file": str(file), "reason": reason} for file, reason in self.refused],
            "objects": self.objects,
        }


def read_paths(
    settings: Settings, paths: Sequence[Path], out: Path, *, only: Sequence[str] = (), progress: Progress
) -> ReadSummary:
    """Read DICOM files and folders (and zip archives of them) with the installed readers; results go to ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="coread-read-") as folder:
        throw_away = StoreSettings(folder=Path(folder), durable=False, warn_free_fraction=0.0, refuse_free_fraction=0.0)
        with Store.open(throw_away, migrate=True) as store:
            refused, uids = take_in(store, files_below(paths), progress)
            pipeline = pipeline_of(store, settings, only)
            for uid in uids:
                settle_and_route(pipeline, uid, SettledReason.MANUAL, "all files that were named are in")
            _read_all(pipeline, len(uids), progress)
            return _write(store, uids, out, refused)


def take_in(store: Store, files: Sequence[Path], progress: Progress) -> tuple[list[tuple[Path, str]], tuple[str, ...]]:
    """Take files into a store; returns what was refused, with the reason, and the UIDs of the studies."""
    refused: list[tuple[Path, str]] = []
    uids: dict[str, None] = {}
    settings = FolderSettings(folder=store.folder, durable=False)
    for number, path in enumerate(files, start=1):
        try:
            handled = take_file(store, path, settings, Origin("command", peer="coread read"))
        except UNREADABLE as problem:
            refused.append((path, f"cannot be read: {problem}"))
            continue
        uids.update((receipt.study_instance_uid, None) for receipt in handled.received if receipt.study_instance_uid)
        if handled.members:
            refused += [(path, text) for text in handled.members]
        elif handled.fate is FileFate.REFUSED:
            refused.append((path, handled.detail))
        progress(number, len(files), "taking in files")
    known = [uid for uid in uids if store.study(uid) is not None]
    return refused, tuple(known)


def _read_all(pipeline: Pipeline, studies: int, progress: Progress) -> None:
    from coread.app.prior_archive import prior_archive
    from coread.app.priors import prior_finder
    from coread.engine.sessions import SessionSettings
    from coread.engine.worker_loop import WorkLoop, WorkSettings

    threads = SessionSettings(threads=pipeline.settings.reader_threads, programs=pipeline.settings.allowed_programs)
    loop = WorkLoop(
        pipeline.store,
        pipeline.readers,
        evidence_maker(pipeline.settings),
        (),
        settings=WorkSettings(cap_memory=False),
        open_session=threads.open,
        find_priors=prior_finder(pipeline.store, prior_archive(pipeline.settings)),
    )
    done = 0
    while loop.run_once():
        done += 1
        progress(done, max(done, studies * len(pipeline.readers)), "reading studies")


def _write(store: Store, uids: Sequence[str], out: Path, refused: Sequence[tuple[Path, str]]) -> ReadSummary:
    written = [write_story(store, study_story(store, uid), out, images=False) for uid in uids]
    rows = tuple(row for part in written for row in part.rows)
    write_table(out, rows)
    summary = ReadSummary(rows, tuple(refused), sum(part.objects for part in written))
    (out / "results.json").write_text(json.dumps(summary.document(), indent=2, ensure_ascii=False) + "\n")
    return summary
