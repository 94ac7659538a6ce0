"""Sets of CT, MR, mammography, ultrasound and colour pictures, as they are distributed, and DICOM regions and COCO."""

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, Sequence

from coread.train.adapters.coco import unpacked_counts
from coread.train.adapters.dicom_regions import SEGMENTATION, STRUCTURE_SET
from coread.train.adapters.masks import from_counts, from_polygons
from coread.train.datasets import Box
from coread.train.errors import CorruptImage, DataMissing
from tests.train.adapters.made import ROOT, dicom, film, nifti, picture, pixels, table
from tests.train.adapters.test_radiographs import built, mask_of


def _nodule(number: int, uid: str, points: list[tuple[int, int]], *, hole: bool = False, small: bool = False) -> str:
    edges = "".join(f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in points)
    inclusion = "FALSE" if hole else "TRUE"
    characteristics = "" if small else "<characteristics><malignancy>4</malignancy></characteristics>"
    return (
        f"<unblindedReadNodule><noduleID>Nodule {number}</noduleID>{characteristics}<roi><imageZposition>-1.0"
        f"</imageZposition><imageSOP_UID>{uid}</imageSOP_UID><inclusion>{inclusion}</inclusion>{edges}</roi>"
        "</unblindedReadNodule>"
    )


def test_lidc_outlines_of_several_radiologists_become_a_majority(tmp_path: Path) -> None:
    source, series = tmp_path / "lidc", f"{ROOT}.1.1"
    slices = [f"{ROOT}.4.{number}" for number in range(3)]
    for number, uid in enumerate(slices):
        folder = source / "LIDC-IDRI-0001" / f"{ROOT}.1" / series
        dicom(folder / f"1-{number}.dcm", SOPInstanceUID=uid, PatientID="LIDC-IDRI-0001", SeriesInstanceUID=series)
    big, small = [(2, 2), (8, 2), (8, 8), (2, 8)], [(2, 2), (5, 2), (5, 5), (2, 5)]
    sessions = [
        _nodule(1, slices[0], big) + _nodule(1, slices[0], [(4, 4), (5, 4), (5, 5), (4, 5)], hole=True),
        _nodule(7, slices[0], small),
        _nodule(3, slices[1], [(4, 4)], small=True),
        "",
    ]
    reading = "".join(f"<readingSession>{text}</readingSession>" for text in sessions)
    (source / "069.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?><LidcReadMessage xmlns="http://www.nih.gov"><ResponseHeader>'
        f"<SeriesInstanceUid>{series}</SeriesInstanceUid></ResponseHeader>{reading}</LidcReadMessage>"
    )
    (source / "cxr.xml").write_text('<IdriReadMessage xmlns="http://www.nih.gov"/>')
    rows = built("lidc_idri", source, tmp_path)
    assert [rows[uid].labels["nodule"] for uid in slices] == [1, 0, 0]
    assert rows[slices[0]].label_uncertainty == {"nodule": 0.5}
    assert rows[slices[0]].labels["malignancy"] == 4
    assert rows[slices[0]].group == "LIDC-IDRI-0001"
    assert Box("nodule", 2, 2, 9, 9) in rows[slices[0]].boxes
    marked = mask_of(rows[slices[0]], source, tmp_path) > 0
    assert marked[2, 2]
    assert marked[3, 3]
    assert not marked[4, 4], "one of the two cut a hole: one of four is no majority"
    assert not marked[7, 7]
    (source / "069.xml").write_text("<LidcReadMessage")
    with pytest.raises(DataMissing, match="no XML"):
        built("lidc_idri", source, tmp_path / "again")


