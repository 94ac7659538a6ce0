"""``coread validate`` against the bare engine: same reader, same images, without cohort, wrapping and journal.

Bare: the pictures are DICOM files already and ``run_reader`` is called in a loop. Validate: the same pictures as PNG
members of a zip archive, each compared with its frozen digest, wrapped as DICOM, read, and written into the journal.
Wall time gains from a second core (a thread wraps the next case meanwhile); processor time does not.
"""

import argparse
import io
import tempfile
import time
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from PIL import Image

from coread.engine.run import run_reader
from coread.engine.samples import study_of
from coread.engine.sessions import OpenReader, open_reader
from coread.phantoms.chest import ChestRecipe, chest_pixels
from coread.readers.registry import InstalledReader
from coread.validate.cohort import Cohort
from coread.validate.cohort_writing import write_cohort
from coread.validate.freezing import Frozen, freeze
from coread.validate.reader_choice import chosen_reader
from coread.validate.running import RunSettings, run_cohort
from coread.validate.sources import Sources
from coread.validate.wrapping import WrappedCase, wrap_case

SETTINGS = RunSettings(threads=1)
NAMES = ("bare", "validate")
Spent = tuple[float, float]
"""Seconds of wall time and of processor time."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reader", default="chest_xray")
    parser.add_argument("--cases", type=int, default=60)
    parser.add_argument("--rows", type=int, default=448)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    reader = chosen_reader(given.reader)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cohort = written_cohort(folder / "cohort", given.cases, given.rows)
        frozen = freeze(cohort)
        wrapped = wrapped_cases(cohort, folder)
        opened = open_reader(reader, SETTINGS.session().open)
        bare_loop(opened, wrapped[:5])
        pairs = []
        for turn in range(given.rounds):
            bare, whole = bare_loop(opened, wrapped), whole_run(reader, cohort, frozen, folder / f"run{turn}")
            pairs.append((bare, whole))
            rates = " ".join(
                f"{name} {len(wrapped) / spent[0]:6.1f}" for name, spent in zip(NAMES, pairs[-1], strict=True)
            )
            print(f"round {turn + 1}, cases a second: {rates}")
        for kind, what in enumerate(("wall", "processor")):
            shares = sorted(bare[kind] / whole[kind] for bare, whole in pairs)
            print(f"by {what} time validate runs at {100 * shares[len(shares) // 2]:.0f} % of the bare engine (median)")


def written_cohort(folder: Path, count: int, rows: int) -> Cohort:
    folder.mkdir()
    table = []
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for number in range(count):
            level, _ = chest_pixels(ChestRecipe(seed=number, rows=rows))
            stream = io.BytesIO()
            Image.fromarray(np.rint(level * 255).astype(np.uint8)).save(stream, "PNG")
            archive.writestr(f"{number}.png", stream.getvalue())
            row = {"case_id": f"c{number}", "patient_id": f"p{number}", "files": f"images.zip!{number}.png"}
            table.append(row | {"view": "PA", "age": 50})
    return write_cohort(folder, {"name": "Bench", "wrap": {"modality": "DX", "body_part": "CHEST"}}, table)


def wrapped_cases(cohort: Cohort, folder: Path) -> list[WrappedCase]:
    cases = []
    with Sources(cohort.root) as sources:
        for case in cohort.cases:
            place = folder / "dicom" / case.case_id
            place.mkdir(parents=True)
            cases.append(wrap_case(cohort, case, sources, place))
    return cases


def bare_loop(opened: OpenReader, wrapped: list[WrappedCase]) -> Spent:
    began, used = time.perf_counter(), time.process_time()
    for item in wrapped:
        study = study_of([header for _, header in item.sources])
        run_reader(opened.installed, opened.session, opened.reader, study, item.sources, datetime.now(UTC))
    return time.perf_counter() - began, time.process_time() - used


def whole_run(reader: InstalledReader, cohort: Cohort, frozen: Frozen, folder: Path) -> Spent:
    """From the first finished case to the last; opening the package and its golden cases are paid once and left out."""
    moments: list[Spent] = []

    def finished(_done: int, _total: int, _what: str) -> None:
        moments.append((time.perf_counter(), time.process_time()))

    run_cohort(reader, cohort, frozen, folder, settings=SETTINGS, progress=finished)
    share = len(moments) / (len(moments) - 1)
    return (moments[-1][0] - moments[0][0]) * share, (moments[-1][1] - moments[0][1]) * share


if __name__ == "__main__":
    main()
