"""What the pages say can be done: every command line names real commands and options, every settings file loads."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from coread.app.settings import Settings, settings_table
from coread.domain.reasons import MEANINGS
from coread.readers.registry import installed_readers
from tests.acceptance.conftest import coread

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
GLOBAL_OPTIONS = ("--settings", "--folder", "--version", "--help")


def blocks(language: str) -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for found, text in BLOCK.findall(page.read_text(encoding="utf-8")):
            if found == language:
                yield page, text


def command_lines() -> list[tuple[str, list[str]]]:
    """(page, words after ``coread``) of every command line in the pages."""
    found = []
    for page, text in blocks("sh"):
        for line in text.replace("\\\n", " ").splitlines():
            words = shlex.split(line, comments=True)
            for number, word in enumerate(words):
                if Path(word).name == "coread" and (number == 0 or "=" in words[number - 1]):
                    found.append((str(page.relative_to(ROOT)), words[number + 1 :]))
    return found


@cache
def help_of(*command: str) -> str:
    return coread(*command, "--help").out


def subcommand(words: list[str]) -> tuple[list[str], list[str]]:
    """Split into the command's path (``users add``) and the rest, global options left out."""
    rest = list(words)
    while rest and rest[0] in GLOBAL_OPTIONS:
        rest = rest[2:] if rest[0] in ("--settings", "--folder") else rest[1:]
    path = rest[:1]
    if path and path[0] in ("users", "viewer", "power", "models", "dataset", "recon", "report") and len(rest) > 1:
        path = rest[:2]
    if path == ["models", "trust"] and len(rest) > 2:
        path = rest[:3]
    return path, rest[len(path) :]


def test_the_pages_show_commands() -> None:
    assert len(command_lines()) >= 10


@pytest.mark.parametrize(("page", "words"), command_lines())
def test_every_command_in_the_pages_exists(page: str, words: list[str]) -> None:
    path, rest = subcommand(words)
    text = help_of(*path)
    assert "Usage" in text, f"{page}: coread {' '.join(path)}"
    for word in rest:
        if word.startswith("--"):
            assert word.split("=")[0] in text, f"{page}: coread {' '.join(words)}"


@pytest.mark.parametrize(("page", "text"), [(str(p.relative_to(ROOT)), t) for p, t in blocks("toml") if "folder" in t])
def test_every_settings_file_in_the_pages_loads(page: str, text: str) -> None:
    Settings(**tomllib.loads(text))


def test_every_setting_reason_and_reader_is_in_the_reference() -> None:
    settings = (ROOT / "docs" / "reference" / "settings.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in settings for name, _, _ in settings_table())
    outcomes = (ROOT / "docs" / "explanation" / "outcomes.md").read_text(encoding="utf-8")
    assert all(code.value in outcomes for code in MEANINGS)
    models = (ROOT / "docs" / "reference" / "models.md").read_text(encoding="utf-8")
    assert all(reader.package_digest[:16] in models for reader in installed_readers()), "run `make docs`"


def test_links_between_pages_lead_somewhere() -> None:
    dead = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            if not target.startswith(("http://", "https://")) and not (page.parent / target).exists():
                dead.append(f"{page.relative_to(ROOT)}: {target}")
    assert not dead
