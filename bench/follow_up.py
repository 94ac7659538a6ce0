"""Follow-up reader: how its package is locked and measured, ``python -m bench.follow_up [--only-lock|--only-measure]``.

Nothing is learnt. Phantoms of two dates with lesions that grow, shrink, stay, appear and vanish are compared with what
they state; the outlines of the first date are given as they would be by another reader. Scan-rescan phantoms give the
repeatability. ``--flair FOLDER`` measures new FLAIR lesions on the patients of ``brain_mr_ms``, tuned on the other one.
"""

import argparse
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from coread.domain.codes import Code
from coread.domain.findings import Region, TrackingId
from coread.domain.identifiers import derived_uid
from coread.domain.images import Quantity, Volume
from coread.domain.reading import ModelSession, Prepared, Prior, ReaderInputs
from coread.domain.results import Refusal
from coread.engine.samples import study_of
from coread.imaging.change import Verdict
from coread.imaging.header import scan_header
from coread.models.golden import save_golden_case
from coread.models.session import open_session
from coread.phantoms.reference.made import Made, Visit
from coread.phantoms.reference.objects import ReferenceSeries
from coread.phantoms.reference.registry import made
from coread.phantoms.reference.scan import Setup
from coread.readers import follow_up
from coread.readers.card_file import read_card
from coread.readers.follow_up import words
from coread.readers.follow_up.known import State, followed
from coread.readers.follow_up.reader import FollowUpReader, reader
from coread.readers.follow_up.report import Seen
from coread.readers.follow_up.response import days_between, followed_of
from coread.train.reader_folder import lock_whole

FOLDER = Path(follow_up.__file__).parent
_FIVE = ("places=liver-7,liver-4,spleen,retroperitoneum,node",)
_STILL = "doubling_days=0,0,0,0,0"
_OTHER_PLACE = ("move_mm=-6,8,-12", "turn_degrees=-3,2,-4")


@dataclass(frozen=True, slots=True)
class Case:
    """One phantom."""

    truth: tuple[str, ...]
    setup: Setup


def _case(seed: int, *truth: str, **setup: Any) -> Case:
    return Case((*_FIVE, *truth), Setup(seed=seed, **setup))


TUNED: tuple[Case, ...] = (
    Case((), Setup(seed=401, spacing_mm=(3.0, 1.0, 1.0))),
    _case(402, "volumes_ml=8,3,5,15,1.5", "doubling_days=150,-100,0,300,90", "vanished=5", "new_ml=3",
          "new_places=liver-6", spacing_mm=(5.0, 0.9, 0.9)),
)  # fmt: skip
"""Looked at while the outline was made; not reported."""
REPEATED: tuple[Case, ...] = (
    _case(411, "volumes_ml=6,2,4,15,1", _STILL, spacing_mm=(3.0, 1.0, 1.0)),
    _case(412, "volumes_ml=3,8,1.5,6,2", _STILL, spacing_mm=(5.0, 0.9, 0.9), noise=18.0),
    _case(413, "volumes_ml=12,1,2.5,25,3", _STILL, spacing_mm=(2.0, 1.2, 1.2), noise=25.0),
    _case(414, "volumes_ml=1.5,4,8,10,1.5", _STILL, *_OTHER_PLACE, spacing_mm=(4.0, 1.0, 1.0), kernel_mm=2.0),
)
"""Nothing changes but noise and position: these give the repeatability coefficient."""
REPORTED: tuple[Case, ...] = (
    _case(421, "volumes_ml=6,2,4,15,1", "doubling_days=90,0,180,-90,120", spacing_mm=(3.0, 1.0, 1.0)),
    _case(422, "volumes_ml=4,6,2,8,2", "doubling_days=0,-60,100,0,200", "vanished=5", spacing_mm=(5.0, 0.8, 0.8),
          noise=20.0),
    _case(423, "volumes_ml=10,3,1.5,20,1.5", "doubling_days=300,150,0,90,0", "new_ml=2", "new_places=liver-6",
          spacing_mm=(2.5, 1.2, 1.2)),
    _case(424, "volumes_ml=2,4,6,12,3", "doubling_days=-90,-180,0,-60,0", "move_mm=-8,5,10", "turn_degrees=4,-3,-5",
          spacing_mm=(4.0, 1.0, 1.0)),
    _case(425, "volumes_ml=8,8,3,5,1", "doubling_days=120,0,0,-150,90", "new_ml=1", "new_places=liver-6",
          spacing_mm=(3.0, 1.0, 1.0), noise=22.0, orientation="coronal"),
    _case(426, "volumes_ml=5,1.5,8,10,2", _STILL, spacing_mm=(3.0, 1.5, 1.5), kernel_mm=2.0),
)  # fmt: skip
"""Chosen before the reader was written; none was looked at before it was locked."""
GOLDEN = _case(431, "volumes_ml=3,2,2,5,2", "doubling_days=90,0,0,0,0", spacing_mm=(5.0, 1.5, 1.5))

Make = Callable[[Case], Made]


