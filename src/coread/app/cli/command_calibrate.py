"""``coread calibrate``: from raw logits and truth to calibrated probabilities and operating points."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coread.app.cli.exit_codes import ExitCode
from coread.app.cli.flags import command_with
from coread.app.cli.output import RESEARCH_USE, answer_json, complain, say, show_table

if TYPE_CHECKING:
    from coread.models.calibration_folder import CalibrationStep
    from coread.statistics.thresholds import Rule


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags of the command."""

    run: Annotated[Path, typer.Argument(help="folder of a training run, or its predictions.parquet")]
    out: Annotated[Path, typer.Option(help="folder to write; must not exist yet")]
    part: Annotated[list[str] | None, typer.Option(help="parts to calibrate on; default: tune")] = None
    rule: Annotated[
        list[str] | None,
        typer.Option(help="youden, sensitivity=0.9, specificity=0.9, ppv=0.5 (needs --prevalence); repeat for more"),
    ] = None
    alert_budget: Annotated[str, typer.Option(help="most false alerts per day, as 5/day")] = ""
    volume: Annotated[str, typer.Option(help="studies per day, as 200/day")] = ""
    prevalence: Annotated[float | None, typer.Option(help="prevalence here, for PPV and alert budget")] = None
    prevalence_from: Annotated[float | None, typer.Option(help="prevalence of these cases; default: as seen")] = None
    prevalence_to: Annotated[float | None, typer.Option(help="prevalence to recalibrate for")] = None
    method: Annotated[
        list[str] | None, typer.Option(help="temperature, platt, beta, isotonic; default: the best of all")
    ] = None
    criterion: Annotated[str, typer.Option(help="cross-fitted log_loss or brier")] = "log_loss"
    coverage: Annotated[float, typer.Option(help="coverage of the conformal sets", min=0.01, max=0.999)] = 0.9
    most_error: Annotated[
        float | None, typer.Option(help="refuse unsure cases so that at most this share of answers is wrong")
    ] = None
    seed: Annotated[int, typer.Option(help="of folds and resampling")] = 0
    json: Annotated[bool, typer.Option("--json", help="answer as one JSON document")] = False


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("calibrate")(command_with(Flags, calibrate))


def calibrate(_: typer.Context, flags: Flags) -> None:
    """Fit and choose calibration curves, measure their error, and find operating points by rule."""
    from rich.console import Console
    from rich.progress import Progress

    from coread.models.calibrating import METHODS, CalibratePlan
    from coread.models.calibration_folder import calibrate_run

    if flags.criterion not in ("log_loss", "brier"):
        raise typer.BadParameter("use log_loss or brier", param_hint="--criterion")
    if unknown := sorted(set(flags.method or ()) - set(METHODS)):
        raise typer.BadParameter(f"{', '.join(unknown)}; use {', '.join(METHODS)}", param_hint="--method")
    plan = CalibratePlan(
        rules=rules_of(flags.rule or [], flags.alert_budget, flags.volume, flags.prevalence),
        methods=tuple(flags.method or METHODS),
        criterion=flags.criterion,
        seed=flags.seed,
        coverage=flags.coverage,
        most_error=flags.most_error,
        from_prevalence=flags.prevalence_from,
        to_prevalence=flags.prevalence_to,
    )
    parts = tuple(flags.part or ["tune"])
    with Progress(console=Console(stderr=True), disable=flags.json, transient=True) as bar:
        task = bar.add_task("calibrating", total=None)

        def tell(done: int, of: int, what: str) -> None:
            bar.update(task, completed=done, total=of, description=what)

        done = calibrate_run(flags.run, flags.out, plan, parts=parts, progress=tell)
    _tell(done, as_json=flags.json)


def rules_of(
    named: list[str], alert_budget: str, volume: str, prevalence: float | None
) -> "tuple[tuple[str, Rule], ...]":
    """Turn the options into rules by name; raises BadParameter that says how to write them."""
    from coread.statistics.errors import UnsuitableData
    from coread.statistics.thresholds import Rule

    rules: dict[str, Rule] = {}
    try:
        for text in named or ([] if alert_budget else ["youden", "sensitivity=0.9", "specificity=0.9"]):
            rules[text.replace("=", "_").replace(".", "_")] = _rule(text, prevalence)
        if alert_budget or volume:
            if not (alert_budget and volume and prevalence is not None):
                raise typer.BadParameter("give --alert-budget, --volume and --prevalence together")
            budget, studies = _per_day(alert_budget, "--alert-budget"), _per_day(volume, "--volume")
            rules["alert_budget"] = Rule.alerts(budget, studies=studies, prevalence=prevalence)
    except UnsuitableData as problem:
        raise typer.BadParameter(str(problem)) from problem
    return tuple(rules.items())


def _rule(text: str, prevalence: float | None) -> "Rule":
    from coread.statistics.thresholds import Rule

    kind, _, number = text.partition("=")
    if text == "youden":
        return Rule.youden()
    try:
        wanted = float(number)
    except ValueError as problem:
        raise typer.BadParameter(f"{text!r}: write sensitivity=0.9", param_hint="--rule") from problem
    if kind == "sensitivity":
        return Rule.sensitivity(wanted)
    if kind == "specificity":
        return Rule.specificity(wanted)
    if kind == "ppv" and prevalence is not None:
        return Rule.ppv(wanted, prevalence=prevalence)
    wrong = "ppv needs --prevalence" if kind == "ppv" else f"unknown rule {kind!r}"
    raise typer.BadParameter(wrong, param_hint="--rule")


def _per_day(text: str, option: str) -> float:
    number, slash, unit = text.partition("/")
    try:
        if slash and unit.strip() != "day":
            raise ValueError(unit)
        return float(number)
    except ValueError as problem:
        raise typer.BadParameter(f"{text!r}: write 5/day", param_hint=option) from problem


def _tell(done: "CalibrationStep", *, as_json: bool) -> None:
    from coread.models.calibration_folder import output_document

    if as_json:
        outputs = {item.key: output_document(item) for item in done.outputs}
        answer_json({"folder": str(done.folder), "record": done.record.digest, "outputs": outputs})
    else:
        show_table(
            ("output", "cases", "positive", "method", "ECE before", "ECE after [95 %]", "operating points"),
            [
                (
                    o.key,
                    str(o.n),
                    str(o.positives),
                    o.method,
                    f"{o.raw_error:.3f}",
                    f"{o.error.value:.3f} [{o.error.low:.3f}, {o.error.high:.3f}]",
                    "; ".join(f"{name} {point.threshold:.3g}" for name, point in o.operating_points) or "none",
                )
                for o in done.outputs
            ],
            "Calibration",
        )
        say(f"calibration.json, operating_points.toml and report.html are in {done.folder}")
        say(RESEARCH_USE)
    unreachable = [(o.key, name, why) for o in done.outputs for name, why in o.unreachable]
    for key, name, why in unreachable:
        complain(f"{key}: {name}: {why}")
    if unreachable:
        raise typer.Exit(ExitCode.INCOMPLETE)