def test_luna16_candidates_share_their_scan(tmp_path: Path) -> None:
    source, uid = tmp_path / "luna", "1.3.6.1.4.1.14519.5.2.1.6279.6001.100"
    (source / "subset0").mkdir(parents=True)
    (source / "subset0" / f"{uid}.mhd").write_text(
        f"NDims = 3\nDimSize = 4 3 2\nElementType = MET_SHORT\nElementDataFile = {uid}.raw\n"
    )
    (source / "subset0" / f"{uid}.raw").write_bytes(np.arange(24, dtype="<i2").tobytes())
    table(source / "annotations.csv", "seriesuid,coordX,coordY,coordZ,diameter_mm", f"{uid},-128.6,-175.3,-298.3,5.65")
    rows = built("luna16", source, tmp_path)
    assert rows[f"{uid}/0"].labels == {"nodule": 1}
    assert rows[f"{uid}/0"].covariates == {
        "world_mm": [-128.6, -175.3, -298.3], "diameter_mm": 5.65, "subset": "subset0",
    }  # fmt: skip
    table(source / "candidates_V2.csv", "seriesuid,coordX,coordY,coordZ,class", f"{uid},1,2,3,0", f"{uid},4,5,6,1")
    rows = built("luna16", source, tmp_path / "again")
    assert [row.labels["nodule"] for row in rows.values()] == [0, 1]
    assert {row.group for row in rows.values()} == {uid}


def test_cbis_ddsm_finds_files_that_the_download_renamed(tmp_path: Path) -> None:
    source, case = tmp_path / "cbis", "Mass-Training_P_00001_LEFT_CC"
    head = (
        "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,mass shape,"
        "mass margins,assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path"
    )
    lesion = "P_00001,3,LEFT,CC,{id},mass,IRREGULAR,SPICULATED,4,{pathology},4,{image},{crop},{roi}"
    image, roi = f"{case}/1.2.3/1.2.4/000000.dcm", f"{case}_1/1.2.5/1.2.6/000001.dcm"
    table(
        source / "mass_case_description_train_set.csv", head,
        lesion.format(id=1, pathology="BENIGN_WITHOUT_CALLBACK", image=image, crop=roi, roi=roi),
        lesion.format(id=2, pathology="MALIGNANT", image=image, crop=roi, roi=f'"{roi}\n"'),
    )  # fmt: skip
    dicom(source / "CBIS-DDSM" / case / "07-20-2016-DDSM-NA-30288" / "1.2.4" / "1-1.dcm", Modality="MG")
    dicom(source / "CBIS-DDSM" / f"{case}_1" / "07-20-2016-DDSM-NA-1" / "1.2.6" / "1-2.dcm", Modality="MG")
    row = built("cbis_ddsm", source, tmp_path)[case]
    assert row.path.endswith("1.2.4/1-1.dcm")
    assert row.mask.endswith("1.2.6/1-2.dcm")
    assert row.labels == {"malignant": 1, "breast_density": 3}
    assert [lesion["pathology"] for lesion in row.covariates["lesions"]] == ["BENIGN_WITHOUT_CALLBACK", "MALIGNANT"]
    assert (row.view, row.group, row.covariates["official_split"]) == ("LCC", "P_00001", "train")


def test_cbis_ddsm_takes_the_masks_of_all_lesions_and_never_the_cropped_picture(tmp_path: Path) -> None:
    source, case = tmp_path / "cbis", "Calc-Test_P_00002_RIGHT_MLO"
    head = (
        "patient_id,breast density,left or right breast,image view,abnormality id,abnormality type,calc type,"
        "assessment,pathology,subtlety,image file path,cropped image file path,ROI mask file path"
    )
    lines = []
    dicom(source / case / "1.2" / "1.3" / "1-1.dcm", Modality="MG")
    for number in (1, 2):
        lesion = np.zeros((16, 12), np.uint8)
        lesion[number * 4 : number * 4 + 2] = 255
        folder = source / f"{case}_{number}" / "1.2" / f"1.{number + 3}"
        dicom(folder / "1-1.dcm", rows=4, columns=4, Modality="MG")
        dicom(folder / "1-2.dcm", Modality="MG", PixelData=lesion.tobytes())
        wrong = f"{case}_{number}/1.2/1.{number + 3}/000000.dcm"
        lines.append(
            f"P_00002,2,RIGHT,MLO,{number},calcification,X,4,BENIGN,4,{case}/1.2/1.3/000000.dcm,{wrong},{wrong}"
        )
    table(source / "calc_case_description_test_set.csv", head, *lines)
    row = built("cbis_ddsm", source, tmp_path)[case]
    assert [lesion["mask"].rsplit("/", 1)[1] for lesion in row.covariates["lesions"]] == ["1-2.dcm"] * 2
    assert np.flatnonzero(mask_of(row, source, tmp_path).any(axis=1)).tolist() == [4, 5, 8, 9]


