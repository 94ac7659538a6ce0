"""Packages from elsewhere: any ONNX graph, or an outside program. Each gets a card that says what was not validated.

Nothing of a foreign file is ever executed or unpickled here: ONNX is a graph of known operators, the rest is data.
Weights of PyTorch are turned into ONNX by ``train.importing``, which needs the extra ``train``.
"""

import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import (
    InputContract,
    OperatingPoint,
    OutputSpec,
    ReaderCard,
    ReaderKind,
    Resources,
)
from coread.domain.codes import COREAD_SCHEME, Code
from coread.domain.errors import Misconfigured
from coread.imaging.plan import (
    BOXES,
    COVARIATES,
    DENSE_BOXES,
    MASK,
    OUTLINE,
    PLACES,
    Plan,
    PlanarPlan,
    PlannedOutput,
    VolumePlan,
    plan_to_json,
)
from coread.models.calibration import Calibration, Platt, calibration_to_json
from coread.models.card_text import card_toml
from coread.models.errors import BadImport
from coread.models.golden import save_golden_case
from coread.models.graphs import load_graph
from coread.models.lineage import read_record
from coread.models.locking import CARD, DATA_STATEMENT, LICENCE, MODEL, Locked, LockPlan, lock_release
from coread.models.package import verify_package
from coread.models.process import GRAPH, ProcessGraph, ProcessPlan, process_to_json
from coread.models.signing import read_signature

PLAN = "preprocessing.json"
NOT_VALIDATED = "Not validated with this package: no sensitivity, specificity or calibration was measured."
_SEEDS = (0, 1, 2)
_THRESHOLD = 0.5


@dataclass(frozen=True, slots=True)
class Described:
    """What the person who imports says about a package, because the file does not."""

    reader_id: str
    name: str
    version: str
    modality: str
    body_part: str = ""
    licence: str = "unknown: ask the maker before use"
    source: str = "unknown"
    training_data: str = "unknown: not stated with the weights"
    intended_use: str = "Research on imported weights; see the limits."
    limits: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ImportedOutput:
    """One output: its key, its name for people, and where a published threshold comes from."""

    key: str
    name: str
    concept: Code | None = None
    threshold: float = _THRESHOLD
    rule: str = "0.5 by default: no threshold was measured"
    urgent: bool = False


def import_onnx(
    source: Path, out: Path, plan: PlanarPlan, about: Described, outputs: Sequence[ImportedOutput]
) -> Locked:
    """Make a package of an ONNX graph; raises BadImport where the graph does not fit the plan."""
    try:
        data = source.read_bytes()
    except OSError as problem:
        raise BadImport(f"{source} cannot be read: {problem.strerror}.") from problem
    with whole_folder(out) as folder:
        write_graph_package(folder, data, plan, about, outputs)
    return proved(out)


def write_graph_package(
    folder: Path, graph: bytes, plan: PlanarPlan, about: Described, outputs: Sequence[ImportedOutput]
) -> None:
    """Write graph, plan, plain calibration, golden cases of generated inputs, card and texts into an empty folder."""
    model = folder / MODEL
    model.mkdir(parents=True)
    (model / f"{plan.graph}.onnx").write_bytes(graph)
    (model / PLAN).write_text(plan_to_json(plan), encoding="utf-8")
    curves = Calibration(tuple((item.key, Platt(1.0, 0.0)) for item in outputs))
    (model / "calibration.json").write_text(calibration_to_json(curves), encoding="utf-8")
    _write_goldens(model, graph, plan)
    write_texts(folder, _card(about, outputs, plan), about)


