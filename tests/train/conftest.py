"""A tiny made-up radiograph set in the layout of the public ones, and one thread for torch."""

import csv
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

FINDINGS = ("Pneumothorax", "Effusion", "Cardiomegaly", "Pneumonia", "Nodule", "Atelectasis", "No Finding")


def _image(random: np.random.Generator, side: int = 96) -> bytes:
    rows, columns = np.mgrid[0:side, 0:side] / side
    image = 0.7 + 0.05 * random.normal(size=(side, side))
    for middle in (0.3, 0.7):
        image -= 0.5 * ((((columns - middle) / 0.17) ** 2 + ((rows - 0.45) / 0.33) ** 2) < 1)
    stream = io.BytesIO()
    Image.fromarray(np.clip(image * 255, 0, 255).astype(np.uint8)).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="session")
def made_up_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a set like cxr_nih: 84 generated images of 42 patients."""
    folder = tmp_path_factory.mktemp("data") / "cxr_nih"
    folder.mkdir()
    random = np.random.default_rng(5)
    with zipfile.ZipFile(folder / "images.zip", "w") as archive, (folder / "index.csv").open("w", newline="") as index:
        names = ("image", "patient_id", "age", "sex", "view", "labels", "boxes_xywh_448", "source_set", "rsna_class")
        writer = csv.DictWriter(index, names)
        writer.writeheader()
        for number in range(84):
            name = f"{number:03d}.png"
            archive.writestr(name, _image(random))
            label = FINDINGS[number % 7]
            boxed = label not in ("No Finding",) and number % 2 == 0
            box_name = {"Nodule": "Nodule", "Pneumonia": "Pneumonia"}.get(label, label)
            writer.writerow(
                {
                    "image": name,
                    "patient_id": str(number // 2),
                    "age": str(20 + number % 50),
                    "sex": "MF"[number % 2],
                    "view": "PA" if number % 3 else "AP",
                    "labels": label,
                    "boxes_xywh_448": json.dumps([[box_name, 100.0, 120.0, 90.0, 80.0]]) if boxed else "",
                    "source_set": "boxes" if number % 4 < 3 else "curated1000",
                    "rsna_class": "",
                }
            )
    return folder
