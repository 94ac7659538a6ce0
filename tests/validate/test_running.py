"""A cohort is read by the engine's own code; every case has an outcome; a run that was killed goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from coread.readers.registry import InstalledReader
from coread.validate.cohort import Cohort
from coread.validate.cohort_writing import write_cohort
from coread.validate.errors import NoSuchReader, OtherRun, RunFailed
from coread.validate.freezing import freeze
from coread.validate.journal import JOURNAL_FILE, read_journal
from coread.validate.reader_choice import chosen_reader
from coread.validate.running import RunSettings, run_cohort
from tests.models.tiny_reader import READER, write_tiny_reader
from tests.validate.cohorts import CELL, WRAP, png, square_cohort, square_picture


def run(reader: InstalledReader, cohort: Cohort, folder: Path, workers: int = 1) -> list[dict[str, object]]:
    done = run_cohort(reader, cohort, freeze(cohort), folder, settings=RunSettings(workers=workers, threads=1))
    return [record.document() | {"seconds": 0} for record in done.records]


def test_every_case_has_the_score_that_its_picture_gives(tiny: InstalledReader, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(square_picture(0.9)))
    (tmp_path / "b.png").write_bytes(png(square_picture(0.7)))
    rows = [{"case_id": name, "patient_id": name, "files": f"{name}.png", "truth:square": 1} for name in "ab"]
    cohort = write_cohort(tmp_path, {"name": "Two", "wrap": WRAP}, rows)
    done = run_cohort(tiny, cohort, freeze(cohort), tmp_path / "run")
    bright, dark = done.records
    assert bright.outputs["square"].logit == pytest.approx(20 * (round(0.9 * 255) / 255 - 0.8), abs=1e-4)
    assert dark.outputs["square"].logit == pytest.approx(20 * (round(0.7 * 255) / 255 - 0.8), abs=1e-4)
    assert (bright.outcome, dark.outcome) == ("positive", "negative")
    (box,) = bright.boxes
    assert (box.x0, box.y0, box.x1, box.y1) == (20 * CELL, 10 * CELL, 21 * CELL, 11 * CELL)
    assert done.runtime.startswith("onnxruntime")


def test_refused_and_damaged_cases_are_outcomes(tiny: InstalledReader, tmp_path: Path) -> None:
    (tmp_path / "small.png").write_bytes(png(square_picture(0.9)[:40, :40]))
    (tmp_path / "flat.png").write_bytes(png(square_picture(0.9) * 0))
    (tmp_path / "cut.png").write_bytes(png(square_picture(0.9))[:50])
    rows = [{"case_id": n, "patient_id": n, "files": f"{n}.png", "truth:square": 1} for n in ("small", "flat", "cut")]
    cohort = write_cohort(tmp_path, {"name": "Bad", "wrap": WRAP}, rows)
    done = run_cohort(tiny, cohort, freeze(cohort), tmp_path / "run")
    reasons = {record.case_id: (record.outcome, record.reason) for record in done.records}
    assert reasons == {
        "small": ("not_analysed", "IMAGE_TOO_SMALL"),
        "flat": ("not_analysed", "PIXELS_CONSTANT"),
        "cut": ("not_analysed", "UNREADABLE"),
    }


def test_several_processes_give_what_one_gives(tiny: InstalledReader, cohort_folder: Path, tmp_path: Path) -> None:
    cohort = square_cohort(cohort_folder, 8)
    assert run(tiny, cohort, tmp_path / "two", workers=2) == run(tiny, cohort, tmp_path / "one")


def test_a_finished_case_is_not_read_again(tiny: InstalledReader, cohort_folder: Path, tmp_path: Path) -> None:
    cohort = square_cohort(cohort_folder, 6)
    whole = run(tiny, cohort, tmp_path / "run")
    journal = tmp_path / "run" / JOURNAL_FILE
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join(lines[:4]) + lines[4][:20])
    done = run_cohort(tiny, cohort, freeze(cohort), tmp_path / "run")
    assert done.resumed == 3
    assert [record.document() | {"seconds": 0} for record in done.records] == whole
    assert len(journal.read_bytes().splitlines()) == 7


def test_the_journal_of_another_cohort_is_refused(tiny: InstalledReader, tmp_path: Path) -> None:
    run(tiny, square_cohort(tmp_path / "first", 2), tmp_path / "run")
    before = (tmp_path / "run" / JOURNAL_FILE).read_bytes()
    with pytest.raises(OtherRun, match="cohort_digest"):
        run(tiny, square_cohort(tmp_path / "second", 3), tmp_path / "run")
    assert (tmp_path / "run" / JOURNAL_FILE).read_bytes() == before


def test_cases_of_another_version_or_engine_are_not_mixed_in(
    tiny: InstalledReader, cohort_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cohort = square_cohort(cohort_folder, 2)
    run(tiny, cohort, tmp_path / "run")
    before = (tmp_path / "run" / JOURNAL_FILE).read_bytes()
    with monkeypatch.context() as changed:
        changed.setattr("coread.__version__", "9.9.9")
        with pytest.raises(OtherRun, match=r"holds a run with coread_version .*, this one has 9\.9\.9"):
            run(tiny, cohort, tmp_path / "run")
    with monkeypatch.context() as changed:
        changed.setattr("coread.validate.running.runtime_name", lambda engine: f"{engine} 0.0.1")
        with pytest.raises(OtherRun, match=r"this one has onnxruntime 0\.0\.1"):
            run(tiny, cohort, tmp_path / "run")
    assert (tmp_path / "run" / JOURNAL_FILE).read_bytes() == before


def test_one_process_writes_a_journal_at_a_time(tiny: InstalledReader, cohort_folder: Path, tmp_path: Path) -> None:
    cohort = square_cohort(cohort_folder, 2)
    run(tiny, cohort, tmp_path / "run")
    journal = tmp_path / "run" / JOURNAL_FILE
    before = journal.read_bytes()
    hold = (
        "import fcntl, sys\n"
        "stream = open(sys.argv[1], 'rb')\n"
        "fcntl.flock(stream, fcntl.LOCK_EX)\n"
        "print('held', flush=True)\n"
        "sys.stdin.read()\n"
    )
    words = [sys.executable, "-c", hold, str(journal)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(OtherRun, match="another process is writing"):
            run(tiny, cohort, tmp_path / "run")
        assert journal.read_bytes() == before
        assert other.stdin is not None
        other.stdin.close()
    run(tiny, cohort, tmp_path / "run")
    assert journal.read_bytes() == before


def test_a_damaged_journal_is_refused(tiny: InstalledReader, cohort_folder: Path, tmp_path: Path) -> None:
    cohort = square_cohort(cohort_folder, 3)
    run(tiny, cohort, tmp_path / "run")
    journal = tmp_path / "run" / JOURNAL_FILE
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(lines[0] + b"{broken\n" + lines[2])
    with pytest.raises(OtherRun, match="damaged"):
        run(tiny, cohort, tmp_path / "run")


def test_a_reader_is_found_by_id_or_folder_and_otherwise_named(tiny: InstalledReader) -> None:
    assert chosen_reader("chest_xray").card.reader_id == "chest_xray"
    assert chosen_reader(tiny.folder).package_digest == tiny.package_digest
    with pytest.raises(NoSuchReader, match="chest_xray"):
        chosen_reader("no_such_reader")


def test_a_reader_that_breaks_is_an_outcome_and_the_run_goes_on(tmp_path: Path) -> None:
    broken = READER.replace(
        "        image, header = prepared",
        "        raise ValueError('secret of Muster')\n        image, header = prepared",
    )
    reader = chosen_reader(write_tiny_reader(tmp_path / "tiny_square_broken", code=broken))
    cohort = square_cohort(tmp_path / "cohort", 3)
    done = run_cohort(reader, cohort, freeze(cohort), tmp_path / "run")
    assert [(record.outcome, record.reason) for record in done.records] == [("failed", "ValueError")] * 3
    assert "Muster" not in (tmp_path / "run" / JOURNAL_FILE).read_text()


@pytest.mark.slow
def test_a_worker_process_that_ends_leaves_what_was_finished(tmp_path: Path) -> None:
    deadly = READER.replace(
        "        image, header = prepared",
        "        import os\n"
        "        if prepared.context.header.accession_number == 'case007':\n"
        "            os._exit(9)\n"
        "        image, header = prepared",
    )
    reader = chosen_reader(write_tiny_reader(tmp_path / "tiny_square_deadly", code=deadly))
    cohort = square_cohort(tmp_path / "cohort", 12)
    with pytest.raises(RunFailed, match="Finished cases are kept"):
        run_cohort(reader, cohort, freeze(cohort), tmp_path / "run", settings=RunSettings(workers=2, threads=1))
    _, finished = read_journal(tmp_path / "run" / JOURNAL_FILE)
    assert "case007" not in finished


SCRIPT = """
import sys
from pathlib import Path
from coread.validate.cohort import read_cohort
from coread.validate.freezing import freeze
from coread.validate.reader_choice import chosen_reader
from coread.validate.running import RunSettings, run_cohort
cohort = read_cohort(Path(sys.argv[2]))
reader, out = chosen_reader(sys.argv[1]), Path(sys.argv[3])
done = run_cohort(reader, cohort, freeze(cohort), out, settings=RunSettings(threads=1))
"""


def test_a_run_that_was_killed_goes_on_where_it_was(tiny: InstalledReader, cohort_folder: Path, tmp_path: Path) -> None:
    cohort = square_cohort(cohort_folder, 200)
    freeze(cohort)
    words = [sys.executable, "-c", SCRIPT, str(tiny.folder), str(cohort_folder), str(tmp_path / "run")]
    process = subprocess.Popen(words, env=os.environ | {"PYTHONPATH": str(Path.cwd())})
    journal = tmp_path / "run" / JOURNAL_FILE
    until = time.monotonic() + 60
    while time.monotonic() < until and not (journal.exists() and journal.read_bytes().count(b"\n") > 5):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait(timeout=30) == -signal.SIGKILL
    _, finished = read_journal(journal)
    assert 4 < len(finished) < 200
    done = run_cohort(tiny, cohort, freeze(cohort), tmp_path / "run", settings=RunSettings(threads=1))
    assert done.resumed >= len(finished)
    assert [record.case_id for record in done.records] == [case.case_id for case in cohort.cases]
    assert len({json.loads(line)["case_id"] for line in journal.read_bytes().splitlines()[1:]}) == 200
