"""Radiographs that are no frontal chest: what an input gate must turn away."""

import itertools
from collections.abc import Callable

import numpy as np
from pydicom.dataset import Dataset

from coread.domain.errors import InvalidRecord
from coread.phantoms.dx import Acquisition, Identity, radiograph
from coread.phantoms.exposure import BONE_EXTRA_PER_CM, SOFT_PER_CM, Exposure, expose
from coread.phantoms.raster import Field, coloured_noise, hollow_tube, step

KINDS = ("hand", "lateral", "wedge")
_BITS = 12
_HALF_FIELD = 18.0


def other_radiograph(kind: str, *, seed: int = 1, rows: int = 1024) -> Dataset:
    """Return a hand, a lateral chest or a calibration step wedge as a DX object."""
    if kind not in _MAKERS:
        raise InvalidRecord(f"no phantom {kind!r}; there are {', '.join(KINDS)}")
    random = np.random.default_rng([seed, KINDS.index(kind)])
    axis = (np.arange(640) + 0.5) / 640 * 2 * _HALF_FIELD - _HALF_FIELD
    x, y = np.meshgrid(axis, axis)
    level = expose(_MAKERS[kind](x, y, random), rows, Exposure(half_field_cm=_HALF_FIELD), random)
    identity = Identity(
        patient_name=f"SYNTHETIC^{kind.upper()}{seed:02d}",
        patient_id=f"SYN-{kind.upper()}-{seed:02d}",
        accession_number=f"SYN{kind[:1].upper()}{seed:02d}",
        study_description=f"SYNTHETIC {kind}",
        series_description=f"SYNTHETIC {kind}",
        uid_seed=f"{kind}-{seed}-{rows}",
    )
    stored = np.rint(level * (2**_BITS - 1)).astype(np.uint16)
    return radiograph(stored, identity, _acquisition(kind, rows))


def hand_radiograph(*, seed: int = 1, rows: int = 1024) -> Dataset:
    """Return a radiograph of a hand."""
    return other_radiograph("hand", seed=seed, rows=rows)


def lateral_radiograph(*, seed: int = 1, rows: int = 1024) -> Dataset:
    """Return a lateral radiograph of a chest."""
    return other_radiograph("lateral", seed=seed, rows=rows)


def calibration_wedge(*, seed: int = 1, rows: int = 1024) -> Dataset:
    """Return a radiograph of a step wedge."""
    return other_radiograph("wedge", seed=seed, rows=rows)


def _acquisition(kind: str, rows: int) -> Acquisition:
    spacing = round(20 * _HALF_FIELD / rows, 4)
    if kind == "lateral":
        return Acquisition(
            view_position="LL", view_code=("399173006", "left lateral"), spacing_mm=spacing, bits=_BITS,
            patient_orientation=("P", "F"),
        )  # fmt: skip
    if kind == "hand":
        return Acquisition(
            body_part="HAND", anatomy=("85562004", "Hand"), laterality="R", spacing_mm=spacing, bits=_BITS
        )
    # A wedge says nothing of what it is, as quality-control images do: the reader's own gate has to see it.
    return Acquisition(
        body_part="", anatomy=("38266002", "Entire body"), view_position="", view_code=("", ""), spacing_mm=spacing,
        bits=_BITS,
    )  # fmt: skip


def _hand(x: Field, y: Field, random: np.random.Generator) -> Field:
    """A palm, four fingers and a thumb with their bones."""
    soft = 2.2 * np.sqrt(np.clip(1 - (x / 5.2) ** 4 - ((y - 5.0) / 5.6) ** 4, 0, 1))
    soft = np.maximum(soft, 3.4 * np.sqrt(np.clip(1 - (x / 3.6) ** 2, 0, 1)) * step(y - 9, 1.5))
    bone = sum(hollow_tube(x - at, 0.85, 0.25) * step(y - 10.5, 0.4) for at in (-1.35, 1.35))
    for finger, (base, tip) in enumerate(((-4.0, -8.0), (-1.4, -11.5), (1.3, -12.6), (4.0, -10.6))):
        lean = (base / 5.2) * 0.22 + 0.02 * random.standard_normal()
        centre = base + lean * (1.0 - y)
        soft = np.maximum(
            soft, 1.7 * np.sqrt(np.clip(1 - ((x - centre) / 1.05) ** 2, 0, 1)) * step(y - tip, 0.8) * step(2 - y, 1)
        )
        bone = bone + _phalanges(x - centre, y, tip + 0.6, finger)
    thumb = x - 5.0 - 0.55 * (5.5 - y)
    soft = np.maximum(soft, 1.9 * np.sqrt(np.clip(1 - (thumb / 1.4) ** 2, 0, 1)) * step(y + 1.5, 0.8) * step(8 - y, 1))
    bone = bone + hollow_tube(thumb, 0.55, 0.2) * step(y + 1.0, 0.4) * step(7 - y, 0.4)
    return np.asarray(SOFT_PER_CM * soft * 1.4 + BONE_EXTRA_PER_CM * 1.3 * bone)


