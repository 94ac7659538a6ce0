"""mini-MIAS: Info.txt and 1,024 px PGM files; circles around abnormalities, origin at the bottom left."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from coread.train.adapters.contract import Adapter, Draft, ReadOptions
from coread.train.adapters.files import SourceTree, first_file
from coread.train.adapters.tables import read_lines
from coread.train.datasets import Box, ImageRow
from coread.train.errors import BadTable

SIDE = 1024
TISSUES = ("F", "G", "D")
KINDS = ("CALC", "CIRC", "SPIC", "MISC", "ARCH", "ASYM", "NORM")


def read_mini_mias(source: Path, _options: ReadOptions) -> Iterator[Draft]:
    """Read the lines of Info.txt that begin with ``mdb``; odd and even numbers are the two breasts of a patient."""
    info = first_file(source, "Info.txt", "info.txt")
    tree = SourceTree(source, (".pgm",))
    lesions: dict[str, list[list[str]]] = {}
    for line in read_lines(info):
        words = line.split()
        if words[0].startswith("mdb") and words[0][3:].isdigit():
            if len(words) < 3 or words[1] not in TISSUES or words[2] not in KINDS:
                raise BadTable(f"{info}: line {line!r} holds a tissue or an abnormality that is outside the list")
            lesions.setdefault(words[0], []).append(words[1:])
    for image, found in lesions.items():
        yield Draft(mias_row(image, found, tree.named(f"{image}.pgm")))


def mias_row(image: str, lesions: Sequence[Sequence[str]], path: str) -> ImageRow:
    """Return the row of one mammogram; ``lesions`` are (tissue, kind, severity, x, y from below, radius)."""
    number = int(image[3:])
    boxes = []
    for lesion in lesions:
        try:
            x, y, radius = (float(word) for word in lesion[3:6])
        except ValueError:
            continue  # widely distributed calcifications have no circle ("*NOTE 3*")
        top = SIDE - y
        boxes.append(Box(lesion[1], x - radius, top - radius, x + radius + 1, top + radius + 1))
    severities = {lesion[2] for lesion in lesions if len(lesion) > 2}
    kinds = {lesion[1] for lesion in lesions}
    patient = str((number + 1) // 2)
    return ImageRow(
        image_id=image,
        path=path,
        patient_id=patient,
        group_id=patient,
        site="United Kingdom National Breast Screening Programme",
        view="LMLO" if number % 2 else "RMLO",
        sex="F",
        source="mini_mias",
        labels={
            "abnormal": float(kinds != {"NORM"}),
            "malignant": float("M" in severities),
            "density": float(TISSUES.index(lesions[0][0])),
            **{kind: float(kind in kinds) for kind in KINDS if kind != "NORM"},
        },
        label_source="radiologist",
        boxes=tuple(boxes),
        covariates={"tissue": lesions[0][0]},
    )


MINI_MIAS = Adapter(
    title="mini-MIAS: 322 film mammograms of 161 patients, 1,024 px at 200 um",
    licence="MIAS licence: research use",
    citation="Suckling J et al. The Mammographic Image Analysis Society digital mammogram database. 1994.",
    read=read_mini_mias,
    layout="Info.txt, mdb001.pgm to mdb322.pgm",
)