def test_mini_mias_circles_count_from_below_and_a_note_is_no_circle(tmp_path: Path) -> None:
    source = tmp_path / "mias"
    source.mkdir()
    (source / "Info.txt").write_text(
        "INFORMATION\nREFNUM BG CLASS SEVERITY X Y RADIUS\nmdb001 G CIRC B 535 425 197\nmdb002 D NORM\n"
        "mdb005 F CIRC B 477 133 30\nmdb005 F CIRC M 500 168 26\nmdb216 D CALC M *NOTE 3*\n"
    )
    for number in (1, 2, 5, 216):
        picture(source / f"mdb{number:03d}.pgm")
    rows = built("mini_mias", source, tmp_path)
    assert rows["mdb001"].boxes == (Box("CIRC", 338, 402, 733, 797),)
    assert (rows["mdb001"].group, rows["mdb002"].group) == ("1", "1")
    assert rows["mdb002"].labels["abnormal"] == 0
    assert (len(rows["mdb005"].boxes), rows["mdb005"].labels["malignant"]) == (2, 1)
    assert (rows["mdb216"].boxes, rows["mdb216"].labels["CALC"], rows["mdb216"].labels["density"]) == ((), 1, 2)


def test_decathlon_and_brats_volumes_come_with_their_masks(tmp_path: Path) -> None:
    source = tmp_path / "Task04_Hippocampus"
    for name in ("imagesTr/hippocampus_367", "labelsTr/hippocampus_367", "imagesTs/hippocampus_267"):
        nifti(source / f"{name}.nii.gz")
    (source / "dataset.json").write_text(
        json.dumps(
            {
                "name": "Hippocampus", "reference": "Vanderbilt", "modality": {"0": "MRI"},
                "labels": {"0": "background", "1": "Anterior", "2": "Posterior"},
                "training": [
                    {"image": "./imagesTr/hippocampus_367.nii.gz", "label": "./labelsTr/hippocampus_367.nii.gz"}
                ],
                "test": ["./imagesTs/hippocampus_267.nii.gz"],
            }
        )
    )  # fmt: skip
    rows = built("msd", source, tmp_path)
    assert rows["hippocampus_367"].mask == "labelsTr/hippocampus_367.nii.gz"
    assert rows["hippocampus_367"].covariates["classes"]["2"] == "Posterior"
    assert (rows["hippocampus_267"].mask, rows["hippocampus_267"].covariates["official_split"]) == ("", "test")
    brats = tmp_path / "brats"
    for channel in ("flair", "t1", "t1ce", "t2", "seg"):
        nifti(brats / "BraTS2021_00000" / f"BraTS2021_00000_{channel}.nii.gz")
    rows = built("brats", brats, tmp_path / "again")
    assert sorted(row.view for row in rows.values()) == ["flair", "t1", "t1ce", "t2"]
    assert {row.group for row in rows.values()} == {"BraTS2021_00000"}
    assert all(row.mask.endswith("_seg.nii.gz") for row in rows.values())
    for visit in ("000", "001"):
        for channel in ("t2f", "t1n", "t1c", "t2w"):
            case = f"BraTS-GLI-00007-{visit}"
            nifti(tmp_path / "brats23" / case / f"{case}-{channel}.nii.gz")
    rows = built("brats", tmp_path / "brats23", tmp_path / "third")
    assert len(rows) == 8
    assert {row.group for row in rows.values()} == {"BraTS-GLI-00007"}
    assert not any(row.mask for row in rows.values())
    (source / "dataset.json").write_text('{"training": 5}')
    with pytest.raises(DataMissing, match="of the Decathlon"):
        built("msd", source, tmp_path / "more")


