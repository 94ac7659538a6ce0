"""``coread mrmc`` and ``coread power``: reader studies, and how many cases a study needs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.output import RESEARCH_USE, answer_json, complain, say, show_table

_METHODS = ("jackknife", "delong", "bootstrap")
Json = Annotated[bool, typer.Option("--json", help="answer as one JSON document")]
Power = Annotated[float, typer.Option(min=0.01, max=0.999, help="wanted chance to show it")]


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(mrmc)
    power = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="How many cases a study needs.")
    power.command("auc")(power_auc)
    power.command("share")(power_share)
    power.command("paired")(power_paired)
    app.add_typer(power, name="power")


def mrmc(
    file: Annotated[Path, typer.Argument(help="scores of all readers in the text format of iMRMC")],
    out: Annotated[Path | None, typer.Option(help="folder for reader_study.html, .pdf and .json")] = None,
    covariance: Annotated[str, typer.Option(help="jackknife, delong or bootstrap")] = "jackknife",
    json: Json = False,
) -> None:
    """Analyse a reader study (MRMC): Obuchowski-Rockette and DBM tables, differences, size of the next study."""
    from coread.validate.reader_studies import analyse_file
    from coread.validate.validation import require_extra

    if covariance not in _METHODS:
        complain(f"--covariance is {covariance!r}; use {', '.join(_METHODS)}")
        raise typer.Exit(ExitCode.USAGE)
    require_extra()
    body = analyse_file(file, covariance=covariance)  # type: ignore[arg-type]
    if out is not None:
        _write(out, file, body)
    if json:
        answer_json(body)
        return
    from coread.validate.words import estimate_text, p_value

    rows = [
        (name.replace("_", " "), f"{item['first']} - {item['second']}", estimate_text(item["difference"]),
         p_value(item["p_value"]))
        for name, test in body["tests"].items()
        for item in test["differences"]
    ]  # fmt: skip
    show_table(("view", "difference of mean AUC", "95 % interval", "p"), rows, f"{len(body['readers'])} readers")
    if out is not None:
        say(f"Report: {out / 'reader_study.html'}")
    say(RESEARCH_USE)


def _write(out: Path, file: Path, body: dict[str, object]) -> None:
    from coread.statistics.imrmc import read_imrmc, write_imrmc
    from coread.validate.reader_studies import study_document
    from coread.validate.report_html import write_page
    from coread.validate.report_json import write_json
    from coread.validate.report_pdf import write_paper

    out.mkdir(parents=True, exist_ok=True)
    document = study_document(body)
    study = read_imrmc(file.read_text(encoding="utf-8"))
    (out / "reader_study.imrmc").write_text(write_imrmc(study, title=file.name), encoding="utf-8")
    write_json(out / "reader_study.json", body)
    write_page(out / "reader_study.html", document)
    write_paper(out / "reader_study.pdf", document)


def power_auc(
    expected: Annotated[float, typer.Option(min=0.5, max=0.999, help="AUC that is expected")],
    null: Annotated[float | None, typer.Option(help="AUC that it must be shown to differ from")] = None,
    width: Annotated[float | None, typer.Option(help="or: wanted width of the 95 % interval")] = None,
    ratio: Annotated[float, typer.Option(min=0.01, help="negatives for each positive")] = 1.0,
    power: Power = 0.8,
    json: Json = False,
) -> None:
    """Positives and negatives for an AUC: to beat a value with some power, or for an interval of some width."""
    from coread.statistics.power import positives_for_auc, positives_for_auc_width

    if (null is None) == (width is None):
        complain("name either --null or --width")
        raise typer.Exit(ExitCode.USAGE)
    if null is not None:
        positives = positives_for_auc(expected, null, power=power, negatives_per_positive=ratio)
    else:
        positives = positives_for_auc_width(expected, width or 0.0, negatives_per_positive=ratio)
    _tell({"positives": positives, "negatives": round(positives * ratio)}, as_json=json)


def power_share(
    expected: Annotated[float, typer.Option(min=0.0, max=1.0, help="sensitivity (or specificity) that is expected")],
    null: Annotated[float | None, typer.Option(help="value that it must be shown to exceed (one-sided 2.5 %)")] = None,
    width: Annotated[float | None, typer.Option(help="or: wanted width of the 95 % interval")] = None,
    power: Power = 0.8,
    json: Json = False,
) -> None:
    """Positives for a sensitivity, or negatives for a specificity."""
    from coread.statistics.power import cases_for_proportion, cases_for_proportion_test

    if (null is None) == (width is None):
        complain("name either --null or --width")
        raise typer.Exit(ExitCode.USAGE)
    if null is not None:
        cases = cases_for_proportion_test(expected, null, power=power)
    else:
        cases = cases_for_proportion(expected, width or 0.0)
    _tell({"cases": cases}, as_json=json)


def power_paired(
    only_first: Annotated[float, typer.Option(min=0.0, max=1.0, help="share of cases only the first gets right")],
    only_second: Annotated[float, typer.Option(min=0.0, max=1.0, help="share of cases only the second gets right")],
    power: Power = 0.8,
    json: Json = False,
) -> None:
    """Cases to show that two readers differ on the same cases (McNemar)."""
    from coread.statistics.power import cases_for_paired

    _tell({"cases": cases_for_paired(only_first, only_second, power=power)}, as_json=json)


def _tell(answer: Mapping[str, int], *, as_json: bool) -> None:
    if as_json:
        answer_json(dict(answer))
        return
    say(", ".join(f"{count} {name}" for name, count in answer.items()))
