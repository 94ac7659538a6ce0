"""The RSNA challenges: pneumonia boxes (2018), intracranial haemorrhage (2019) and pulmonary embolism (2020)."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from coread.imaging.errors import ImagingRefused
from coread.imaging.header import scan_header
from coread.train.adapters.contract import Adapter, Draft, ReadOptions
from coread.train.adapters.dicom_table import row_of_header
from coread.train.adapters.files import SourceTree, first_file, optional_file
from coread.train.adapters.tables import read_table
from coread.train.datasets import Box, ImageRow
from coread.train.errors import BadTable

OPACITY = "Lung Opacity"
CLASSES = ("Lung Opacity", "No Lung Opacity / Not Normal", "Normal")
HEMORRHAGES = ("epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any")
EMBOLISM = (
    *("pe_present_on_image", "negative_exam_for_pe", "qa_motion", "qa_contrast", "flow_artifact"),
    *("rv_lv_ratio_gte_1", "rv_lv_ratio_lt_1", "leftsided_pe", "chronic_pe", "true_filling_defect_not_pe"),
    *("rightsided_pe", "acute_and_chronic_pe", "central_pe", "indeterminate"),
)
_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


def read_rsna_pneumonia(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read stage_2_train_labels.csv (one line per box) and, where present, stage_2_detailed_class_info.csv."""
    table = first_file(source, "stage_2_train_labels.csv")
    details = optional_file(source, "stage_2_detailed_class_info.csv")
    classes = (
        {row.needed("patientId"): row.choice("class", CLASSES) for row in read_table(details, ("patientId", "class"))}
        if details is not None
        else {}
    )
    tree = SourceTree(source, (".dcm",))
    boxes: dict[str, list[Box]] = {}
    for row in read_table(table, ("patientId", "x", "y", "width", "height", "Target")):
        found = boxes.setdefault(row.needed("patientId"), [])
        edges = row.numbers(("x", "y", "width", "height"))
        if row.flag("Target") == 1.0:
            if edges is None:
                raise BadTable(f"{row.where}: Target is 1 but the box is incomplete")
            found.append(Box(OPACITY, edges[0], edges[1], edges[0] + edges[2], edges[1] + edges[3]))
    for image, found in boxes.items():
        known = _known(source, tree.named(f"{image}.dcm"), image)
        labels: dict[str, float | None] = {OPACITY: float(bool(found))}
        if image in classes:
            labels["Normal"] = float(classes[image] == "Normal")
        yield Draft(
            replace(
                known, source="rsna_pneumonia", labels=labels, label_source="radiologists", boxes=tuple(found),
                covariates={"class": classes[image]} if image in classes else {},
            )
        )  # fmt: skip


def read_rsna_ich(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read stage_2_train.csv: six lines per image, ``ID_12cadc6af_epidural``; patient and study are in the header."""
    table = first_file(source, "stage_2_train.csv", "stage_1_train.csv")
    tree = SourceTree(source, (".dcm",))
    labels: dict[str, dict[str, float | None]] = {}
    for row in read_table(table, ("ID", "Label")):
        image, _, kind = row.needed("ID").rpartition("_")
        if kind not in HEMORRHAGES or not image:
            raise BadTable(f"{row.where}: column 'ID' holds {row.text('ID')!r}: {kind!r} is outside the list of types")
        labels.setdefault(image, dict.fromkeys(HEMORRHAGES))[kind] = row.flag("Label")
    for image, given in labels.items():
        known = _known(source, tree.named(f"{image}.dcm"), image)
        yield Draft(replace(known, source="rsna_ich", labels=given, label_source="neuroradiologists"))


def read_rsna_pe(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read train.csv: labels of the image and of the examination on one line; files lie in study/series/image.dcm."""
    table = first_file(source, "train.csv")
    tree = SourceTree(source, (".dcm",))
    for row in read_table(table, (*_UIDS, *EMBOLISM)):
        study, series, image = (row.needed(name) for name in _UIDS)
        yield Draft(
            ImageRow(
                image_id=image,
                path=tree.ending_with(f"train/{study}/{series}/{image}.dcm"),
                group_id=study,
                study_id=study,
                source="rsna_pe",
                labels={name: row.flag(name) for name in EMBOLISM},
                label_source="thoracic radiologists",
                covariates={"series_instance_uid": series},
            )
        )


def _known(source: Path, path: str, image: str) -> ImageRow:
    """Return what the header tells; a missing or unreadable file is left for the build to name."""
    if not (source / path).is_file():
        return ImageRow(image_id=image, path=path)
    try:
        header = scan_header(source / path)
    except ImagingRefused:
        return ImageRow(image_id=image, path=path)
    return replace(row_of_header(path, header), image_id=image, group_id=header.patient_id or image)


RSNA_PNEUMONIA = Adapter(
    title="RSNA Pneumonia Detection Challenge 2018: 26,684 chest radiographs with boxes of opacities",
    licence="RSNA challenge terms: research and teaching use; images from NIH ChestX-ray14",
    citation="Shih G et al. Augmenting the NIH chest radiograph dataset with expert annotations of possible pneumonia. "
    "Radiol Artif Intell 2019;1(1):e180041.",
    read=read_rsna_pneumonia,
    layout="stage_2_train_labels.csv, stage_2_detailed_class_info.csv, stage_2_train_images/*.dcm",
)
RSNA_ICH = Adapter(
    title="RSNA Intracranial Hemorrhage Detection 2019: 752,803 CT slices, five types and any",
    licence="RSNA challenge terms: research and teaching use",
    citation="Flanders AE et al. Construction of a machine learning dataset through collaboration: the RSNA 2019 Brain "
    "CT Hemorrhage Challenge. Radiol Artif Intell 2020;2(3):e190211.",
    read=read_rsna_ich,
    layout="stage_2_train.csv, stage_2_train/ID_*.dcm",
)
RSNA_PE = Adapter(
    title="RSNA STR Pulmonary Embolism Detection 2020: 7,279 CT angiograms, labels of slice and examination",
    licence="RSNA challenge terms: research and teaching use",
    citation="Colak E et al. The RSNA Pulmonary Embolism CT Dataset. Radiol Artif Intell 2021;3(2):e200254.",
    read=read_rsna_pe,
    layout="train.csv, train/StudyInstanceUID/SeriesInstanceUID/SOPInstanceUID.dcm",
)
