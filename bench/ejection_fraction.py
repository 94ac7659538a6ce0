"""Ejection fraction readers, how they are locked and measured: ``python -m bench.ejection_fraction [--reader mr]``.

Phantoms vary volumes, rate, spacing, orientation, noise, blur and quality; what is measured is compared with what they
state. TUNED ones set the numbers of ``parameters.json``; TESTED ones were chosen before any of them was read.
``--network FILE`` takes a graph that a recipe made; ``--patient FOLDER`` measures the public Sunnybrook patient.
"""

import argparse
import csv
import json
import shutil
import tempfile
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coread.domain.cards import ReaderCard
from coread.domain.reading import ModelSession, Reader, ReaderInputs
from coread.domain.results import ReadResult, Refusal
from coread.engine.samples import study_of
from coread.imaging.header import scan_header
from coread.imaging.loops import load_loop, open_loop
from coread.imaging.series import load, open_series
from coread.models.golden import save_golden_case
from coread.models.lineage import sha256_of
from coread.models.session import open_session
from coread.phantoms.reference.made import Visit
from coread.phantoms.reference.registry import made
from coread.phantoms.reference.scan import Setup
from coread.readers import ejection_fraction, ejection_fraction_echo
from coread.readers.card_file import read_card
from coread.readers.ejection_fraction.drawn import drawn_slice
from coread.readers.ejection_fraction.reader import reader as mr_reader
from coread.readers.ejection_fraction_echo.reader import reader as echo_reader
from coread.readers.ejection_fraction_echo.recipe import pictures
from coread.train.reader_folder import lock_again, lock_whole


@dataclass(frozen=True, slots=True)
class Case:
    """One phantom."""

    truth: tuple[str, ...]
    setup: Setup


def _mr(number: int, *truth: str, **setup: Any) -> Case:
    spacing = setup.pop("spacing_mm", (10.0, 1.8, 1.8))
    phases = () if any(one.startswith("phases=") for one in truth) else ("phases=14",)
    return Case((*phases, *truth), Setup(seed=700 + number, spacing_mm=spacing, **setup))


def _echo(number: int, *truth: str) -> Case:
    return Case(truth, Setup(seed=800 + number))


