"""Builds a data set: reads a source through its adapter, opens every image once, and writes the index at the very end.

Everything is made in ``FOLDER.partial`` beside the target, which is renamed when it is complete. A build that was
killed goes on where it stopped: images that were already opened and did not change since are not opened again.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import numpy as np

from coread.models.lineage import sha256_of
from coread.train.adapters import ADAPTERS
from coread.train.adapters.contract import Draft, DrawMask, ReadOptions
from coread.train.datasets import OWN, ImageIndex, ImageRow, write_index
from coread.train.deidentified import REPORT, REPORT_PAGE, Deidentifier, DeidentifyPlan, HeldBack
from coread.train.errors import CannotWrite, DataMissing, DatasetExists
from coread.train.pictures import PictureStore

JOURNAL = "opened.jsonl"
_LOCK, _PLAN = ".lock", ".plan.json"
_SHOWN = 5
_AT_ONCE = 256
"""Images handed to the threads together: a build that is stopped ends after these at the latest."""

Progress = Callable[[int, int], None]
"""Called with (images done, images in all)."""


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What to build and how carefully."""

    adapter: str
    source: Path
    folder: Path
    name: str = ""
    options: ReadOptions = field(default_factory=ReadOptions)
    decode: bool = True
    """Decode every image, not only digest its bytes: finds damage now instead of while training."""
    leave_out: bool = False
    """Leave out rows whose image is missing or damaged and list them, instead of stopping."""
    deidentify: DeidentifyPlan | None = None
    """Write de-identified copies into the set instead of pointing to the source."""
    threads: int = 0


def build_dataset(plan: BuildPlan, progress: Progress = lambda _done, _total: None) -> ImageIndex:
    """Read the source and write the data set; raises DataMissing with every kind of trouble that was found."""
    if plan.adapter not in ADAPTERS:
        raise DataMissing(f"there is no adapter {plan.adapter!r}; there are: {', '.join(sorted(ADAPTERS))}")
    adapter = ADAPTERS[plan.adapter]
    with partial_folder(plan.folder, _identity(plan)) as partial:
        drafts = list(adapter.read(plan.source, plan.options))
        if not drafts:
            raise DataMissing(f"{plan.source} holds no image that {plan.adapter} knows: {adapter.layout}")
        cleaner = Deidentifier.of(plan.deidentify, plan.source, partial) if plan.deidentify is not None else None
        with PictureStore(plan.source, partial) as store, _Journal(partial / JOURNAL) as journal:
            opener = _Opener(plan, store, journal, cleaner)
            opened = opener.open_all(drafts, progress)
        (partial / JOURNAL).unlink(missing_ok=True)
        rows = tuple(row for row, problem in opened if not problem)
        if cleaner is not None:
            cleaner.write_held_back(plan.folder.with_name(plan.folder.name + ".held_back.json"))
            cleaner.write_reports(rows)
            cleaner.forget_key()
        index = ImageIndex(
            name=plan.name or plan.adapter,
            root=plan.source if cleaner is None else partial,
            rows=rows,
            folder=partial,
            licence=adapter.licence,
            citation=adapter.citation,
            adapter=plan.adapter,
            left_out=() if cleaner is not None else tuple((row.image_id, text) for row, text in opened if text),
            mask_digests={row.mask: opener.mask_digests[row.mask] for row in rows if row.mask},
        )
        written = write_index(
            index,
            step="dataset build",
            inputs=_inputs(rows, plan),
            settings=_settings(plan),
            outputs=[*_own_files(partial, rows), *((REPORT, REPORT_PAGE) if cleaner is not None else ())],
        )
    root = plan.source.resolve() if plan.deidentify is None else plan.folder.resolve()
    return replace(written, folder=plan.folder, root=root)


