"""A CT series goes through an outside program at arm's length and leaves as SEG and SR (with a stand-in program)."""

import math
from pathlib import Path

import numpy as np
import pytest

from coread.app.pipeline import evidence_maker
from coread.app.settings import Settings
from coread.domain.results import Failure, ReadResult
from coread.engine.run import run_reader
from coread.engine.sessions import SessionSettings, open_reader
from coread.imaging.plan import PlannedRegion, VolumePlan
from coread.models.importing import Described, ImportedOutput, import_process
from coread.models.process import ProcessPlan
from coread.phantoms.ct import CtRecipe, all_orientations, ct_series, with_orientation
from coread.readers.registry import planned_reader
from tests.engine.inputs import NOW, study_of
from tests.models.outside_program import write_program


@pytest.mark.parametrize("orientation", [0, 13, len(all_orientations()) - 1])
def test_a_series_is_segmented_where_it_is_in_the_patient(tmp_path: Path, orientation: int) -> None:
    program = write_program(tmp_path / "brightness", 120)
    process = ProcessPlan((str(program), "{input}", "{output}"), (str(program), "--version"), "2.5.0")
    plan = VolumePlan((PlannedRegion("lesion", 1, 0.5), PlannedRegion("liver", 2, 0.5)))
    about = Described("foreign_ct", "Foreign segmentation", "0.1.0", "CT", source="a stand-in program")
    outputs = (ImportedOutput("lesion", "Lesion"), ImportedOutput("liver", "Liver"))
    import_process(process, tmp_path / "p", plan, about, outputs, program)
    ready = open_reader(planned_reader(tmp_path / "p"), SessionSettings(programs=(program,)).open)
    recipe = with_orientation(CtRecipe(), orientation)
    paths = []
    for number, dataset in enumerate(ct_series(recipe)):
        paths.append(tmp_path / f"{number}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    study, sources = study_of(paths)
    reading = run_reader(ready.installed, ready.session, ready.reader, study, sources, NOW)
    assert isinstance(reading.ending, ReadResult), reading.ending
    assert {f.key: f.presence.value for f in reading.ending.findings} == {"lesion": "present", "liver": "absent"}
    (measured,) = reading.ending.measurements
    assert measured.value == pytest.approx(4 / 3 * math.pi * 0.8**3, rel=0.15)
    (region,) = reading.ending.regions
    assert region.geometry is not None
    inside = region.geometry.to_patient(np.argwhere(region.mask))
    assert inside.mean(axis=0) == pytest.approx(recipe.balls[0].center_mm, abs=1.5)
    make = evidence_maker(Settings.model_validate({"folder": tmp_path / "site"}))
    objects = make(reading, ready.installed.card, paths)
    assert {item.kind.value for item in objects} >= {"SR", "SEG"}


def test_a_program_that_fails_is_a_failure_that_says_so(tmp_path: Path) -> None:
    program = write_program(tmp_path / "brightness", 120)
    words = (str(program), "{input}", "{output}")
    process = ProcessPlan(words, (str(program), "--version"), "2.5.0")
    plan = VolumePlan((PlannedRegion("lesion", 1),))
    about = Described("foreign_ct", "Foreign segmentation", "0.1.0", "CT", source="a stand-in program")
    import_process(process, tmp_path / "p", plan, about, (ImportedOutput("lesion", "Lesion"),), program)
    ready = open_reader(planned_reader(tmp_path / "p"), SessionSettings(programs=(program,)).open)
    program.write_text(program.read_text().replace("labels = (", "raise SystemExit('no license')\nlabels = ("))
    paths = []
    for number, dataset in enumerate(ct_series(CtRecipe())):
        paths.append(tmp_path / f"{number}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
    study, sources = study_of(paths)
    reading = run_reader(ready.installed, ready.session, ready.reader, study, sources, NOW)
    assert isinstance(reading.ending, Failure)
    assert reading.ending.kind == "ProcessFailed"
    assert "no license" in reading.ending.message
