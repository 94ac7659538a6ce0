"""Measures the reader on simulated chests: what it finds, what else it calls, volumes, repeats, and two dates."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from coread.domain.reading import ModelSession
from coread.readers.lung_nodule.followup import Errors, FollowUp, follow
from coread.readers.lung_nodule.frame import framed
from coread.readers.lung_nodule.nodules import Nodule, Scan, nodules_of, opened
from coread.readers.lung_nodule.outline import outlined
from coread.readers.lung_nodule.outputs import HEAD, INPUT, NODULE, TURNS
from coread.readers.lung_nodule.packaging import CASES, Case, Drawn, drawn, scanned
from coread.readers.lung_nodule.patches import patches, turned

FLOOR = 0.02
"""Lowest probability whose calls are outlined for the FROC curve."""
REPEATED_FROM_MM3 = 60.0
"""Smaller nodules are searched for, but their volumes are not repeated: the errors on the card are of those above."""
REPEATS = ((2, 22.0, 0.9), (3, 22.0, 0.9), (4, 40.0, 0.9), (5, 22.0, 1.6))
"""Seed, noise in HU and kernel in mm of the repeats."""


def measured(session: ModelSession, work: Path, threshold: float, cases: Sequence[Case] = CASES) -> dict[str, Any]:
    """Return all rows; each scan's is kept in the work folder and not measured twice. ``session`` is that of the
    reader of single patches, whose network the package takes over."""
    rows: dict[str, Any] = {}
    for case in cases:
        kept = work / f"measured-{case.name}.json"
        if not kept.is_file():
            kept.write_text(json.dumps(_case(session, case, work, threshold)), encoding="utf-8")
        rows[case.name] = json.loads(kept.read_text(encoding="utf-8"))
    return rows


def _case(session: ModelSession, case: Case, work: Path, threshold: float) -> dict[str, Any]:
    scene = drawn(case, 0, work)
    scan = _opened(scene)
    probabilities = _said(session, scan)
    found = nodules_of(scan, probabilities, FLOOR)
    row: dict[str, Any] = {"spacing_mm": case.spacing_mm, "lung_ml": scan.lungs.volume_ml, **_scored(scene, found)}
    row["repeats"] = _repeats(scene, scan)
    if case.growth:
        later = drawn(case, 1, work)
        now = _opened(later)
        calls = nodules_of(now, _said(session, now), FLOOR)
        row["later"] = _scored(later, calls)
        row["follow_up"] = _followed(scan, now, later, [_above(found, threshold), _above(calls, threshold)])
    return row


def _opened(scene: Drawn) -> Scan:
    scan = opened(scanned(scene, 1, noise=scene.case.noise, kernel_mm=scene.case.kernel_mm))
    if isinstance(scan, str):
        raise ValueError(f"{scene.case.name}: {scan}")
    return scan


def _said(session: ModelSession, scan: Scan) -> list[float]:
    if not scan.candidates:
        return []
    said = session.run("network", {INPUT: turned(patches(scan.frame, scan.candidates))})[HEAD]
    logits = np.asarray(said, dtype=np.float64).reshape(TURNS, -1).mean(axis=0)
    return [session.calibrate(NODULE, float(logit)) for logit in logits]


def _above(found: Sequence[Nodule], threshold: float) -> tuple[Nodule, ...]:
    return tuple(one for one in found if one.probability >= threshold)


def _scored(scene: Drawn, found: Sequence[Nodule]) -> dict[str, Any]:
    """Return for each known nodule what was said of it, and the probabilities of all other calls."""
    taken: set[int] = set()
    rows = []
    for known in scene.known:
        reach = max(3.0, (known.volume_mm3 * 0.75 / np.pi) ** (1 / 3))
        near = [(float(np.linalg.norm(one.outline.center - known.center_mm)), n) for n, one in enumerate(found)]
        hit = min((item for item in near if item[0] <= reach), default=None)
        row: dict[str, Any] = {"kind": known.kind, "volume_mm3": known.volume_mm3, "solid_mm3": known.solid_mm3}
        if hit is not None:
            one = found[hit[1]]
            taken.add(hit[1])
            row |= {
                "probability": one.probability, "said_mm3": one.outline.volume_mm3, "said_kind": one.outline.density,
                "said_solid_mm3": one.outline.solid_mm3, "off_mm": hit[0], "side": one.side, "lobe": known.lobe,
                "said_lobe": one.lobe,
                "mask_mm3": float(one.outline.mask.sum() * np.prod(one.outline.geometry.spacing_mm())),
            }  # fmt: skip
        rows.append(row)
    others = [one.probability for n, one in enumerate(found) if n not in taken]
    return {"nodules": rows, "others": others}


def _repeats(scene: Drawn, scan: Scan) -> list[dict[str, Any]]:
    """Outline the same nodules on scans with noise of their own, from places that differ by up to 0.7 mm."""
    random = np.random.default_rng(scene.case.seed)
    known_here = [known for known in scene.known if known.volume_mm3 >= REPEATED_FROM_MM3]
    rows: list[dict[str, Any]] = [{"kind": k.kind, "volume_mm3": k.volume_mm3, "said": []} for k in known_here]
    if not rows:
        return rows
    for seed, noise, kernel in REPEATS:
        frame = framed(scanned(scene, seed, noise=noise, kernel_mm=kernel))
        for known, row in zip(known_here, rows, strict=True):
            distance, radius = min(
                (float(np.linalg.norm(np.subtract(c.place, known.center_mm))), c.radius_mm) for c in scan.candidates
            )
            moved = np.asarray(known.center_mm) + random.uniform(-0.7, 0.7, 3)
            place = (float(moved[0]), float(moved[1]), float(moved[2]))
            drawn_now = outlined(frame, scan.lungs, place, radius) if distance < 8 else None
            said = None if drawn_now is None else drawn_now.volume_mm3
            row["said"].append({"noise": noise, "kernel": kernel, "mm3": said,
                                "kind": None if drawn_now is None else drawn_now.density})  # fmt: skip
    return rows


def _followed(before: Scan, now: Scan, later: Drawn, found: list[tuple[Nodule, ...]]) -> dict[str, Any]:
    """Return what the comparison says of each known nodule."""
    kinds = ("solid", "part-solid", "ground-glass")
    errors = Errors(dict.fromkeys(kinds, 0.25), dict.fromkeys(kinds, 0.25))
    said = follow(before, now, found[0], found[1], errors)
    if not isinstance(said, FollowUp):
        return {"refused": said.text()}
    growth = later.case.growth
    rows = []
    for known in later.known:
        pair = [one for one in said.compared if float(np.linalg.norm(one.after.outline.center - known.center_mm)) < 5]
        row: dict[str, Any] = {"known": growth[known.number - 1], "matched": bool(pair), "kind": known.kind}
        if pair:
            row |= {"before_mm3": pair[0].change.before, "after_mm3": pair[0].change.after, "days": said.days,
                    "doubling_days": pair[0].doubling.days if pair[0].doubling else None}  # fmt: skip
        rows.append(row)
    return {
        "rows": rows, "overlap": said.overlap, "new": len(said.new), "pairs": len(said.compared),
        "vanished": [one.outline.volume_mm3 for one in said.vanished], "outside": len(said.outside),
    }  # fmt: skip
