"""A reader's data files as its recipe makes them: graph, calibration, golden cases, card, lock; then installed.

The package that it locks is whole: besides what runs, it holds licence, data statement, the record of the recipe and of
the data, and the list of versions.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import ReaderCard
from coread.models.golden import save_golden_case
from coread.models.lineage import RECORD, digest_of_folder, read_record, sha256_of, write_record
from coread.models.locking import RECORDS, LockPlan, lock_release
from coread.models.sbom import COMPONENTS, MadeWith, installed_now
from coread.models.session import open_session
from coread.models.statements import write_statements
from coread.train.card_text import card_toml
from coread.train.environment import fits_below
from coread.train.exporting import ExportReport, Storage, export
from coread.train.fit import Fitted

GRAPH = "network"
INPUT = "image"
CARD = "card.toml"
CALIBRATION = "calibration.json"
DATA_FILES = (CARD, "README.md", "validation.json", "training.json", RECORD)
STEP = "recipe"
_CODE = ("__init__.py", "reader.py")


class Curve(Protocol):
    """A fitted calibration curve (``coread.statistics.calibration``)."""

    def parameters(self) -> dict[str, Any]:
        """Return the entry of calibration.json."""
        ...


class ReaderFolder:
    """A reader under construction in a folder of its own, beside the work; the code is copied from the reader."""

    def __init__(self, path: Path, code: Path, learnt_from: Sequence[Path] = ()) -> None:
        """Start afresh in ``path`` with the code that lies in ``code``; ``learnt_from`` are the folders of the data."""
        if path.exists():
            shutil.rmtree(path)
        self.path, self.model = path, path / "model"
        self.model.mkdir(parents=True)
        self._code, self._learnt_from = code, learnt_from
        for name in _CODE:
            shutil.copyfile(code / name, path / name)

    def write_graph(self, members: Sequence[Fitted], *, storage: Storage = "float16") -> ExportReport:
        """Write the mean of the members over each image and its mirror image; proved equal to torch."""
        return export(members, self.model / f"{GRAPH}.onnx", flips=True, storage=storage)

    def write_calibration(self, curves: Mapping[str, Curve], method: str = "platt") -> None:
        """Write one curve of the same method for each output."""
        outputs = {key: curve.parameters() for key, curve in curves.items()}
        text = json.dumps({"schema": 1, "method": method, "outputs": outputs}, indent=2) + "\n"
        (self.model / CALIBRATION).write_text(text, encoding="utf-8")

    def write_golden(self, images: NDArray[np.float32]) -> None:
        """Store what the locked graph says of generated inputs (N, C, rows, columns), a case for each."""
        session = open_session(self.model, self.path / CARD, engine="onnxruntime")
        for number, image in enumerate(images):
            inputs = {INPUT: image[np.newaxis]}
            save_golden_case(self.model, f"generated{number}", inputs, session.run(GRAPH, inputs))

    def lock(self, card: ReaderCard, heading: str) -> str:
        """Write the card and lock the package with it, whole; return the digest."""
        (self.path / CARD).write_text(card_toml(card, heading), encoding="utf-8")
        return lock_whole(self.path, card, code=self._code, learnt_from=self._learnt_from)


def lock_whole(
    folder: Path, card: ReaderCard, *, code: Path, learnt_from: Sequence[Path], work: Path | None = None
) -> str:
    """Write licence, data statement, the record of the recipe and the list of versions into ``folder/model``; lock it.

    The card lies there already and is ``card``. ``work`` is where the fits lie (default: beside ``folder``). Returns
    the digest, which is the same when nothing else has changed. Raises BrokenLineage when a folder of data is empty.
    """
    _complete(folder / "model", card, code, learnt_from)
    stages = (*versions_of_fits(work or folder.parent), installed_now("release"))
    return lock_release(folder, LockPlan(made_with=stages, prove=_has_golden(folder))).package.digest


def lock_again(folder: Path, card: ReaderCard, *, code: Path, learnt_from: Sequence[Path]) -> str:
    """Lock a package of which only card, code or numbers changed; as ``lock_whole``, but the list of versions stays
    that of what made its graphs."""
    _complete(folder / "model", card, code, learnt_from)
    return lock_release(folder, LockPlan(prove=_has_golden(folder))).package.digest


def _complete(model: Path, card: ReaderCard, code: Path, learnt_from: Sequence[Path]) -> None:
    """Write licence, data statement and the record of code and data into a package."""
    data = {path.name: digest_of_folder(path) for path in learnt_from}
    write_statements(model, card, data)
    inputs = {f"data {name}": digest for name, digest in data.items()} | recipe_files(code)
    keep_record(model, STEP, inputs, {"reader_id": card.reader_id, "recipe": f"{code.name}/recipe.py"})


def _has_golden(folder: Path) -> bool:
    return any((folder / "model" / "golden").rglob("*.npz"))


def recipe_files(code: Path) -> dict[str, str]:
    """Return every Python file of a reader's folder with its SHA-256, as inputs of a record."""
    return {f"{code.name}/{path.name}": sha256_of(path) for path in sorted(code.glob("*.py"))}


def keep_record(model: Path, step: str, inputs: Mapping[str, str], settings: Mapping[str, Any]) -> None:
    """Leave the record of what made a package in ``model/records``; one that says the same stays: so do digests."""
    outputs = [path.name for path in sorted(model.glob("*.onnx"))]
    outputs += [CALIBRATION] if (model / CALIBRATION).is_file() else []
    place = model / RECORDS / f"01-{step}"
    if (place / RECORD).is_file():
        kept = read_record(place, check_outputs=False)
        made = {name: sha256_of(model / name) for name in outputs}
        if (kept.inputs, kept.outputs, kept.settings) == (dict(inputs), made, dict(settings)):
            return
    write_record(model, step, inputs=inputs, outputs=outputs, settings=settings)
    place.mkdir(parents=True, exist_ok=True)
    (model / RECORD).replace(place / RECORD)


def versions_of_fits(work: Path) -> tuple[MadeWith, ...]:
    """Return the versions that the fits below a folder left; where none did, say that they are not known."""
    if found := tuple(fits_below(work)):
        return found
    return (MadeWith("fit", {}, "the fits left no versions", ("python", "coread", *COMPONENTS)),)


def install(finished: Path, folder: Path) -> None:
    """Copy a finished reader's data files beside the reader's code, replacing what was there."""
    if (folder / "model").exists():
        shutil.rmtree(folder / "model")
    shutil.copytree(finished / "model", folder / "model")
    for name in DATA_FILES:
        if (finished / name).is_file():
            shutil.copyfile(finished / name, folder / name)