def write_volume_package(
    folder: Path,
    graph: bytes,
    plan: VolumePlan,
    about: Described,
    outputs: Sequence[ImportedOutput],
    image: NDArray[np.float32],
) -> None:
    """Write graph, plan, one golden case of a generated window, card and texts into an empty folder."""
    model = folder / MODEL
    model.mkdir(parents=True)
    (model / f"{plan.graph}.onnx").write_bytes(graph)
    (model / PLAN).write_text(plan_to_json(plan), encoding="utf-8")
    (model / "calibration.json").write_text(calibration_to_json(Calibration()), encoding="utf-8")
    found = load_graph("onnxruntime", graph, 1).run({plan.input: image})
    scores = found.get(plan.output)
    if scores is None or scores.ndim != 5 or scores.shape[1] <= max(item.label for item in plan.regions):
        raise BadImport(
            f"the network gives {None if scores is None else scores.shape}, too few classes for the labels."
        )
    save_golden_case(model, "generated0", {plan.input: image}, found, graph=plan.graph)
    write_texts(folder, _card(about, outputs, plan), about)


def import_process(
    process: ProcessPlan, out: Path, plan: Plan, about: Described, outputs: Sequence[ImportedOutput], program: Path
) -> Locked:
    """Make a package that calls an outside program; its golden case is a generated volume that goes through it now."""
    with whole_folder(out) as folder:
        model = folder / MODEL
        model.mkdir(parents=True)
        (model / "process.json").write_text(process_to_json(process), encoding="utf-8")
        (model / PLAN).write_text(plan_to_json(plan), encoding="utf-8")
        (model / "calibration.json").write_text(calibration_to_json(Calibration()), encoding="utf-8")
        random = np.random.default_rng(0)
        volume = random.normal(-500.0, 300.0, (16, 48, 48)).astype(np.float32)
        volume[5:11, 12:36, 12:36] = 60.0
        affine = np.array(
            [[0.0, 0.0, 1.5, -36.0], [0.0, 1.5, 0.0, -36.0], [3.0, 0.0, 0.0, -24.0], [0.0, 0.0, 0.0, 1.0]]
        )
        inputs = {"volume": volume, "affine": affine}
        save_golden_case(model, "generated0", inputs, ProcessGraph(process, [program]).run(inputs), graph=GRAPH)
        (model / "golden/tolerance.json").write_text(
            '{"absolute": 0, "relative": 0, "differing_share": 0.001}\n', encoding="utf-8"
        )
        card = replace(_card(about, outputs, plan), resources=_outside(process))
        write_texts(folder, card, about)
    return proved(out)


def write_texts(folder: Path, card: ReaderCard, about: Described) -> None:
    """Write card, licence, data statement and the page for clinicians; each says that nothing was validated."""
    (folder / CARD).write_text(card_toml(card, f"Imported from {about.source}. {NOT_VALIDATED}"), encoding="utf-8")
    (folder / MODEL / LICENCE).write_text(f"{about.licence}\nSource: {about.source}\n", encoding="utf-8")
    (folder / MODEL / DATA_STATEMENT).write_text(
        f"# Data\n\nTraining data: {about.training_data}\n\nMeasured here on: nothing. {NOT_VALIDATED}\n",
        encoding="utf-8",
    )
    limits = "\n".join(f"- {limit}" for limit in card.limits)
    (folder / "README.md").write_text(
        f"# {card.name}\n\nResearch use only. Imported, not validated.\n\n{card.intended_use}\n\n{limits}\n",
        encoding="utf-8",
    )


@contextmanager
def whole_folder(out: Path, plan: LockPlan | None = None) -> Iterator[Path]:
    """Give a folder beside ``out`` that is locked and takes its name when the block ends well, and is gone otherwise.

    Records and golden cases are proved before it has its name: what fails leaves nothing that could be installed.
    """
    if out.exists():
        raise Misconfigured(f"{out} is there already: a package is never overwritten. Name another folder.")
    beside = out.with_name(f".{out.name}.{uuid.uuid4().hex}")
    try:
        beside.mkdir(parents=True)
        yield beside
        lock_release(beside, plan)
        beside.rename(out)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def proved(out: Path) -> Locked:
    """Read a finished folder again under its final name and return what was locked; nothing in it is changed."""
    return Locked(verify_package(out / MODEL, out / CARD), read_signature(out), read_record(out))