def phantom(case: Case) -> Made:
    """Compute a phantom."""
    return made("ct-lesions", case.truth, case.setup)


def inputs_of(found: Made) -> ReaderInputs:
    """Return the second date as current study and the first as prior, with the outlines of its lesions."""
    volumes = [loaded_visit(visit) for visit in found.visits]
    regions = tuple(_regions(found.visits[0], volumes[0]))
    prior = Prior(study_of(volumes[0].headers), volumes=(volumes[0],), regions=regions)
    return ReaderInputs(study_of(volumes[1].headers), volumes=(volumes[1],), priors=(prior,))


def loaded_visit(visit: Visit) -> Volume:
    """Return the volume as it was rendered, in whole Hounsfield units as files hold them."""
    series = _drawn(visit)
    headers = []
    with tempfile.TemporaryDirectory() as folder:
        for number, dataset in enumerate(series.datasets()):
            path = Path(folder) / f"{number:04d}.dcm"
            dataset.save_as(path, enforce_file_format=True)
            headers.append(scan_header(path))
    values = np.rint(series.voxels).astype(np.float32)
    return Volume(values, Quantity.HOUNSFIELD, series.grid.geometry, tuple(headers))


def _drawn(visit: Visit) -> ReferenceSeries:
    series = visit.series[0]
    if not isinstance(series, ReferenceSeries):
        raise TypeError("the phantom is no volume")
    return series


def _regions(visit: Visit, volume: Volume) -> Iterator[Region]:
    for structure in visit.structures:
        mask = _drawn(visit).mask(structure.name)
        tracking = TrackingId(structure.name, derived_uid("follow-up-bench", structure.name))
        kind = Code("52988006", "SCT", "Lesion")
        yield Region(structure.name, words.ABNORMAL, kind, mask, volume.references(), tracking, volume.geometry)


def rows_of(session: ModelSession, subject: FollowUpReader, inputs: ReaderInputs) -> dict[str, Any]:
    """Return by lesion its state, both volumes, diameters and verdicts; or why nothing was read."""
    prepared = subject.prepare(inputs)
    if isinstance(prepared, Refusal):
        return {"refused": prepared.reason.text()}
    prepared = _unsearched(prepared)
    outputs = subject.infer(session, prepared)
    ending = subject.interpret(session, prepared, outputs)
    if isinstance(ending, Refusal):
        return {"refused": ending.reason.text()}
    return {
        "lesions": _lesions(session, prepared, outputs),
        "findings": {item.key: item.presence.value for item in ending.findings},
        "notes": list(ending.notes),
    }


def _unsearched(prepared: Prepared) -> Prepared:
    """Leave out the search for new lesions, which ``bench.follow_up_new`` measures."""
    seen: Seen = prepared.context
    arrays = {name: values for name, values in prepared.arrays.items() if not name.startswith("ct_")}
    return Prepared(arrays, replace(seen, fresh=None))


def _lesions(session: ModelSession, prepared: Prepared, outputs: Mapping[str, Any]) -> dict[str, Any]:
    seen: Seen = prepared.context
    days = days_between(seen.before_study, seen.study)
    found: dict[str, Any] = {}
    for number, site in enumerate(seen.sites):
        state = State(int(outputs[f"state_{number}"][0]))
        row: dict[str, Any] = {"state": state.name}
        if state in (State.FOLLOWED, State.GONE):
            masks = (np.asarray(outputs[f"was_{number}"], bool), np.asarray(outputs[f"is_{number}"], bool))
            one = followed_of(number, site, masks, days, session.parameters["repeatability"], cut=False)
            row |= {
                "ml": [round(one.volume.before, 3), round(one.volume.after, 3)],
                "mm": [round(one.long_mm.before, 2), round(one.long_mm.after, 2)],
                "verdict": one.volume.verdict.value,
                "doubling_days": round(one.doubling.days, 1) if one.doubling else None,
            }
        found[site.lesion.label] = row
    return found


