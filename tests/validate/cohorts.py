"""Small cohorts of generated pictures, and a tiny reader whose score is known for each of them."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coread.validate.cohort import Cohort
from coread.validate.cohort_writing import write_cohort

SIDE = 128
CELL = SIDE // 32
WRAP = {"modality": "DX", "body_part": "CHEST", "spacing_mm": 0.5}


def square_picture(brightness: float, *, row: int = 10, column: int = 20, seed: int = 0) -> NDArray[np.uint8]:
    """A dark noisy picture with one cell of the tiny reader's grid lit: its logit is 20 * (brightness - 0.8)."""
    pixels = np.random.default_rng(seed).integers(5, 40, (SIDE, SIDE), dtype=np.uint8)
    pixels[row * CELL : (row + 1) * CELL, column * CELL : (column + 1) * CELL] = round(255 * brightness)
    return pixels


def png(pixels: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def square_rows(brightness: Sequence[float], truth: Sequence[bool], folder: Path) -> list[dict[str, Any]]:
    """Write one picture a case into ``folder/images.zip`` and return the rows of the table."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        for number, (light, present) in enumerate(zip(brightness, truth, strict=True)):
            name = f"case{number:03d}.png"
            archive.writestr(name, png(square_picture(light, seed=number)))
            box = [["square", 20 * CELL, 10 * CELL, 21 * CELL, 11 * CELL]] if present else []
            rows.append({
                "case_id": f"case{number:03d}", "patient_id": f"patient{number // 2:03d}",
                "files": f"images.zip!{name}", "truth:square": present, "boxes": box,
                "site": ("north", "south")[number % 2], "sex": "FM"[number // 2 % 2], "age": 20 + number % 60,
                "view": ("PA", "AP")[number // 3 % 2],
            })  # fmt: skip
    return rows


def square_cohort(
    folder: Path, count: int = 60, *, description: Mapping[str, Any] | None = None, seed: int = 3
) -> Cohort:
    """A cohort that the tiny reader reads well but not perfectly."""
    random = np.random.default_rng(seed)
    truth = random.random(count) < 0.5
    brightness = np.clip(0.8 + np.where(truth, 0.06, -0.06) + 0.06 * random.standard_normal(count), 0.4, 1.0)
    rows = square_rows([float(value) for value in brightness], [bool(value) for value in truth], folder)
    stated = {"name": "Squares", "data": "generated squares", "split": "none", "simulated": True, "wrap": WRAP}
    return write_cohort(folder, stated | dict(description or {}), rows)