def test_fastmri_slices_are_entries_of_k_space(tmp_path: Path) -> None:
    import h5py

    source = tmp_path / "fastmri"
    (source / "multicoil_val").mkdir(parents=True)
    with h5py.File(source / "multicoil_val" / "file1000.h5", "w") as file:
        file["kspace"] = np.ones((3, 2, 8, 6), dtype=np.complex64)
        file["reconstruction_rss"] = np.ones((3, 6, 6), dtype=np.float32)
        file.attrs.update({"acquisition": "CORPD_FBK", "patient_id": "abc", "max": 1.5, "norm": 2.0})
    rows = built("fastmri", source, tmp_path)
    assert len(rows) == 3
    row = rows["file1000/2"]
    assert (row.path, row.group) == ("multicoil_val/file1000.h5!kspace#2", "abc")
    assert row.covariates["target"] == "reconstruction_rss"
    assert row.covariates["official_split"] == "val"
    (source / "multicoil_val" / "broken.h5").write_bytes(b"no HDF5")
    with pytest.raises(CorruptImage, match="no fastMRI file"):
        built("fastmri", source, tmp_path / "again")


def test_echonet_films_and_their_traced_frames(tmp_path: Path) -> None:
    source = tmp_path / "echonet"
    table(
        source / "FileList.csv",
        "FileName,EF,ESV,EDV,FrameHeight,FrameWidth,FPS,NumberOfFrames,Split",
        "0X100009310A3BD7FC,78.4,14.88,69.2,16,16,50,5,VAL",
    )
    chords = [f"0X100009310A3BD7FC.avi,{4},{y},{12},{y},3" for y in range(4, 13, 2)]
    table(source / "VolumeTracings.csv", "FileName,X1,Y1,X2,Y2,Frame", "0X100009310A3BD7FC.avi,8,4,8,12,3", *chords)
    film(source / "Videos" / "0X100009310A3BD7FC.avi")
    rows = built("echonet_dynamic", source, tmp_path)
    assert rows["0X100009310A3BD7FC"].labels == {"ef_percent": 78.4, "esv_ml": 14.88, "edv_ml": 69.2}
    traced = rows["0X100009310A3BD7FC#3"]
    assert traced.path == "Videos/0X100009310A3BD7FC.avi#3"
    mask = mask_of(traced, source, tmp_path) > 0
    assert mask.sum() == 81
    assert mask[8, 8]
    assert traced.group == rows["0X100009310A3BD7FC"].group


def test_kvasir_idrid_and_aptos(tmp_path: Path) -> None:
    kvasir = tmp_path / "Kvasir-SEG"
    for folder in ("images", "masks"):
        picture(kvasir / folder / "cju0qkwl35piu0993l0dewei2.jpg", colour=True)
    box = {"label": "polyp", "xmin": 2, "ymin": 3, "xmax": 9, "ymax": 11}
    about = {"cju0qkwl35piu0993l0dewei2": {"height": 16, "width": 12, "bbox": [box]}}
    (kvasir / "kavsir_bboxes.json").write_text(json.dumps(about))
    row = built("kvasir_seg", kvasir, tmp_path)["cju0qkwl35piu0993l0dewei2"]
    assert (row.boxes, row.mask) == ((Box("polyp", 2, 3, 9, 11),), "masks/cju0qkwl35piu0993l0dewei2.jpg")

    idrid = tmp_path / "idrid" / "B. Disease Grading"
    table(
        idrid / "2. Groundtruths" / "a. IDRiD_Disease Grading_Training Labels.csv",
        "Image name,Retinopathy grade,Risk of macular edema ,,,,",
        "IDRiD_001,3,2,,,,",
        ",,,,,,",
    )
    table(
        idrid / "2. Groundtruths" / "b. IDRiD_Disease Grading_Testing Labels.csv",
        "Image name,Retinopathy grade,Risk of macular edema ",
        "IDRiD_001,4,0",
    )
    for folder in ("a. Training Set", "b. Testing Set"):
        picture(idrid / "1. Original Images" / folder / "IDRiD_001.jpg", colour=True)
    rows = built("idrid", tmp_path / "idrid", tmp_path / "two")
    assert rows["train/IDRiD_001"].labels == {"dr_grade": 3, "dme_risk": 2}
    assert rows["test/IDRiD_001"].path.endswith("b. Testing Set/IDRiD_001.jpg")

    aptos = tmp_path / "aptos"
    table(aptos / "train.csv", "id_code,diagnosis", "000c1434d8d7,2")
    picture(aptos / "train_images" / "000c1434d8d7.png", colour=True)
    assert built("aptos2019", aptos, tmp_path / "three")["000c1434d8d7"].labels == {"dr_grade": 2}
    table(aptos / "train.csv", "id_code,diagnosis", "000c1434d8d7,5")
    with pytest.raises(DataMissing, match="outside 0 to 4"):
        built("aptos2019", aptos, tmp_path / "four")