def measured(
    session: ModelSession, subject: FollowUpReader, cases: Sequence[Case], make: Make = phantom
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """Yield for each phantom what was found beside what it states."""
    for case in cases:
        found = make(case)
        row = {"truth": list(case.truth), "seed": case.setup.seed, "changes": list(found.changes["lesions"])}
        row |= rows_of(session, subject, inputs_of(found))
        print(json.dumps(row), flush=True)
        yield row


def repeatability(rows: Sequence[Mapping[str, Any]], small_below_ml: float) -> dict[str, Any]:
    """Return 1.96 times the root mean square of relative differences, for volumes and diameters, by size."""
    pairs: dict[str, dict[str, list[float]]] = {"volume": {}, "diameter": {}}
    for row in rows:
        for lesion in row.get("lesions", {}).values():
            if lesion["state"] != State.FOLLOWED.name:
                continue
            size = "small" if lesion["ml"][0] < small_below_ml else "large"
            for kind, key in (("volume", "ml"), ("diameter", "mm")):
                before, after = lesion[key]
                pairs[kind].setdefault(size, []).append(2 * (after - before) / (after + before))
    return {
        kind: {
            size: {"coefficient": round(1.96 * float(np.sqrt(np.mean(np.square(values)))), 3), "pairs": len(values)}
            for size, values in sorted(sizes.items())
        }
        for kind, sizes in pairs.items()
    }


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return errors of volume and of change, verdicts against what was stated, and what was not followed."""
    errors, changes, calls, states = [], [], [], []
    for row in rows:
        for truth in row["changes"]:
            lesion = row.get("lesions", {}).get(truth["name"])
            if truth["state"] == "new":
                continue
            states.append((truth["state"], lesion["state"] if lesion else "NOT_READ"))
            if lesion is None or lesion["state"] != "FOLLOWED" or truth["state"] != "persistent":
                continue
            stated = (truth["volume_before_ml"], truth["volume_after_ml"])
            errors += [100 * (got / true - 1) for got, true in zip(lesion["ml"], stated, strict=True)]
            changes.append(100 * (lesion["ml"][1] / lesion["ml"][0] - stated[1] / stated[0]))
            calls.append((100 * (stated[1] / stated[0] - 1), lesion["verdict"]))
    spread = np.abs(errors)
    return {
        "phantoms": len(rows),
        "refused": sum("refused" in row for row in rows),
        "states": {f"{one} -> {other}": states.count((one, other)) for one, other in sorted(set(states))},
        "volumes": len(errors),
        "volume_error_percent": {
            "mean": round(float(np.mean(errors)), 1),
            "median_absolute": round(float(np.median(spread)), 1),
            "largest": round(float(spread.max()), 1),
            "within_10_percent": int((spread <= 10).sum()),
        },
        "change_error_points": {
            "mean": round(float(np.mean(changes)), 1),
            "median_absolute": round(float(np.median(np.abs(changes))), 1),
            "largest": round(float(np.abs(changes).max()), 1),
            "lesions": len(changes),
        },
        "calls": _calls(calls),
    }


def _calls(calls: Sequence[tuple[float, str]]) -> dict[str, list[int]]:
    """Return [called, all] for growth of 35 % or more, shrinkage of 30 % or more, and no change."""
    grown = [verdict for change, verdict in calls if change >= 35]
    shrunk = [verdict for change, verdict in calls if change <= -30]
    still = [verdict for change, verdict in calls if abs(change) < 1e-6]
    return {
        "grew_by_35_percent_or_more_called_grown": [grown.count(Verdict.GREW.value), len(grown)],
        "shrank_by_30_percent_or_more_called_shrunk": [shrunk.count(Verdict.SHRANK.value), len(shrunk)],
        "unchanged_called_changed": [sum(v != Verdict.WITHIN_ERROR.value for v in still), len(still)],
    }


def lock(make: Make = phantom) -> str:
    """Write the golden case of the calculation, lock the package and return its digest."""
    card = read_card(FOLDER / "card.toml")
    parameters = json.loads((FOLDER / "model" / "parameters.json").read_text(encoding="utf-8"))
    prepared = reader(card).prepare(inputs_of(make(GOLDEN)))
    if isinstance(prepared, Refusal):
        raise SystemExit(f"the golden phantom is refused: {prepared.reason.text()}")
    inputs = {name: np.asarray(value) for name, value in prepared.arrays.items() if name.endswith("_0")}
    inputs |= {name: np.rint(inputs[name]).astype(np.int16) for name in ("before_0", "now_0")}
    save_golden_case(FOLDER / "model", "lesion", inputs, followed(inputs, 0, parameters["outline"]), graph="reader")
    return lock_whole(FOLDER, card, code=FOLDER, learnt_from=())


def main() -> None:
    """Lock the package; unless told otherwise, measure it and write measurements.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only-lock", action="store_true", help="do not measure")
    parser.add_argument("--only-measure", action="store_true", help="do not lock")
    parser.add_argument("--flair", type=Path, help="folder of brain_mr_ms: measure new FLAIR lesions as well")
    asked = parser.parse_args()
    if not asked.only_measure:
        lock()
    if asked.only_lock:
        return
    session = open_session(FOLDER / "model", FOLDER / "card.toml")
    subject = reader(read_card(FOLDER / "card.toml"))
    document = measure(session, subject)
    if asked.flair is not None:
        from bench.follow_up_flair import measured_patients

        document["flair"] = measured_patients(asked.flair)
    (FOLDER / "measurements.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def measure(session: ModelSession, subject: FollowUpReader, make: Make = phantom) -> dict[str, Any]:
    """Return the repeatability, and how the reported phantoms were read."""
    below = float(session.parameters["repeatability"]["small_below_ml"])
    repeats = list(measured(session, subject, REPEATED, make))
    rows = list(measured(session, subject, REPORTED, make))
    return {
        "summary": summary(rows),
        "repeatability": repeatability(repeats, below),
        "scan_rescan": repeats,
        "phantoms": rows,
    }


if __name__ == "__main__":
    main()
