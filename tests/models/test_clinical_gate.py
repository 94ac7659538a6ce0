"""What reads patients opens graphs and plain data: no pickle, no code, whatever lies in a package."""

import ast
import io
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import coread
from coread.models.errors import DamagedPackage, GoldenMismatch
from coread.models.golden import golden_cases
from coread.models.package import lock_package, verify_package
from tests.models.tiny_reader import write_tiny_reader

ROOMS = (
    "domain", "imaging", "store", "receive", "route", "engine", "readers", "evidence", "deliver", "models", "monitor",
    "phantoms", "reports", "statistics", "app", "validate",
)  # fmt: skip
OFFLINE = {"recipe.py", "packaging.py", "cohort.py", "report.py"}
"""Files of readers that only training calls."""
UNPICKLERS = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "torch"}
RUNNERS = {"eval", "exec", "compile", "__import__"}


def trees() -> Iterator[tuple[Path, ast.Module]]:
    root = Path(coread.__file__).parent
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            if not (room == "readers" and path.name in OFFLINE):
                yield path, ast.parse(path.read_text(encoding="utf-8"))


def test_no_room_of_the_clinic_can_unpickle_or_run_text() -> None:
    wrong = []
    for path, tree in trees():
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name.partition(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
                names = [node.module.partition(".")[0]]
            if UNPICKLERS & set(names):
                wrong.append(f"{path}:{node.lineno} imports {names}")  # type: ignore[attr-defined]
            if isinstance(node, ast.Call):
                if isinstance(node.func, ast.Name) and node.func.id in RUNNERS:
                    wrong.append(f"{path}:{node.lineno} calls {node.func.id}")
                if any(
                    word.arg == "allow_pickle"
                    and not (isinstance(word.value, ast.Constant) and word.value.value is False)
                    for word in node.keywords
                ):
                    wrong.append(f"{path}:{node.lineno} allows pickles")
    assert not wrong


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.target,)


@pytest.mark.parametrize("name", ["weights.pt", "model.PKL", "run.py", "golden/case.pickle", "libcode.so", "net.ckpt"])
def test_a_package_with_code_or_a_pickle_is_neither_locked_nor_read(tmp_path: Path, name: str) -> None:
    folder = write_tiny_reader(tmp_path / "r")
    verify_package(folder / "model", folder / "card.toml")
    (folder / "model" / name).write_bytes(b"x")
    with pytest.raises(DamagedPackage, match="code or a pickle"):
        lock_package(folder / "model", folder / "card.toml")
    with pytest.raises(DamagedPackage, match="code or a pickle"):
        verify_package(folder / "model", folder / "card.toml")


def hostile_files(trap: Path) -> Iterator[tuple[str, bytes]]:
    stream = io.BytesIO()
    np.savez(stream, in_image=np.array([Trap(trap)], dtype=object))
    yield "an array of objects", stream.getvalue()
    yield "a pickle", pickle.dumps(Trap(trap))
    stream = io.BytesIO()
    np.save(stream, np.array([Trap(trap)], dtype=object), allow_pickle=True)
    yield "a single array of objects", stream.getvalue()
    stream = io.BytesIO()
    np.save(stream, np.zeros(3))
    yield "a single array", stream.getvalue()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("data.pkl", pickle.dumps(Trap(trap)))
        archive.writestr("in_image.npy", pickle.dumps(Trap(trap)))
    yield "weights of torch", stream.getvalue()
    yield "a cut zip", stream.getvalue()[:40]
    yield "nothing", b""


def test_a_golden_case_with_a_pickle_inside_is_refused_and_not_run(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"
    (tmp_path / "golden").mkdir()
    for words, data in hostile_files(trap):
        (tmp_path / "golden/case.npz").write_bytes(data)
        with pytest.raises(GoldenMismatch):
            list(golden_cases(tmp_path))
        assert not trap.exists(), words