def _write_goldens(model: Path, data: bytes, plan: PlanarPlan) -> None:
    """Run generated inputs through the graph: the plan's input and outputs must be there, finite and wide enough."""
    graph = load_graph("onnxruntime", data, 1)
    for seed in _SEEDS:
        shape = (1, plan.channels, plan.rows, plan.columns)
        random = np.random.default_rng(seed)
        image = (plan.low + random.random(shape, dtype=np.float32) * np.float32(plan.high - plan.low)).astype(
            np.float32
        )
        inputs = {plan.input: image}
        if plan.covariates:
            beside = random.integers(0, 2, (1, len(plan.covariates))).astype(np.float32)
            # In the second case nothing is known beside the image, as with a bare header.
            inputs[COVARIATES] = np.full_like(beside, np.nan) if seed == 1 else beside
        try:
            found = graph.run(inputs)
        except MemoryError:
            raise
        except Exception as problem:
            raise BadImport(
                f"the graph does not take {plan.input} {shape} float32: {problem}. Mend the plan."
            ) from problem
        for item in plan.outputs:
            _check_output(item, found)
        save_golden_case(model, f"generated{seed}", inputs, found, graph=plan.graph)


def _check_output(item: PlannedOutput, found: Mapping[str, NDArray[Any]]) -> None:
    key, name, index, values = item.key, item.output, item.index, found.get(item.output)
    if values is None:
        raise BadImport(f"output {key!r}: the graph has no {name!r}; it has {', '.join(sorted(found))}. Mend the plan.")
    if values.ndim != (4 if item.form in PLACES else 2) or not _holds(item, values.shape[1]):
        raise BadImport(
            f"output {key!r}: {name!r} has shape {values.shape}, index {index} is not in it. Mend the plan."
        )
    if not np.isfinite(values).all():
        raise BadImport(f"output {key!r}: {name!r} is not finite for a generated image.")


def _holds(item: PlannedOutput, channels: int) -> bool:
    """Say whether an output of so many channels holds the class of the plan."""
    if item.form in (BOXES, DENSE_BOXES):
        return item.index < channels - 4
    if item.form in (MASK, OUTLINE):
        return item.index < (1 if channels == 1 else channels - 1)
    return item.index < channels


def _card(about: Described, outputs: Sequence[ImportedOutput], plan: Plan) -> ReaderCard:
    planar = isinstance(plan, PlanarPlan)
    contract = InputContract(
        modalities=(about.modality,),
        sop_class_uids=(),
        body_parts=(about.body_part,) if about.body_part else (),
        views=(),
        min_age_years=None,
        max_age_years=None,
        min_rows=64 if planar else 16,
        min_columns=64 if planar else 16,
        max_pixels=40_000_000,
        min_images=1,
        max_images=8 if planar else 4000,
        presentation="planar" if planar else "volume",
    )
    limits = (
        NOT_VALIDATED,
        "Probabilities are the network's own numbers and are not calibrated.",
        "Which patients, scanners and views it fits is not known.",
        *about.limits,
    )
    return ReaderCard(
        reader_id=about.reader_id,
        name=about.name,
        version=about.version,
        kind=ReaderKind.DETECTION if planar else ReaderKind.QUANTIFICATION,
        intended_use=about.intended_use,
        not_for="Patients. Nothing about its performance is known here.",
        research_use=True,
        input=contract,
        outputs=tuple(_output(item) for item in outputs),
        training_data=(about.training_data,),
        training_licence=about.licence,
        validation=NOT_VALIDATED,
        limits=limits,
        resources=Resources(memory_mb=4096, seconds=120.0 if planar else 1800.0),
    )


def _outside(process: ProcessPlan) -> Resources:
    """Give the program its own time, and the memory that large segmentation networks are known to take."""
    return Resources(memory_mb=16384, seconds=process.timeout_seconds + 60.0)


def _output(item: ImportedOutput) -> OutputSpec:
    point = OperatingPoint("imported", item.threshold, item.rule, None, None, "nothing: not validated")
    concept = item.concept or Code(item.key.upper()[:16], COREAD_SCHEME, item.name[:64])
    return OutputSpec(item.key, item.name, concept, None, item.urgent, None, (point,), "imported")
