"""The habits of the code base that a machine can check: names, sizes, and what never stands in shipped code."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src" / "coread").rglob("*.py"))
LONGEST_FILE = 500
LONGEST_FUNCTION = 60
MOST_PARAMETERS = 8
VAGUE = re.compile(r"(^|_)(util|utils|helper|helpers|manager|common|misc|stuff|tmp|foo|bar)($|_)")
VERSIONED = re.compile(r"(^|_)(new|old|legacy|v[0-9]+|final)$")
ALLOWED_LONG = frozenset({"register"})
"""Functions that are tables or command-line parsers, each reviewed."""
NAMES_OF_THE_WORKPLACE = re.compile(r"(?i)\b(subagent|claude|anthropic|chatgpt|copilot)\b|/work/(main|shared)")


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def where(path: Path, node: ast.AST | None = None) -> str:
    line = f":{getattr(node, 'lineno', '')}" if node is not None else ""
    return f"{path.relative_to(ROOT)}{line}"


def test_files_fit_on_a_few_screens() -> None:
    long = [where(path) for path in SOURCES if len(path.read_text(encoding="utf-8").splitlines()) > LONGEST_FILE]
    assert not long


def test_functions_fit_on_one_screen() -> None:
    long = [
        f"{where(path, node)} {node.name}"
        for path in SOURCES
        for node in functions(path)
        if (node.end_lineno or 0) - node.lineno + 1 > LONGEST_FUNCTION and node.name not in ALLOWED_LONG
    ]
    assert not long


def test_functions_take_few_parameters() -> None:
    many = [
        f"{where(path, node)} {node.name}"
        for path in SOURCES
        for node in functions(path)
        if len(node.args.args) + len(node.args.kwonlyargs) > MOST_PARAMETERS
    ]
    assert not many


def test_public_names_say_what_they_are() -> None:
    vague = []
    for path in SOURCES:
        names = [path.stem] + [node.name for node in functions(path) if not node.name.startswith("_")]
        names += [n.name for n in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(n, ast.ClassDef)]
        vague += [
            f"{where(path)} {name}" for name in names if VAGUE.search(name.lower()) or VERSIONED.search(name.lower())
        ]
    assert not vague


def test_no_error_is_swallowed() -> None:
    """An ``except`` whose body is only ``pass`` needs a comment that says why; a bare ``except`` never stands."""
    swallowed = []
    for path in SOURCES:
        lines = path.read_text(encoding="utf-8").splitlines()
        for node in ast.walk(ast.parse("\n".join(lines))):
            if not isinstance(node, ast.ExceptHandler):
                continue
            only_pass = len(node.body) == 1 and isinstance(node.body[0], ast.Pass)
            explained = only_pass and "#" in lines[node.body[0].lineno - 1]
            if node.type is None or (only_pass and not explained):
                swallowed.append(where(path, node))
    assert not swallowed


@pytest.mark.parametrize(
    "word",
    [
        "eval(", "exec(", "import pickle", "pickle.load", "from pickle import load", "Unpickler(", "allow_pickle=True",
        "torch.load(",
    ],
)  # fmt: skip
def test_dangerous_words_do_not_stand_in_shipped_code(word: str) -> None:
    pattern = re.compile(r"(?<![\w.])" + re.escape(word))
    found = [
        f"{where(path)}:{number}"
        for path in SOURCES
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if pattern.search(line) and "weights_only=True" not in line
    ]
    assert not found


def test_the_project_speaks_of_itself_alone() -> None:
    texts = [
        *SOURCES,
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "tests").rglob("*.py"),
        ROOT / "README.md",
        ROOT / "Makefile",
    ]
    named = [
        where(p)
        for p in texts
        if p.name != Path(__file__).name and NAMES_OF_THE_WORKPLACE.search(p.read_text(encoding="utf-8"))
    ]
    assert not named


def test_every_page_that_the_index_names_is_there() -> None:
    docs = ROOT / "docs"
    for name in re.findall(r"\]\(([^)#]+)\)", (docs / "index.md").read_text(encoding="utf-8")):
        assert (docs / name).exists(), name
