"""The recipes of the lesion readers on made-up sets with the official names: every step, to a measured reader."""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from coread.models.golden import check_golden
from coread.models.session import open_session
from coread.phantoms.brain_mr import KINDS, BrainRecipe, brain_slice
from coread.phantoms.colon import ColonRecipe, colon_frame
from coread.phantoms.mammogram import DENSITIES, MammogramRecipe, mammogram
from coread.phantoms.nodule_slice import NoduleSliceRecipe, nodule_slice
from coread.readers.brain_mr_tumor import recipe as brain
from coread.readers.card_file import read_card
from coread.readers.colon_polyp import recipe as polyp
from coread.readers.lesions.recipe import settings_of
from coread.readers.lung_nodule_segmentation import recipe as nodule
from coread.readers.mammography import recipe as mammo
from coread.train.splits import held_out

Write = Callable[[Path], None]


def packed(folder: Path, rows: list[dict[str, Any]], pictures: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True)
    with (folder / "index.csv").open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for name, pixels in pictures.items():
            data = io.BytesIO()
            Image.fromarray(pixels).save(data, "PNG")
            archive.writestr(name, data.getvalue())


def brain_set(folder: Path) -> None:
    rows, pictures = [], {}
    for number in range(48):
        kind = KINDS[number % 3]
        phantom = brain_slice(BrainRecipe(number, kind, side="RL"[number % 2], rows=224))
        name = f"{number:04d}.jpg"
        pictures[name] = (phantom.dataset.pixel_array // 16).astype(np.uint8)
        down, across = np.nonzero(phantom.tumour)
        x0, x1, y0, y1 = across.min() / 224, (across.max() + 1) / 224, down.min() / 224, (down.max() + 1) / 224
        box = {"xc": (x0 + x1) / 2, "yc": (y0 + y1) / 2, "w": x1 - x0, "h": y1 - y0}
        rows.append({"image": name, "label": kind, **box, "block": f"{kind}_{number // 6:02d}"})
    packed(folder, rows, pictures)


def colon_set(folder: Path) -> None:
    rows: list[dict[str, Any]] = []
    pictures: dict[str, Any] = {}
    for number in range(24):
        frame = colon_frame(ColonRecipe(number, 160, 176, (0.3 + 0.02 * number, 0.5)))
        name = f"c{number}"
        pictures[f"{name}.jpg"], pictures[f"{name}_mask.png"] = frame.pixels, frame.polyp
        down, across = np.nonzero(frame.polyp)
        box = [float(across.min()), float(down.min()), float(across.max() + 1), float(down.max() + 1)]
        files = {"image": f"{name}.jpg", "mask": f"{name}_mask.png"}
        rows.append({**files, "width": 176, "height": 160, "boxes_xyxy": json.dumps([box])})
    packed(folder, rows, pictures)


def nodule_set(folder: Path) -> None:
    rows, images, bits = [], [], []
    for number in range(30):
        phantom = nodule_slice(NoduleSliceRecipe(number, radius=6 + number % 7))
        images.append(phantom.dataset.pixel_array)
        bits.append(phantom.nodule.astype(np.uint8) * 7)
        rows.append({"patient_id": f"P{number}", "nodule": "nodule-0", "slice": number, "n_raters": 3})
    packed(folder, rows, {})
    np.savez(folder / "slices.npz", image=np.stack(images), mask_bits=np.stack(bits))


def mammo_set(folder: Path) -> None:
    rows, pictures = [], {}
    for number in range(1, 41):
        mass = number % 3 == 0
        recipe = MammogramRecipe(number, DENSITIES[number % 3], mass, "RL"[number % 2], 1024)
        phantom = mammogram(recipe)
        name = f"mdb{number:03d}.jpg"
        pictures[name] = (phantom.dataset.pixel_array // 16).astype(np.uint8)
        row = {"image": name, "patient_id": (number + 1) // 2, "tissue": "FGD"[number % 3], "severity": ""}
        place: dict[str, Any] = {"abnormality": "NORM", "x": "", "y_top_left": "", "radius": ""}
        if mass:
            down, across = np.nonzero(phantom.mass)
            place = {"abnormality": "CIRC", "x": across.mean(), "y_top_left": down.mean(), "radius": 50.0}
        rows.append(row | place)
    packed(folder, rows, pictures)


CASES: dict[str, tuple[Any, Write, str]] = {
    "brain_mr_tumor": (brain, brain_set, "brain_mr_tumor_boxes"),
    "colon_polyp": (polyp, colon_set, "colon_polyps"),
    "lung_nodule_segmentation": (nodule, nodule_set, "ct_lung_nodule_slices"),
    "mammography": (mammo, mammo_set, "mammo_mias"),
}


def fast_settings(recipe: Any, data: Path, out: Path) -> Any:
    """Return settings of a recipe on the shared command line, or of one with its own."""
    if hasattr(recipe, "RECIPE"):
        return settings_of(recipe.RECIPE, data, out, fast=True)
    return recipe.fast(recipe.Settings(data, out))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_a_recipe_makes_a_locked_reader_whose_card_states_what_was_measured(name: str, tmp_path: Path) -> None:
    from coread.readers.registry import inspect_reader
    from coread.validate.card_numbers import check_record

    recipe, write, folder = CASES[name]
    write(tmp_path / folder)
    reader = recipe.run(replace(fast_settings(recipe, tmp_path / folder, tmp_path / "out"), limit=40))
    card = read_card(reader / "card.toml")
    assert card.reader_id == name
    assert "held out" in card.outputs[0].operating_points[0].measured_on
    check_golden(open_session(reader / "model", reader / "card.toml", engine="onnxruntime"), reader / "model").require()
    assert check_record(inspect_reader(reader.name, reader)) == []
    page = (reader / "README.md").read_text(encoding="utf-8")
    assert "Research use only" in page
    assert all(limit in page for limit in card.limits)


@pytest.mark.parametrize("name", ["brain_mr_tumor_boxes", "colon_polyps", "ct_lung_nodule_slices", "mammo_mias"])
def test_the_held_out_fifth_is_the_same_for_everybody(name: str) -> None:
    share = np.mean([held_out(name, f"group {number}") for number in range(2000)])
    assert 0.17 < share < 0.23