MR_TUNED = (
    _mr(0),
    _mr(1, "edv_ml=200", "esv_ml=150", "mass_g=140", noise=4.0),
    _mr(2, "edv_ml=100", "esv_ml=38", "mass_g=90", spacing_mm=(8.0, 1.5, 1.5)),
    _mr(3, "edv_ml=260", "esv_ml=190", "mass_g=170", kernel_mm=2.5, orientation="7"),
    _mr(10, "edv_ml=120", "esv_ml=45", "mass_g=100"),
    _mr(11, "edv_ml=180", "esv_ml=110", "mass_g=150", noise=5.0),
    _mr(12, "edv_ml=90", "esv_ml=30", "mass_g=80", spacing_mm=(8.0, 1.4, 1.4)),
    _mr(13, "edv_ml=240", "esv_ml=185", "mass_g=160", orientation="5"),
    _mr(14, "edv_ml=150", "esv_ml=75", "mass_g=200", kernel_mm=3.0),
    _mr(15, "edv_ml=300", "esv_ml=240", "mass_g=190", spacing_mm=(10.0, 2.2, 2.2)),
    _mr(16, "edv_ml=130", "esv_ml=52", "papillary=no", orientation="3"),
    _mr(17, "edv_ml=110", "esv_ml=60", "mass_g=140", spacing_mm=(6.0, 1.6, 1.6), noise=3.0),
    _mr(18, "edv_ml=210", "esv_ml=80", "mass_g=180", "phases=20", spacing_mm=(12.0, 1.8, 1.8)),
    _mr(19, "edv_ml=160", "esv_ml=64", "phases=9", orientation="17"),
    _mr(20, "edv_ml=75", "esv_ml=25", "mass_g=70", spacing_mm=(8.0, 1.6, 1.6)),
    _mr(21, "edv_ml=190", "esv_ml=140", "mass_g=130", noise=6.0, kernel_mm=2.0),
)
MR_TESTED = (
    _mr(40, "edv_ml=125", "esv_ml=50", "mass_g=110", orientation="2"),
    _mr(41, "edv_ml=170", "esv_ml=102", "mass_g=140", noise=4.0),
    _mr(42, "edv_ml=95", "esv_ml=36", "mass_g=85", spacing_mm=(8.0, 1.5, 1.5)),
    _mr(43, "edv_ml=250", "esv_ml=195", "mass_g=170", orientation="16"),
    _mr(44, "edv_ml=145", "esv_ml=70", "mass_g=190", kernel_mm=2.8),
    _mr(45, "edv_ml=280", "esv_ml=210", "mass_g=180", spacing_mm=(10.0, 2.1, 2.1)),
    _mr(46, "edv_ml=135", "esv_ml=55", "papillary=no", orientation="21"),
    _mr(47, "edv_ml=115", "esv_ml=58", "mass_g=150", spacing_mm=(6.0, 1.7, 1.7), noise=3.5),
    _mr(48, "edv_ml=200", "esv_ml=78", "mass_g=170", "phases=18", spacing_mm=(11.0, 1.8, 1.8)),
    _mr(49, "edv_ml=155", "esv_ml=93", "phases=10", orientation="6"),
    _mr(50, "edv_ml=80", "esv_ml=30", "mass_g=75", spacing_mm=(8.0, 1.6, 1.6)),
    _mr(51, "edv_ml=185", "esv_ml=130", "mass_g=135", noise=5.5, kernel_mm=2.2),
)
MR_REFUSED = (_mr(30, orientation="coronal"), _mr(31, orientation="sagittal"))
"""The same heart cut along its long axis: to be refused."""
ECHO_TUNED = (
    _echo(0, "frame_time_ms=50"),
    _echo(1, "edv_ml=180", "esv_ml=125", "quality=0.5", "lean_degrees=-6", "frame_time_ms=50"),
    _echo(2, "edv_ml=90", "esv_ml=36", "heart_rate=85", "frame_time_ms=40", "depth_mm=140"),
    _echo(3, "edv_ml=220", "esv_ml=165", "quality=0.9", "frame_time_ms=55", "depth_mm=180"),
)
ECHO_TESTED = (
    _echo(10, "edv_ml=110", "esv_ml=40", "frame_time_ms=45"),
    _echo(11, "edv_ml=160", "esv_ml=96", "quality=0.6", "frame_time_ms=50"),
    _echo(12, "edv_ml=75", "esv_ml=27", "heart_rate=90", "frame_time_ms=40", "depth_mm=150"),
    _echo(13, "edv_ml=240", "esv_ml=180", "depth_mm=185", "frame_time_ms=55"),
    _echo(14, "edv_ml=140", "esv_ml=84", "quality=0.45", "lean_degrees=8", "frame_time_ms=50"),
    _echo(15, "edv_ml=200", "esv_ml=150", "lean_degrees=-9", "frame_time_ms=50"),
    _echo(16, "edv_ml=130", "esv_ml=52", "heart_rate=100", "frame_time_ms=35"),
    _echo(17, "edv_ml=100", "esv_ml=55", "quality=0.55", "depth_mm=200", "frame_time_ms=50"),
    _echo(18, "edv_ml=120", "esv_ml=42", "beats=2", "heart_rate=95", "frame_time_ms=45"),
    _echo(19, "edv_ml=180", "esv_ml=72", "quality=0.95", "depth_mm=175", "frame_time_ms=60"),
    _echo(20, "edv_ml=85", "esv_ml=45", "lean_degrees=6", "depth_mm=135", "frame_time_ms=50"),
    _echo(21, "edv_ml=150", "esv_ml=60", "quality=0.35", "frame_time_ms=50"),
)


@dataclass(frozen=True, slots=True)
class Bench:
    """One of the two readers with its phantoms."""

    folder: Path
    phantom: str
    build: Callable[..., Reader]
    tuned: Sequence[Case]
    tested: Sequence[Case]
    refused: Sequence[Case]
    concept: str
    """Code of the ejection fraction."""


