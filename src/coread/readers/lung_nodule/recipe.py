"""How the package is made: ``python -m coread.readers.lung_nodule.recipe --data FOLDER --out FOLDER``.

Nothing is trained. The network of the reader of single patches is taken over with its calibration; the rest is
arithmetic whose error is measured on simulated chests (``report``) and locked as numbers.
"""

import argparse
import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from coread.domain.cards import Estimate, OperatingPoint, ReaderCard
from coread.models.session import open_session
from coread.readers.lung_nodule.outputs import GRAPH, HEAD, INPUT
from coread.readers.lung_nodule.report import measured
from coread.readers.lung_nodule.words import (
    CARD,
    CITE,
    GROWTH_OUTPUT,
    NODULE_OUTPUT,
    POINT,
    POINT_RULE,
    REFUSES,
    SPEED,
    THRESHOLD,
    WHAT,
)
from coread.readers.pages import Row, clinicians_page
from coread.statistics.intervals import clopper_pearson
from coread.train.reader_folder import ReaderFolder, install

CODE = Path(__file__).parent
FROM = CODE.parent / "lung_nodule_patch"
SET = "ct_lung_nodule_candidates"
HEADING = "Written by recipe.py from measurements.json; change the recipe, not this file. Research use only."
COMMAND = "python -m coread.readers.lung_nodule.recipe --data FOLDER --out FOLDER"
KINDS = ("solid", "part-solid", "ground-glass")
THIN, EMPTY = ("a", "b", "c", "e", "f", "g"), ("n", "m")
"""Scenes with slices of at most 2.5 mm, and those of them without a nodule; ``d`` has 4 mm."""
SMALL_MM3 = 60.0
"""Nodules below (3.4 and 4.2 mm) are counted apart."""
LOBES = {"right upper lobe": "RUL", "right middle lobe": "RML", "right lower lobe": "RLL", "left upper lobe": "LUL",
         "left lower lobe": "LLL"}  # fmt: skip
MEASUREMENTS = "measurements.json"
LEAST_CHANGE = 0.25
"""Never called real below this. Simulated repeats leave breath and heart out; in patients scanned twice 95 % of solid
nodules stayed within 27 % (Marchiano 2009, Radiology 251:919), and NELSON and the British Thoracic Society ask for 25 %
(Callister 2015, Thorax 70 Suppl 2)."""
_FROC = (0.05, 0.140549, 0.3, 0.5, 0.7, 0.9)


def run(data: Path, out: Path) -> Path:
    """Measure, build, lock and return the folder of the finished reader."""
    out.mkdir(parents=True, exist_ok=True)
    rows = measured(open_session(FROM / "model", FROM / "card.toml", engine="onnxruntime"), out / "work", THRESHOLD)
    numbers = summary(rows)
    folder = ReaderFolder(out / "reader", CODE, [data / SET])
    shutil.copyfile(FROM / "model" / "network.onnx", folder.model / f"{GRAPH}.onnx")
    shutil.copyfile(FROM / "model" / "calibration.json", folder.model / "calibration.json")
    golden = folder.model / "golden" / GRAPH
    golden.mkdir(parents=True)
    for case in sorted((FROM / "model" / "golden").glob("*")):
        shutil.copyfile(case, (golden.parent if case.suffix == ".json" else golden) / case.name)
    locked = {key: numbers[key] for key in ("repeatability", "volume_error")}
    (folder.model / "parameters.json").write_text(json.dumps(locked, indent=2) + "\n", encoding="utf-8")
    card = card_with(numbers)
    (folder.path / MEASUREMENTS).write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
    page = clinicians_page(card, what=WHAT, rows=table(numbers), refuses=REFUSES, cite=CITE)
    page = page.replace("the card and from `validation.json`", "measurements on simulated chests (`measurements.json`)")
    (folder.path / "README.md").write_text(
        page + f"\n## Time and memory\n\n{SPEED}\n\nMade and measured again by `{COMMAND}`.\n", encoding="utf-8"
    )
    folder.lock(card, HEADING)
    session = open_session(folder.model, folder.path / "card.toml", engine="onnxruntime")
    session.run(GRAPH, {INPUT: np.zeros((4, 1, 50, 50), dtype=np.float32)})[HEAD]
    return folder.path


