"""From an image to a network's input as a plan says (``imaging.plan``)."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from coread.domain.images import PlanarImage
from coread.imaging.plan import PlanarPlan

_AREA = Image.Resampling.BOX
_LINEAR = Image.Resampling.BILINEAR


def planned_array(plan: PlanarPlan, image: PlanarImage) -> NDArray[np.float32]:
    """Return the network's input (channels, rows, columns) of one image; padding is black."""
    planes = _planes(plan, image)
    fitted = np.stack([_fitted(plan, plane) for plane in planes])
    scaled = plan.low + fitted * np.float32(plan.high - plan.low)
    if plan.mean:
        scaled = scaled - np.asarray(plan.mean, dtype=np.float32)[:, None, None]
    if plan.std:
        scaled = scaled / np.asarray(plan.std, dtype=np.float32)[:, None, None]
    return np.asarray(scaled, dtype=np.float32)


def _planes(plan: PlanarPlan, image: PlanarImage) -> list[NDArray[np.float32]]:
    if plan.channels == 3 and image.colour is not None:
        planes = [image.colour[..., channel] for channel in range(3)]
    else:
        planes = [image.pixels] * plan.channels
    if image.valid is None:
        return planes
    return [np.where(image.valid, plane, np.float32(0.0)) for plane in planes]


def _fitted(plan: PlanarPlan, plane: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = plane.shape
    if plan.fit == "inset":
        return _inset(plane, plan.rows, plan.columns)
    if plan.fit == "centre crop":
        side = min(rows, columns)
        top, left = (rows - side) // 2, (columns - side) // 2
        plane = plane[top : top + side, left : left + side]
    elif plan.fit == "pad":
        scale = max(rows / plan.rows, columns / plan.columns)
        wide = (max(rows, round(plan.rows * scale)), max(columns, round(plan.columns * scale)))
        padded = np.zeros(wide, dtype=np.float32)
        top, left = (wide[0] - rows) // 2, (wide[1] - columns) // 2
        padded[top : top + rows, left : left + columns] = plane
        plane = padded
    made = _resized(np.ascontiguousarray(plane, dtype=np.float32), plan.rows, plan.columns, areas=plan.steps > 0)
    if plan.steps:
        made = np.rint(np.clip(made, 0, 1) * plan.steps).astype(np.float32) / np.float32(plan.steps)
    return made


def _inset(plane: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Return the plane fitted into the size with its aspect kept, in steps of 1/255, on black (``train.corpus``)."""
    grey = Image.fromarray(np.rint(np.clip(plane, 0, 1) * 255).astype(np.uint8))
    scale = min(rows / grey.height, columns / grey.width)
    size = (max(1, round(grey.width * scale)), max(1, round(grey.height * scale)))
    placed = Image.new("L", (columns, rows))
    placed.paste(grey.resize(size, _AREA), ((columns - size[0]) // 2, (rows - size[1]) // 2))
    return np.asarray(placed, dtype=np.float32) / np.float32(255)


def _resized(plane: NDArray[np.float32], rows: int, columns: int, *, areas: bool) -> NDArray[np.float32]:
    """Average areas where the image gets smaller (or always), draw lines between pixels where it gets larger."""
    if plane.shape == (rows, columns):
        return plane
    method = _AREA if areas or (plane.shape[0] >= rows and plane.shape[1] >= columns) else _LINEAR
    return np.asarray(Image.fromarray(plane).resize((columns, rows), method), dtype=np.float32)
