"""Label maps of the project's own phantom, for training heads to be drawn from."""

import numpy as np

from coread.domain.geometry import Geometry, affine_of
from coread.phantoms.reference.mr_brain import FLUID, GREY, WHITE, BrainTruth, brain_scene, forms
from coread.phantoms.reference.scene import render
from coread.readers.brain_volume import drawn_labels as label
from coread.readers.brain_volume.drawn_labels import FINE_MM, FINE_SHAPE, Labels, with_distance

_FACE = {
    "face": label.SOFT, "cord": label.SOFT, "scalp": label.SKIN, "facial bones": label.BONE, "skull": label.BONE,
    "diploe": label.MARROW, "eyes": label.EYE, "air spaces": label.CAVITY,
}  # fmt: skip


def phantom_heads() -> tuple[Labels, ...]:
    """Return the labels of the phantom ``mr-brain`` with narrow, usual and wide ventricles, and shrunk."""
    geometry = _geometry()
    found = []
    for scale, loss, date in ((0.8, 2.0, 0), (1.0, 6.0, 1), (1.45, 1.0, 0)):
        truth = BrainTruth(ventricle_scale=scale, loss_percent=loss, lesions_ml=(), new_lesions_ml=())
        scene = brain_scene(BrainTruth(move_mm=(0, 0, 0), turn_degrees=(0, 0, 0)), forms(truth)[date], (), 0, 1)
        parts = render(scene, geometry).labels
        table = np.zeros(len(scene.parts) + 1, dtype=np.uint8)
        for number, part in enumerate(scene.parts, start=1):
            table[number] = _label_of(part.name)
        found.append(with_distance(table[parts], with_face=True))
    return tuple(found)


def _label_of(name: str) -> int:
    if name in _FACE:
        return _FACE[name]
    if name.startswith("hippocampus"):
        return label.HIPPOCAMPUS
    if name == "ventricles":
        return label.VENTRICLE
    if name in GREY:
        return label.GREY_MATTER
    return label.WHITE_MATTER if name in WHITE else label.CSF if name in FLUID else label.OUTSIDE


def _geometry() -> Geometry:
    matrix = np.zeros((4, 4))
    matrix[3, 3] = 1
    matrix[2, 0], matrix[1, 1], matrix[0, 2] = FINE_MM, FINE_MM, FINE_MM
    matrix[:3, 3] = [-(n - 1) / 2 * FINE_MM for n in reversed(FINE_SHAPE)]
    return Geometry(FINE_SHAPE, affine_of(matrix), "1.2.3")
