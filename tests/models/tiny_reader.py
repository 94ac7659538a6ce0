"""A whole reader for tests: a real ONNX graph that looks for a bright square in the left or right half of an image.

Written into a folder at test time; the folder is what an outside reader looks like. It keeps the rules: flipping the
image flips its boxes, and wrong input is refused with a coded reason.
"""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from coread.models.golden import save_golden_case
from coread.models.package import lock_package

SIDE = 32

CARD = """
reader_id = "tiny_square"
name = "Tiny square finder"
version = "1.0.0"
kind = "detection"
intended_use = "Finds a bright square in a generated radiograph; for tests."
not_for = "Patients."
research_use = true
training_data = ["none: the weights are written by hand"]
training_licence = "Apache-2.0"
validation = "Generated images only."
limits = ["Knows only squares."]

[input]
modalities = ["DX", "CR"]
sop_class_uids = []
body_parts = ["CHEST"]
views = ["PA", "AP"]
min_age_years = 18
min_rows = 64
min_columns = 64
max_pixels = 40000000
min_images = 1
max_images = 4

[resources]
memory_mb = 512
seconds = 20.0

[[outputs]]
key = "square"
name = "Bright square"
concept = { value = "27925004", scheme = "SCT", meaning = "Nodule" }
urgent = true
default_operating_point = "balanced"

[[outputs.operating_points]]
name = "balanced"
threshold = 0.5
rule = "fixed by hand"
sensitivity = { value = 0.9, low = 0.8, high = 0.95, n = 100 }
specificity = { value = 0.9, low = 0.8, high = 0.95, n = 100 }
measured_on = "generated images"
"""

READER = '''
"""Finds the brightest cell of a coarse grid; keeps the contract of a reader and nothing more."""

import numpy as np

from coread.domain.findings import Box, Finding, ImageReference, Presence
from coread.domain.images import Quantity
from coread.domain.reading import Prepared
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal

SIDE = 32


class TinyReader:
    def __init__(self, card):
        self.card = card

    def prepare(self, inputs):
        if not inputs.images:
            return Refusal(Reason(ReasonCode.NO_ELIGIBLE))
        image = sorted(inputs.images, key=brightest)[-1]
        if image.header.modality not in self.card.input.modalities:
            return Refusal(Reason(ReasonCode.WRONG_MODALITY, image.header.modality))
        if image.quantity is not Quantity.DISPLAY:
            return Refusal(Reason(ReasonCode.PIXEL_MEANING))
        if min(image.pixels.shape) < self.card.input.min_rows:
            return Refusal(Reason(ReasonCode.IMAGE_TOO_SMALL, f"{image.pixels.shape[0]} rows"))
        if not np.isfinite(image.pixels).all():
            return Refusal(Reason(ReasonCode.PIXELS_NOT_FINITE))
        if float(np.ptp(image.pixels)) == 0.0:
            return Refusal(Reason(ReasonCode.PIXELS_CONSTANT))
        rows, columns = (extent // SIDE * SIDE for extent in image.pixels.shape)
        cells = image.pixels[:rows, :columns].reshape(SIDE, rows // SIDE, SIDE, columns // SIDE).mean(axis=(1, 3))
        return Prepared({"image": cells[None, None].astype(np.float32)}, image)

    def infer(self, session, prepared):
        return session.run("network", prepared.arrays)

    def interpret(self, session, prepared, outputs):
        image, header = prepared.context, prepared.context.header
        spec = self.card.output("square")
        point = spec.operating_point()
        probability = session.calibrate("square", float(outputs["logit"][0, 0]))
        reference = ImageReference(header.sop_class_uid, header.sop_instance_uid, header.series_instance_uid)
        present = probability >= point.threshold
        row, column = np.unravel_index(int(np.argmax(outputs["map"][0, 0])), (SIDE, SIDE))
        row, column = int(row), int(column)
        height, width = (extent // SIDE for extent in image.pixels.shape)
        box = Box(reference, column * width, row * height, (column + 1) * width, (row + 1) * height)
        finding = Finding(
            "square", spec.concept, Presence.PRESENT if present else Presence.ABSENT, probability, point.threshold,
            point.name, images=(reference,), locations=(box,) if present else (), urgent=present and spec.urgent,
        )
        return ReadResult((finding,))


def brightest(image):
    # Several images may hold the same square: the name decides.
    return float(image.pixels.max()), image.header.sop_instance_uid


def reader(card):
    return TinyReader(card)
'''


def tiny_graph() -> bytes:
    """logit = 20 * (max of the image - 0.8); map = the image itself."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, SIDE, SIDE])
    logit = helper.make_tensor_value_info("logit", TensorProto.FLOAT, ["n", 1])
    out_map = helper.make_tensor_value_info("map", TensorProto.FLOAT, ["n", 1, SIDE, SIDE])
    constants = [
        numpy_helper.from_array(np.array(0.8, dtype=np.float32), "middle"),
        numpy_helper.from_array(np.array(20.0, dtype=np.float32), "slope"),
        numpy_helper.from_array(np.array([-1, 1], dtype=np.int64), "shape"),
    ]
    nodes = [
        helper.make_node("GlobalMaxPool", ["image"], ["top"]),
        helper.make_node("Reshape", ["top", "shape"], ["flat"]),
        helper.make_node("Sub", ["flat", "middle"], ["centred"]),
        helper.make_node("Mul", ["centred", "slope"], ["logit"]),
        helper.make_node("Identity", ["image"], ["map"]),
    ]

    graph = helper.make_graph(nodes, "tiny", [image], [logit, out_map], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def golden_input(seed: int = 7) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((1, 1, SIDE, SIDE), dtype=np.float32)


def write_tiny_reader(folder: Path, *, card: str = CARD, code: str = READER, lock: bool = True) -> Path:
    """Write card.toml, reader.py and a locked model/ below ``folder`` and return it."""
    model = folder / "model"
    model.mkdir(parents=True)
    (folder / "__init__.py").write_text("", encoding="utf-8")
    (folder / "card.toml").write_text(card, encoding="utf-8")
    (folder / "reader.py").write_text(code, encoding="utf-8")
    (model / "network.onnx").write_bytes(tiny_graph())
    (model / "calibration.json").write_text(
        '{"schema": 1, "method": "platt", "outputs": {"square": {"a": 1.0, "b": 0.0}}}', encoding="utf-8"
    )
    image = golden_input()
    top = image.max(axis=(2, 3))
    save_golden_case(
        model, "noise", {"image": image}, {"logit": (top - np.float32(0.8)) * np.float32(20.0), "map": image}
    )
    if lock:
        lock_package(model, folder / "card.toml")
    return folder
