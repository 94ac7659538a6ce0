"""The fundus photographs as network inputs to learn from, some of them spoilt, and as a cohort to be measured on."""

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from coread.domain.images import FloatPixels
from coread.domain.reasons import Reason
from coread.readers.diabetic_retinopathy.preprocess import network_picture
from coread.train.pictures import PictureStore
from coread.train.splits import held_out

SET = "fundus_idrid"
OTHER_SET = "colon_polyps"
ARCHIVE = "images.zip"
REFERABLE_GRADE = 2
COHORT = {
    "name": "IDRiD, held-out groups",
    "data": "IDRiD subset",
    "split": "held out by group of duplicates (20 %)",
    "licence": "CC BY 4.0",
    "citation": "Porwal et al. 2018",
    "reference_standard": "grade of retinopathy 0 to 4 by experts; referable from grade 2 (moderate)",
    "wrap": {"modality": "OP", "body_part": "EYE", "colour": "rgb"},
}
SPOILT_FOLDER = "spoilt"
SPOILT_EVERY = 4
SPOILT = ("blurred", "dark", "bright", "covered", "hazy")
_OTHER_EVERY = 15


@dataclass(frozen=True, slots=True)
class Photograph:
    """One row of the set's index."""

    image: str
    grade: int
    group: str

    @property
    def held_out(self) -> bool:
        """Whether the group of duplicates belongs to the fixed test part."""
        return held_out(SET, self.group)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """Network inputs as uint8 (N, 3, ROWS, COLUMNS)."""

    plain: NDArray[np.uint8]
    spoilt: NDArray[np.uint8]
    """Every fourth photograph again, spoilt in one way so that it could not be graded; those that the first check
    turns away are not among them."""
    spoilt_rows: NDArray[np.int64]
    referable: NDArray[np.bool_]
    groups: tuple[str, ...]