def summary(rows: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of card, page and package from the rows of all scenes."""
    scans = dict(rows) | {"f later": rows["f"]["later"]}
    thin = [scans[name] for name in (*THIN, "f later", *EMPTY)]
    found: dict[str, Any] = {"sensitivity": {}, "froc": [], "scans": len(thin)}
    shown = [one for scan in thin for one in scan["nodules"]]
    nodules = [one for one in shown if one["volume_mm3"] >= SMALL_MM3]
    found["sensitivity"]["all"] = _share(nodules)
    for kind in KINDS:
        found["sensitivity"][kind] = _share([one for one in nodules if one["kind"] == kind])
    found["sensitivity"]["solid of 20 and 40 mm3"] = _share([one for one in shown if one["volume_mm3"] < SMALL_MM3])
    thick = [one for one in rows["d"]["nodules"] if one["volume_mm3"] >= SMALL_MM3]
    found["sensitivity"]["4 mm slices"] = _share(thick)
    for threshold in _FROC:
        others = [sum(p >= threshold for p in scan["others"]) for scan in thin]
        share = _share(nodules, threshold)
        found["froc"].append({"threshold": threshold, "sensitivity": share["value"], "false_calls": _mean(others),
                              "most_false_calls": max(others)})  # fmt: skip
    found["false_calls"] = {
        name: sum(p >= THRESHOLD for p in scan["others"]) for name, scan in scans.items()
    }  # fmt: skip
    found["kind_right"] = _proportion([one["said_kind"] == one["kind"] for one in nodules if _called(one)])
    found["side_right"] = _proportion([one["side"][0].upper() == one["lobe"][0] for one in nodules if _called(one)])
    found["lobe_right"] = _proportion([LOBES[one["said_lobe"]] == one["lobe"] for one in nodules if _called(one)])
    found["volume"] = {kind: _volume_errors([o for o in nodules if o["kind"] == kind]) for kind in KINDS}
    found["volume_4_mm"] = _volume_errors(thick)
    repeats = [one for name in THIN for one in rows[name]["repeats"]]
    groups = {kind: [one for one in repeats if one["kind"] == kind] for kind in KINDS}
    found["repeats"] = {kind: _repeatability(group) for kind, group in groups.items()}
    found["repeats_4_mm"] = _repeatability(rows["d"]["repeats"])
    found["repeatability"] = {kind: max(LEAST_CHANGE, found["repeats"][kind]["coefficient"]) for kind in KINDS}
    found["volume_error"] = {kind: found["repeats"][kind]["error_95"] for kind in KINDS}
    found["follow_up"] = _follow_up(rows["f"]["follow_up"], found["repeatability"])
    return found


def card_with(numbers: Mapping[str, Any]) -> ReaderCard:
    """Return the card with what was measured."""
    share = numbers["sensitivity"]["all"]
    point = OperatingPoint(
        POINT, THRESHOLD, POINT_RULE, Estimate(share["value"], share["low"], share["high"], share["n"]), None,
        f"SIMULATED chests, {numbers['scans']} scans, slices of 1.25 to 2.5 mm, {share['n']} nodules, 65 to 1,500 mm3",
    )  # fmt: skip
    at = next(row for row in numbers["froc"] if row["threshold"] == THRESHOLD)
    validation = (
        f"Simulated chests only (phantom ct-nodules; {COMMAND}; measurements.json). {share['n']} nodules of 65 to "
        f"1,500 mm3 in {numbers['scans']} scans (slices of 1.25 to 2.5 mm, noise 22 to 40 HU, three "
        "orientations; seeds fixed before the measurement, thresholds chosen on others; one fault of the kind, "
        "found on scene e, was mended and that scene measured again): "
        f"{share['value']:.3f} found with {at['false_calls']:.1f} false calls a scan (most {at['most_false_calls']}); "
        f"{numbers['false_calls']['d']} false calls in one of 4 mm. Volumes of the same nodules again with other noise "
        "(22, 40 HU), kernel and place give the repeatability. The network alone: see lung_nodule_patch (AUC 0.980 on "
        "815 real LUNA16 patches). Not measured on any series of a patient."
    )
    nodule = replace(NODULE_OUTPUT, operating_points=(point,))
    return replace(CARD, validation=validation, outputs=(nodule, GROWTH_OUTPUT))


def table(numbers: Mapping[str, Any]) -> list[Row]:
    """Return the rows of the page."""
    rows: list[Row] = []
    for name, share in numbers["sensitivity"].items():
        rows.append((f"Simulated nodules found, {name}", _told(share), str(share["n"])))
    scans = f"{numbers['scans']} scans"
    rows += [
        (f"FROC at threshold {row['threshold']:.2f}",
         f"sensitivity {row['sensitivity']:.3f} at {row['false_calls']:.1f} false calls a scan "
         f"(most {row['most_false_calls']})", scans)
        for row in numbers["froc"]
    ]  # fmt: skip
    rows += [
        (f"False calls in a scan without a nodule, scene {name}", str(numbers["false_calls"][name]), "1 scan")
        for name in EMPTY
    ]  # fmt: skip
    for name in ("kind", "side", "lobe"):
        right = numbers[f"{name}_right"]
        rows.append((f"{name.capitalize()} right, of those found", _told(right), str(right["n"])))
    for name, error in (*numbers["volume"].items(), ("4 mm slices", numbers["volume_4_mm"])):
        text = (
            f"mean {error['mean']:+.1%}, standard deviation {error['sd']:.1%}, median size of the error "
            f"{error['median']:.1%}, largest {error['largest']:.1%}"
        )
        rows.append((f"Volume against truth, {name}", text, str(error["n"])))
    for name, repeat in (*numbers["repeats"].items(), ("4 mm slices", numbers["repeats_4_mm"])):
        count = f"{repeat['nodules']} nodules x {repeat['scans']} scans"
        rows.append((f"Repeatability coefficient of volume, {name}", f"{repeat['coefficient']:.1%} of the mean", count))
    follow = numbers["follow_up"]
    said = (
        ("known nodules matched", f"{follow['matched']} of {follow['pairs']}"),
        ("real change or none called rightly", f"{follow['right']} of {follow['matched']}"),
        ("false calls of one date only, told as new, as gone", f"{follow['false_new']}, {follow['false_vanished']}"),
    )
    return rows + [(f"Two dates: {name}", value, "1 simulated patient") for name, value in said]


def _called(one: Mapping[str, Any], threshold: float = THRESHOLD) -> bool:
    return float(one.get("probability", -1.0)) >= threshold


def _share(nodules: Sequence[Mapping[str, Any]], threshold: float = THRESHOLD) -> dict[str, Any]:
    return _proportion([_called(one, threshold) for one in nodules])


def _proportion(right: Sequence[bool]) -> dict[str, Any]:
    found = clopper_pearson(sum(right), len(right))
    return {"value": found.value, "low": found.low, "high": found.high, "n": found.n}


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _volume_errors(nodules: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    errors = np.array([one["said_mm3"] / one["volume_mm3"] - 1 for one in nodules if _called(one)])
    return {"n": len(errors), "mean": float(errors.mean()), "sd": float(errors.std(ddof=1)),
            "median": float(np.median(np.abs(errors))), "largest": float(np.abs(errors).max())}  # fmt: skip


def _repeatability(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return 1.96 * sqrt(2) * within-nodule coefficient of variation (Bland and Altman 1999), and the error of one."""
    spreads, errors, missing = [], [], 0
    for row in rows:
        said = np.array([one["mm3"] for one in row["said"] if one["mm3"] is not None])
        missing += len(row["said"]) - len(said)
        if len(said) >= 2:
            spreads.append(float(said.var(ddof=1)) / float(said.mean()) ** 2)
        errors += [float(value) / row["volume_mm3"] - 1 for value in said]
    return {
        "nodules": len(spreads), "scans": len(rows[0]["said"]), "without_outline": missing,
        "coefficient": 1.959964 * 2**0.5 * float(np.sqrt(np.mean(spreads))),
        "error_95": 1.959964 * float(np.sqrt(np.mean(np.square(errors)))),
    }  # fmt: skip


def _follow_up(said: Mapping[str, Any], repeatability: Mapping[str, float]) -> dict[str, Any]:
    """Return how many known nodules were matched, and whether their change was called as it was drawn."""
    matched = [row for row in said["rows"] if row["matched"]]
    right = 0
    for row in matched:
        limit = repeatability[row["kind"]] * (row["before_mm3"] + row["after_mm3"]) / 2
        change = row["after_mm3"] - row["before_mm3"]
        called = 0 if abs(change) <= limit else int(np.sign(change))
        right += called == int(np.sign(row["known"] - 1))
    return {
        "pairs": len(said["rows"]), "matched": len(matched), "right": right, "overlap": said["overlap"],
        "rows": said["rows"], "false_new": said["new"], "false_vanished": len(said["vanished"]),
    }  # fmt: skip


def _told(share: Mapping[str, Any]) -> str:
    return f"{share['value']:.3f} ({share['low']:.3f} to {share['high']:.3f})"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run from the shell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets; read for digests only")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--install", action="store_true", help="copy the finished package beside the code")
    chosen = parser.parse_args(arguments)
    finished = run(chosen.data, chosen.out)
    if chosen.install:
        install(finished, CODE)
        shutil.copyfile(finished / MEASUREMENTS, CODE / MEASUREMENTS)
    sys.stdout.write(f"{finished}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
