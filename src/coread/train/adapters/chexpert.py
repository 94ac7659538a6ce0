"""CheXpert (Stanford): train.csv and valid.csv with 1, 0, -1 (uncertain) and blank (not mentioned)."""

from collections.abc import Iterator
from pathlib import Path

from coread.train.adapters.contract import Adapter, Draft, ReadOptions
from coread.train.adapters.files import SourceTree, optional_file
from coread.train.adapters.tables import TableRow, read_table
from coread.train.datasets import ImageRow
from coread.train.errors import BadTable, DataMissing

FINDINGS = (
    *("No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema"),
    *("Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other"),
    *("Fracture", "Support Devices"),
)
UNCERTAIN = 0.5


def stated_labels(row: TableRow) -> tuple[dict[str, float | None], dict[str, float]]:
    """Return (labels, uncertainty): uncertain (-1) and blank are both unknown, but only the first is a hedge."""
    labels: dict[str, float | None] = {}
    uncertainty: dict[str, float] = {}
    for name in FINDINGS:
        value = row.number(name)
        if value not in (None, 0.0, 1.0, -1.0):
            raise BadTable(
                f"{row.where}: column {name!r} holds {row.text(name)!r}, which is none of 1, 0, -1 and blank"
            )
        labels[name] = None if value == -1.0 else value
        if value == -1.0:
            uncertainty[name] = UNCERTAIN
    return labels, uncertainty


def read_chexpert(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read both tables; the paths in them begin with the name of the distributed folder."""
    tables = {name: optional_file(source, f"{name}.csv") for name in ("train", "valid")}
    if not any(tables.values()):
        raise DataMissing(f"{source} holds neither train.csv nor valid.csv")
    tree = SourceTree(source, (".jpg",))
    for part, table in tables.items():
        for row in read_table(table, ("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", *FINDINGS)) if table else ():
            yield Draft(_row(row, tree, part))


def _row(row: TableRow, tree: SourceTree, part: str) -> ImageRow:
    folders = row.needed("Path").split("/")
    if len(folders) < 4 or not folders[-3].startswith("patient"):
        raise BadTable(f"{row.where}: column 'Path' holds {row.text('Path')!r}, not .../patient*/study*/view*.jpg")
    labels, uncertainty = stated_labels(row)
    patient, study, image = folders[-3:]
    side = row.choice("Frontal/Lateral", ("Frontal", "Lateral"))
    view = row.choice("AP/PA", ("AP", "PA", "LL", "RL", "")) or ("LATERAL" if side == "Lateral" else "")
    return ImageRow(
        image_id=f"{part}/{patient}/{study}/{Path(image).stem}",
        path=tree.ending_with("/".join(folders[-4:])),
        patient_id=patient,
        group_id=patient,
        study_id=f"{patient}/{study}",
        site="Stanford Hospital",
        view=view,
        age=row.years("Age"),
        sex=row.sex("Sex"),
        source="chexpert",
        labels=labels,
        label_source="radiologists" if part == "valid" else "report text (CheXpert labeler)",
        label_uncertainty=uncertainty,
        covariates={"official_split": part, "projection": side},
    )


CHEXPERT = Adapter(
    title="CheXpert: 224,316 chest radiographs of 65,240 patients, labels with uncertainty",
    licence="Stanford University Dataset Research Use Agreement; no redistribution",
    citation="Irvin J et al. CheXpert: a large chest radiograph dataset with uncertainty labels. AAAI 2019.",
    read=read_chexpert,
    layout="train.csv, valid.csv, train/patient*/study*/view*.jpg (CheXpert-v1.0 or CheXpert-v1.0-small)",
)
