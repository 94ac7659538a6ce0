"""Reader studies (MRMC): iMRMC files to the tables of Obuchowski-Rockette and DBM, and the size of the next study."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import coread
from coread.models.lineage import sha256_of
from coread.statistics.errors import NotEstimable
from coread.statistics.imrmc import read_imrmc
from coread.statistics.mrmc import (
    CovarianceMethod,
    PairwiseDifference,
    StudyAnalysis,
    StudyTest,
    analyse_pseudovalues,
    analyse_readers,
)
from coread.statistics.power import mrmc_cases
from coread.validate.blocks import Axis, Block, Cell, Document, Facts, Figures, Forest, ForestRow, Heading, Table, Text
from coread.validate.errors import BadReaderStudy
from coread.validate.plain import Plain, not_estimable, plain_estimate, rounded
from coread.validate.report_json import NOTICE
from coread.validate.words import estimate_cell, estimate_text, number, p_value, p_words

KIND = "coread reader study"
_DIGITS = 8
_READERS_TO_PLAN = (4, 6, 8, 10, 15, 20)


def analyse_file(path: Path, *, covariance: CovarianceMethod = "jackknife") -> Plain:
    """Analyse a fully crossed study of one file; raises with the line, or the reason, where it cannot be done."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as problem:
        raise BadReaderStudy(f"{path} is missing.") from problem
    except (OSError, UnicodeDecodeError) as problem:
        raise BadReaderStudy(f"{path} cannot be read: {problem}.") from problem
    study = read_imrmc(text)
    found = analyse_readers(study, covariance=covariance)
    return {
        "schema": 1,
        "kind": KIND,
        "notice": NOTICE,
        "file": path.name,
        "sha256": sha256_of(path),
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "coread_version": coread.__version__,
        "covariance": covariance,
        "modalities": list(study.modalities),
        "readers": list(study.readers),
        "cases": len(study.cases),
        "positives": int(study.truth.sum()),
        "aucs": [[rounded(value) for value in row] for row in found.aucs],
        "mean_squares": {
            "modality": _fine(found.mean_square_modality),
            "reader": _fine(found.mean_square_reader),
            "interaction": _fine(found.mean_square_interaction),
        },
        "components": _components(found),
        "tests": {
            "random_both": _test(found.random_both),
            "fixed_readers": _test(found.fixed_readers),
            "fixed_cases": _test(found.fixed_cases),
        },
        "by_reader": [[_difference(item) for item in row] for row in found.by_reader],
        "pseudovalues": _pseudovalues(found),
        "next_study": _next_study(found),
    }


def study_document(body: Plain) -> Document:
    """Return the analysis as a document."""
    blocks: list[Block] = [
        Heading("Result", anchor="result"),
        Facts((
            ("readers", str(len(body["readers"]))), ("modalities", ", ".join(body["modalities"])),
            ("cases", f"{body['cases']:,}"), ("positive", f"{body['positives']:,}"),
            ("covariance", body["covariance"]),
        )),
        *_results(body), *_areas(body), *_variances(body), *_plan(body),
    ]  # fmt: skip
    return Document(
        title="Reader study",
        subtitle=body["file"],
        notice=body["notice"],
        blocks=tuple(blocks),
        footer=f"{body['file']}, SHA-256 {body['sha256'][:16]} \u00b7 made {body['made_at'][:10]} "
        f"by Coread {body['coread_version']}",
    )


_VIEWS = {
    "random_both": "readers and cases to come (both random)",
    "fixed_readers": "these readers, cases to come",
    "fixed_cases": "readers to come, these cases",
}


def _results(body: Plain) -> list[Block]:
    rows: list[tuple[Cell, ...]] = []
    for name, words in _VIEWS.items():
        test = body["tests"][name]
        for number_, item in enumerate(test["differences"]):
            statistic = _statistic(test) if number_ == 0 else ""
            rows.append((
                Cell(words if number_ == 0 else ""), Cell(f"{item['first']} \u2212 {item['second']}"),
                estimate_cell(item["difference"], digits=4), Cell(p_value(item["p_value"])),
                Cell(statistic, p_words(test["p_value"]) if statistic else ""),
            ))  # fmt: skip
    columns = ("for", "difference of mean AUC", "95 % interval", "p", "all modalities equal?")
    return [Table(columns, tuple(rows), "Obuchowski and Rockette; degrees of freedom after Hillis.", frozenset({2, 3}))]


def _statistic(test: Plain) -> str:
    if test["error_degrees_of_freedom"] is None:
        return f"\u03c7\u00b2({test['degrees_of_freedom']:g}) = {number(test['statistic'], 2)}"
    return (
        f"F({test['degrees_of_freedom']:g}, {number(test['error_degrees_of_freedom'], 1)}) = "
        f"{number(test['statistic'], 2)}"
    )


