"""``coread models pack``: a training run and its calibration as a release, without writing code."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coread.app.cli.flags import command_with
from coread.app.cli.output import answer_json, say

if TYPE_CHECKING:
    from coread.domain.codes import Code
    from coread.models.packing import MeasuredNumbers, Wanted


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags of the command."""

    run: Annotated[Path, typer.Argument(help="folder of a training run")]
    calibrated: Annotated[Path, typer.Argument(help="folder that coread calibrate made from it")]
    out: Annotated[Path, typer.Option(help="folder of the release; must not exist yet")]
    reader_id: Annotated[str, typer.Option(help="identity of the reader: lower case letters, digits, underscores")]
    name: Annotated[str, typer.Option(help="name for people")] = ""
    version: Annotated[str, typer.Option(help="version of the package")] = "0.1.0"
    modality: Annotated[str, typer.Option(help="DICOM modality that it may read")] = "DX"
    body_part: Annotated[str, typer.Option(help="Body Part Examined that it may read; empty: any")] = ""
    view: Annotated[list[str] | None, typer.Option(help="View Position that it may read; repeat; none: any")] = None
    min_age: Annotated[float | None, typer.Option(help="youngest patient, in years")] = None
    code: Annotated[list[str] | None, typer.Option(help="code of an output as key=VALUE:SCHEME:Meaning; repeat")] = None
    urgent: Annotated[list[str] | None, typer.Option(help="output whose presence moves a study up; repeat")] = None
    point: Annotated[str, typer.Option(help="operating point that makes the call; default: the first")] = ""
    intended_use: Annotated[str, typer.Option(help="what it is for")] = "Research use: second reading."
    training_data: Annotated[str, typer.Option(help="what it learnt from")] = "not stated"
    licence: Annotated[str, typer.Option(help="licence of the weights")] = "not stated"
    limit: Annotated[list[str] | None, typer.Option(help="a known limit, for the card; repeat")] = None
    record: Annotated[list[Path] | None, typer.Option(help="folder of a step before the run; repeat")] = None
    numbers: Annotated[Path | None, typer.Option(help="folder of a validation of this package, for the card")] = None
    json: Annotated[bool, typer.Option("--json", help="answer as one JSON document")] = False


def register(models: typer.Typer) -> None:
    """Add the command below ``coread models``."""
    models.command("pack")(command_with(Flags, pack))


def pack(_: typer.Context, flags: Flags) -> None:
    """Make a locked release of a run over flat images: findings, boxes, regions, or a few-shot head; no code."""
    from coread.models.packing import pack_run

    numbers = _numbers(flags.numbers) if flags.numbers is not None else None
    done = pack_run(flags.run, flags.calibrated, flags.out, _wanted(flags), numbers=numbers, records=flags.record or ())
    if flags.json:
        answer_json({"reader_id": done.package.reader_id, "digest": done.package.digest, "folder": str(flags.out)})
        return
    say(f"{done.package.reader_id} {done.package.version} is in {flags.out}, package {done.package.digest[:16]}")
    if numbers is None:
        say("Its card has no numbers yet: coread validate, then pack again with --numbers.")


def _wanted(flags: Flags) -> "Wanted":
    from coread.models.importing import Described
    from coread.models.packing import Wanted

    about = Described(
        reader_id=flags.reader_id, name=flags.name, version=flags.version, modality=flags.modality,
        body_part=flags.body_part, licence=flags.licence, source=f"trained here: {flags.run.name}",
        training_data=flags.training_data, intended_use=flags.intended_use, limits=tuple(flags.limit or ()),
    )  # fmt: skip
    return Wanted(
        about, min_age_years=flags.min_age, views=tuple(flags.view or ()), codes=_codes(flags.code or []),
        urgent=frozenset(flags.urgent or ()), default_point=flags.point,
    )  # fmt: skip


def _codes(texts: list[str]) -> "dict[str, Code]":
    from coread.domain.codes import Code

    found = {}
    for text in texts:
        key, equal, rest = text.partition("=")
        parts = rest.split(":", 2)
        if not equal or len(parts) != 3 or not all(parts):
            raise typer.BadParameter(f"{text!r} is not key=VALUE:SCHEME:Meaning", param_hint="--code")
        found[key] = Code(*parts)
    return found


def _numbers(run: Path) -> "MeasuredNumbers":
    """Take the numbers of a card out of a validation run."""
    from coread.models.packing import MeasuredNumbers, PointNumbers
    from coread.validate.card_numbers import card_numbers
    from coread.validate.report_json import read_report

    report = read_report(run / "report.json")
    found = card_numbers(report)
    points = {
        key: {
            name: PointNumbers(
                float(report["outputs"][key]["operating_points"][name]["threshold"]),
                point.sensitivity,
                point.specificity,
            )
            for name, point in output.points.items()
        }
        for key, output in found.outputs.items()
    }
    auc = {key: output.auc for key, output in found.outputs.items()}
    return MeasuredNumbers(found.measured_on, found.validation, auc, points)