def _phalanges(offset: Field, y: Field, tip: float, finger: int) -> Field:
    joints = np.linspace(tip, 8.2 - 0.2 * finger, 5)
    bone = np.zeros_like(y)
    for start, end in itertools.pairwise(joints):
        along = np.clip((y - start) / (end - start), 0, 1)
        radius = 0.42 + 0.22 * np.abs(2 * along - 1) ** 3
        shaft = 2 * (
            np.sqrt(np.maximum(radius**2 - offset**2, 0))
            - 0.75 * np.sqrt(np.maximum((radius - 0.16) ** 2 - offset**2, 0))
        )
        bone += shaft * step(y - start - 0.12, 0.15) * step(end - 0.12 - y, 0.15)
    return bone


def _lateral(x: Field, y: Field, random: np.random.Generator) -> Field:
    """A chest from the side: spine behind, sternum in front, one lung over the other, heart in the middle."""
    half = np.interp(y, [-18, -13, -9, -2, 8, 18], [5.0, 6.5, 10.5, 12.8, 12.8, 12.2])
    soft = (
        29
        * np.sqrt(np.clip(1 - (np.abs(x - 0.5) / half) ** 2.8, 0, 1))
        * np.interp(y, [-18, -10, 0], [0.45, 0.85, 1.0])
    )
    front, back = -9.4 + 0.28 * np.maximum(-y, 0) * 0.8, 9.6 - 0.035 * (y + 2) ** 2 * 0.35
    lung = step(x - front, 0.4) * step(back - x, 0.4) * step(y + 13.0, 1.0)
    lung = lung * step(4.6 + 0.38 * x + 0.03 * x**2 - y, 0.35)
    depth = 21 * lung * np.sqrt(np.clip(1 - ((x - 0.3) / 11.8) ** 4, 0, 1)) * np.clip((y + 15) / 12, 0.2, 1)
    heart = step(1 - ((x + 3.8 + 0.35 * (y - 2)) / 4.2) ** 2 - ((y - 1.6) / 5.2) ** 2, 0.2)
    arch = step(1 - ((x - 1.0) / 2.6) ** 2 - ((y + 7.5) / 2.4) ** 2, 0.2)
    depth = depth * (1 - 0.62 * np.maximum(heart, 0.5 * arch))
    spine_x = 8.4 - 0.018 * (y + 1) ** 2
    phase = np.mod(y, 2.5) / 2.5
    bone = 2.6 * step(1.7 - np.abs(x - spine_x), 0.25) * (1 - 0.5 * step(0.10 - np.minimum(phase, 1 - phase), 0.08))
    bone = bone + 1.1 * hollow_tube(x - front + 0.7, 0.55, 0.2) * step(y + 11.5, 0.6) * step(3.5 - y, 0.6)
    for number in range(9):
        start = -11.0 + 2.3 * number
        bone = bone + 0.55 * hollow_tube((y - start - 0.42 * (9 - x) - 0.012 * (9 - x) ** 2) / 1.1, 0.6, 0.16) * step(
            x + 9, 1.5
        ) * step(9.5 - x, 1)
    vessels = 0.35 * np.abs(coloured_noise(random, x.shape, 1.2)) * lung
    tissue = np.clip(soft - 0.76 * np.clip(depth - vessels, 0, None), 0, None)
    return np.asarray(0.8 * SOFT_PER_CM * tissue + BONE_EXTRA_PER_CM * bone)


def _wedge(x: Field, y: Field, random: np.random.Generator) -> Field:
    """Ten steps of metal, a ruler of holes, and a flat field around."""
    inside = (np.abs(x) < 12) & (np.abs(y) < 5)
    steps = np.floor((x + 12) / 2.4)
    holes = sum(((x - at) ** 2 + (y - 9.5) ** 2 < 0.3) * 1.0 for at in np.arange(-12, 13, 2.0))
    return np.asarray(0.5 + inside * 0.45 * steps + 1.5 * holes + 0.01 * coloured_noise(random, x.shape, 0.6))


_MAKERS: dict[str, Callable[[Field, Field, np.random.Generator], Field]] = {
    "hand": _hand,
    "lateral": _lateral,
    "wedge": _wedge,
}
