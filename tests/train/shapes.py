"""Generated pictures of one bright shape each, with class, box and mask: small enough to fit a network in seconds."""

import numpy as np

from coread.train.arrays import ArraySet
from coread.train.networks import NetworkPlan

SIDE = 32
CLASSES = ("round", "square")
TINY = NetworkPlan(widths=(8, 12, 16, 24), depths=(1, 1, 1, 1), map_width=16, stem_stride=2, map_stride=2, dropout=0.0)


def shapes(count: int, *, seed: int = 0, side: int = SIDE, channels: int = 1) -> ArraySet:
    """Return generated pictures with the targets ``type``, ``where``, ``region``, ``finding``, ``grade``, ``size``."""
    random = np.random.default_rng(seed)
    images = (random.random((count, channels, side, side)) * 80).astype(np.uint8)
    masks = np.zeros((count, side, side), dtype=np.uint8)
    types = random.integers(0, 2, count)
    boxes, sizes = [], []
    rows, columns = np.mgrid[0:side, 0:side]
    for i, kind in enumerate(types):
        width, height = random.integers(side // 4, side // 2, 2)
        x, y = int(random.integers(0, side - width)), int(random.integers(0, side - height))
        if kind:
            inside = (columns >= x) & (columns < x + width) & (rows >= y) & (rows < y + height)
        else:
            middle = (columns + 0.5 - x - width / 2) / (width / 2), (rows + 0.5 - y - height / 2) / (height / 2)
            inside = middle[0] ** 2 + middle[1] ** 2 < 1
        images[i][:, inside] = 200
        masks[i][inside] = 1
        boxes.append(np.array([[kind, x, y, x + width, y + height]], dtype=np.float32))
        sizes.append(float(width * height))
    area = np.array(sizes, dtype=np.float32)
    return ArraySet(
        images,
        {
            "type": types.astype(np.int64),
            "where": boxes,
            "region": masks,
            "finding": np.column_stack([types == 0, types == 1]).astype(np.float32),
            "grade": np.digitize(area, np.quantile(area, [0.33, 0.67])).astype(np.int64),
            "size": area[:, None],
        },
        [f"patient {i // 2}" for i in range(count)],
        [f"image {i}" for i in range(count)],
    )
