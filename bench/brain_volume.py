"""Brain volume reader: how its package is measured and locked, ``python -m bench.brain_volume PART [--real FOLDER]``.

``measure`` reads phantoms chosen beforehand (tissue volumes, change between two dates, lesions) and, with ``--real``,
real volumes; ``lock`` writes golden cases and locks. The networks are made by the recipes in the reader's folder.
"""

import argparse
import json
import re
import sys
import tempfile
import textwrap
import time
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.hippocampus_probability import likelihood
from coread.domain.images import Volume
from coread.domain.reading import Arrays, ModelSession, ReaderInputs
from coread.domain.reasons import Reason
from coread.domain.results import Refusal
from coread.engine.samples import study_of
from coread.imaging.header import scan_header
from coread.imaging.nifti import nifti_volume
from coread.imaging.volume import load_volume
from coread.models.golden import save_golden_case
from coread.models.graphs import load_graph
from coread.phantoms.reference.made import Made, Visit
from coread.phantoms.reference.registry import made
from coread.phantoms.reference.scan import Setup
from coread.readers import brain_volume
from coread.readers.brain_volume import words
from coread.readers.brain_volume.cohort import SET, arrays_of, read_crops
from coread.readers.brain_volume.comparing import Compared, Date, compared, ventricular_growth
from coread.readers.brain_volume.examined import Examined, examined, lesions_or_reason
from coread.readers.brain_volume.head import found_head
from coread.readers.brain_volume.outputs import (
    HEAD_SHAPE,
    HIPPOCAMPUS,
    HIPPOCAMPUS_SHAPE,
    INPUT,
    PART_NAMES,
    PARTS,
    TISSUE,
)
from coread.readers.brain_volume.reader import reader
from coread.readers.brain_volume.tissues import Contrast, levels_of
from coread.readers.card_file import read_card
from coread.train.reader_folder import lock_again, lock_whole

FOLDER = Path(brain_volume.__file__).parent
MEASUREMENTS = FOLDER / "measurements.json"
_ML = 1000.0
_NORMAL_95 = 1.959964
PUBLISHED_REPEATABILITY = 1.02
"""Per cent. SIENA on 385 people scanned twice in a row had a median absolute difference of 0.35 % (Cover 2011,
Psychiatry Res 193:182); of a normal distribution 95 % then stay below 1.96 x 0.35 / 0.6745."""
PUBLISHED_VOLUME_ERROR = 0.02
"""Share. The same for SIENAX: median difference of two 0.96 %, so 95 % of single scans within 1.96 x 0.96 / 0.6745 /
sqrt(2) = 1.97 %."""


class Graphs:
    """The graphs of the package before it is locked."""

    digest, runtime = "", "onnxruntime"
    parameters: Mapping[str, Any] = {}

    def __init__(self, folder: Path) -> None:
        self._graphs = {path.stem: load_graph("onnxruntime", path.read_bytes(), 1) for path in folder.glob("*.onnx")}

    def run(self, graph: str, inputs: Arrays) -> dict[str, Any]:
        """Run one graph."""
        return dict(self._graphs[graph].run(dict(inputs)))

    def calibrate(self, key: str, logit: float) -> float:
        """Nothing is calibrated here."""
        raise NotImplementedError(key)


@dataclass(frozen=True, slots=True)
class Case:
    """One phantom."""

    truth: tuple[str, ...]
    setup: Setup


def _case(seed: int, loss: float, *truth: str, **setup: Any) -> Case:
    return Case((f"loss_percent={loss:g}", "flair=no", *truth), Setup(seed=seed, **setup))


