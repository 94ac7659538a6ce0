"""``coread models import``: packages from elsewhere, each with a card that says what was not validated."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coread.app.cli.flags import command_with
from coread.app.cli.output import answer_json, say
from coread.domain.errors import Misconfigured

if TYPE_CHECKING:
    from coread.models.importing import Described, ImportedOutput
    from coread.models.locking import Locked

KINDS = ("onnx", "torchxrayvision", "monai", "process")


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags of the command."""

    kind: Annotated[str, typer.Argument(help="onnx, torchxrayvision, monai, or process (nnU-Net, TotalSegmentator)")]
    source: Annotated[Path, typer.Argument(help="the file, the bundle's folder, or the program")]
    out: Annotated[Path, typer.Option(help="folder for the package; must not exist yet")]
    reader_id: Annotated[str, typer.Option(help="identity of the reader: lower case letters, digits, underscores")]
    name: Annotated[str, typer.Option(help="name for people")] = ""
    version: Annotated[str, typer.Option(help="version of the package")] = "0.1.0"
    modality: Annotated[str, typer.Option(help="DICOM modality that it may read")] = "DX"
    body_part: Annotated[str, typer.Option(help="Body Part Examined that it may read; empty: any")] = ""
    licence: Annotated[str, typer.Option(help="licence of the weights")] = "unknown: ask the maker before use"
    origin: Annotated[str, typer.Option(help="where it comes from: address, paper")] = ""
    training_data: Annotated[str, typer.Option(help="what it learnt from")] = "unknown: not stated with the weights"
    plan: Annotated[Path | None, typer.Option(help="preprocessing.json (onnx only)")] = None
    label: Annotated[
        list[str] | None,
        typer.Option(help="output as key=Name, or for a segmentation key=NUMBER=Name; in their order; repeat"),
    ] = None
    argument: Annotated[
        list[str] | None, typer.Option(help="process: one word of the command, {input} and {output} among them; repeat")
    ] = None
    version_argument: Annotated[
        list[str] | None, typer.Option(help="process: one word that makes it tell its version; repeat")
    ] = None
    program_version: Annotated[str, typer.Option(help="process: what it must say then")] = ""
    timeout: Annotated[float, typer.Option(help="process: seconds that one study may take")] = 900.0
    json: Annotated[bool, typer.Option("--json", help="answer as one JSON document")] = False


def register(models: typer.Typer) -> None:
    """Add the command below ``coread models``."""
    models.command("import")(command_with(Flags, import_package))


def import_package(_: typer.Context, flags: Flags) -> None:
    """Make a locked package of a model from elsewhere; nothing about it is validated, and its card says so."""
    locked = {"onnx": _onnx, "torchxrayvision": _xrv, "monai": _monai, "process": _process}.get(flags.kind)
    if locked is None:
        raise typer.BadParameter(f"{flags.kind!r}; use {', '.join(KINDS)}", param_hint="kind")
    done = locked(flags)
    if flags.json:
        answer_json({"reader_id": done.package.reader_id, "digest": done.package.digest, "folder": str(flags.out)})
        return
    say(f"{done.package.reader_id} {done.package.version} is in {flags.out}, package {done.package.digest[:16]}")
    say("Not validated: read its card, then `coread validate`, sign, install and switch it on.")


def _onnx(flags: Flags) -> "Locked":
    from coread.imaging.plan import PlanarPlan, plan_from_json
    from coread.models.importing import import_onnx

    if flags.plan is None:
        raise typer.BadParameter("an ONNX graph does not say how images are prepared: give --plan", param_hint="--plan")
    plan = plan_from_json(flags.plan.read_bytes())
    if not isinstance(plan, PlanarPlan):
        raise Misconfigured("an ONNX graph is imported with a planar plan.")
    names = {item.key: item.name for item in _outputs(flags.label or [])}
    outputs = [_named(item.key, names.get(item.key, item.key)) for item in plan.outputs]
    return import_onnx(flags.source, flags.out, plan, _about(flags), outputs)


def _xrv(flags: Flags) -> "Locked":
    with _train_room():
        from coread.train.importing import XRV_LABELS, import_torchxrayvision
    labels = tuple(text.partition("=")[2] for text in flags.label or []) or XRV_LABELS
    return import_torchxrayvision(flags.source, flags.out, _about(flags), labels)


def _monai(flags: Flags) -> "Locked":
    with _train_room():
        from coread.train.bundles import import_bundle
    return import_bundle(flags.source, flags.out, _about(flags))


def _process(flags: Flags) -> "Locked":
    from coread.imaging.plan import PlannedRegion, VolumePlan
    from coread.models.importing import import_process
    from coread.models.process import ProcessPlan

    regions = []
    for text in flags.label or []:
        key, _, rest = text.partition("=")
        number, _, _name = rest.partition("=")
        if not number.isdigit():
            raise typer.BadParameter(f"{text!r}: write key=NUMBER=Name", param_hint="--label")
        regions.append(PlannedRegion(key, int(number)))
    outputs = [_named(text.partition("=")[0], text.split("=", 2)[-1]) for text in flags.label or []]
    program = str(flags.source)
    process = ProcessPlan(
        command=(program, *(flags.argument or ())),
        version_command=(program, *(flags.version_argument or ())),
        version=flags.program_version,
        timeout_seconds=flags.timeout,
    )
    plan = VolumePlan(tuple(regions))
    return import_process(process, flags.out, plan, _about(flags), outputs, flags.source)


@contextmanager
def _train_room() -> Iterator[None]:
    """Say which extra is missing where PyTorch is not installed."""
    try:
        yield
    except ImportError as problem:
        raise Misconfigured('turning weights into ONNX needs PyTorch: pip install "coread[train]".') from problem


def _about(flags: Flags) -> "Described":
    from coread.models.importing import Described

    return Described(
        reader_id=flags.reader_id,
        name=flags.name or flags.reader_id,
        version=flags.version,
        modality=flags.modality,
        body_part=flags.body_part,
        licence=flags.licence,
        source=flags.origin or f"{flags.kind}: {flags.source.name}",
        training_data=flags.training_data,
    )


def _outputs(labels: list[str]) -> "list[ImportedOutput]":
    return [_named(*text.split("=", 1)) if "=" in text else _named(text, text) for text in labels]


def _named(key: str, name: str) -> "ImportedOutput":
    from coread.models.importing import ImportedOutput

    return ImportedOutput(key, name)