@pytest.mark.parametrize(
    ("name", "labels", "wanted"),
    [
        ("bloodmnist", [[3]], {"immature granulocytes": 1, "basophil": 0}),
        ("chestmnist", [[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]], {"atelectasis": 1, "hernia": 1, "mass": 0}),
        ("retinamnist_128", [[4]], {"grade": 4}),
    ],
)
def test_medmnist_keeps_its_parts_and_names_its_classes(
    tmp_path: Path, name: str, labels: list[list[int]], wanted: dict[str, float]
) -> None:
    source = tmp_path / "medmnist"
    source.mkdir()
    arrays: dict[str, Any] = {}
    for part in ("train", "val", "test"):
        arrays[f"{part}_images"] = pixels(28, 28)[None]
        arrays[f"{part}_labels"] = np.array(labels, dtype=np.uint8)
    np.savez(source / f"{name}.npz", **arrays)
    rows = built("medmnist", source, tmp_path)
    assert [row.part for row in rows.values()] == ["train", "tune", "test"]
    row = rows[f"{name}/train/0"]
    assert {label: row.labels[label] for label in wanted} == wanted
    np.savez(source / "pneumoniamnist.npz", train_images=pixels(28, 28)[None], train_labels=np.array([[2]]))
    with pytest.raises(DataMissing, match="label 2 is outside the list"):
        built("medmnist", source, tmp_path / "again")


def test_coco_polygons_and_both_kinds_of_run_lengths(tmp_path: Path) -> None:
    source = tmp_path / "coco"
    for number in (1, 2):
        picture(source / "images" / f"{number}.png", 4, 5)
    document: dict[str, list[dict[str, Any]]] = {
        "images": [{"id": n, "file_name": f"{n}.png", "height": 4, "width": 5} for n in (1, 2)],
        "categories": [{"id": 7, "name": "polyp"}, {"id": 3, "name": "ulcer"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [1, 1, 2, 2],
             "segmentation": [[1, 1, 3, 1, 3, 3, 1, 3]]},
            {"id": 2, "image_id": 1, "category_id": 3, "bbox": [4, 0, 1, 4], "iscrowd": 1,
             "segmentation": {"size": [4, 5], "counts": [16, 4]}},
        ],
    }  # fmt: skip
    (source / "instances.json").write_text(json.dumps(document))
    rows = built("coco", source, tmp_path)
    assert rows["1"].labels == {"ulcer": 1, "polyp": 1}
    assert rows["2"].labels == {"ulcer": 0, "polyp": 0}
    mask = mask_of(rows["1"], source, tmp_path)
    assert mask[:, 4].tolist() == [1, 1, 1, 1]
    assert mask[1:3, 1:3].tolist() == [[2, 2], [2, 2]]
    assert rows["1"].covariates["classes"] == {"1": "ulcer", "2": "polyp"}
    document["annotations"][0]["category_id"] = 9
    (source / "instances.json").write_text(json.dumps(document))
    with pytest.raises(DataMissing, match="outside the list"):
        built("coco", source, tmp_path / "again")


def _packed(counts: list[int]) -> str:
    """COCO's compression, written from its description: difference to the count two before, five bits a character."""
    text = ""
    for number, count in enumerate(counts):
        value = count - counts[number - 2] if number > 2 else count
        more = True
        while more:
            bits, value = value & 0x1F, value >> 5
            more = not (value == 0 and not bits & 0x10) and not (value == -1 and bool(bits & 0x10))
            text += chr((bits | (0x20 if more else 0)) + 48)
    return text


