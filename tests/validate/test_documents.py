"""Documents say what card and report say; what nobody stated is "not stated", and nothing else is made up."""

import re
from pathlib import Path
from typing import Any

import pytest

from coread.readers.registry import InstalledReader
from coread.validate.checklists import CLAIM, TRIPOD_AI
from coread.validate.document_answers import NOT_STATED, answers_of_report
from coread.validate.documents import DOCUMENTS, write_documents
from coread.validate.measure_settings import MeasureSettings
from coread.validate.validation import ValidationPlan, validate_reader
from tests.acceptance.conftest import coread
from tests.validate.cohorts import square_cohort


@pytest.fixture(scope="module")
def run(tiny: InstalledReader, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("documents")
    square_cohort(folder / "cohort", 50)
    criteria = folder / "criteria.toml"
    criteria.write_text('[[criterion]]\noutput = "square"\nmetric = "auc"\nat_least = 0.6\n')
    plan = ValidationPlan(measure=MeasureSettings(repeats=100), criteria=criteria, images=False, pdf=False)
    return folder / "run", validate_reader(tiny.folder, folder / "cohort", folder / "run", plan=plan)


def test_every_document_is_written_twice_and_names_the_package(
    run: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    _, report = run
    paths = write_documents(tmp_path, report)
    assert {path.name for path in paths} == {f"{name}{ending}" for name in DOCUMENTS for ending in (".md", ".html")}
    for path in paths:
        text = path.read_text(encoding="utf-8")
        assert report["package_digest"][:16] in text
        assert "Research use only" in text


def test_the_checklists_have_all_their_items_once() -> None:
    assert [item for item, _, _ in CLAIM] == [str(number) for number in range(1, 43)]
    numbers = [int(re.sub(r"[a-z]", "", item)) for item, _, _ in TRIPOD_AI]
    assert sorted(set(numbers)) == list(range(1, 28))
    assert len({item for item, _, _ in TRIPOD_AI}) == len(TRIPOD_AI) == 52


def test_every_source_of_an_item_is_an_answer(run: tuple[Path, dict[str, Any]]) -> None:
    _, report = run
    known = set(answers_of_report(report))
    assert {source for _, _, source in (*CLAIM, *TRIPOD_AI) if source} <= known


def test_what_nobody_stated_says_so(run: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    _, report = run
    write_documents(tmp_path, report)
    claim = (tmp_path / "claim.md").read_text()
    assert f"| 42 | funding | {NOT_STATED} |" in claim
    assert f"| 14 | definition of the reference standard | {NOT_STATED} |" in claim
    assert "| 7 | sources of data | generated squares |" in claim
    card = (tmp_path / "model_card.md").read_text()
    assert f"| developer | {NOT_STATED} |" in card
    label = (tmp_path / "model_facts.md").read_text()
    assert "Simulated images." in label


def test_the_numbers_of_a_document_are_the_reports(run: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    _, report = run
    write_documents(tmp_path, report)
    auc = report["outputs"]["square"]["discrimination"]["auc"]
    words = f"{auc['value']:.3f} ({auc['low']:.3f} to {auc['high']:.3f})"
    for name in ("model_card.md", "model_facts.md", "performance_summary.md", "claim.md", "tripod_ai.md"):
        assert words in (tmp_path / name).read_text(), name
    summary = (tmp_path / "performance_summary.md").read_text()
    assert "square auc >= 0.6: met" in summary
    assert report["run"]["criteria_sha256"] in summary


def test_the_command_writes_them_beside_the_run(run: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = run
    answer = coread("documents", folder)
    assert answer.code == 0, answer.err
    assert (folder / "documents" / "model_card.html").is_file()
    assert coread("documents", folder / "documents").code == 5
