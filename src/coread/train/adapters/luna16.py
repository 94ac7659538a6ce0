"""LUNA16: one row per candidate (or per annotated nodule) of a CT in MetaImage files."""

from collections.abc import Iterator
from pathlib import Path

from coread.train.adapters.contract import Adapter, Draft, ReadOptions
from coread.train.adapters.files import SourceTree, first_file, optional_file
from coread.train.adapters.tables import TableRow, read_table
from coread.train.datasets import ImageRow
from coread.train.errors import BadTable

_WORLD = ("coordX", "coordY", "coordZ")


def read_luna16(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read annotations.csv and, where present, candidates_V2.csv; scans are ``subset0/UID.mhd``.

    Without candidates each annotated nodule is a row; with them the nodules are the candidates of class 1.
    """
    annotations = list(read_table(first_file(source, "annotations.csv"), ("seriesuid", *_WORLD, "diameter_mm")))
    tree = SourceTree(source, (".mhd",))
    candidates = optional_file(source, "candidates_V2.csv", "candidates.csv")
    rows = read_table(candidates, ("seriesuid", *_WORLD, "class")) if candidates is not None else iter(annotations)
    for number, row in enumerate(rows):
        label = row.flag("class") if candidates is not None else 1.0
        yield Draft(_row(row, number, tree, label))


def _row(row: TableRow, number: int, tree: SourceTree, label: float | None) -> ImageRow:
    series, world = row.needed("seriesuid"), row.numbers(_WORLD)
    if world is None:
        raise BadTable(f"{row.where}: a coordinate is missing")
    path = tree.named(f"{series}.mhd")
    folder = path.split("/")[-2] if "/" in path else ""
    covariates = {"world_mm": list(world), "diameter_mm": row.number("diameter_mm"), "subset": folder}
    return ImageRow(
        image_id=f"{series}/{number}",
        path=path,
        group_id=series,
        study_id=series,
        source="luna16",
        labels={"nodule": label},
        label_source="at least three of four radiologists",
        covariates=covariates,
    )


LUNA16 = Adapter(
    title="LUNA16: 888 CT scans of LIDC-IDRI with 1,186 nodules and 754,975 candidates",
    licence="CC BY 4.0",
    citation="Setio AAA et al. Validation, comparison, and combination of algorithms for automatic detection of "
    "pulmonary nodules in computed tomography images. Med Image Anal 2017;42:1-13.",
    read=read_luna16,
    layout="annotations.csv, candidates_V2.csv, subset0..9/*.mhd with *.raw",
)
