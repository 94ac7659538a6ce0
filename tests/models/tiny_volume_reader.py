"""A reader of volumes for tests: outlines what is denser than a locked number of HU, and measures it."""

import json
from pathlib import Path

import numpy as np

from coread.models.golden import READER as GOLDEN_READER
from coread.models.golden import save_golden_case
from coread.models.package import PARAMETERS, lock_package

CARD = """
reader_id = "tiny_volume"
name = "Tiny dense lump finder"
version = "1.0.0"
kind = "quantification"
intended_use = "Measures a dense lump in a generated CT; for tests."
not_for = "Patients."
research_use = true
training_data = ["none: the threshold is set by hand"]
training_licence = "Apache-2.0"
validation = "Generated volumes only."
limits = ["Knows only lumps."]

[input]
modalities = ["CT"]
sop_class_uids = []
body_parts = ["ABDOMEN"]
views = []
min_rows = 8
min_columns = 8
max_pixels = 40000000
min_images = 5
max_images = 400
presentation = "volume"

[resources]
memory_mb = 512
seconds = 20.0

[[outputs]]
key = "lump"
name = "Dense lump"
concept = { value = "4147007", scheme = "SCT", meaning = "Mass" }
site = { value = "818983003", scheme = "SCT", meaning = "Abdomen" }
urgent = false
default_operating_point = "only"

[[outputs.operating_points]]
name = "only"
threshold = 0.5
rule = "fixed by hand"
measured_on = "nothing"
"""

READER = '''
"""Outlines what is denser than a locked number of HU; keeps the contract of a reader of volumes and nothing more."""

import numpy as np

from coread.domain.codes import Code
from coread.domain.findings import Finding, ImageReference, Measurement, Presence, Region, TrackingId
from coread.domain.identifiers import derived_uid
from coread.domain.images import Quantity
from coread.domain.reading import Prepared
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.imaging.measuring import mask_volume

VOLUME = Code("118565006", "SCT", "Volume")
ML = Code("ml", "UCUM", "milliliter")
MASS = Code("4147007", "SCT", "Mass")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")


class TinyVolumeReader:
    def __init__(self, card):
        self.card = card

    def prepare(self, inputs):
        if not inputs.volumes:
            return Refusal(Reason(ReasonCode.NO_ELIGIBLE))
        volume = inputs.volumes[0]
        if volume.headers[0].modality not in self.card.input.modalities:
            return Refusal(Reason(ReasonCode.WRONG_MODALITY, volume.headers[0].modality))
        if volume.quantity is not Quantity.HOUNSFIELD:
            return Refusal(Reason(ReasonCode.PIXEL_MEANING))
        if volume.voxels.shape[0] < self.card.input.min_images:
            return Refusal(Reason(ReasonCode.TOO_FEW_IMAGES))
        if not np.isfinite(volume.voxels).all():
            return Refusal(Reason(ReasonCode.PIXELS_NOT_FINITE))
        if float(np.ptp(volume.voxels)) == 0.0:
            return Refusal(Reason(ReasonCode.PIXELS_CONSTANT))
        return Prepared({"voxels": volume.voxels}, volume)

    def infer(self, session, prepared):
        return {"dense": (prepared.arrays["voxels"] > session.parameters["least_hu"]).astype(np.uint8)}

    def interpret(self, session, prepared, outputs):
        volume, mask = prepared.context, outputs["dense"] > 0
        spec = self.card.outputs[0]
        if not mask.any():
            return ReadResult((Finding(spec.key, spec.concept, Presence.ABSENT, site=spec.site),))
        images = tuple(
            ImageReference(h.sop_class_uid, h.sop_instance_uid, h.series_instance_uid) for h in volume.headers
        )
        tracking = TrackingId("lump 1", derived_uid("lump", volume.headers[0].series_instance_uid))
        region = Region("Lump", ABNORMAL, MASS, mask, images, tracking, volume.geometry)
        size = mask_volume(mask, volume.geometry)
        measured = Measurement(VOLUME, size.value, ML, size.half_width, tracking=tracking, images=images)
        found = Finding(spec.key, spec.concept, Presence.PRESENT, site=spec.site, tracking=tracking)
        return ReadResult((found,), (measured,), (region,))


def reader(card):
    return TinyVolumeReader(card)
'''


def write_tiny_volume_reader(folder: Path, *, card: str = CARD, code: str = READER) -> Path:
    """Write the reader as a package ``folder.name`` with locked numbers and one golden case of its arithmetic."""
    model = folder / "model"
    model.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "reader.py").write_text(code)
    (folder / "card.toml").write_text(card)
    (folder / "README.md").write_text("For tests.")
    (model / PARAMETERS).write_text(json.dumps({"least_hu": 100.0}))
    voxels = np.random.default_rng(1).normal(90, 30, (5, 8, 8)).astype(np.float32)
    save_golden_case(
        model, "noise", {"voxels": voxels}, {"dense": (voxels > 100).astype(np.uint8)}, graph=GOLDEN_READER
    )
    lock_package(model, folder / "card.toml")
    return folder
