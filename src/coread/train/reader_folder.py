"""A reader's data files as its recipe makes them: graph, calibration, golden cases, card, lock; then installed."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import ReaderCard
from coread.models.golden import save_golden_case
from coread.models.package import lock_package
from coread.models.session import open_session
from coread.train.card_text import card_toml
from coread.train.exporting import ExportReport, Storage, export
from coread.train.fit import Fitted

GRAPH = "network"
INPUT = "image"
CARD = "card.toml"
DATA_FILES = (CARD, "README.md", "validation.json", "training.json")
_CODE = ("__init__.py", "reader.py")


class Curve(Protocol):
    """A fitted calibration curve (``coread.statistics.calibration``)."""

    def parameters(self) -> dict[str, Any]:
        """Return the entry of calibration.json."""
        ...


class ReaderFolder:
    """A reader under construction in a folder of its own, beside the work; the code is copied from the reader."""

    def __init__(self, path: Path, code: Path) -> None:
        """Start afresh in ``path`` with the code that lies in ``code``."""
        if path.exists():
            shutil.rmtree(path)
        self.path, self.model = path, path / "model"
        self.model.mkdir(parents=True)
        for name in _CODE:
            shutil.copyfile(code / name, path / name)

    def write_graph(self, members: Sequence[Fitted], *, storage: Storage = "float16") -> ExportReport:
        """Write the mean of the members over each image and its mirror image; proved equal to torch."""
        return export(members, self.model / f"{GRAPH}.onnx", flips=True, storage=storage)

    def write_calibration(self, curves: Mapping[str, Curve], method: str = "platt") -> None:
        """Write one curve of the same method for each output."""
        outputs = {key: curve.parameters() for key, curve in curves.items()}
        text = json.dumps({"schema": 1, "method": method, "outputs": outputs}, indent=2) + "\n"
        (self.model / "calibration.json").write_text(text, encoding="utf-8")

    def write_golden(self, images: NDArray[np.float32]) -> None:
        """Store what the locked graph says of generated inputs (N, C, rows, columns), a case for each."""
        session = open_session(self.model, self.path / CARD, engine="onnxruntime")
        for number, image in enumerate(images):
            inputs = {INPUT: image[np.newaxis]}
            save_golden_case(self.model, f"generated{number}", inputs, session.run(GRAPH, inputs))

    def lock(self, card: ReaderCard, heading: str) -> str:
        """Write the card and lock the package with it; return the digest."""
        (self.path / CARD).write_text(card_toml(card, heading), encoding="utf-8")
        return lock_package(self.model, self.path / CARD).digest


def install(finished: Path, folder: Path) -> None:
    """Copy a finished reader's data files beside the reader's code, replacing what was there."""
    if (folder / "model").exists():
        shutil.rmtree(folder / "model")
    shutil.copytree(finished / "model", folder / "model")
    for name in DATA_FILES:
        if (finished / name).is_file():
            shutil.copyfile(finished / name, folder / name)
