"""The room starts without SciPy, says what is missing, and every public function stands in its reference page."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from coread.domain.errors import Misconfigured
from coread.statistics.errors import MissingExtra
from coread.statistics.intervals import clopper_pearson

ROOT = Path(__file__).resolve().parents[2]
ROOM = ROOT / "src" / "coread" / "statistics"
INSIDE = {"arrays", "errors", "extras", "logistic"}
"""Files that serve the others; they answer no question of their own."""


def modules() -> list[Path]:
    return sorted(path for path in ROOM.glob("*.py") if path.stem not in INSIDE and not path.stem.startswith("_"))


def test_every_public_function_stands_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "statistics.md").read_text(encoding="utf-8")
    absent = [
        f"{path.stem}.{node.name}"
        for path in modules()
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and f"`{node.name}`" not in page
    ]
    assert not absent


def test_the_room_starts_without_scipy() -> None:
    names = ", ".join(f"coread.statistics.{path.stem}" for path in modules())
    code = f"import sys, {names}; print(sorted(m for m in sys.modules if m.split('.')[0] in ('scipy', 'sklearn')))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert answer.stdout.strip() == "[]"


def test_a_missing_library_is_named_with_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(MissingExtra, match=r"coread\[validate\]") as caught:
        clopper_pearson(3, 10)
    assert isinstance(caught.value, Misconfigured)