TUNED = (_case(11, 2), _case(13, 0), _case(12, 1, spacing_mm=(1.5, 1.2, 1.2), orientation="sagittal", noise=3.0))
"""What the method was developed on; not reported."""
PAIRS: tuple[Case, ...] = (
    _case(101, 0, spacing_mm=(1.2, 1.0, 1.0)),
    _case(102, 0, spacing_mm=(1.5, 1.2, 1.2), orientation="coronal", noise=2.5),
    _case(103, 1, spacing_mm=(1.2, 1.2, 1.2), orientation="sagittal"),
    _case(104, 3, spacing_mm=(1.5, 1.0, 1.0), noise=2.0),
    _case(105, 2, "move_mm=-6,4,-5", "turn_degrees=-7,5,-6", spacing_mm=(1.3, 1.3, 1.3), noise=3.0),
    _case(106, 0, "nonuniformity_percent=25", spacing_mm=(1.2, 1.2, 1.2), orientation="17", noise=3.0),
    _case(107, 1, "ventricle_scale=1.3", spacing_mm=(1.5, 1.2, 1.2), noise=2.0),
    _case(108, 3, "nonuniformity_percent=20", spacing_mm=(1.3, 1.2, 1.2), orientation="coronal", noise=2.5),
    _case(109, 0.5, "move_mm=8,-6,7", "turn_degrees=8,-6,9", spacing_mm=(1.2, 1.0, 1.0)),
    _case(110, 2, "lesions_ml=2,1,0.5", spacing_mm=(1.5, 1.5, 1.5), orientation="30", noise=2.0),
)
"""Chosen before any was read."""
LESIONS: tuple[Case, ...] = (
    Case(("loss_percent=1", "lesions_ml=1.5,1,0.4", "new_lesions_ml="), Setup(seed=131, spacing_mm=(3.0, 1.2, 1.2))),
    Case(
        ("loss_percent=1", "lesions_ml=0.5,0.3", "new_lesions_ml=0.4"),
        Setup(seed=132, spacing_mm=(3.5, 1.0, 1.0), noise=2.5),
    ),
    Case(("loss_percent=1", "lesions_ml=", "new_lesions_ml="), Setup(seed=133, spacing_mm=(3.0, 1.0, 1.0), noise=2.0)),
)
"""Chosen after the limit of brightness was set on three others."""


def loaded(visit: Visit, number: int) -> Volume:
    """Return one series of a visit as it is read from its files."""
    with tempfile.TemporaryDirectory() as folder:
        sources = []
        for k, dataset in enumerate(visit.series[number].datasets()):
            path = Path(folder) / f"{k:04d}.dcm"
            dataset.save_as(path, enforce_file_format=True)
            sources.append((path, scan_header(path)))
        return load_volume(sources)


def read_t1(session: ModelSession, volume: Volume, *, hippocampi: bool) -> Examined | str:
    """Return what a T1 volume gives, or why nothing."""
    head = found_head(session, volume)
    if head is None:
        return "no head"
    levels = levels_of(volume, head)
    if levels.contrast() is not Contrast.T1:
        return f"contrast {levels.contrast().value}"
    found = examined(session if hippocampi else None, volume, head, levels)
    return found.text() if isinstance(found, Reason) else found


def pair_row(session: ModelSession, case: Case, *, hippocampi: bool = False) -> dict[str, Any]:
    """Return the errors of one phantom: volumes of both dates in per cent, change in percentage points."""
    phantom = made("mr-brain", case.truth, case.setup)
    row: dict[str, Any] = {"truth": list(case.truth), "seed": case.setup.seed}
    dates = [read_t1(session, loaded(visit, 0), hippocampi=hippocampi) for visit in phantom.visits]
    for date in dates:
        if isinstance(date, str):
            return row | {"refused": date}
    first, second = (date for date in dates if not isinstance(date, str))
    row["volumes"] = [volume_errors(one, visit) for one, visit in zip((first, second), phantom.visits, strict=True)]
    started = time.process_time()
    found = compared(*(Date(one.volume, one.head, one.tissues) for one in (first, second)))
    row["seconds"] = round(time.process_time() - started, 1)
    if not isinstance(found, Compared):
        return row | {"refused": f"overlap {found:.3f}"}
    return row | change_errors(found, first, phantom)


def volume_errors(one: Examined, visit: Visit) -> dict[str, float]:
    """Return relative errors in per cent by tissue."""
    tissues = one.tissues
    truth = {name: visit.structure(name).exact.volume_mm3 / _ML for name in (
        "brain", "grey matter", "white matter total", "cerebrospinal fluid total", "ventricles")}  # fmt: skip
    grey, white = tissues.volume_ml(1), tissues.volume_ml(2)
    said = {"brain": grey + white, "grey matter": grey, "white matter total": white,
            "cerebrospinal fluid total": tissues.volume_ml(0), "ventricles": tissues.ventricles_ml()}  # fmt: skip
    errors = {name: round(100 * (said[name] / truth[name] - 1), 2) for name in truth}
    cavity = truth["brain"] + truth["cerebrospinal fluid total"]
    errors["intracranial"] = round(100 * (tissues.cavity_ml() / cavity - 1), 2)
    for hippocampus in one.hippocampi:
        known = visit.structure(f"hippocampus {hippocampus.side}").exact.volume_mm3 / _ML
        name = f"hippocampus {hippocampus.side}" + (" (doubtful)" if hippocampus.doubt else "")
        errors[name] = round(100 * (hippocampus.volume_ml() / known - 1), 2)
    return errors


