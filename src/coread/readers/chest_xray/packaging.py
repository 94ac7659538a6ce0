"""Writes what the reader's folder holds from what was measured: card, package, measurements, the clinicians' page."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.models.golden import save_golden_case
from coread.models.package import lock_package
from coread.models.session import open_session
from coread.readers.chest_xray.outputs import GRAPH, INPUT, SIDE
from coread.readers.chest_xray.report import Measured
from coread.readers.chest_xray.words import HEADING, card_of, readme_of
from coread.train.card_text import card_toml
from coread.train.export import export_onnx, fold_and_round, worst_difference
from coread.train.network import Member, MirrorEnsemble

OUTPUT_NAMES = ("logits", "maps", "gate", "view")
GOLDEN_CASES = 3


def write_package(out: Path, members: Sequence[Member], measured: Measured) -> Path:
    """Export, write card, calibration and golden cases, lock; return the folder, which is a whole reader but code."""
    reader = out / "reader"
    if reader.exists():
        shutil.rmtree(reader)
    model = reader / "model"
    network = MirrorEnsemble([fold_and_round(member) for member in members])
    images = np.stack([golden_image(seed) for seed in range(GOLDEN_CASES)])[:, None]
    export_onnx(network, {INPUT: images[:1]}, model / f"{GRAPH}.onnx", output_names=OUTPUT_NAMES)
    worst_difference(network, model / f"{GRAPH}.onnx", {INPUT: images})
    curves = {output.key: output.platt for output in measured.outputs} | {"view": measured.view, "gate": measured.gate}
    calibration = {"schema": 1, "method": "platt", "outputs": {k: {"a": v.a, "b": v.b} for k, v in curves.items()}}
    (model / "calibration.json").write_text(json.dumps(calibration, indent=2) + "\n", encoding="utf-8")
    card = reader / "card.toml"
    card.write_text(card_toml(card_of(measured), HEADING), encoding="utf-8")
    lock_package(model, card)
    session = open_session(model, card, engine="onnxruntime")
    for number, image in enumerate(images):
        inputs = {INPUT: image[None]}
        save_golden_case(model, f"generated{number}", inputs, session.run(GRAPH, inputs))
    lock_package(model, card)
    (reader / "measurements.json").write_text(json.dumps(measured.as_json(), indent=2) + "\n", encoding="utf-8")
    (reader / "README.md").write_text(readme_of(measured), encoding="utf-8")
    return reader


def install(finished: Path, folder: Path) -> None:
    """Copy a finished reader's data files beside the reader's code, replacing what was there."""
    if (folder / "model").exists():
        shutil.rmtree(folder / "model")
    shutil.copytree(finished / "model", folder / "model")
    for name in ("card.toml", "measurements.json", "README.md"):
        shutil.copyfile(finished / name, folder / name)


def golden_image(seed: int) -> NDArray[np.float32]:
    """Draw two dark lungs beside a bright middle, no patient; (side, side) in [0, 1]."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    image = 0.75 - 0.15 * rows
    for middle in (0.3, 0.7):
        shift = random.uniform(-0.03, 0.03, 2)
        lung = ((columns - middle - shift[0]) / 0.17) ** 2 + ((rows - 0.45 - shift[1]) / 0.33) ** 2
        image -= 0.45 / (1 + np.exp(20 * (lung - 1)))
    row, column = random.uniform(0.3, 0.6, 2)
    image += 0.2 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 0.004)
    return np.asarray(np.rint(np.clip(image, 0, 1) * 255) / 255, dtype=np.float32)
