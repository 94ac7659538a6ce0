"""Blood and midline shift measured on generated heads of known truth: simulated, and chosen before anything was run.

The first cases were there to tune on; only the later ones are reported.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.phantoms.reference.errors import BadTruth
from coread.phantoms.reference.registry import made
from coread.phantoms.reference.scan import Setup
from coread.readers.head_ct_hemorrhage.blood import Grid
from coread.readers.head_ct_hemorrhage.outputs import SIDE
from coread.readers.head_ct_hemorrhage.preprocess import head_slices, network_input, windowed
from coread.readers.head_ct_hemorrhage.reader import measured
from coread.readers.head_ct_hemorrhage.scores import place_probabilities, slice_logits, study_logit

SPACING_MM = (5.0, 1.2, 1.2)
KINDS = ("epidural", "subdural", "subarachnoid", "intraparenchymal", "intraventricular")
NONE = "none"
_VOLUMES_ML = {
    "epidural": (4, 12, 30, 60), "subdural": (6, 15, 30, 70), "subarachnoid": (2, 5, 10, 18),
    "intraparenchymal": (1.5, 6, 20, 50), "intraventricular": (1.5, 4, 8, 14),
}  # fmt: skip
_SHIFTS_MM = (0, 0, 3, -4, 6, -7, 9)
Said = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From network inputs (S, 4, side, side) to logits of places (S, 1, side, side)."""


@dataclass(frozen=True, slots=True)
class Case:
    """One generated head."""

    kind: str
    volume_ml: float
    shift_mm: float
    words: tuple[str, ...]
    setup: Setup


def cases(seed: int, *, of_each: int, without: int) -> list[Case]:
    """Return cases of each type in the order of KINDS, then some without blood."""
    random = np.random.default_rng(seed)
    wanted = [
        (kind, _VOLUMES_ML[kind][number % 4] * random.uniform(0.8, 1.2)) for kind in KINDS for number in range(of_each)
    ]
    found = []
    for number, (kind, volume) in enumerate([*wanted, *[(NONE, 0.0)] * without]):
        shift = float(np.round(random.choice(_SHIFTS_MM) * random.uniform(0.8, 1.2), 1))
        words = [f"{one}_ml={volume if one == kind else 0:.2f}" for one in KINDS]
        words += [f"midline_shift_mm={shift}", f"side={'RL'[number % 2]}", f"subdural_side={'LR'[number % 2]}"]
        words.append(f"blood_hu={random.uniform(55, 75):.0f}")
        turns = [random.uniform(-most, most) for most in (10, 4, 12)]
        words.append("turn_degrees=" + ",".join(f"{turn:.0f}" for turn in turns))
        setup = Setup(seed=seed + number, spacing_mm=SPACING_MM, noise=float(random.uniform(3, 6)))
        found.append(Case(kind, volume, shift, tuple(words), setup))
    return found


TUNED_ON = cases(500, of_each=1, without=2)
REPORTED = cases(900, of_each=3, without=4)


def drawn(case: Case, kept: Path) -> NDArray[np.float32] | None:
    """Return HU (slices, rows, columns) of a case, kept in a file; ``None`` where the phantom cannot be drawn."""
    if kept.is_file():
        return np.asarray(np.load(kept)["hu"], dtype=np.float32)
    try:
        series = made("ct-head", list(case.words), case.setup).visits[0].series[0]
    except BadTruth:
        return None
    hu = np.stack([
        one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept) for one in series.datasets()
    ]).astype(np.float32)  # fmt: skip
    kept.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(kept, hu=hu)
    return hu


def measure(said: Said, chosen: Sequence[Case], folder: Path) -> list[dict[str, Any]]:
    """Return what is found in each case beside its truth; cases that cannot be drawn are left out."""
    table = []
    for case in chosen:
        hu = drawn(case, folder / f"{case.setup.seed}.npz")
        head = None if hu is None else head_slices(windowed(hu), SIDE)
        if head is None:
            continue
        places = place_probabilities(said(network_input(head.slices)))
        grid = Grid(head.square.side * SPACING_MM[1] / SIDE, SPACING_MM[0])
        blood, shift = measured(head, places, grid)
        table.append({
            "kind": case.kind, "volume_ml": round(case.volume_ml, 2), "shift_mm": case.shift_mm,
            "study_logit": round(study_logit(slice_logits(places)), 3),
            "found_ml": None if blood is None else round(blood.volume_ml, 2),
            "found_shift_mm": None if shift is None else round(shift, 2),
        })  # fmt: skip
    return table


def sentence(table: Sequence[dict[str, Any]], drawn_of: int) -> str:
    """Say how far volumes and shifts were off."""
    bleeding = [row for row in table if row["kind"] != NONE]
    sized = [row for row in bleeding if row["found_ml"] is not None]
    errors = np.array([row["found_ml"] - row["volume_ml"] for row in sized])
    shares = 100 * np.abs(errors) / np.array([row["volume_ml"] for row in sized])
    shifted = [row for row in table if row["found_shift_mm"] is not None]
    off = np.array([row["found_shift_mm"] - row["shift_mm"] for row in shifted])
    quiet = [row for row in table if row["kind"] == NONE]
    false = sum(row["found_ml"] is not None for row in quiet)
    return (
        f"Simulated: {len(table)} generated heads (ct-head; {drawn_of - len(table)} of {drawn_of} could not be drawn). "
        f"Volume given in {len(sized)} of {len(bleeding)} with blood ({_given(table)}): error mean "
        f"{errors.mean():+.1f} ml, median {np.median(shares):.0f} %, 95 % limits {_limits(errors)} ml; places of blood "
        f"in {false} of {len(quiet)} without. Midline shift given in {len(shifted)}: error mean {off.mean():+.1f} mm, "
        f"95 % limits {_limits(off)} mm."
    )


def _given(table: Sequence[dict[str, Any]]) -> str:
    return ", ".join(f"{kind} {one['measured']} of {one['heads']}" for kind, one in by_kind(table).items())


def _limits(errors: NDArray[np.float64]) -> str:
    return f"{np.percentile(errors, 2.5):+.1f} to {np.percentile(errors, 97.5):+.1f}"


def by_kind(table: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return how many of each kind were measured, and the mean error."""
    found: dict[str, Any] = {}
    for kind in KINDS:
        rows = [row for row in table if row["kind"] == kind]
        errors = [row["found_ml"] - row["volume_ml"] for row in rows if row["found_ml"] is not None]
        mean = round(float(np.mean(errors)), 2) if errors else None
        found[kind] = {"heads": len(rows), "measured": len(errors), "mean_error_ml": mean}
    return found


def stored(said: Said, folder: Path) -> list[dict[str, Any]]:
    """Return the table of the reported cases, measured once and kept in a folder."""
    path = folder / "measured.json"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(measure(said, REPORTED, folder), indent=1), encoding="utf-8")
    table: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    return table
