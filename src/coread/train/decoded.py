"""Decoded images as memory-mapped arrays, made once per data and plan: loading is never what a fit waits for."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.errors import CoreadError
from coread.imaging.stretch import stretched
from coread.train.arrays import PickedRows, StackedChannels
from coread.train.datasets import ImageIndex, ImageRow
from coread.train.errors import CorruptImage, DataMissing
from coread.train.pictures import PictureStore, Place, digested_whole
from coread.train.recipes import HeadSource, ImagePlan
from coread.train.targets import UNKNOWN_MASK, mask_labels, nothing_to_find
from coread.train.tasks import Segmentation

ABOUT = "about.json"
SCHEMA = 2
"""Raised whenever a stored image would be decoded to other numbers."""
Progress = Callable[[int, int], None]
_SHOWN = 3


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """Images and masks of an index as arrays on disk, row by row of the index."""

    images: NDArray[np.uint8] | StackedChannels
    """(N, C, *side) memory-mapped."""
    masks: dict[str, NDArray[np.uint8] | PickedRows]
    """By head, (N, *side) memory-mapped, 255 where nobody looked."""
    shapes: NDArray[np.int64]
    """(N, 2) rows and columns as stored."""
    damaged: dict[int, str]
    """Row to reason: images that could not be opened."""


def decode_index(
    index: ImageIndex, plan: ImagePlan, sources: Sequence[HeadSource], cache: Path, progress: Progress
) -> Decoded:
    """Return the decoded images, from ``cache`` when they were decoded before; other processes wait meanwhile."""
    masks = [source for source in sources if isinstance(source.head, Segmentation)]
    folder = cache / cache_key(index, plan, masks)
    cache.mkdir(parents=True, exist_ok=True)
    with _only_one(cache / f"{folder.name}.lock"):
        # A damaged image may have been mended since: then everything is decoded again.
        if not folder.is_dir() or json.loads((folder / ABOUT).read_text(encoding="utf-8"))["damaged"]:
            _decode(index, plan, masks, folder, progress)
    about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
    return Decoded(
        images=np.load(folder / "images.npy", mmap_mode="r"),
        masks={s.head.name: np.load(folder / f"mask_{s.head.name}.npy", mmap_mode="r") for s in masks},
        shapes=np.load(folder / "shapes.npy"),
        damaged={int(row): str(reason) for row, reason in about["damaged"].items()},
    )


def cache_key(index: ImageIndex, plan: ImagePlan, masks: Sequence[HeadSource]) -> str:
    """Return a name that changes with the rows, their order, and everything that decides the decoded numbers."""
    body = {
        "schema": SCHEMA,
        "rows": [
            [row.image_id, row.path, row.sha256, row.mask, index.mask_digests.get(row.mask, "")] for row in index.rows
        ],
        "root": str(index.root),
        "digest": index.digest,
        "plan": {name: value for name, value in asdict(plan).items() if name != "channels"},
        "masks": [[s.head.name, list(getattr(s.head, "classes", ())), s.complete, list(s.empty_when)] for s in masks],
    }
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()[:24]


def _decode(index: ImageIndex, plan: ImagePlan, masks: Sequence[HeadSource], folder: Path, progress: Progress) -> None:
    part = folder.with_name(f"{folder.name}.part")
    part.mkdir(exist_ok=True)
    count = len(index.rows)

    def array(name: str, *shape: int) -> NDArray[np.uint8]:
        made: NDArray[np.uint8] = np.lib.format.open_memmap(
            part / f"{name}.npy", mode="w+", dtype=np.uint8, shape=(count, *shape)
        )
        return made

    images = array("images", 3 if plan.colour else 1, *plan.side)
    drawn = {source.head.name: array(f"mask_{source.head.name}", *plan.side) for source in masks}
    shapes = np.zeros((count, 2), dtype=np.int64)
    damaged: dict[int, str] = {}
    with PictureStore.of(index) as store, ThreadPoolExecutor(max(1, os.cpu_count() or 1)) as pool:
        proof = _Proof(store)

        def one(number: int) -> tuple[int, str]:
            row = index.rows[number]
            try:
                pixels = display_values(store, row, plan)
                images[number] = to_side(pixels, plan)
                shapes[number] = pixels.shape[-2:] if len(plan.side) == 3 else pixels.shape[:2]
                for source in masks:
                    drawn[source.head.name][number] = _mask(store, row, source, plan)
                proof.check(row.path, row.sha256)
                if masks and row.mask:
                    proof.check(row.mask, index.mask_digests.get(row.mask, ""))
            except (DataMissing, CorruptImage) as problem:
                return number, str(problem)
            except CoreadError as problem:  # what imaging refuses: the image cannot be learned from either
                return number, f"{row.path}: {problem}"
            return number, ""

        for done, (number, problem) in enumerate(pool.map(one, range(count)), start=1):
            if problem:
                damaged[number] = problem
            progress(done, count)
    for mapped in (images, *drawn.values()):
        if isinstance(mapped, np.memmap):
            mapped.flush()
    np.save(part / "shapes.npy", shapes)
    about = {"data set": index.name, "images": count, "damaged": {str(k): v for k, v in damaged.items()}}
    (part / ABOUT).write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    part.replace(folder)


class _Proof:
    """Compares what is opened with the digests of the index; a film of many frames is digested once."""

    def __init__(self, store: PictureStore) -> None:
        self._store = store
        self._of_files: dict[str, str] = {}

    def check(self, path: str, digest: str) -> None:
        """Raise CorruptImage when the file is another one than when the set was built; an empty digest says nothing."""
        if digest and self._digest(path) != digest:
            raise CorruptImage(f"{path} is not the file that the data set was built from: its SHA-256 is another")

    def _digest(self, path: str) -> str:
        if not digested_whole(path):
            return self._store.sha256(path)
        file = Place.of(path).file
        if file not in self._of_files:
            self._of_files[file] = self._store.sha256(path)
        return self._of_files[file]


def raise_damaged(index: ImageIndex, damaged: dict[int, str]) -> None:
    """Raise CorruptImage that names the first images that cannot be opened and what to do."""
    if not damaged:
        return
    first = "; ".join(f"{index.rows[row].image_id}: {damaged[row]}" for row in sorted(damaged)[:_SHOWN])
    more = f" and {len(damaged) - _SHOWN} more" if len(damaged) > _SHOWN else ""
    raise CorruptImage(
        f"{len(damaged)} of {len(index.rows)} images of {index.name} cannot be opened: {first}{more}. Mend them, name "
        "them under skip, or set skip_damaged = true"
    )


def display_values(store: PictureStore, row: ImageRow, plan: ImagePlan) -> NDArray[np.float32]:
    """Return an image in [0, 1]: (rows, columns), (rows, columns, 3) or (slices, rows, columns)."""
    place = Place.of(row.path)
    if plan.window is None and not place.member and Path(place.file).suffix.lower() in (".dcm", ""):
        return _shown(store.file(row.path), max(0, place.entry) + 1, colour=plan.colour)
    stored = store.pixels(row.path)
    colour = stored.ndim == 3 and stored.shape[-1] in (3, 4) and len(plan.side) == 2
    if colour and not plan.colour:
        stored = stored[..., :3].astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
        return _scaled(stored, (0.0, 255.0) if plan.window is None else plan.window)
    if plan.colour and not colour:
        stored = np.repeat(stored[..., None], 3, axis=-1)
    wanted = 3 if plan.colour else len(plan.side)
    if stored.ndim != wanted:
        raise CorruptImage(f"{row.path} has axes {stored.shape}; images.side asks for {len(plan.side)} of space")
    if plan.window is not None:
        return _scaled(stored[..., :3] if colour else stored, plan.window)
    if stored.dtype == np.uint8:
        return _scaled(stored[..., :3] if colour else stored, (0.0, 255.0))
    low, high = np.percentile(stored, [0.5, 99.5])
    return _scaled(stored, (float(low), float(high) if high > low else float(low) + 1.0))


def to_side(pixels: NDArray[np.float32], plan: ImagePlan) -> NDArray[np.uint8]:
    """Return (C, *side) uint8; squares by the very function that readers use."""
    if len(plan.side) == 2 and plan.side[0] == plan.side[1]:
        made = stretched(pixels, plan.side[0])
        return np.rint(made * 255).astype(np.uint8)
    import torch
    from torch.nn import functional

    planes = np.moveaxis(pixels, 2, 0) if plan.colour else pixels[None]
    whole = torch.from_numpy(np.ascontiguousarray(planes, dtype=np.float32))[None]
    smaller = all(side <= had for side, had in zip(plan.side, whole.shape[2:], strict=True))
    mode = "area" if smaller else "trilinear" if len(plan.side) == 3 else "bilinear"
    made = functional.interpolate(whole, size=plan.side, mode=mode)[0].numpy()
    return np.rint(np.clip(made, 0, 1) * 255).astype(np.uint8)


def _shown(file: Path, frame: int, *, colour: bool) -> NDArray[np.float32]:
    from coread.imaging.header import scan_header
    from coread.imaging.planar import load_planar

    image = load_planar(file, scan_header(file), frame)
    if colour:
        return image.colour if image.colour is not None else np.repeat(image.pixels[..., None], 3, axis=-1)
    return image.pixels


def _scaled(values: NDArray[Any], window: tuple[float, float]) -> NDArray[np.float32]:
    scaled = (values.astype(np.float32) - np.float32(window[0])) / np.float32(window[1] - window[0])
    return np.clip(scaled, 0, 1, out=scaled)


def _mask(store: PictureStore, row: ImageRow, source: HeadSource, plan: ImagePlan) -> NDArray[np.uint8]:
    if not row.mask:
        return np.full(plan.side, 0 if nothing_to_find(source, row) else UNKNOWN_MASK, dtype=np.uint8)
    labels = mask_labels(source, store.pixels(row.mask), row.covariates.get("classes"))
    if labels.ndim != len(plan.side):
        raise CorruptImage(f"{row.mask} has axes {labels.shape}; the image has {len(plan.side)} of space")
    # The middle of each cell of the network's image, looked up in the stored mask.
    at = [
        np.minimum(((np.arange(side) + 0.5) * had / side).astype(int), had - 1)
        for side, had in zip(plan.side, labels.shape, strict=True)
    ]
    return labels[np.ix_(*at)]


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    with path.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(stream, fcntl.LOCK_UN)