def test_run_lengths_unpack_to_what_was_packed() -> None:
    random = np.random.default_rng(3)
    for _ in range(50):
        counts = random.integers(1, 5000, random.integers(1, 30)).tolist()
        assert unpacked_counts(_packed(counts)) == counts
    with pytest.raises(DataMissing, match="cover 3 pixels"):
        from_counts([1, 2], 2, 2)


def test_a_polygon_covers_the_pixels_of_its_corners() -> None:
    assert from_polygons([[(1, 1), (3, 1), (3, 2), (1, 2)]], 4, 5).sum() == 6 * 255


def _item(**attributes: Any) -> Dataset:
    item = Dataset()
    for keyword, value in attributes.items():
        is_sequence = isinstance(value, list) and value and isinstance(value[0], Dataset)
        setattr(item, keyword, Sequence(value) if is_sequence else value)
    return item


def _series(source: Path, count: int = 3) -> list[str]:
    uids = [f"{ROOT}.6.{number}" for number in range(count)]
    for number, uid in enumerate(uids):
        dicom(source / f"ct{number}.dcm", SOPInstanceUID=uid, ImagePositionPatient=[10.0, 20.0, 5.0 * number])
    return uids


def test_segmentations_are_laid_over_the_images_they_name(tmp_path: Path) -> None:
    source = tmp_path / "seg"
    uids = _series(source)
    bits = np.zeros((2, 16, 12), dtype=np.uint8)
    bits[0, 2:4, 3:6] = 1
    bits[1, 3, 3] = 1
    frames = [
        _item(
            SegmentIdentificationSequence=[_item(ReferencedSegmentNumber=number)],
            DerivationImageSequence=[_item(SourceImageSequence=[_item(ReferencedSOPInstanceUID=uids[1])])],
        )
        for number in (1, 2)
    ]
    dicom(
        source / "seg.dcm", SOPClassUID=SEGMENTATION, SOPInstanceUID=f"{ROOT}.66", SeriesInstanceUID=f"{ROOT}.1.9",
        Modality="SEG", BitsAllocated=1, BitsStored=1, HighBit=0, NumberOfFrames=2, SegmentationType="BINARY",
        SegmentSequence=Sequence(
            [_item(SegmentNumber=1, SegmentLabel="liver"), _item(SegmentNumber=2, SegmentLabel="tumor")]
        ),
        PerFrameFunctionalGroupsSequence=Sequence(frames), SharedFunctionalGroupsSequence=Sequence([Dataset()]),
        PixelData=np.packbits(bits.ravel(), bitorder="little").tobytes(),
    )  # fmt: skip
    rows = built("dicom_seg", source, tmp_path)
    assert [rows[uid].labels for uid in uids] == [
        {"liver": 0, "tumor": 0}, {"liver": 1, "tumor": 1}, {"liver": 0, "tumor": 0},
    ]  # fmt: skip
    mask = mask_of(rows[uids[1]], source, tmp_path)
    assert mask.sum() == 5 * 1 + 2
    assert mask[3, 3] == 2
    assert rows[uids[0]].mask == ""