BENCHES = {
    "mr": Bench(
        Path(ejection_fraction.__file__).parent, "mr-cine", mr_reader, MR_TUNED, MR_TESTED, MR_REFUSED, "8811-2"
    ),
    "echo": Bench(
        Path(ejection_fraction_echo.__file__).parent, "us-echo", echo_reader, ECHO_TUNED, ECHO_TESTED, (), "18043-0"
    ),
}
_EDV, _ESV = "18026-5", "18148-7"


def loaded(phantom: str, case: Case) -> tuple[ReaderInputs, Visit]:
    """Return a phantom as it is read from its files, and its truth."""
    visit = made(phantom, case.truth, case.setup).visits[0]
    with tempfile.TemporaryDirectory() as folder:
        sources = []
        for number, dataset in enumerate(one for series in visit.series for one in series.datasets()):
            path = Path(folder) / f"{number:04d}.dcm"
            dataset.save_as(path, enforce_file_format=True)
            sources.append((path, scan_header(path)))
        if phantom == "us-echo":
            loops = tuple(load_loop(open_loop(path, header)) for path, header in sources)
            return ReaderInputs(study_of([loop.header for loop in loops]), loops=loops), visit
        volumes = tuple(load(stack) for stack in open_series(sources).volumes())
        return ReaderInputs(study_of(volumes[0].headers), volumes=volumes), visit


def read(session: ModelSession, subject: Reader, inputs: ReaderInputs) -> ReadResult | Refusal:
    """Run the three steps of a reader."""
    prepared = subject.prepare(inputs)
    if isinstance(prepared, Refusal):
        return prepared
    return subject.interpret(session, prepared, subject.infer(session, prepared))


def measured(bench: Bench, session: ModelSession, subject: Reader, case: Case) -> dict[str, Any]:
    """Return errors of ejection fraction (points) and volumes (per cent), and whether the interval holds the truth."""
    inputs, visit = loaded(bench.phantom, case)
    began = time.process_time()
    result = read(session, subject, inputs)
    row: dict[str, Any] = {"truth": list(case.truth), "seed": case.setup.seed, "orientation": case.setup.orientation}
    row["seconds"] = round(time.process_time() - began, 2)
    if isinstance(result, Refusal):
        return row | {"refused": result.reason.text()}
    values = {one.concept.value: one for one in result.measurements}
    ejected = values[bench.concept]
    true = float(visit.facts["ejection_fraction_percent"])
    volumes = [float(value) for value in visit.facts["volumes_ml"]]
    shares = [100 * (values[code].value / size - 1) for code, size in ((_EDV, max(volumes)), (_ESV, min(volumes)))]
    return row | {
        "percent": round(ejected.value, 2),
        "error": round(ejected.value - true, 2),
        "half_width": ejected.uncertainty,
        "inside": abs(ejected.value - true) <= (ejected.uncertainty or 0.0),
        "volume_errors_percent": [round(share, 2) for share in shares],
        "notes": list(result.notes),
    }


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return mean and largest error of the ejection fraction, its 95 % limits, coverage, and errors of the volumes."""
    read_ones = [row for row in rows if "error" in row]
    errors = np.array([row["error"] for row in read_ones])
    volumes = np.array([row["volume_errors_percent"] for row in read_ones])
    spread = float(errors.std(ddof=1))
    mean = float(errors.mean())
    return {
        "phantoms": len(rows),
        "refused": len(rows) - len(read_ones),
        "mean_error_points": round(mean, 2),
        "limits_95_points": [round(mean - 1.96 * spread, 2), round(mean + 1.96 * spread, 2)],
        "largest_error_points": round(float(np.abs(errors).max()), 2),
        "within_3_points": int((np.abs(errors) <= 3).sum()),
        "intervals_that_hold_the_truth": int(sum(row["inside"] for row in read_ones)),
        "mean_volume_errors_percent": [round(float(value), 2) for value in volumes.mean(axis=0)],
        "largest_volume_error_percent": round(float(np.abs(volumes).max()), 2),
        "seconds": [min(row["seconds"] for row in rows), max(row["seconds"] for row in rows)],
    }


def patient(folder: Path, session: ModelSession, subject: Reader) -> dict[str, Any]:
    """Measure the public patient (Sunnybrook Cardiac Data) beside the volumes of the experts' contours."""
    with (folder / "ef_from_contours.csv").open(newline="", encoding="utf-8") as opened:
        (row,) = csv.DictReader(opened)
    with tempfile.TemporaryDirectory() as unpacked:
        with zipfile.ZipFile(folder / f"{row['patient']}.zip") as archive:
            archive.extractall(unpacked)
        sources = [(path, scan_header(path)) for path in sorted(Path(unpacked).rglob("*.dcm"))]
        volumes = tuple(load(stack) for stack in open_series(sources).volumes())
    result = read(session, subject, ReaderInputs(study_of(volumes[0].headers), volumes=volumes))
    experts = {name: float(row[name]) for name in ("edv_ml", "esv_ml", "ef")}
    if isinstance(result, Refusal):
        return {"experts": experts, "refused": result.reason.text()}
    values = {
        one.concept.meaning: [round(one.value, 1), round(one.uncertainty or 0.0, 1)] for one in result.measurements
    }
    return {"experts": experts, "measured": values, "notes": list(result.notes)}