def _areas(body: Plain) -> list[Block]:
    columns = ("reader", *body["modalities"])
    rows = [
        (Cell(reader), *(Cell(number(row[place])) for row in body["aucs"]))
        for place, reader in enumerate(body["readers"])
    ]
    means = [estimate_cell(item) for item in body["tests"]["random_both"]["modalities"]]
    rows.append((Cell("mean", "readers and cases random"), *means))
    numeric = frozenset(range(1, len(columns)))
    blocks: list[Block] = [Heading("AUC of each reader", anchor="readers"), Table(columns, tuple(rows), "", numeric)]
    found = [ForestRow(name, "", *_numbers(items[0]["difference"])) for name, items in _readers(body)]
    if found:
        first = body["by_reader"][0][0]
        mean = body["tests"]["random_both"]["differences"][0]["difference"]
        rows_ = (*found, ForestRow("all readers", "", *_numbers(mean), text=estimate_text(mean)))
        reach = max(max(abs(row.low), abs(row.high)) for row in rows_) or 1.0
        reach = round(reach * 1.1, 2)
        axis = Axis("", -reach, reach, (-reach, 0.0, reach))
        title = f"Difference of AUC, {first['first']} \u2212 {first['second']}"
        blocks.append(Figures((Forest(title, axis, rows_, 0.0),)))
    return blocks


def _readers(body: Plain) -> list[tuple[str, Sequence[Plain]]]:
    return [(name, items) for name, items in zip(body["readers"], body["by_reader"], strict=True) if items]


def _numbers(body: Plain) -> tuple[float, float, float]:
    return float(body["value"]), float(body["low"]), float(body["high"])


def _variances(body: Plain) -> list[Block]:
    squares, parts, dbm = body["mean_squares"], body["components"], body["pseudovalues"]
    rows = [(Cell(f"mean square, {name}"), Cell(f"{value:.6f}")) for name, value in squares.items()]
    rows += [(Cell(name.replace("_", " ")), Cell(f"{value:.6f}")) for name, value in parts.items()]
    blocks: list[Block] = [
        Heading("Variance components", anchor="variances"),
        Table(("Obuchowski-Rockette", ""), tuple(rows), numeric=frozenset({1})),
    ]
    if "not_estimable" in dbm:
        return [*blocks, Text(f"DBM: {dbm['not_estimable']}", "quiet")]
    cells = [(Cell(name.replace("_", " ")), Cell(f"{value:.6f}")) for name, value in dbm["mean_squares"].items()]
    cells += [(Cell(f"F, {_VIEWS[name]}"), Cell(number(item["f"], 2), p_words(item["p_value"])))
              for name, item in dbm["tests"].items()]  # fmt: skip
    caption = "Dorfman, Berbaum and Metz: three-way analysis of variance of jackknife pseudovalues."
    return [*blocks, Table(("DBM, mean squares", ""), tuple(cells), caption, frozenset({1}))]


def _plan(body: Plain) -> list[Block]:
    rows = tuple(
        (
            Cell(str(item["readers"])),
            Cell(f"{item['cases']:,}") if item["cases"] else Cell("-", item["reason"], "quiet"),
        )
        for item in body["next_study"]["rows"]
    )
    difference = number(body["next_study"]["difference"])
    caption = f"To show a difference of {difference} with 80 % power at the 5 % level, with this study as the pilot."
    return [Heading("The next study", anchor="next"), Table(("readers", "cases"), rows, caption, frozenset({1}))]


def _fine(value: float) -> float:
    return round(float(value), _DIGITS)


def _components(found: StudyAnalysis) -> Plain:
    parts = found.components
    names = ("reader", "modality_reader", "error", "covariance1", "covariance2", "covariance3")
    return {name: _fine(getattr(parts, name)) for name in names}


def _test(test: StudyTest) -> Plain:
    return {
        "statistic": rounded(test.statistic),
        "degrees_of_freedom": rounded(test.degrees_of_freedom),
        "error_degrees_of_freedom": None
        if test.error_degrees_of_freedom is None
        else rounded(test.error_degrees_of_freedom),
        "p_value": rounded(test.p_value),
        "differences": [_difference(item) for item in test.differences],
        "modalities": [plain_estimate(item) for item in test.modalities],
    }


def _difference(item: PairwiseDifference) -> Plain:
    return {
        "first": item.first,
        "second": item.second,
        "difference": plain_estimate(item.difference),
        "standard_error": rounded(item.standard_error),
        "p_value": rounded(item.p_value),
    }


def _pseudovalues(found: StudyAnalysis) -> Plain:
    try:
        anova = analyse_pseudovalues(found.study)
    except NotEstimable as problem:
        return not_estimable(str(problem))
    names = ("modality", "reader", "case", "modality_reader", "modality_case", "reader_case", "modality_reader_case")
    return {
        "mean_squares": {name: _fine(getattr(anova, name)) for name in names},
        "tests": {
            name: {"f": rounded(getattr(anova, f"f_{name}")), "p_value": rounded(getattr(anova, f"p_{name}"))}
            for name in _VIEWS
        },
    }


def _next_study(found: StudyAnalysis) -> Plain:
    differences = found.random_both.differences
    wanted = abs(differences[0].difference.value) if differences else 0.0
    wanted = max(round(wanted, 3), 0.01)
    rows: list[Plain] = []
    for readers in _READERS_TO_PLAN:
        try:
            cases = mrmc_cases(found.variances(), wanted, readers=readers)
            rows.append({"readers": readers, "cases": cases, "reason": ""})
        except NotEstimable as problem:
            rows.append({"readers": readers, "cases": None, "reason": str(problem)})
    return {"difference": wanted, "rows": rows}
