"""Lesions outlined from a box, a line or a point: ``python -m bench.lesion_outlines [--sarcoma D] [--out FILE]``.

Phantoms of other seeds, places, sizes, spacings and orientations than those the method was tuned on (seeds 3 and 4),
fixed before any was outlined. Prompts are drawn as people draw them: faces of boxes 5 % too far in to 12 % too far out,
ends of lines off by 3 % of the length, points anywhere in the inner 40 % of the depth.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.images import Volume
from coread.imaging.errors import ImagingRefused
from coread.imaging.header import scan_header
from coread.imaging.lesion_segmentation import segment_lesion
from coread.imaging.measuring import mask_diameters, mask_volume
from coread.imaging.prompts import BoxPrompt, LinePrompt, PointPrompt, Prompt, box_of_indices
from coread.imaging.volume import load_volume
from coread.phantoms.reference.registry import made
from coread.phantoms.reference.scan import Setup
from coread.statistics.overlap import dice

Mask = NDArray[np.bool_]
KINDS = ("box", "line", "point")


@dataclass(frozen=True, slots=True)
class Scene:
    """One phantom and which of its series is outlined in."""

    name: str
    truth: tuple[str, ...]
    setup: Setup
    series: int = 0


SCENES = (
    Scene("ct-lesions", (), Setup(seed=21, spacing_mm=(3.0, 0.9, 0.9))),
    Scene(
        "ct-lesions",
        ("volumes_ml=6,3,10,1", "places=liver-4,spleen,muscle,node", "doubling_days=0,0,0,0"),
        Setup(seed=22, spacing_mm=(2.0, 1.2, 1.2), orientation="sagittal", noise=15.0),
    ),
    Scene("ct-nodules", (), Setup(seed=21, spacing_mm=(1.5, 0.8, 0.8))),
    Scene(
        "ct-nodules",
        ("volumes_mm3=150,400,1200,3000", "kinds=solid,solid,ground-glass,solid"),
        Setup(seed=22, spacing_mm=(1.0, 0.7, 0.7), noise=30.0),
    ),
    Scene("mr-brain", ("lesions_ml=1.2,0.5,0.25",), Setup(seed=21, spacing_mm=(2.0, 1.0, 1.0)), series=1),
)


@dataclass(frozen=True, slots=True, eq=False)
class Lesion:
    """One lesion with its true volume."""

    name: str
    volume: Volume
    mask: Mask
    exact_ml: float


def lesions_of(scene: Scene) -> Iterator[Lesion]:
    """Yield the lesions of a phantom as it is read from its files."""
    visit = made(scene.name, scene.truth, scene.setup).visits[0]
    series: Any = visit.series[scene.series]
    with tempfile.TemporaryDirectory() as folder:
        sources = []
        for number, dataset in enumerate(series.datasets()):
            path = Path(folder) / f"{number:04d}.dcm"
            dataset.save_as(path, enforce_file_format=True)
            sources.append((path, scan_header(path)))
        volume = load_volume(sources)
    for structure in visit.structures:
        if structure.name.startswith(("lesion", "nodule")) and " solid" not in structure.name:
            exact = float(structure.document()["volume_ml"]["exact"])
            yield Lesion(f"{scene.name} {structure.name}", volume, np.asarray(series.mask(structure.name)), exact)


def prompts(volume: Volume, mask: Mask, random: np.random.Generator) -> dict[str, Prompt]:
    """Return a box, a line and a point for a true mask, as people would draw them."""
    from scipy import ndimage

    at = np.argwhere(mask)
    low, high = (tuple(float(v) for v in end) for end in (at.min(axis=0), at.max(axis=0)))
    tight = box_of_indices(volume.geometry, (low, high)).corners()  # type: ignore[arg-type]
    loose = tight + random.uniform(-0.05, 0.12, (2, 3)) * np.ptp(tight, axis=0) * [[-1.0], [1.0]]
    found = mask_diameters(mask, volume.geometry)
    ends = np.asarray(found.ends_mm) + random.normal(0, 0.03 * found.long_axis.value, (2, 3))
    depth = ndimage.distance_transform_edt(np.pad(mask, 1), sampling=volume.geometry.spacing_mm())[1:-1, 1:-1, 1:-1]
    inner = np.argwhere(depth >= 0.6 * depth.max())
    point = volume.geometry.to_patient(inner[[random.integers(len(inner))]])[0]
    return {
        "box": BoxPrompt(tuple(loose[0].tolist()), tuple(loose[1].tolist())),
        "line": LinePrompt(tuple(ends[0].tolist()), tuple(ends[1].tolist())),
        "point": PointPrompt(tuple(point.tolist())),
    }


def outlined(lesion: Lesion, random: np.random.Generator, kinds: Sequence[str] = KINDS) -> Iterator[dict[str, Any]]:
    """Yield for each prompt Dice, relative error of the volume, clearness and seconds, or the refusal."""
    for kind, prompt in prompts(lesion.volume, lesion.mask, random).items():
        if kind not in kinds:
            continue
        row: dict[str, Any] = {"lesion": lesion.name, "exact_ml": round(lesion.exact_ml, 4), "prompt": kind}
        began = time.perf_counter()
        try:
            found = segment_lesion(lesion.volume, prompt)
        except ImagingRefused as problem:
            yield row | {"refused": str(problem)}
            continue
        size = mask_volume(found.mask, lesion.volume.geometry).value
        yield row | {
            "dice": round(dice(lesion.mask, found.mask), 4),
            "volume_error": round(size / lesion.exact_ml - 1, 4),
            "clearness": round(found.clearness, 3),
            "seconds": round(time.perf_counter() - began, 2),
        }


def summary(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return by prompt how many were within a tenth of the true volume, mean Dice of those outlined, and refusals."""
    found = {}
    for kind in KINDS:
        own = [row for row in rows if row["prompt"] == kind]
        done = [row for row in own if "dice" in row]
        if not own:
            continue
        errors = np.array([row["volume_error"] for row in done])
        found[kind] = {
            "lesions": len(own),
            "refused": len(own) - len(done),
            "within_10_percent": int((np.abs(errors) <= 0.1).sum()),
            "mean_dice_of_outlined": round(float(np.mean([row["dice"] for row in done])), 3) if done else None,
            "lowest_dice": min((row["dice"] for row in done), default=None),
            "mean_absolute_volume_error": round(float(np.abs(errors).mean()), 3) if done else None,
        }
    return found


def main() -> None:
    """Outline every lesion of the scenes, and sarcomas that nothing was tuned on where they are at hand."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sarcoma", type=Path, help="folder of ct_sarcoma: the held-out patients are outlined too")
    parser.add_argument("--out", type=Path, default=Path("lesion_outlines.json"))
    asked = parser.parse_args()
    random = np.random.default_rng(20261129)
    rows = [row for scene in SCENES for lesion in lesions_of(scene) for row in outlined(lesion, random)]
    document: dict[str, Any] = {"phantoms": summary(rows), "phantom_rows": rows}
    if asked.sarcoma is not None:
        from coread.readers.tumor_volume.cohort import read_cases

        cases = read_cases(asked.sarcoma, held_out=True)
        real = [
            row
            for case in cases
            for row in outlined(
                Lesion(case.patient, case.volume, case.mask, mask_volume(case.mask, case.volume.geometry).value), random
            )
        ]
        document |= {"sarcoma": summary(real), "sarcoma_rows": real}
    asked.out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps({key: document[key] for key in ("phantoms", "sarcoma") if key in document}, indent=1))


if __name__ == "__main__":
    main()