def lock(bench: Bench, name: str, network: Path | None) -> str:
    """Put the graph in, write golden cases of drawn pictures, lock the package and return its digest."""
    card = read_card(bench.folder / "card.toml")
    model = bench.folder / "model"
    if network is not None:
        model.mkdir(exist_ok=True)
        shutil.copyfile(network, model / "network.onnx")
    if name == "mr":
        drawn = [drawn_slice(np.random.default_rng([1, number]))[0] for number in range(2)]
    else:
        drawn = [picture for picture, _ in pictures(2, 1)]
    shutil.rmtree(model / "golden", ignore_errors=True)
    _locked(bench, card, network)
    session = open_session(model, bench.folder / "card.toml", engine="onnxruntime")
    for number, image in enumerate(drawn):
        inputs = {"image": (image[np.newaxis, np.newaxis] / 255).astype(np.float32)}
        save_golden_case(model, f"drawn{number}", inputs, session.run("network", inputs))
    return _locked(bench, card, network)


def _locked(bench: Bench, card: ReaderCard, network: Path | None) -> str:
    if network is None:
        return lock_again(bench.folder, card, code=bench.folder, learnt_from=())
    return lock_whole(bench.folder, card, code=bench.folder, learnt_from=(), work=network.parent)


def measure(bench: Bench, folder: Path | None) -> None:
    """Measure the locked package and write measurements.json."""
    session = open_session(bench.folder / "model", bench.folder / "card.toml")
    subject = bench.build(read_card(bench.folder / "card.toml"))
    parts = {"tuned": bench.tuned, "tested": bench.tested, "to_be_refused": bench.refused}
    rows = {part: [measured(bench, session, subject, case) for case in cases] for part, cases in parts.items()}
    network = {"network_sha256": sha256_of(bench.folder / "model" / "network.onnx")}
    document: dict[str, Any] = network | {"summary": summary(rows["tested"]), "tuned_on": summary(rows["tuned"])}
    if folder is not None:
        document["patient"] = patient(folder, session, subject)
    document |= {"phantoms": rows}
    (bench.folder / "measurements.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    """Lock and measure one of the readers, or both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reader", choices=sorted(BENCHES), action="append", help="default: both")
    parser.add_argument("--network", type=Path, help="graph to take into the package, in the folder of its recipe")
    parser.add_argument("--patient", type=Path, help="folder of the Sunnybrook patient; short axis only")
    parser.add_argument("--only-lock", action="store_true")
    parser.add_argument("--only-measure", action="store_true")
    asked = parser.parse_args()
    for name in asked.reader or sorted(BENCHES):
        bench = BENCHES[name]
        if not asked.only_measure:
            lock(bench, name, asked.network)
        if not asked.only_lock:
            measure(bench, asked.patient if name == "mr" else None)


if __name__ == "__main__":
    main()