def change_errors(found: Compared, first: Examined, phantom: Made) -> dict[str, Any]:
    """Return said and true change, and the errors."""
    true = float(phantom.changes["brain_volume_change_percent"])
    grown = float(phantom.changes["ventricle_growth_percent"])
    said = found.percent()
    growth = ventricular_growth(found, first.tissues.ventricles_ml())
    return {
        "true_percent": true, "said_percent": round(said, 3), "error_points": round(said - true, 3),
        "uncalibrated_percent": round(found.brain.percent(), 3), "gain": round(found.gain, 3),
        "ventricles_true_percent": round(grown, 2), "ventricles_said_percent": round(growth, 2),
    }  # fmt: skip


def lesion_rows(session: ModelSession) -> Iterator[dict[str, Any]]:
    """Yield true and said lesion load in FLAIR of both dates of each phantom."""
    for case in LESIONS:
        for date, visit in enumerate(made("mr-brain", case.truth, case.setup).visits):
            volume = loaded(visit, 1)
            head = found_head(session, volume)
            row: dict[str, Any] = {"seed": case.setup.seed, "date": date}
            row["true_ml"] = round(sum(s.exact.volume_mm3 for s in visit.structures if "lesion" in s.name) / _ML, 3)
            row["true_count"] = sum("lesion" in s.name for s in visit.structures)
            contrast = None if head is None else levels_of(volume, head).contrast()
            if head is None or contrast is not Contrast.FLAIR:
                yield row | {"refused": "no head" if contrast is None else contrast.value}
                continue
            found = lesions_or_reason(volume, head)
            if isinstance(found, Reason):
                yield row | {"refused": found.text()}
                continue
            yield row | {"said_ml": round(found.volume_ml, 3), "said_count": found.count}


