"""A data set folder of generated pictures, as ``coread dataset split`` leaves it, and a recipe that learns from it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from coread.models.lineage import sha256_of
from coread.train.datasets import Box, ImageIndex, ImageRow, write_index
from tests.train.shapes import CLASSES, shapes

RECIPE = """
name = "shapes"
datasets = ["shapes"]
{top}

[images]
side = 32

[[heads]]
task = "MultiClass"
name = "type"
classes = ["round", "square"]

[[heads]]
task = "Segmentation"
name = "region"
classes = ["shape"]
complete = true

[[heads]]
task = "Boxes"
name = "where"
classes = ["round", "square"]
complete = true

[network]
widths = [8, 8, 8, 8]
depths = [1, 1, 1, 1]
map_width = 8
stem_stride = 2
map_stride = 2

[fit]
epochs = 2
batch = 8
learning_rate = 3e-3
accelerator = "cpu"

[export]
flips = true
storage = "float16"
"""


def made_up_dataset(
    folder: Path, *, count: int = 48, changes: Mapping[int, Mapping[str, Any]] | None = None,
    name: str = "shapes", seed: int = 4, adapter: str = "",
) -> Path:  # fmt: skip
    """Write pictures, masks and index of ``count`` generated images; ``changes`` overwrite fields of single rows."""
    data = shapes(count, seed=seed)
    (folder / "images").mkdir(parents=True)
    rows = []
    for i in range(count):
        Image.fromarray(data.images[i][0]).save(folder / "images" / f"{i}.png")
        Image.fromarray(np.asarray(data.targets["region"][i]) * 255).save(folder / "images" / f"{i}_mask.png")
        (box,) = np.asarray(data.targets["where"][i])
        kind = CLASSES[int(box[0])]
        row = ImageRow(
            image_id=f"image{i}",
            path=f"images/{i}.png",
            mask=f"images/{i}_mask.png",
            patient_id=f"patient{i // 2}",
            labels={name: float(name == kind) for name in CLASSES}
            | {"grade": float(np.asarray(data.targets["grade"])[i])},
            boxes=(Box(kind, *(float(edge) for edge in box[1:])),),
            age=40.0 + i,
            sex="F" if i % 3 else "",
            view="AP" if i % 2 else "PA",
            sha256=sha256_of(folder / "images" / f"{i}.png"),
            part=("train", "train", "train", "tune", "tune", "test")[(i // 2) % 6],
        )
        rows.append(replace(row, **(changes or {}).get(i, {})))
    index = ImageIndex(name=name, root=folder, rows=tuple(rows), folder=folder, licence="generated", adapter=adapter)
    write_index(index, step="split")
    return folder


def write_recipe(folder: Path, top: str = "", **replaced: str) -> Path:
    """Write a recipe beside the data set; ``replaced`` swaps whole lines by the name of their key."""
    lines = RECIPE.format(top=top).splitlines()
    for key, line in replaced.items():
        lines = [line if old.startswith(f"{key} ") else old for old in lines]
    path = folder / "recipe.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
