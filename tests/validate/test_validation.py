"""The gate from one end to the other, by the function and by the installed command."""

import importlib.util
import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from coread.models.errors import BrokenLineage, DamagedPackage
from coread.models.lineage import read_record, write_record
from coread.models.predictions import read_predictions
from coread.models.validations import require_validation
from coread.readers.registry import InstalledReader
from coread.validate.card_numbers import card_numbers, differences
from coread.validate.cohort_writing import write_cohort
from coread.validate.errors import BadRun, MissingExtra, OtherRun
from coread.validate.freezing import FROZEN_FILE
from coread.validate.measure_settings import MeasureSettings
from coread.validate.reader_choice import chosen_reader
from coread.validate.report_json import read_report
from coread.validate.validation import ValidationPlan, locked_by, validate_reader
from tests.acceptance.conftest import coread
from tests.models.tiny_reader import CARD, write_tiny_reader
from tests.validate.cohorts import WRAP, png, square_cohort, square_picture, square_rows

QUICK = ValidationPlan(measure=MeasureSettings(repeats=100))


class Page(HTMLParser):
    """Counts what a page holds and checks that every tag is closed."""

    void = frozenset({"meta", "img", "br", "rect", "line", "circle", "path"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in self.void:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.void:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data + " "


def page_of(path: Path) -> Page:
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    page.close()
    assert page.open == []
    return page


@pytest.fixture(scope="module")
def finished(tiny: InstalledReader, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("finished")
    square_cohort(folder / "cohort", 80, description={"prevalence": {"square": 0.1}})
    report = validate_reader(tiny.folder, folder / "cohort", folder / "run", plan=QUICK)
    return folder, report


def test_the_report_names_the_package_and_the_cohort_that_were_measured(
    tiny: InstalledReader, finished: tuple[Path, dict[str, Any]]
) -> None:
    folder, report = finished
    frozen = json.loads((folder / "cohort" / FROZEN_FILE).read_text())
    assert report["package_digest"] == tiny.package_digest
    assert report["cohorts"][0]["digest"] == frozen["digest"]
    assert report["run"]["command"] == "coread validate tiny_square cohort --out run"
    assert read_report(folder / "run") == json.loads(json.dumps(report))
    assert str(folder) not in (folder / "run" / "report.json").read_text()


def test_the_record_of_the_step_holds_the_hashes_of_everything(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, report = finished
    record = read_record(folder / "run")
    assert record.step == "validate"
    assert record.inputs["package"] == report["package_digest"]
    assert set(record.outputs) == {"report.json", "report.html", "report.pdf", "predictions.parquet"}


def test_the_page_needs_nothing_from_elsewhere(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = finished
    page = page_of(folder / "run" / "report.html")
    assert all(source.startswith(("#", "data:image/jpeg;base64,")) for source in page.sources)
    for words in (
        "Research use only",
        "Bright square",
        "ROC",
        "Decision curve",
        "AFROC, Bright square",
        "Most lesions missed",
        "Subgroups",
        "simulated",
        "false alarm",
    ):
        assert words in page.text
    assert "nan" not in re.findall(r"\b\w+\b", page.text)


def test_the_paper_has_the_same_words(finished: tuple[Path, dict[str, Any]], need_program: Any, tmp_path: Path) -> None:
    import subprocess

    folder, report = finished
    need_program("pdftotext")
    subprocess.run(["pdftotext", "-layout", folder / "run" / "report.pdf", tmp_path / "text"], check=True)
    text = (tmp_path / "text").read_text()
    assert "Tiny square finder 1.0.0" in text
    assert f"{report['outputs']['square']['discrimination']['auc']['value']:.3f}" in text
    assert report["package_digest"] in text.replace("\n", "").replace(" ", "")


def test_predictions_are_a_table_in_long_form(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, report = finished
    table = parquet.read_table(folder / "run" / "predictions.parquet").to_pydict()
    assert len(table["case_id"]) == 80
    assert set(table["output"]) == {"square"}
    positive = [value for value in table["truth"] if value == 1.0]
    assert len(positive) == report["outputs"]["square"]["positives"]
    assert all(isinstance(value, float) for value in table["logit"])


def test_a_reader_can_be_recalibrated_from_the_predictions_of_a_run(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, report = finished
    (found,) = read_predictions(folder / "run" / "predictions.parquet", ["Squares"])
    assert found.output == "square"
    assert int(found.truth.sum()) == report["outputs"]["square"]["positives"]


def test_a_package_may_be_switched_on_with_this_validation(
    tiny: InstalledReader, finished: tuple[Path, dict[str, Any]]
) -> None:
    folder, report = finished
    record = require_validation(tiny.folder, tiny.package_digest, folder / "run")
    assert (record.package_digest, record.cohort, record.accepted) == (report["package_digest"], "Squares", None)


def test_doing_it_again_changes_nothing_and_reads_nothing(
    tiny: InstalledReader, finished: tuple[Path, dict[str, Any]]
) -> None:
    folder, report = finished
    before = (folder / "run" / "cases.jsonl").read_bytes()
    again = validate_reader(tiny.folder, folder / "cohort", folder / "run", plan=QUICK)
    assert (folder / "run" / "cases.jsonl").read_bytes() == before
    for key in ("outputs", "boxes", "cases", "refusals", "worst"):
        assert again[key] == report[key]


def test_a_changed_byte_of_the_package_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    reader = write_tiny_reader(tmp_path / "tiny_square_damaged")
    square_cohort(tmp_path / "cohort", 4)
    graph = reader / "model" / "network.onnx"
    graph.write_bytes(graph.read_bytes() + b"x")
    with pytest.raises(DamagedPackage):
        validate_reader(reader, tmp_path / "cohort", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_of_another_package_is_not_mixed_in(tiny: InstalledReader, tmp_path: Path) -> None:
    square_cohort(tmp_path / "cohort", 4)
    validate_reader(tiny.folder, tmp_path / "cohort", tmp_path / "run", plan=QUICK)
    other = write_tiny_reader(tmp_path / "tiny_square_other", card=CARD.replace("1.0.0", "1.1.0"))
    report = (tmp_path / "run" / "report.json").read_bytes()
    with pytest.raises(OtherRun, match="package_digest"):
        validate_reader(other, tmp_path / "cohort", tmp_path / "run", plan=QUICK)
    assert (tmp_path / "run" / "report.json").read_bytes() == report


def test_the_record_leads_back_to_the_lock_that_made_the_package(tmp_path: Path) -> None:
    reader = write_tiny_reader(tmp_path / "tiny_square_locked")
    digest = chosen_reader(reader).package_digest
    lock = write_record(reader, "lock", inputs={"package": digest}, outputs=["card.toml"])
    square_cohort(tmp_path / "cohort", 4)
    plan = ValidationPlan(measure=MeasureSettings(repeats=100), images=False, pdf=False)
    validate_reader(reader, tmp_path / "cohort", tmp_path / "run", plan=plan)
    assert read_record(tmp_path / "run").parents == (lock.digest,)
    record = reader / "record.json"
    record.write_text(record.read_text().replace(digest, "0" * 64))
    with pytest.raises(BrokenLineage):
        validate_reader(reader, tmp_path / "cohort", tmp_path / "other", plan=plan)
    assert not (tmp_path / "other").exists()


def test_the_lock_is_looked_for_beside_the_card_of_a_package_that_lies_elsewhere(tmp_path: Path) -> None:
    code = chosen_reader(write_tiny_reader(tmp_path / "tiny_square_code"))
    elsewhere = write_tiny_reader(tmp_path / "tiny_square_package")
    driven = replace(code, package=elsewhere)
    lock = write_record(elsewhere, "lock", inputs={"package": code.package_digest}, outputs=["card.toml"])
    assert [record.digest for record in locked_by(driven)] == [lock.digest]
    assert locked_by(code) == ()


def test_two_versions_are_compared_case_by_case(tiny: InstalledReader, tmp_path: Path) -> None:
    square_cohort(tmp_path / "cohort", 60)
    validate_reader(tiny.folder, tmp_path / "cohort", tmp_path / "first", plan=QUICK)
    stricter = CARD.replace("1.0.0", "1.1.0").replace("threshold = 0.5", "threshold = 0.8")
    other = write_tiny_reader(tmp_path / "tiny_square_strict", card=stricter)
    plan = ValidationPlan(measure=MeasureSettings(repeats=100), against=tmp_path / "first")
    found = validate_reader(other, tmp_path / "cohort", tmp_path / "second", plan=plan)["comparison"]
    output = found["outputs"]["square"]
    assert output["auc"]["difference"]["value"] == 0.0
    assert output["sensitivity"]["this"] < output["sensitivity"]["other"]
    assert output["specificity"]["this"] > output["specificity"]["other"]
    changed = found["changed_calls"]["other_calls"]
    assert changed == output["mcnemar"]["only_this_right"] + output["mcnemar"]["only_other_right"] > 0
    for name in ("sensitivity", "specificity"):  # every patient has two cases
        assert output[name]["method"] == "bootstrap over patients"
        test = output[f"{name}_mcnemar"]
        assert test["method"] == "McNemar, clustered by patient (Obuchowski 1998)"
        assert 0 < test["p_value"] <= 1
        assert test["unequal_patients"] <= min(test["patients"], 30)
    text = page_of(tmp_path / "second" / "report.html").text
    assert "Against another run" in text
    assert "McNemar, clustered by patient (Obuchowski 1998)" in text
    square_cohort(tmp_path / "elsewhere", 30, seed=9)
    with pytest.raises(BadRun, match="same frozen cohort"):
        validate_reader(other, tmp_path / "elsewhere", tmp_path / "third", plan=plan)


def test_several_sites_are_measured_in_one_call(tiny: InstalledReader, tmp_path: Path) -> None:
    square_cohort(tmp_path / "a", 50, description={"name": "Site A"}, seed=1)
    square_cohort(tmp_path / "b", 50, description={"name": "Site B"}, seed=2)
    report = validate_reader(tiny.folder, [tmp_path / "a", tmp_path / "b"], tmp_path / "run", plan=QUICK)
    assert set(report["by_cohort"]) == {"Site A", "Site B"}
    assert report["outputs"]["square"]["n"] == 100
    tests = {test["grouping"]: test for test in report["outputs"]["square"]["subgroups"]["tests"]}
    assert 0 <= tests["cohort"]["p_value"] <= 1
    assert (tmp_path / "run" / "site-a" / "cases.jsonl").is_file()
    assert "heterogeneity" in page_of(tmp_path / "run" / "report.html").text


def test_a_missing_extra_is_named_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "reportlab" else real(name))
    with pytest.raises(MissingExtra, match=r"pip install 'coread\[validate\]'"):
        validate_reader("chest_xray", tmp_path / "cohort", tmp_path / "run")


def test_a_report_without_pictures_holds_none(tiny: InstalledReader, tmp_path: Path) -> None:
    square_cohort(tmp_path / "cohort", 30)
    plan = ValidationPlan(measure=MeasureSettings(repeats=100), images=False)
    validate_reader(tiny.folder, tmp_path / "cohort", tmp_path / "run", plan=plan)
    assert "data:image" not in (tmp_path / "run" / "report.html").read_text()


def test_a_cohort_without_positives_is_reported_without_an_auc(tiny: InstalledReader, tmp_path: Path) -> None:
    folder = tmp_path / "cohort"
    rows = square_rows([0.7] * 12, [False] * 12, folder)
    write_cohort(folder, {"name": "Negatives", "wrap": WRAP}, rows)
    answer = coread("validate", tiny.folder, folder, "--out", tmp_path / "run", "--json")
    assert answer.code == 0, answer.err
    auc = answer.json()["outputs"]["square"]["discrimination"]["auc"]
    assert auc == {"not_estimable": "AUC not estimable: no positives"}
    assert "AUC not estimable: no positives" in page_of(tmp_path / "run" / "report.html").text


def test_the_command_ends_with_the_code_of_what_was_found(tiny: InstalledReader, tmp_path: Path) -> None:
    square_cohort(tmp_path / "cohort", 40)
    criteria = tmp_path / "criteria.toml"
    criteria.write_text('[[criterion]]\noutput = "square"\nmetric = "auc"\nat_least = 0.999\n')
    answer = coread("validate", tiny.folder, tmp_path / "cohort", "--out", tmp_path / "run", "--criteria", criteria)
    assert answer.code == 8, answer.err
    assert "NOT MET: square auc >= 0.999" in answer.err
    assert "Research use only" in answer.out
    report = (tmp_path / "run" / "report.json").read_bytes()
    with pytest.raises(OtherRun, match="was started with criteria"):
        validate_reader(tiny.folder, tmp_path / "cohort", tmp_path / "run", plan=QUICK)
    assert (tmp_path / "run" / "report.json").read_bytes() == report
    (tmp_path / "small.png").write_bytes(png(square_picture(0.9)[:40, :40]))
    row = {"case_id": "a", "patient_id": "a", "files": "small.png", "truth:square": 1}
    write_cohort(tmp_path / "refused", {"name": "Refused", "root": "..", "wrap": WRAP}, [row])
    assert coread("validate", tiny.folder, tmp_path / "refused", "--out", tmp_path / "other").code == 4
    answer = coread("validate", "no_such_reader", tmp_path / "cohort", "--out", tmp_path / "none")
    assert answer.code == 5
    assert "no installed reader" in answer.err
    assert not (tmp_path / "none").exists()


def test_card_numbers_are_the_reports_and_a_card_that_differs_is_found(
    tiny: InstalledReader, finished: tuple[Path, dict[str, Any]]
) -> None:
    _, report = finished
    numbers = card_numbers(report)
    assert numbers.measured_on == "generated squares, none, n = 80 (simulated)"
    area = numbers.outputs["square"].auc
    assert area is not None
    assert area.value == report["outputs"]["square"]["discrimination"]["auc"]["value"]
    said = list(differences(tiny, report))
    assert any("sensitivity is 0.9000" in text for text in said)


def test_the_way_of_a_recipe_ends_with_a_record_that_fits_its_card(tmp_path: Path) -> None:
    from coread.models.package import lock_package
    from coread.readers.registry import inspect_reader
    from coread.validate.card_numbers import CardNumbers, check_record
    from coread.validate.releasing import release

    reader = write_tiny_reader(tmp_path / "tiny_square_released", lock=False)
    square_cohort(tmp_path / "cohort", 40)

    def lock(numbers: CardNumbers | None) -> str:
        if numbers is not None:
            point = numbers.outputs["square"].points["balanced"]
            text = CARD
            for name, found in (("sensitivity", point.sensitivity), ("specificity", point.specificity)):
                assert found is not None
                words = f"{{ value = {found.value}, low = {found.low}, high = {found.high}, n = {found.n} }}"
                text = re.sub(rf"{name} = {{.*}}", f"{name} = {words}", text)
            (reader / "card.toml").write_text(text)
        return lock_package(reader / "model", reader / "card.toml").digest

    release(reader, tmp_path / "cohort", tmp_path / "run", lock)
    installed = inspect_reader(reader.name, reader)
    assert check_record(installed) == []
    shipped = json.loads((reader / "validation.json").read_text())
    assert shipped["worst"] == []
    assert shipped["package_digest"] == installed.package_digest
    shutil.copy(reader / "validation.json", tmp_path / "kept.json")
    (reader / "card.toml").write_text((reader / "card.toml").read_text().replace("threshold = 0.5", "threshold = 0.6"))
    lock_package(reader / "model", reader / "card.toml")
    problems = check_record(inspect_reader(reader.name, reader))
    assert any("record is of package" in text for text in problems)
    assert any("another threshold" in text for text in problems)


def test_names_from_a_table_never_become_markup(tiny: InstalledReader, tmp_path: Path) -> None:
    folder = tmp_path / "cohort"
    rows = square_rows([0.7, 0.9, 0.95, 0.72] * 6, [True, False, True, False] * 6, folder)
    for row in rows:
        row["case_id"] += '<script>alert("x")</script>&'
        row["site"] = "<b>north</b>"
    write_cohort(folder, {"name": "Markup", "data": "<i>pictures</i>", "wrap": WRAP}, rows)
    report = validate_reader(tiny.folder, folder, tmp_path / "run", plan=QUICK)
    assert len(report["worst"]) > 2
    page = page_of(tmp_path / "run" / "report.html")
    raw = (tmp_path / "run" / "report.html").read_text()
    assert "<script" not in raw
    assert "<i>" not in raw
    assert "<i>pictures</i>" in page.text
