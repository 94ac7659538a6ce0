"""Sets of projection radiographs and of the RSNA challenges, as they are distributed."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset

from coread.train.adapters import ADAPTERS
from coread.train.adapters.chexpert import FINDINGS as CHEXPERT_FINDINGS
from coread.train.adapters.contract import ReadOptions
from coread.train.adapters.rsna import EMBOLISM
from coread.train.adapters.vindr_cxr import FINDINGS as VINDR_FINDINGS
from coread.train.dataset_build import BuildPlan, build_dataset
from coread.train.datasets import Box, ImageRow
from coread.train.errors import DataMissing
from coread.train.pictures import PictureStore
from tests.train.adapters.made import ROOT, dicom, picture, table


def built(adapter: str, source: Path, tmp_path: Path, **options: object) -> dict[str, ImageRow]:
    """Build the set (every image is opened) and return its rows by identifier."""
    plan = BuildPlan(adapter, source, tmp_path / "built", options=ReadOptions(**options))  # type: ignore[arg-type]
    return {row.image_id: row for row in build_dataset(plan).rows}


def mask_of(row: ImageRow, source: Path, tmp_path: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    with PictureStore(source, tmp_path / "built") as store:
        return np.asarray(store.pixels(row.mask), dtype=np.uint8)


def test_nih_with_its_cut_brackets_and_its_impossible_ages(tmp_path: Path) -> None:
    source = tmp_path / "nih"
    table(
        source / "Data_Entry_2017.csv",
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],",
        "00000001_000.png,Cardiomegaly|Effusion,0,1,58,M,PA,2682,2749,0.143,0.143,",
        "00000001_001.png,No Finding,1,1,411,M,AP,2894,2729,0.143,0.143,",
    )
    table(
        source / "BBox_List_2017.csv",
        "Image Index,Finding Label,Bbox [x,y,w,h],,,",
        "00000001_000.png,Infiltrate,225.1,547.0,86.8,79.2,,,",
    )
    (source / "train_val_list.txt").write_text("00000001_000.png\n")
    (source / "test_list.txt").write_text("00000001_001.png\n")
    picture(source / "images_001" / "images" / "00000001_000.png")
    picture(source / "images_001" / "images" / "00000001_001.png")
    rows = built("nih_chest_xray14", source, tmp_path)
    first = rows["00000001_000"]
    assert first.boxes == (Box("Infiltration", 225.1, 547.0, 225.1 + 86.8, 547.0 + 79.2),)
    assert (first.labels["Cardiomegaly"], first.labels["Hernia"], first.labels["No Finding"]) == (1, 0, 0)
    assert (first.group, first.view, first.age, first.sex) == ("1", "PA", 58, "M")
    assert first.path == "images_001/images/00000001_000.png"
    assert rows["00000001_001"].age is None
    assert rows["00000001_001"].covariates["official_split"] == "test"


def test_chexpert_keeps_uncertain_apart_from_not_mentioned(tmp_path: Path) -> None:
    source = tmp_path / "CheXpert-v1.0-small"
    head = ["Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *CHEXPERT_FINDINGS]
    values = [""] * 14
    values[2], values[9], values[10] = "1.0", "-1.0", "0.0"
    table(
        source / "train.csv", head,
        ["CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg", "Female", 68, "Frontal", "AP", *values],
        ["CheXpert-v1.0-small/train/patient00001/study1/view2_lateral.jpg", "Unknown", 0, "Lateral", "", *values],
    )  # fmt: skip
    for view in ("view1_frontal", "view2_lateral"):
        picture(source / "train" / "patient00001" / "study1" / f"{view}.jpg")
    rows = built("chexpert", source, tmp_path)
    first = rows["train/patient00001/study1/view1_frontal"]
    assert (first.labels["Cardiomegaly"], first.labels["Pleural Effusion"]) == (1, 0)
    assert first.labels["Pneumothorax"] is None
    assert first.label_uncertainty == {"Pneumothorax": 0.5}
    assert first.labels["Fracture"] is None
    assert (first.group, first.sex, first.view) == ("patient00001", "F", "AP")
    lateral = rows["train/patient00001/study1/view2_lateral"]
    assert (lateral.sex, lateral.view, lateral.covariates["projection"]) == ("", "LATERAL", "Lateral")
    table(
        source / "valid.csv",
        head,
        ["CheXpert-v1.0-small/valid/patient1/study1/view1_frontal.jpg", "Male", 1, "Frontal", "PA", *["2"] * 14],
    )
    with pytest.raises(DataMissing, match="column 'No Finding' holds '2'"):
        built("chexpert", source, tmp_path / "again")


@pytest.mark.parametrize("ending", ["jpg", "dcm"])
@pytest.mark.parametrize("place", ["files", "mimic-cxr-reports/files", "mimic-cxr-reports.zip"])
def test_mimic_cxr_joins_labels_split_and_report(tmp_path: Path, ending: str, place: str) -> None:
    download = tmp_path / "mimic"
    source = download / "physionet.org" / "files" / "mimic-cxr-jpg" / "2.0.0" if ending == "jpg" else download
    image = "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"
    table(
        source / "mimic-cxr-2.0.0-metadata.csv.gz",
        "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime,"
        "ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning",
        f"{image},10000032,50414267,CHEST (PA AND LAT),PA,3056,2544,21800506,213014.531,"
        "CHEST (PA AND LAT),postero-anterior,Erect",
    )
    table(
        source / "mimic-cxr-2.0.0-chexpert.csv.gz",
        ["subject_id", "study_id", *sorted(CHEXPERT_FINDINGS)],
        ["10000032", "50414267", *["1.0" if name == "No Finding" else "" for name in sorted(CHEXPERT_FINDINGS)]],
    )
    table(
        source / "mimic-cxr-2.0.0-split.csv.gz",
        "dicom_id,study_id,subject_id,split",
        f"{image},50414267,10000032,validate",
    )
    folder = source / "files" / "p10" / "p10000032"
    (picture if ending == "jpg" else dicom)(folder / "s50414267" / f"{image}.{ending}")
    report, name = "FINDINGS: no acute cardiopulmonary process.", "p10/p10000032/s50414267.txt"
    if place.endswith(".zip"):
        with zipfile.ZipFile(source / place, "w") as archive:
            archive.writestr(f"files/{name}", report)
    else:
        (source / place / name).parent.mkdir(parents=True, exist_ok=True)
        (source / place / name).write_text(report)
    row = built("mimic_cxr", download, tmp_path)[image]
    assert row.path.endswith(f"s50414267/{image}.{ending}")
    assert (row.patient_id, row.study_id, row.date, row.view) == ("10000032", "50414267", "2180-05-06", "PA")
    assert row.labels["No Finding"] == 1
    assert row.labels["Edema"] is None
    assert "no acute" in row.text
    assert row.covariates["official_split"] == "validate"


def test_mimic_cxr_takes_the_labels_of_negbio_where_those_of_chexpert_are_absent(tmp_path: Path) -> None:
    source, image = tmp_path / "mimic", "02aa804e-bde0afdd-112c0b34-7bc16630-4e384014"
    table(
        source / "mimic-cxr-2.0.0-metadata.csv.gz",
        "dicom_id,subject_id,study_id,ViewPosition,StudyDate,StudyTime",
        f"{image},10000032,50414267,LATERAL,21800506,213014.531",
    )
    stated = {"Edema": "-1.0", "Fracture": "0.0", "Pneumonia": "1.0"}
    table(
        source / "mimic-cxr-2.0.0-negbio.csv.gz",
        ["subject_id", "study_id", *sorted(CHEXPERT_FINDINGS)],
        ["10000032", "50414267", *[stated.get(name, "") for name in sorted(CHEXPERT_FINDINGS)]],
    )
    picture(source / "files" / "p10" / "p10000032" / "s50414267" / f"{image}.jpg")
    row = built("mimic_cxr", source, tmp_path)[image]
    assert (row.labels["Edema"], row.labels["Fracture"], row.labels["Pneumonia"]) == (None, 0.0, 1.0)
    assert row.label_uncertainty == {"Edema": 0.5}
    assert row.labels["Atelectasis"] is None
    assert row.label_source == "report text (NegBio labeler)"


def test_vindr_keeps_the_share_of_raters_and_their_boxes(tmp_path: Path) -> None:
    source = tmp_path / "vindr"
    names = [*VINDR_FINDINGS, "COPD", "Lung tumor", "Pneumonia", "Tuberculosis", "Other diseases", "No finding"]
    said = {"R1": {"Cardiomegaly"}, "R2": {"Cardiomegaly"}, "R3": {"No finding"}}
    table(
        source / "annotations" / "image_labels_train.csv",
        ["image_id", "rad_id", *names],
        *[["000d68e4", rater, *[int(name in given) for name in names]] for rater, given in said.items()],
    )
    table(
        source / "annotations" / "annotations_train.csv",
        "image_id,rad_id,class_name,x_min,y_min,x_max,y_max",
        "000d68e4,R1,Cardiomegaly,1,2,5.5,7",
        "000d68e4,R2,Cardiomegaly,1,2,6,8",
        "000d68e4,R3,No finding,,,,",
    )
    dicom(source / "train" / "000d68e4.dicom", Modality="DX")
    row = built("vindr_cxr", source, tmp_path)["000d68e4"]
    assert (row.labels["Cardiomegaly"], row.labels["No finding"], row.labels["Edema"]) == (1, 0, 0)
    assert row.label_uncertainty["Cardiomegaly"] == pytest.approx(2 / 3)
    assert row.boxes[0] == Box("Cardiomegaly", 1, 2, 5.5, 7)
    assert row.covariates["box_raters"] == ["R1", "R2"]
    assert (row.age, row.sex) == (54, "F")
    table(source / "annotations" / "annotations_train.csv", "image_id,rad_id,class_name,x_min,y_min,x_max,y_max",
          "000d68e4,R1,Heart,1,2,5,7")  # fmt: skip
    with pytest.raises(DataMissing, match="'Heart' is outside the list"):
        built("vindr_cxr", source, tmp_path / "again")


def test_vindr_as_the_kaggle_challenge_had_it(tmp_path: Path) -> None:
    source = tmp_path / "kaggle"
    table(
        source / "train.csv",
        "image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max",
        "a1,Pleural effusion,10,R8,1,1,4,4",
        "a1,No finding,14,R9,,,,",
    )
    dicom(source / "train" / "a1.dicom", Modality="DX")
    row = built("vindr_cxr", source, tmp_path)["a1"]
    assert row.label_uncertainty == {"Pleural effusion": 0.5, "No finding": 0.5}
    assert len(row.boxes) == 1


def test_siim_run_lengths_are_relative_and_go_down_the_columns(tmp_path: Path) -> None:
    source = tmp_path / "siim"
    uids = [f"{ROOT}.5.{number}" for number in range(2)]
    for number, uid in enumerate(uids):
        folder = source / "dicom-images-train" / f"1.{number}" / f"2.{number}"
        dicom(folder / f"{uid}.dcm", SOPInstanceUID=uid, PatientID=f"S{number}", Modality="CR", ViewPosition="PA")
    # 16 rows: skip 3, mark 2 (rows 3 and 4 of column 0); skip 14, mark 1 (row 3 of column 1).
    table(source / "train-rle.csv", "ImageId, EncodedPixels", f"{uids[0]}, 3 2 14 1", f"{uids[1]}, -1",
          f"{uids[0]}, 170 4")  # fmt: skip
    rows = built("siim_acr", source, tmp_path)
    mask = mask_of(rows[uids[0]], source, tmp_path) > 0
    marked = {(int(row), int(column)) for row, column in zip(*np.nonzero(mask), strict=True)}
    assert marked == {(3, 0), (4, 0), (3, 1), (10, 10), (11, 10), (12, 10), (13, 10)}
    assert rows[uids[0]].labels == {"Pneumothorax": 1}
    assert [tuple(box)[1:] for box in rows[uids[0]].boxes] == [(0, 3, 2, 5), (10, 10, 11, 14)]
    assert (rows[uids[1]].labels, rows[uids[1]].mask) == ({"Pneumothorax": 0}, "")
    assert (rows[uids[1]].group, rows[uids[1]].view, rows[uids[1]].sex) == ("S1", "PA", "F")
    table(source / "train-rle.csv", "ImageId, EncodedPixels", f"{uids[0]}, 3 2 14000 1")
    with pytest.raises(DataMissing, match="leaves the image"):
        built("siim_acr", source, tmp_path / "again")


def test_rsna_pneumonia_joins_its_boxes_and_classes(tmp_path: Path) -> None:
    source = tmp_path / "rsna"
    table(
        source / "stage_2_train_labels.csv",
        "patientId,x,y,width,height,Target",
        "0004cfab,,,,,0",
        "00436515,264.0,152.0,213.0,379.0,1",
        "00436515,562.0,152.0,256.0,453.0,1",
    )
    table(
        source / "stage_2_detailed_class_info.csv",
        "patientId,class",
        "0004cfab,No Lung Opacity / Not Normal",
        "00436515,Lung Opacity",
        "00436515,Lung Opacity",
    )
    for image in ("0004cfab", "00436515"):
        dicom(source / "stage_2_train_images" / f"{image}.dcm", PatientID=image, Modality="CR", ViewPosition="AP")
    rows = built("rsna_pneumonia", source, tmp_path)
    assert rows["00436515"].boxes[1] == Box("Lung Opacity", 562, 152, 818, 605)
    assert rows["0004cfab"].labels == {"Lung Opacity": 0, "Normal": 0}
    assert (rows["0004cfab"].view, rows["0004cfab"].age) == ("AP", 54)


def test_rsna_ich_takes_patient_and_study_from_the_header(tmp_path: Path) -> None:
    source = tmp_path / "ich"
    kinds = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any")
    table(
        source / "stage_2_train.csv",
        "ID,Label",
        *[f"ID_12cadc6af_{kind},{int(kind in ('subdural', 'any'))}" for kind in kinds],
    )
    dicom(source / "stage_2_train" / "ID_12cadc6af.dcm", PatientID="ID_54eaa372")
    row = built("rsna_ich", source, tmp_path)["ID_12cadc6af"]
    assert (row.labels["subdural"], row.labels["epidural"], row.labels["any"]) == (1, 0, 1)
    assert (row.group, row.study_id) == ("ID_54eaa372", f"{ROOT}.1")
    table(source / "stage_2_train.csv", "ID,Label", "ID_12cadc6af_extradural,1")
    with pytest.raises(DataMissing, match="'extradural' is outside the list"):
        built("rsna_ich", source, tmp_path / "again")


def test_rsna_pe_lies_in_folders_of_study_and_series(tmp_path: Path) -> None:
    source = tmp_path / "pe"
    table(
        source / "train.csv",
        ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", *EMBOLISM],
        ["6897fa9d", "2bfbb7fd", "c0f3cb03", *([1] + [0] * (len(EMBOLISM) - 1))],
    )
    dicom(source / "train" / "6897fa9d" / "2bfbb7fd" / "c0f3cb03.dcm")
    row = built("rsna_pe", source, tmp_path)["c0f3cb03"]
    assert (row.labels["pe_present_on_image"], row.labels["central_pe"]) == (1, 0)
    assert row.group == "6897fa9d"


def test_a_table_is_joined_to_dicom_by_whatever_it_names(tmp_path: Path) -> None:
    source = tmp_path / "dicom"
    dicom(source / "a" / "1.dcm", SOPInstanceUID=f"{ROOT}.7", AccessionNumber="A1", PatientID="P7")
    dicom(source / "a" / "2.dcm", SOPInstanceUID=f"{ROOT}.8", AccessionNumber="A2", PatientID="P8")
    (source / "notes.txt").write_text("not an image")
    table(tmp_path / "labels.csv", "AccessionNumber,effusion,fracture,reader", "A1,1,0,anna", "A2,,1,bob")
    rows = built("dicom_table", source, tmp_path, table=tmp_path / "labels.csv")
    assert rows[f"{ROOT}.7"].labels == {"effusion": 1, "fracture": 0}
    assert rows[f"{ROOT}.8"].labels == {"effusion": None, "fracture": 1}
    assert (rows[f"{ROOT}.7"].vendor, rows[f"{ROOT}.7"].date, rows[f"{ROOT}.7"].age) == ("ACME", "2020-01-31", 54)
    table(tmp_path / "labels.csv", "file,years,effusion", "a/1.dcm,61,1")
    rows = built(
        "dicom_table", source, tmp_path / "again", table=tmp_path / "labels.csv", labels=("effusion",),
        columns={"path": "file", "age": "years"},
    )  # fmt: skip
    assert (rows[f"{ROOT}.7"].age, rows[f"{ROOT}.7"].labels) == (61, {"effusion": 1})
    table(tmp_path / "labels.csv", "file,effusion", "a/1.dcm,1", "a/3.dcm,1")
    with pytest.raises(DataMissing, match=r"1 lines .* fit no file .*a/3\.dcm"):
        built("dicom_table", source, tmp_path / "more", table=tmp_path / "labels.csv", columns={"path": "file"})
    table(tmp_path / "labels.csv", "image_number,effusion", "1,1")
    with pytest.raises(DataMissing, match="no column to find images by"):
        built("dicom_table", source, tmp_path / "more", table=tmp_path / "labels.csv")
    assert len(built("dicom_folder", source, tmp_path / "all")) == 2


def test_a_file_says_whether_its_date_was_moved_before_we_got_it(tmp_path: Path) -> None:
    source, code = tmp_path / "source", Dataset()
    code.CodeValue = "113107"
    stated: dict[str, tuple[str, dict[str, Any]]] = {
        "1": ("no", {}),
        "2": ("yes", {"PatientIdentityRemoved": "YES", "LongitudinalTemporalInformationModified": "MODIFIED"}),
        "3": ("no", {"PatientIdentityRemoved": "YES", "LongitudinalTemporalInformationModified": "UNMODIFIED"}),
        "4": ("yes", {"PatientIdentityRemoved": "YES", "DeidentificationMethodCodeSequence": [code]}),
        "5": ("", {"PatientIdentityRemoved": "YES"}),
    }
    for name, (_, more) in stated.items():
        dicom(source / f"{name}.dcm", SOPInstanceUID=f"{ROOT}.{name}", PatientID=name, StudyDate="20200131", **more)
    rows = built("dicom_folder", source, tmp_path)
    assert {name: rows[f"{ROOT}.{name}"].dates_moved for name in stated} == {k: word for k, (word, _) in stated.items()}


def test_the_reference_page_names_every_adapter() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "datasets.md").read_text(encoding="utf-8")
    assert not [name for name, adapter in ADAPTERS.items() if f"| `{name}` | {adapter.title} |" not in page]


def test_every_adapter_says_what_it_is_and_misses_its_files_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, adapter in ADAPTERS.items():
        assert adapter.title, name
        assert adapter.licence, name
        assert adapter.layout, name
        with pytest.raises(DataMissing):
            built(name, tmp_path / "empty", tmp_path)
        with pytest.raises(DataMissing):
            built(name, tmp_path / "nowhere", tmp_path)
    assert not (tmp_path / "built").exists()
