"""What the virtual scanner sends: generated studies with known truth, and real radiographs where they are at hand."""

import csv
import json
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from pydicom.dataset import Dataset

from coread.app.demo.hospital import DemoFailed
from coread.domain.identifiers import derived_uid
from coread.imaging.mr.files.raw_object import wrapped
from coread.phantoms.chest import ChestRecipe, chest_radiograph
from coread.phantoms.ct import CtRecipe, ct_series
from coread.phantoms.dx import Identity
from coread.phantoms.mr_raw import RawTruth, make
from coread.phantoms.others import hand_radiograph
from coread.phantoms.reference.scan import Setup
from coread.phantoms.wrap import radiograph_from_image

REAL_FINDINGS = ("Pneumothorax", "Effusion", "Cardiomegaly", "No Finding")


@dataclass(frozen=True, slots=True)
class DemoStudy:
    """One study to send and what is known about it beforehand."""

    accession_number: str
    truth: str
    datasets: tuple[Dataset, ...]
    real: bool = False


_CHESTS: tuple[tuple[str, ChestRecipe], ...] = (
    ("no finding", ChestRecipe(seed=101)),
    ("effusion", ChestRecipe(seed=102, findings=("effusion",), size=0.8)),
    ("no finding, AP", ChestRecipe(seed=103, view="AP")),
    ("cardiomegaly", ChestRecipe(seed=104, findings=("cardiomegaly",), size=0.9)),
    # The reader misses it, and all of 28 such drawings (seeds 200 to 213, either side, 512 rows).
    ("pneumothorax", ChestRecipe(seed=204, findings=("pneumothorax",), side="R", size=1.0, rows=512)),
    (
        "opacity, stored as MONOCHROME1",
        ChestRecipe(seed=106, findings=("opacity",), size=0.9, photometric="MONOCHROME1"),
    ),
    ("nodule", ChestRecipe(seed=107, findings=("nodule",), size=0.9)),
)


_RAW = RawTruth(matrix=160, slices=3, coils=6, centre_percent=16.0, dicom=False, images=False)
_RAW_NUMBER = 11


def generated_studies(now: datetime) -> Iterator[DemoStudy]:
    """Yield the generated studies, one by one: computing one takes about a second."""
    yield _raw_examination(now)  # first: its images take longest to compute, and do so while the others are sent
    for number, (truth, recipe) in enumerate(_CHESTS, start=1):
        identity = _identity(number, f"CHEST{number:02d}", now)
        dataset = chest_radiograph(replace(recipe, identity=identity)).dataset
        if "pneumothorax" in recipe.findings:
            dataset.RequestedProcedurePriority = "STAT"
        yield DemoStudy(identity.accession_number, truth, (dataset,))
    child = _identity(8, "CHILD01", now)
    child = replace(child, patient_age="004Y", patient_birth_date=f"{now.year - 4}0115")
    dataset = chest_radiograph(ChestRecipe(seed=108, child=True, identity=child)).dataset
    yield DemoStudy(child.accession_number, "a child of 4 years", (dataset,))
    hand = hand_radiograph(seed=109)
    hand.AccessionNumber = hand.PatientID = "DEMO-009"
    yield DemoStudy("DEMO-009", "a hand", (hand,))
    identity = _identity(10, "CT01", now)
    slices = ct_series(CtRecipe(seed=110, rows=128, columns=128, slices=24, identity=identity))
    yield DemoStudy(identity.accession_number, "a CT of 24 slices", tuple(slices))


def _raw_examination(now: datetime) -> DemoStudy:
    """Return raw MR data without any image: a quarter of the lines of a head, as a Raw Data object."""
    identity = _identity(_RAW_NUMBER, "MRRAW01", now)
    kspace = make(_RAW, Setup(seed=111)).kspace
    if kspace is None:
        raise DemoFailed("the phantom made no raw data")
    header = replace(
        kspace.header,
        patient_id=identity.patient_id,
        patient_name=identity.patient_name,
        accession_number=identity.accession_number,
        study_date=identity.study_date,
        study_time=identity.study_time,
        study_instance_uid=derived_uid("phantom-study", identity.uid_seed),
    )
    dataset = wrapped(replace(kspace, header=header))
    return DemoStudy(identity.accession_number, "raw MR data, a quarter of the lines", (dataset,))


def real_radiographs_folder() -> Path | None:
    """Return the folder of the real radiographs, where this machine has them."""
    named = os.environ.get("COREAD_SHARED", "")
    folder = (Path(named) if named else Path.cwd().parent / "shared") / "data" / "cxr_nih"
    return folder if (folder / "index.csv").is_file() else None


def real_studies(folder: Path, now: datetime) -> Iterator[DemoStudy]:
    """Yield one real radiograph per finding, wrapped as DX objects with invented names; nothing is kept."""
    with (folder / "index.csv").open(newline="") as table, zipfile.ZipFile(folder / "images.zip") as images:
        rows = list(csv.DictReader(table))
        names = {Path(name).name: name for name in images.namelist()}
        for number, finding in enumerate(REAL_FINDINGS, start=_RAW_NUMBER + 1):
            fitting = [row for row in rows if _shows(row, finding) and row["image"] in names]
            if not fitting:
                continue
            row = min(fitting, key=lambda row: row["labels"].count("|"))
            identity = _identity(number, f"REAL{number:02d}", now)
            identity = replace(
                identity,
                patient_age=f"{int(row['age']):03d}Y",
                patient_sex=row["sex"],
                patient_birth_date="",
                patient_comments="public, de-identified",
                study_description="NIH ChestX-ray14",
                series_description="chest radiograph",
                institution_name="NIH Clinical Center",
                referring_physician_name="",
            )
            dataset = radiograph_from_image(images.read(names[row["image"]]), identity, view=row["view"])
            yield DemoStudy(identity.accession_number, f"real, labelled {row['labels']}", (dataset,), real=True)


def _shows(row: dict[str, str], finding: str) -> bool:
    labels = row["labels"].split("|")
    if finding == "No Finding":
        return labels == ["No Finding"]
    boxes = json.loads(row["boxes_xywh_448"] or "[]")
    return any(box[0] == finding for box in boxes)


def _identity(number: int, name: str, now: datetime) -> Identity:
    return Identity(
        patient_name=f"SYNTHETIC^{name}" if not name.startswith("REAL") else f"DEMO^{name}",
        patient_id=f"DEMO-{number:03d}",
        accession_number=f"DEMO-{number:03d}",
        study_date=f"{now:%Y%m%d}",
        study_time=f"{now:%H%M%S}",
        uid_seed=f"demo-{number}-{now:%Y%m%d%H%M%S}",
    )
