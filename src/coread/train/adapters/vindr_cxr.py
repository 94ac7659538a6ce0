"""VinDr-CXR (PhysioNet, and the Kaggle challenge): boxes and image labels of three radiologists per image."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from coread.domain.errors import InvalidRecord
from coread.imaging.errors import ImagingRefused
from coread.imaging.header import scan_header
from coread.train.adapters.contract import Adapter, Draft, ReadOptions
from coread.train.adapters.dicom_table import row_of_header
from coread.train.adapters.files import SourceTree, optional_file
from coread.train.adapters.tables import TableRow, read_table
from coread.train.datasets import Box, ImageRow
from coread.train.errors import BadTable, DataMissing

FINDINGS = (
    *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Clavicle fracture", "Consolidation"),
    *("Edema", "Emphysema", "Enlarged PA", "ILD", "Infiltration", "Lung Opacity", "Lung cavity", "Lung cyst"),
    *("Mediastinal shift", "Nodule/Mass", "Other lesion", "Pleural effusion", "Pleural thickening"),
    *("Pneumothorax", "Pulmonary fibrosis", "Rib fracture"),
)
DISEASES = ("COPD", "Lung tumor", "Pneumonia", "Tuberculosis", "Other disease")
NO_FINDING = "No finding"
_ALL = (*FINDINGS, *DISEASES, NO_FINDING)
_SAME = {"Other diseases": "Other disease"}
_EDGES = ("x_min", "y_min", "x_max", "y_max")
_CONSENSUS = "consensus"

Votes = Mapping[str, Mapping[str, float]]
"""Rater -> label -> 0 or 1."""


def read_vindr(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read every part that is there; a label is present when most raters of an image say so; their share is kept."""
    tree = SourceTree(source, (".dicom", ".dcm"))
    found = False
    for part in ("train", "test"):
        boxes = optional_file(source, f"annotations/annotations_{part}.csv", f"annotations_{part}.csv", f"{part}.csv")
        if boxes is None:
            continue
        found = True
        votes, rectangles = _boxes(boxes)
        images = optional_file(source, f"annotations/image_labels_{part}.csv", f"image_labels_{part}.csv")
        if images is not None:
            votes = _image_labels(images)
        for image, given in votes.items():
            yield Draft(_row(image, given, rectangles.get(image, ()), tree=tree, part=part))
    if not found:
        raise DataMissing(f"{source} holds no annotations_train.csv, annotations_test.csv or train.csv")


def _boxes(table: Path) -> tuple[dict[str, Votes], dict[str, tuple[tuple[str, Box], ...]]]:
    """Return (votes, boxes with their rater) per image; a box is a vote of its rater."""
    votes: dict[str, dict[str, dict[str, float]]] = {}
    boxes: dict[str, list[tuple[str, Box]]] = defaultdict(list)
    for row in read_table(table, ("image_id", "class_name", *_EDGES)):
        image, rater = row.needed("image_id"), row.text("rad_id") or _CONSENSUS
        label = _label(row, row.needed("class_name"))
        votes.setdefault(image, {}).setdefault(rater, dict.fromkeys(_ALL, 0.0))[label] = 1.0
        edges = row.numbers(_EDGES)
        if edges is not None and label != NO_FINDING:
            boxes[image].append((rater, Box(label, *edges)))
    return dict(votes), {image: tuple(found) for image, found in boxes.items()}


def _image_labels(table: Path) -> dict[str, Votes]:
    votes: dict[str, dict[str, dict[str, float]]] = {}
    for row in read_table(table, ("image_id", NO_FINDING)):
        rater = row.text("rad_id") or row.text("rad_ID") or _CONSENSUS
        given = {
            _label(row, name): row.flag(name) or 0.0 for name in row.cells if name.lower() not in ("image_id", "rad_id")
        }
        votes.setdefault(row.needed("image_id"), {})[rater] = given
    return dict(votes)


def _label(row: TableRow, name: str) -> str:
    label = _SAME.get(name, name)
    if label not in _ALL:
        raise BadTable(f"{row.where}: {name!r} is outside the list of {len(_ALL)} labels of VinDr-CXR")
    return label


def _row(image: str, votes: Votes, boxes: Sequence[tuple[str, Box]], *, tree: SourceTree, part: str) -> ImageRow:
    share = {label: sum(given.get(label, 0.0) for given in votes.values()) / len(votes) for label in _ALL}
    name = f"{image}.dcm" if tree.has(f"{image}.dcm") else f"{image}.dicom"
    raters = {} if _CONSENSUS in votes else {"box_raters": [rater for rater, _ in boxes], "raters": sorted(votes)}
    age, sex = _age_and_sex(tree.root / tree.named(name))
    return ImageRow(
        image_id=image,
        path=tree.named(name),
        group_id=image,
        age=age,
        sex=sex,
        site="Hanoi (Hospital 108, HMUH)",
        source="vindr_cxr",
        labels={label: float(value > 0.5) for label, value in share.items()},
        label_source=f"{len(votes)} radiologists" if _CONSENSUS not in votes else "consensus of five radiologists",
        label_uncertainty={label: value for label, value in share.items() if 0 < value < 1},
        boxes=tuple(box for _, box in boxes),
        covariates={"official_split": part, **raters},
    )


def _age_and_sex(file: Path) -> tuple[float | None, str]:
    """Return what the header tells; the patients are adults, so that an age of 0 means that it was not known."""
    try:
        told = row_of_header(file.name, scan_header(file))
    except (ImagingRefused, InvalidRecord, OSError):  # the build opens the image and says what is wrong with it
        return None, ""
    return told.age or None, told.sex


VINDR_CXR = Adapter(
    title="VinDr-CXR: 18,000 chest radiographs with radiologists' boxes and image labels",
    licence="PhysioNet Credentialed Health Data License 1.5.0",
    citation="Nguyen HQ et al. VinDr-CXR: an open dataset of chest X-rays with radiologist's annotations. "
    "Sci Data 2022;9:429.",
    read=read_vindr,
    layout="annotations/annotations_train.csv, image_labels_train.csv (and _test), train/*.dicom; Kaggle: train.csv",
)