@pytest.mark.parametrize("named", [True, False])
def test_structure_sets_are_drawn_in_the_plane_of_their_slice(tmp_path: Path, named: bool) -> None:
    source = tmp_path / "rt"
    uids = _series(source)

    def contour(points: list[tuple[int, int]]) -> Dataset:
        # Pixel (column x, row y) lies at (10 + x, 20 + 2 y, 5): Pixel Spacing is 2 mm down, 1 mm across.
        data = [value for x, y in points for value in (10 + x, 20 + 2 * y, 5.0)]
        images = {"ContourImageSequence": [_item(ReferencedSOPInstanceUID=uids[1])]} if named else {}
        return _item(
            ContourGeometricType="CLOSED_PLANAR", ContourData=data, NumberOfContourPoints=len(points), **images
        )

    square, hole = [(2, 2), (8, 2), (8, 8), (2, 8)], [(4, 4), (6, 4), (6, 6), (4, 6)]
    dicom(
        source / "rt.dcm", SOPClassUID=STRUCTURE_SET, SOPInstanceUID=f"{ROOT}.67", SeriesInstanceUID=f"{ROOT}.1.8",
        Modality="RTSTRUCT",
        StructureSetROISequence=Sequence(
            [_item(ROINumber=1, ROIName="GTV", ReferencedFrameOfReferenceUID=f"{ROOT}.1.2")]
        ),
        ROIContourSequence=Sequence([_item(ReferencedROINumber=1, ContourSequence=[contour(square), contour(hole)])]),
    )  # fmt: skip
    rows = built("rtstruct", source, tmp_path)
    assert [rows[uid].labels["GTV"] for uid in uids] == [0, 1, 0]
    mask = mask_of(rows[uids[1]], source, tmp_path)
    assert mask.sum() == 49 - 9
    assert rows[uids[1]].boxes[0] == Box("GTV", 2, 2, 9, 9)


SHARED = {
    "cxr_guangzhou": (None, None), "pneumoniamnist": (5232, 5232), "mammo_mias": (262, None),
    "breast_us_busi": (608, None), "brain_mr_tumor_boxes": (1818, None), "colon_polyps": (610, 610),
    "fundus_idrid": (413, None), "ct_lung_nodule_slices": (3075, None), "ct_lung_nodule_candidates": (4952, 4952),
    "body_part_mednist": (2030, 2030), "ct_head_hemorrhage": (2023, 66), "brain_mr_hippocampus": (122, 122),
}  # fmt: skip
"""Rows and groups of the real subsets; None where the folder's description gives no number."""


@pytest.mark.shared
@pytest.mark.parametrize("name", SHARED)
def test_the_real_subsets_are_read_whole(shared_data: Path, tmp_path: Path, name: str) -> None:
    rows = built(name, shared_data / name, tmp_path)
    images, groups = SHARED[name]
    assert images is None or len(rows) == images
    assert groups is None or len({row.group for row in rows.values()}) == groups
    assert all(row.sha256 for row in rows.values())
    for row in [row for row in rows.values() if row.mask][:3]:
        assert mask_of(row, shared_data / name, tmp_path).any()


@pytest.mark.shared
def test_real_segmentations_give_the_masks_that_another_program_made_of_them(shared_data: Path, tmp_path: Path) -> None:
    import SimpleITK

    folder = tmp_path / "dcmqi" / "segmentations"
    with zipfile.ZipFile(shared_data / "dicom" / "dcm_seg_sr_objects.zip") as archive:
        archive.extractall(tmp_path, [name for name in archive.namelist() if name.startswith("dcmqi/segmentations")])
    shutil.copy(folder / "liver.dcm", folder / "ct-3slice")
    shutil.copy(folder / "24x38x3" / "seg" / "label.seg", folder / "24x38x3" / "image")
    for source, other in (("ct-3slice", "liver_seg.nrrd"), ("24x38x3/image", "24x38x3/nrrd/label.nrrd")):
        rows = built("dicom_seg", folder / source, tmp_path / Path(other).stem)
        wanted = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(folder / other)))
        by_area = sorted(int((plane > 0).sum()) for plane in wanted)
        masks = [mask_of(row, folder / source, tmp_path / Path(other).stem) if row.mask else np.zeros(1)
                 for row in rows.values()]  # fmt: skip
        assert sorted(int((mask > 0).sum()) for mask in masks) == by_area
        assert [row.labels["Liver"] for row in rows.values()] == [float(mask.any()) for mask in masks]
        for mask in masks:
            assert not mask.any() or any(np.array_equal(mask > 0, plane > 0) for plane in wanted)


def test_pictures_keep_their_depth(tmp_path: Path) -> None:
    from coread.train.pictures import PictureStore

    deep = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    Image.fromarray(deep).save(tmp_path / "deep.png")
    with PictureStore(tmp_path) as store:
        assert np.array_equal(store.pixels("deep.png"), deep)