def _own_files(folder: Path, rows: Sequence[ImageRow]) -> list[str]:
    """Return the files that the build made for these rows; others, of rows that were left out, are removed."""
    used = {path.removeprefix(OWN) for row in rows for path in (row.path, row.mask) if path.startswith(OWN)}
    for kind in ("masks", "images"):
        for path in sorted((folder / kind).rglob("*")):
            if path.is_file() and path.relative_to(folder).as_posix() not in used:
                path.unlink()
    return sorted(used)


@contextlib.contextmanager
def partial_folder(folder: Path, plan: Mapping[str, Any]) -> Iterator[Path]:
    """Yield ``FOLDER.partial``, renamed to FOLDER at the end; kept as it is when the step fails, to go on from there.

    What a step with another ``plan`` left there is removed first: its masks and copies would be taken for this one's.
    Raises DatasetExists when FOLDER holds anything, or when another process works on it.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DatasetExists(f"{folder} is not empty; finished data sets are never changed: name another folder")
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir(parents=True, exist_ok=True)
    with (partial / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            raise DatasetExists(f"another process is building {folder} now") from problem
        try:
            _only_of(partial, json.dumps(plan, sort_keys=True))
            yield partial
            (partial / _PLAN).unlink()
            (partial / _LOCK).unlink()
            if folder.exists():
                folder.rmdir()
            partial.rename(folder)
        except OSError as problem:
            raise CannotWrite(f"{folder} cannot be made: {problem}. Run it again when that is mended") from problem


def _only_of(partial: Path, plan: str) -> None:
    """Leave in the folder only what a step with the same plan made, and note the plan."""
    note = partial / _PLAN
    if note.is_file() and note.read_text(encoding="utf-8") == plan:
        return
    for path in partial.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != _LOCK:
            path.unlink()
    beside = note.with_suffix(".tmp")
    beside.write_text(plan, encoding="utf-8")
    beside.replace(note)


def _identity(plan: BuildPlan) -> dict[str, Any]:
    """Return what decides the masks and copies that a build makes; which images were released by hand does not."""
    table, rules = plan.options.table, plan.deidentify
    tables = {} if not plan.source.is_dir() else {
        path.name: [path.stat().st_size, path.stat().st_mtime_ns]
        for pattern in ("*.csv", "*.json") for path in sorted(plan.source.glob(pattern)) if path.is_file()
    }  # fmt: skip
    return _settings(plan) | {
        "source": str(plan.source.resolve()),
        "tables_of_source": tables,
        "table": sha256_of(table) if table is not None and table.is_file() else "",
        "deidentify": [*sorted(rules.options), str(rules.key_file)] if rules is not None else None,
    }


class _Opener:
    """Opens the image of every draft, draws its mask, and says what is wrong with it."""

    def __init__(self, plan: BuildPlan, store: PictureStore, journal: "_Journal", cleaner: Deidentifier | None) -> None:
        self._plan, self._store, self._journal, self._cleaner = plan, store, journal, cleaner
        self.mask_digests: dict[str, str] = {}

    def open_all(self, drafts: Sequence[Draft], progress: Progress) -> list[tuple[ImageRow, str]]:
        """Return every row with its digest, and with a problem where there is one."""
        # pydicom's warnings are silenced for the whole process, so de-identification stays in one thread.
        threads = 1 if self._cleaner is not None else self._plan.threads or min(4, os.cpu_count() or 1)
        opened: list[tuple[ImageRow, str]] = []
        with ThreadPoolExecutor(threads) as pool:
            for start in range(0, len(drafts), _AT_ONCE):
                for result in pool.map(self._open, drafts[start : start + _AT_ONCE]):
                    opened.append(result)
                    progress(len(opened), len(drafts))
        held = self._cleaner.held_back if self._cleaner is not None else {}
        problems = [f"{row.image_id}: {text}" for row, text in opened if text and row.image_id not in held]
        if len(held) == len(opened):
            raise HeldBack(
                f"all {len(held)} images were held back, e.g. {opened[0][1]}; look at them and list those "
                "that show nobody in the accept_file of the rules"
            )
        if problems and (not self._plan.leave_out or len(problems) == len(opened)):
            raise DataMissing(
                f"{len(problems)} of {len(opened)} images cannot be used: "
                + "; ".join(problems[:_SHOWN])
                + (f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else "")
                + ". Complete the source, or leave such rows out with --leave-out"
            )
        return opened

    def _open(self, draft: Draft) -> tuple[ImageRow, str]:
        row = draft.row
        try:
            digest = self._digest(row.path)
            if draft.draw is not None:
                row = replace(row, mask=self._drawn(row.image_id, draft.draw))
                self.mask_digests[row.mask] = self._store.sha256(row.mask)
            elif row.mask:
                self.mask_digests[row.mask] = self._digest(row.mask)
            if self._cleaner is not None:
                row = self._cleaner.row(row)
                digest = self._store.sha256(row.path)
        except DataMissing as problem:
            return row, str(problem)
        return replace(row, sha256=digest), ""

    def _digest(self, path: str) -> str:
        stamp = self._stamp(path)
        known = self._journal.find(path, stamp)
        if known:
            return known
        digest = self._store.sha256(path)
        if self._plan.decode:
            self._store.pixels(path)
        self._journal.add(path, stamp, digest)
        return digest

    def _stamp(self, path: str) -> tuple[int, int]:
        state = self._store.file(path).stat()
        return state.st_size, state.st_mtime_ns

    def _drawn(self, image_id: str, draw: DrawMask) -> str:
        from PIL import Image

        if self._cleaner is not None:
            image_id = self._cleaner.profile.pseudonyms.name("mask", image_id)
        name = f"masks/{hashlib.sha256(image_id.encode()).hexdigest()[:32]}.png"
        target = self._store.file(OWN) / name
        if not target.is_file():
            target.parent.mkdir(exist_ok=True)
            beside = target.with_suffix(".partial")
            Image.fromarray(np.ascontiguousarray(draw(), dtype=np.uint8)).save(beside, "PNG")
            beside.replace(target)
        return OWN + name


class _Journal:
    """Which images were opened: one line each, so that a killed build need not open them again."""

    def __init__(self, path: Path) -> None:
        self._known: dict[str, tuple[tuple[int, int], str]] = {}
        for line in path.read_text(encoding="utf-8").splitlines() if path.is_file() else ():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # the last line of a killed build may be torn
                entry = json.loads(line)
                self._known[entry["path"]] = ((entry["size"], entry["mtime_ns"]), entry["sha256"])
        self._stream: IO[str] = path.open("a", encoding="utf-8")
        self._stream.write("\n")

    def __enter__(self) -> "_Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def find(self, path: str, stamp: tuple[int, int]) -> str:
        known = self._known.get(path)
        return known[1] if known is not None and known[0] == stamp else ""

    def add(self, path: str, stamp: tuple[int, int], digest: str) -> None:
        self._known[path] = (stamp, digest)
        entry = {"path": path, "size": stamp[0], "mtime_ns": stamp[1], "sha256": digest}
        self._stream.write(json.dumps(entry) + "\n")
        self._stream.flush()


def _inputs(rows: Sequence[ImageRow], plan: BuildPlan) -> dict[str, str]:
    """Name what went in: the digest over all images, and the table of labels where one was named."""
    images = hashlib.sha256("\n".join(sorted(row.sha256 for row in rows)).encode()).hexdigest()
    inputs = {"images": images}
    if plan.options.table is not None:
        inputs["table"] = sha256_of(plan.options.table)
    return inputs


def _settings(plan: BuildPlan) -> dict[str, Any]:
    options, rules = plan.options, plan.deidentify
    return {
        "adapter": plan.adapter,
        "source": "" if rules else str(plan.source),
        "decode": plan.decode,
        "leave_out": plan.leave_out,
        "table": options.table.name if options.table else "",
        "labels": list(options.labels),
        "columns": dict(options.columns),
        "deidentify": rules.settings if rules is not None else None,
    }
