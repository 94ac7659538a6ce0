"""An ordinary 8-bit picture as a DX object, for trying Coread on radiographs that come as JPEG or PNG.

The result says that it was derived from a lossy 8-bit image. It belongs in the user's own temporary folder.
"""

import io
from pathlib import Path

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset

from coread.phantoms.dx import Acquisition, Identity, radiograph

_VIEWS = {
    "PA": ("399348003", "postero-anterior"),
    "AP": ("399067008", "antero-posterior"),
}
JPEG_BASELINE_METHOD = "ISO_10918_1"


def radiograph_from_image(
    source: Path | bytes, identity: Identity, *, view: str = "PA", spacing_mm: float = 0.4, lossy: bool = True
) -> Dataset:
    """Return a DX object (For Presentation) around a grey picture: bright means absorbed, as in a radiograph.

    ``spacing_mm`` is the distance between pixels at the detector; pictures from the web rarely tell it.
    """
    with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
        pixels = np.asarray(image.convert("L"), dtype=np.uint8)
    taken = Acquisition(
        view_position=view if view in _VIEWS else "",
        view_code=_VIEWS.get(view, ("", "")),
        bits=8,
        spacing_mm=spacing_mm,
        lossy_method=JPEG_BASELINE_METHOD if lossy else "",
    )
    return radiograph(pixels, identity, taken)