def together_rows(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what the whole reader says of a study that holds both T1 and FLAIR, for both dates of each phantom."""
    subject = reader(read_card(folder / "card.toml"))
    session = Graphs(folder / "model")
    session.parameters = json.loads((folder / "model" / "parameters.json").read_text(encoding="utf-8"))
    for case in LESIONS:
        for date, visit in enumerate(made("mr-brain", case.truth, case.setup).visits):
            t1, flair = loaded(visit, 0), loaded(visit, 1)
            inputs = ReaderInputs(study_of([*t1.headers, *flair.headers]), volumes=(t1,), companions=(flair,))
            row: dict[str, Any] = {"seed": case.setup.seed, "date": date}
            prepared = subject.prepare(inputs)
            if isinstance(prepared, Refusal):
                yield row | {"refused": prepared.reason.text()}
                continue
            ending = subject.interpret(session, prepared, subject.infer(session, prepared))
            if isinstance(ending, Refusal):
                yield row | {"refused": ending.reason.text()}
                continue
            volumes = {one.site: one.value for one in ending.measurements if one.concept == words.VOLUME}
            lesions = sum(s.exact.volume_mm3 for s in visit.structures if "lesion" in s.name) / _ML
            brain = visit.structure("brain").exact.volume_mm3 / _ML
            yield row | {
                "true_ml": round(lesions, 3), "said_ml": round(volumes[words.LESION], 3),
                "brain_error_percent": round(100 * (volumes[words.BRAIN] / brain - 1), 2),
                "finding": next(one.presence.value for one in ending.findings if one.key == words.LESIONS),
            }  # fmt: skip


def real_rows(session: ModelSession, data: Path) -> Iterator[dict[str, Any]]:
    """Yield what real volumes give; there is no reference but the tissue maps of the average brain and brain masks."""
    stem = "brain_mr_mni152/mni_icbm152_{}_tal_nlin_sym_09a_converted.nii.gz"
    raw = data / "brain_mr_ms/longitudinal/raw"
    rows = [("average brain", data / stem.format("t1"))]
    rows += [(f"{one.parent.name} {one.name.split('.')[0]}", one) for one in sorted(raw.glob("*/study*W.nii.gz"))]
    rows += [(f"{one.parent.name} {one.name.split('.')[0]}", one) for one in sorted(raw.glob("*/study*FLAIR.nii.gz"))]
    for name, path in rows:
        yield {"volume": name} | _real(session, nifti_volume(path))
    for number, one in enumerate(_siemens(data / "dicom/mr_brain_siemens_2_series.zip"), start=1):
        yield {"volume": f"Siemens brain study, series {number}"} | _real(session, one)
    for mask in sorted((data / "brain_mr_ms/longitudinal/coregistered").glob("*/brainmask.nii.gz")):
        volume = nifti_volume(mask)
        voxel = float(np.prod(volume.geometry.spacing_mm())) / _ML
        yield {
            "volume": f"{mask.parent.name} brain mask of the data set",
            "mask_ml": round(float((volume.voxels > 0).sum()) * voxel),
        }
    maps = {name: float(nifti_volume(data / stem.format(name)).voxels.sum()) / 255 / _ML for name in ("gm", "wm")}
    yield {"volume": "average brain, its tissue maps", "grey_ml": round(maps["gm"]), "white_ml": round(maps["wm"])}


def _siemens(archive: Path) -> Iterator[Volume]:
    with tempfile.TemporaryDirectory() as folder, zipfile.ZipFile(archive) as opened:
        opened.extractall(folder)
        series: dict[str, list[tuple[Path, Any]]] = {}
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                header = scan_header(path)
                series.setdefault(header.series_instance_uid, []).append((path, header))
        for sources in series.values():
            yield load_volume(sources)


def _real(session: ModelSession, volume: Volume) -> dict[str, Any]:
    head = found_head(session, volume)
    if head is None:
        return {"refused": "no head"}
    levels = levels_of(volume, head)
    row: dict[str, Any] = {"contrast": levels.contrast().value, "rank": round(levels.rank, 2)}
    if levels.contrast() is Contrast.FLAIR:
        found = lesions_or_reason(volume, head)
        if isinstance(found, Reason):
            return row | {"refused": found.text()}
        return row | {"lesions_ml": round(found.volume_ml, 2), "lesions": found.count,
                      "intracranial_ml": round(found.inside_ml)}  # fmt: skip
    one = read_t1(session, volume, hippocampi=True)
    if isinstance(one, str):
        return row | {"refused": one}
    tissues = one.tissues
    brain = tissues.volume_ml(1) + tissues.volume_ml(2)
    row |= {"intracranial_ml": round(tissues.cavity_ml()), "brain_ml": round(brain),
            "ventricles_ml": round(tissues.ventricles_ml(), 1), "cut": one.cut, "separate": one.separate()}  # fmt: skip
    if one.separate():
        row |= {"grey_ml": round(tissues.volume_ml(1)), "white_ml": round(tissues.volume_ml(2))}
    for hippocampus in one.hippocampi:
        row[f"hippocampus_{hippocampus.side}"] = hippocampus.doubt or f"{hippocampus.volume_ml():.2f} ml"
    return row


def hippocampus_row(session: ModelSession, data: Path) -> dict[str, Any]:
    """Return Dice and volume error of the hippocampus graph by part over the crops that nothing learnt from."""
    aside = arrays_of([crop for crop in read_crops(data / SET) if crop.held_out])
    rows: list[dict[str, float]] = []
    shares, outlines, truths = [], [], []
    for number in range(len(aside)):
        image = np.asarray(aside.images[number : number + 1], dtype=np.float32)
        logits = session.run(HIPPOCAMPUS, {INPUT: image})[PARTS]
        labels = logits.argmax(axis=1)[0]
        powers = np.exp(logits[0].astype(np.float64) - logits[0].max(axis=0))
        shares.append(1 - powers[0] / powers.sum(axis=0))
        truth = np.asarray(aside.targets[PARTS])[number]
        outlines.append(labels > 0)
        truths.append(truth > 0)
        row = {f"dice {name}": _dice(labels == k, truth == k) for k, name in enumerate(PART_NAMES, start=1)}
        row["dice whole"] = _dice(labels > 0, truth > 0)
        row["volume error percent"] = 100 * float((labels > 0).sum() / (truth > 0).sum() - 1)
        rows.append(row)
    found: dict[str, Any] = {"held_out": len(rows)}
    for name in rows[0]:
        values = np.array([row[name] for row in rows])
        found[name] = _spread(values) | {"lowest": round(float(values.min()), 3)}
    return found | {"probability": likelihood(shares, outlines, truths)}


def _dice(one: Any, other: Any) -> float:
    return float(2 * (one & other).sum() / max(1, one.sum() + other.sum()))


def summary(pairs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return mean, deviation and largest error of change and of volumes over the phantoms that were read."""
    read = [row for row in pairs if "error_points" in row]
    errors = np.array([row["error_points"] for row in read])
    growth = np.array([row["ventricles_said_percent"] - row["ventricles_true_percent"] for row in read])
    found: dict[str, Any] = {"phantoms": len(pairs), "refused": len(pairs) - len(read), "change": _spread(errors)}
    found["change"]["within_0.2_points"] = int((np.abs(errors) <= 0.2).sum())
    found["ventricle_growth"] = _spread(growth)
    names = [name for name in read[0]["volumes"][0] if not name.startswith("hippocampus")]
    found["volumes_percent"] = {
        name: _spread(np.array([date[name] for row in read for date in row["volumes"]])) for name in names
    }
    return found


def _spread(errors: Any) -> dict[str, Any]:
    return {
        "n": int(errors.size), "mean": round(float(errors.mean()), 3), "sd": round(float(errors.std(ddof=1)), 3),
        "largest": round(float(np.abs(errors).max()), 3),
        "error_95": round(_NORMAL_95 * float(np.sqrt(np.mean(np.square(errors)))), 3),
    }  # fmt: skip


def parameters_of(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the locked numbers: measured errors, but never below what was published of real repeats."""
    found = document["summary"]
    volumes = {name: value["error_95"] / 100 for name, value in found["volumes_percent"].items()}
    volumes["hippocampus"] = document["hippocampus"]["volume error percent"]["error_95"] / 100
    loads = [row for row in document["lesions"] if row.get("said_ml") is not None and row["true_ml"] > 0]
    lesions = _spread(np.array([row["said_ml"] / row["true_ml"] - 1 for row in loads]))["error_95"]
    names = {"intracranial": "intracranial", "brain": "brain", "grey": "grey matter", "white": "white matter total",
             "fluid": "cerebrospinal fluid total", "ventricles": "ventricles",
             "hippocampus": "hippocampus"}  # fmt: skip
    return {
        "change": {
            "repeatability_percent": max(PUBLISHED_REPEATABILITY, found["change"]["error_95"]),
            "error_95_percent": found["change"]["error_95"],
            "ventricle_error_95_percent": found["ventricle_growth"]["error_95"],
        },
        "volume_error_95": {
            name: round(max(PUBLISHED_VOLUME_ERROR, volumes[key]), 4) for name, key in names.items()
        } | {"lesions": round(lesions, 3)},
        "hippocampus_temperature": document["hippocampus"]["probability"]["temperature"],
    }  # fmt: skip


def measured_words(document: Mapping[str, Any]) -> str:
    """Return what was measured, in words: the card says exactly this."""
    found, parts = document["summary"], document["hippocampus"]
    change, volumes, likely = found["change"], found["volumes_percent"], parts["probability"]
    tissue = ", ".join(f"{name} {volumes[name]['mean']:+.1f} (SD {volumes[name]['sd']:.1f})" for name in volumes)
    loads = [row for row in document["lesions"] if "said_ml" in row]
    lesions = ", ".join(f"{row['said_ml']:.2f} for {row['true_ml']:.2f}" for row in loads)
    said = (
        f"Hippocampus, real: {parts['held_out']} held-out crops of one hospital, outlined by hand: Dice anterior",
        f"{parts['dice anterior']['mean']:.3f} (SD {parts['dice anterior']['sd']:.3f}), posterior",
        f"{parts['dice posterior']['mean']:.3f} (SD {parts['dice posterior']['sd']:.3f}), whole",
        f"{parts['dice whole']['mean']:.3f}; volume error mean {parts['volume error percent']['mean']:+.1f} %, SD",
        f"{parts['volume error percent']['sd']:.1f} %; probabilities of voxels within 3 mm of the outline are off by",
        f"{likely['calibration_error']:.3f} in the mean, of those between 5 and 95 % by",
        f"{likely['calibration_error_between_5_and_95_percent']:.3f}, their temperature fitted on the other half of",
        "these crops. Simulated from here on (phantom mr-brain, a simple head whose",
        f"label maps also taught the tissue network): {found['phantoms']} pairs of dates chosen beforehand,",
        f"{found['refused']} refused, 0 to 3 % loss, noise 1.5 to 3 %, five orientations: error of the change of brain",
        f"volume mean {change['mean']:+.3f}, SD {change['sd']:.3f}, largest {change['largest']:.3f} percentage points,",
        f"{change['within_0.2_points']} of {change['n']} within 0.2.",
        f"Error of volumes in per cent, both dates: {tissue}.",
        f"Lesion load in FLAIR, said for true ml: {lesions}.",
        *_together_words(document["together"], document["lesions"]),
        "Commands: python -m bench.brain_volume measure; the same with --real FOLDER.",
    )
    return " ".join(said)


def _together_words(rows: Sequence[Mapping[str, Any]], alone: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    read = [row for row in rows if "said_ml" in row]
    same = sum(
        any(
            (one["seed"], one["date"], one.get("said_ml")) == (row["seed"], row["date"], row["said_ml"])
            for one in alone
        )
        for row in read
    )
    worst = max(abs(row["brain_error_percent"]) for row in read)
    return (
        f"T1 and FLAIR of one study together, the same phantoms (slices of 3 to 3.5 mm): {len(read)} of {len(rows)}",
        f"read, the same load as from FLAIR alone in {same}, brain volume within {worst:.1f} %.",
    )


def measure(real: Path | None, *, only_together: bool = False) -> None:
    """Measure phantoms (and real volumes) and keep what was found in measurements.json."""
    session = Graphs(FOLDER / "model")
    document: dict[str, Any] = json.loads(MEASUREMENTS.read_text(encoding="utf-8")) if MEASUREMENTS.is_file() else {}
    if only_together:
        document["together"] = list(together_rows(FOLDER))
    elif real is not None:
        document["hippocampus"] = hippocampus_row(session, real)
        document["real"] = list(real_rows(session, real))
    else:
        rows: list[dict[str, Any]] = []
        for case in PAIRS:
            rows.append(pair_row(session, case))
            sys.stderr.write(f"{json.dumps(rows[-1])}\n")
        document["pairs"], document["summary"] = rows, summary(rows)
        document["lesions"] = list(lesion_rows(session))
        document["together"] = list(together_rows(FOLDER))
    MEASUREMENTS.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def lock(data: Path | None, fits: Path | None) -> str:
    """Write parameters, the card's text and a golden case of each graph, lock the package and return its digest."""
    model = FOLDER / "model"
    document = json.loads(MEASUREMENTS.read_text(encoding="utf-8"))
    (model / "parameters.json").write_text(json.dumps(parameters_of(document), indent=2) + "\n", encoding="utf-8")
    card = FOLDER / "card.toml"
    line = f"validation = {json.dumps(measured_words(document))}"
    card.write_text(
        re.sub(r"(?m)^validation = .*$", lambda _: line, card.read_text(encoding="utf-8")), encoding="utf-8"
    )
    page = FOLDER / "README.md"
    told = textwrap.fill(f"**Measured.** {measured_words(document)}", 120)
    page.write_text(
        re.sub(r"(?ms)^\*\*Measured\.\*\*.*?(?=\n\n)", lambda _: told, page.read_text(encoding="utf-8")),
        encoding="utf-8",
    )
    session = Graphs(model)
    for name, shape in ((TISSUE, HEAD_SHAPE), (HIPPOCAMPUS, HIPPOCAMPUS_SHAPE)):
        up, back, side = (np.abs(np.linspace(-1, 1, n)) for n in shape)
        ball = up[:, None, None] ** 2 + back[None, :, None] ** 2 + side[None, None, :] ** 2
        inputs = {INPUT: np.asarray(np.clip(1.2 - ball, 0, 1), dtype=np.float32)[np.newaxis, np.newaxis]}
        save_golden_case(model, "ball", inputs, session.run(name, inputs), graph=name)
    learnt_from = () if data is None else tuple(data / name for name in (SET, "brain_mr_mni152"))
    if fits is None:
        return lock_again(FOLDER, read_card(card), code=FOLDER, learnt_from=learnt_from)
    return lock_whole(FOLDER, read_card(card), code=FOLDER, learnt_from=learnt_from, work=fits)


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("measure", "lock"))
    parser.add_argument("--real", type=Path, help="folder of the data sets: measure real volumes instead of phantoms")
    parser.add_argument(
        "--fits", type=Path, help="folder that the recipe worked in: its versions are locked; else the list stays"
    )
    parser.add_argument("--together", action="store_true", help="measure only T1 and FLAIR of one study together")
    asked = parser.parse_args()
    if asked.part == "measure":
        measure(asked.real, only_together=asked.together)
    else:
        sys.stdout.write(f"{lock(asked.real, asked.fits)}\n")


if __name__ == "__main__":
    main()
