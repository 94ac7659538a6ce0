"""NIH ChestX-ray14 as the NIH Clinical Center distributes it."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from coread.train.adapters.contract import Adapter, Draft, ReadOptions
from coread.train.adapters.files import SourceTree, first_file, optional_file
from coread.train.adapters.tables import TableRow, read_lines, read_table
from coread.train.datasets import Box, ImageRow

FINDINGS = (
    *("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Effusion", "Emphysema", "Fibrosis", "Hernia"),
    *("Infiltration", "Mass", "Nodule", "Pleural_Thickening", "Pneumonia", "Pneumothorax"),
)
NO_FINDING = "No Finding"
_BOX_NAMES = {"Infiltrate": "Infiltration"}
_VIEWS = ("PA", "AP", "")
_LABEL_SOURCE = "report text (NLP)"


def read_nih(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read Data_Entry_2017.csv with BBox_List_2017.csv; images anywhere below (``images_001/images`` or ``images``)."""
    table = first_file(source, "Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
    tree = SourceTree(source, (".png",))
    boxes = _official_boxes(source)
    parts = _official_parts(source)
    for row in read_table(table, ("Image Index", "Finding Labels", "Patient ID", "View Position")):
        image = row.needed("Image Index")
        study = f"{row.needed('Patient ID')}_{row.text('Follow-up #')}"
        covariates = {} if image not in parts else {"official_split": parts[image]}
        yield Draft(_row(row, image, tree.named(image), study_id=study, boxes=boxes.get(image, ()), more=covariates))


def _row(
    row: TableRow, image: str, path: str, *, study_id: str, boxes: Sequence[Box], more: dict[str, str]
) -> ImageRow:
    found = row.choices("Finding Labels", (*FINDINGS, NO_FINDING))
    return ImageRow(
        image_id=Path(image).stem,
        path=path,
        patient_id=row.needed("Patient ID"),
        group_id=row.needed("Patient ID"),
        study_id=study_id,
        site="NIH Clinical Center",
        view=row.choice("View Position", _VIEWS),
        age=row.years("Patient Age"),
        sex=row.sex("Patient Gender"),
        source="cxr_nih",
        labels={name: float(name in found) for name in (*FINDINGS, NO_FINDING)},
        label_source=_LABEL_SOURCE,
        boxes=tuple(boxes),
        covariates=more,
    )


def _official_boxes(source: Path) -> dict[str, tuple[Box, ...]]:
    table = optional_file(source, "BBox_List_2017.csv", "BBox_List_2017_Official_NIH.csv")
    boxes: dict[str, tuple[Box, ...]] = {}
    if table is None:
        return boxes
    # The official head is "Image Index,Finding Label,Bbox [x,y,w,h],,,": the brackets are cut at their commas.
    for row in read_table(table, ("Image Index", "Finding Label", "Bbox [x", "y", "w", "h]")):
        edges = row.numbers(("Bbox [x", "y", "w", "h]"))
        if edges is not None:
            label = _BOX_NAMES.get(row.needed("Finding Label"), row.needed("Finding Label"))
            box = Box(label, edges[0], edges[1], edges[0] + edges[2], edges[1] + edges[3])
            image = row.needed("Image Index")
            boxes[image] = (*boxes.get(image, ()), box)
    return boxes


def _official_parts(source: Path) -> dict[str, str]:
    parts: dict[str, str] = {}
    for name, part in (("train_val_list.txt", "train_val"), ("test_list.txt", "test")):
        path = optional_file(source, name)
        if path is not None:
            parts |= dict.fromkeys(read_lines(path), part)
    return parts


NIH = Adapter(
    title="NIH ChestX-ray14: 112,120 frontal chest radiographs of 30,805 patients",
    licence="no restriction on use; cite the paper and the NIH Clinical Center",
    citation="Wang X et al. ChestX-ray8: hospital-scale chest X-ray database and benchmarks. CVPR 2017.",
    read=read_nih,
    layout="Data_Entry_2017.csv, images/*.png or images_001/images/*.png; BBox_List_2017.csv, test_list.txt optional",
)
