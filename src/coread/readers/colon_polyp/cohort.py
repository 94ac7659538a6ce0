"""The colonoscopy set as arrays to learn from and as a cohort to be measured on."""

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.imaging.stretch import stretched
from coread.readers.colon_polyp.outputs import AREA, POLYP, SIDE
from coread.train.arrays import ArraySet
from coread.train.pictures import PictureStore
from coread.train.splits import held_out

SET = "colon_polyps"
ARCHIVE = "images.zip"
WRAP = {"modality": "ES", "body_part": "COLON", "colour": "rgb"}


@dataclass(frozen=True, slots=True)
class Frame:
    """One row of the set's index."""

    image: str
    mask: str
    boxes: tuple[tuple[float, float, float, float], ...]

    @property
    def held_out(self) -> bool:
        """Whether the frame belongs to the fixed test part; frames carry no patient, so each stands for itself."""
        return held_out(SET, self.image)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What is learned from, with each frame's mask and boxes at full size."""

    data: ArraySet
    frames: tuple[Frame, ...]
    masks: tuple[NDArray[np.bool_], ...]


def read_frames(folder: Path) -> tuple[Frame, ...]:
    """Read the index of the set."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as opened:
        return tuple(
            Frame(row["image"], row["mask"], tuple((b[0], b[1], b[2], b[3]) for b in json.loads(row["boxes_xyxy"])))
            for row in csv.DictReader(opened)
        )


def read_learned(folder: Path, limit: int = 0) -> Learned:
    """Decode the frames that are not held out (about ``limit`` of them), through the reader's own path."""
    frames = tuple(frame for frame in read_frames(folder) if not frame.held_out)
    frames = frames[:: max(1, len(frames) // limit)] if limit else frames
    images, areas, masks = [], [], []
    with PictureStore(folder) as store:
        for frame in frames:
            pixels = np.divide(store.pixels(f"{ARCHIVE}!{frame.image}"), 255, dtype=np.float32)
            mask = store.pixels(f"{ARCHIVE}!{frame.mask}") > 0
            images.append(np.rint(stretched(pixels, SIDE) * 255).astype(np.uint8))
            areas.append((stretched(mask.astype(np.float32), SIDE)[0] >= 0.5).astype(np.uint8))
            masks.append(mask)
    names = [frame.image for frame in frames]
    data = ArraySet(np.stack(images), {AREA: np.stack(areas)}, groups=names, keys=names)
    return Learned(data, frames, tuple(masks))


def cohort_rows(folder: Path) -> list[dict[str, Any]]:
    """Return the held-out frames as rows of a cohort."""
    return [
        {
            "case_id": Path(frame.image).stem,
            "patient_id": Path(frame.image).stem,
            "files": f"{ARCHIVE}!{frame.image}",
            f"truth:{POLYP}": True,
            "boxes": [[POLYP, *box] for box in frame.boxes],
            "mask:Polyp": f"{ARCHIVE}!{frame.mask}",
        }
        for frame in read_frames(folder)
        if frame.held_out
    ]