def read_photographs(folder: Path) -> tuple[Photograph, ...]:
    """Read the index."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as opened:
        return tuple(Photograph(row["image"], int(row["dr_grade"]), row["dup_group"]) for row in csv.DictReader(opened))


def read_learned(data: Path, limit: int = 0) -> Learned:
    """Decode the photographs that are not held out, through the reader's own path to the network."""
    chosen = [one for one in read_photographs(data / SET) if not one.held_out]
    chosen = chosen[:: max(1, len(chosen) // limit)] if limit else chosen
    plain, spoilt, rows = [], [], []
    with PictureStore(data / SET) as store:
        for number, one in enumerate(chosen):
            colour = np.divide(store.pixels(f"{ARCHIVE}!{one.image}"), 255, dtype=np.float32)
            plain.append(_stored(_made(colour)))
            if number % SPOILT_EVERY:
                continue
            made = network_picture(spoil(colour, SPOILT[number % len(SPOILT)], np.random.default_rng([3, number])))
            if not isinstance(made, Reason):
                spoilt.append(_stored(made))
                rows.append(number)
    return Learned(
        np.stack(plain), np.stack(spoilt), np.array(rows, dtype=np.int64),
        np.array([one.grade >= REFERABLE_GRADE for one in chosen]), tuple(one.group for one in chosen),
    )  # fmt: skip


def spoil(colour: FloatPixels, how: str, random: np.random.Generator) -> FloatPixels:
    """Return a photograph that nobody would grade: out of focus, too dark or bright, half covered, or in haze."""
    width = colour.shape[1]
    if how == "blurred":
        return _blurred(colour, width * random.uniform(0.011, 0.03))
    if how == "dark":
        return _noisy(colour * np.float32(random.uniform(0.18, 0.3)), 0.02, random)
    if how == "bright":
        return np.asarray(np.clip(colour * random.uniform(2.6, 4.0), 0, 1), dtype=np.float32)
    if how == "covered":
        rows, columns = np.indices(colour.shape[:2])
        angle, share = random.uniform(0, 2 * np.pi), random.uniform(-0.15, 0.1)
        along = (columns / width - 0.5) * np.cos(angle) + (rows / colour.shape[0] - 0.5) * np.sin(angle)
        shade = 1 / (1 + np.exp(-(along - share) * 40))
        return _blurred(colour * (0.12 + 0.88 * shade[..., np.newaxis]).astype(np.float32), 1.0)
    haze = random.uniform(0.7, 0.85)
    veil = np.array([0.75, 0.6, 0.5], dtype=np.float32) * (colour.max(axis=2, keepdims=True) > 0.1)
    return _blurred(np.asarray((1 - haze) * colour + haze * veil, dtype=np.float32), width * 0.004)


def write_root(data: Path, root: Path) -> list[str]:
    """Bring the two archives and spoilt held-out photographs together under one root; return the latter's paths."""
    (root / SPOILT_FOLDER).mkdir(parents=True, exist_ok=True)
    for name in (SET, OTHER_SET):
        (root / name).mkdir(exist_ok=True)
        shutil.copyfile(data / name / ARCHIVE, root / name / ARCHIVE)
    names = []
    with PictureStore(data / SET) as store:
        for number, one in enumerate(one for one in read_photographs(data / SET) if one.held_out):
            how = SPOILT[number % len(SPOILT)]
            colour = np.divide(store.pixels(f"{ARCHIVE}!{one.image}"), 255, dtype=np.float32)
            made = spoil(colour, how, np.random.default_rng([4, number]))
            name = f"{SPOILT_FOLDER}/{how}_{number:03d}.png"
            Image.fromarray(np.rint(np.clip(made, 0, 1) * 255).astype(np.uint8)).save(root / name)
            names.append(name)
    return names


def cohort_rows(data: Path, root: Path) -> list[dict[str, Any]]:
    """Return the held-out photographs, spoilt ones and colonoscopy frames; the last two should be refused.

    ``root`` is filled with the files that the rows name.
    """
    rows: list[dict[str, Any]] = [
        {
            "case_id": Path(one.image).stem,
            "patient_id": f"group {one.group}",
            "files": f"{SET}/{ARCHIVE}!{one.image}",
            "truth:referable": one.grade >= REFERABLE_GRADE,
            "group:grade": str(one.grade),
        }
        for one in read_photographs(data / SET)
        if one.held_out
    ]
    rows += [_unfit(Path(name).stem, name, "spoilt by a program") for name in write_root(data, root)]
    with (data / OTHER_SET / "index.csv").open(newline="", encoding="utf-8") as opened:
        others = sorted(row["image"] for row in csv.DictReader(opened))[::_OTHER_EVERY]
    rows += [_unfit(Path(name).stem, f"{OTHER_SET}/{ARCHIVE}!{name}", "colonoscopy") for name in others]
    return rows


def _unfit(case_id: str, file: str, note: str) -> dict[str, Any]:
    return {"case_id": case_id, "patient_id": case_id, "files": file, "expect": "refuse", "note": note}


def _made(colour: FloatPixels) -> FloatPixels:
    made = network_picture(colour)
    if isinstance(made, Reason):
        raise TypeError(f"a photograph of the set is turned away: {made.text()}")
    return made


def _stored(values: FloatPixels) -> NDArray[np.uint8]:
    return np.asarray(np.rint(values * 255), dtype=np.uint8)


def _blurred(colour: FloatPixels, sigma: float) -> FloatPixels:
    image = Image.fromarray(np.rint(np.clip(colour, 0, 1) * 255).astype(np.uint8))
    softened = np.asarray(image.filter(ImageFilter.GaussianBlur(sigma)), dtype=np.float32)
    return softened / np.float32(255)


def _noisy(colour: FloatPixels, size: float, random: np.random.Generator) -> FloatPixels:
    return np.asarray(np.clip(colour + size * random.standard_normal(colour.shape), 0, 1), dtype=np.float32)
