"""New lesions in CT: what ``follow_up`` finds of generated ones, and what it marks where nothing is new.

``python -m bench.follow_up_new`` writes the part ``new_ct`` of the reader's measurements.json. Every pair differs in
noise, position of the patient, depth of breath (all but one) and, in the abdomen, where the bowel lies and what it
holds.
"""

import argparse
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from bench.follow_up import FOLDER, loaded_visit
from coread.domain.findings import Region
from coread.domain.images import Volume
from coread.domain.reading import ModelSession, Prior, ReaderInputs
from coread.domain.results import Refusal
from coread.engine.samples import study_of
from coread.models.session import open_session
from coread.phantoms.reference.made import Made
from coread.phantoms.reference.registry import made
from coread.phantoms.reference.scan import Setup
from coread.readers.card_file import read_card
from coread.readers.follow_up.reader import FollowUpReader, reader

_ML = 1000.0
SEARCHED = ("liver", "spleen", "paraspinal muscle")
"""Hosts of new lesions in which they are searched; the others lie in fat."""
_OLD = ("volumes_ml=5", "places=liver-4", "doubling_days=0")


def _abdomen(seed: int, *truth: str, **setup: Any) -> tuple[str, tuple[str, ...], Setup]:
    return "ct-lesions", (*_OLD, "bowel_moved=yes", *truth), Setup(seed=seed, **setup)


def _chest(seed: int, *truth: str, **setup: Any) -> tuple[str, tuple[str, ...], Setup]:
    old = ("volumes_mm3=400,700", "kinds=solid,ground-glass", "places=RUL,LLL")
    return "ct-nodules", (*old, "pair=yes", *truth), Setup(seed=seed, **setup)


PAIRS = (
    _abdomen(901, "new_ml=1,0.5,2", "new_places=liver-7,liver-6,spleen", "breath_mm=6", spacing_mm=(3.0, 1.2, 1.2)),
    _chest(911, "new_mm3=120,270,500,900", "new_kinds=solid,solid,ground-glass,part-solid",
           "new_places=RLL,LUL,RML,LLL", spacing_mm=(2.0, 1.2, 1.2)),
    _abdomen(902, "breath_mm=10", "move_mm=-8,5,10", "turn_degrees=4,-3,-5", spacing_mm=(5.0, 1.2, 1.2), noise=20.0),
    _chest(912, "breath_mm=10", "move_mm=6,4,-8", "turn_degrees=-3,2,5", spacing_mm=(2.5, 1.2, 1.2), noise=30.0),
    _abdomen(903, "new_ml=0.3,1,1", "new_places=liver-7,spleen,mesentery", "breath_mm=-8", "move_mm=5,5,-6",
             spacing_mm=(4.0, 1.2, 1.2), noise=18.0),
    _chest(913, "new_mm3=65,150,320,700", "new_kinds=solid,ground-glass,solid,solid", "new_places=LUL,RUL,LLL,RLL",
           "breath_mm=-8", spacing_mm=(3.0, 1.2, 1.2), noise=25.0),
    _abdomen(904, "breath_mm=5", spacing_mm=(2.5, 1.5, 1.5)),
    _chest(914, "breath_mm=4", "move_mm=-5,2,12", spacing_mm=(1.5, 1.2, 1.2)),
)  # fmt: skip
"""Chosen before the search was run on any of them."""


def pair_row(session: ModelSession, subject: FollowUpReader, found: Made) -> dict[str, Any]:
    """Return for one pair which new lesions are marked, and how many marks hold none."""
    before, now = (loaded_visit(visit) for visit in found.visits)
    prior = Prior(study_of(before.headers), volumes=(before,))
    inputs = ReaderInputs(study_of(now.headers), volumes=(now,), priors=(prior,))
    row: dict[str, Any] = {"phantom": found.name, "seed": found.setup.seed}
    prepared = subject.prepare(inputs)
    if isinstance(prepared, Refusal):
        return row | {"refused": prepared.reason.text()}
    outputs = subject.infer(session, prepared)
    ending = subject.interpret(session, prepared, outputs)
    if isinstance(ending, Refusal):
        return row | {"refused": ending.reason.text()}
    marks = [_whole(region, now) for region in ending.regions]
    series: Any = found.visits[1].series[0]
    new, held = [], set()
    for structure in found.visits[1].structures:
        if " new " not in structure.name:
            continue
        mask = np.asarray(series.mask(structure.name))
        hits = [number for number, mark in enumerate(marks) if (mark & mask).any()]
        held |= set(hits)
        host = structure.document().get("host", "lung")
        ml = round(structure.exact.volume_mm3 / _ML, 3)
        new.append({"name": structure.name, "host": host, "ml": ml, "found": bool(hits)})
    return row | {
        "new": new, "false": len(marks) - len(held),
        "searched_ml": [round(float(ml)) for ml in outputs["ct_searched_ml"]],
        "margin_mm": [round(float(mm), 2) for mm in outputs["ct_margin_mm"]],
    }  # fmt: skip


def _whole(region: Region, now: Volume) -> Any:
    places = {ref.sop_instance_uid: k for k, ref in enumerate(now.references())}
    mask = np.zeros(now.voxels.shape, dtype=bool)
    for ref, plane in zip(region.images, region.mask, strict=True):
        mask[places[ref.sop_instance_uid]] |= plane
    return mask


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return found of n by tissue, and false marks in pairs with and without something new."""
    read = [row for row in rows if "new" in row]
    lesions = [one for row in read for one in row["new"]]
    groups = {
        "lung": [one for one in lesions if one["host"] == "lung"],
        "organ": [one for one in lesions if one["host"] in SEARCHED],
        "fat": [one for one in lesions if one["host"] not in ("lung", *SEARCHED)],
    }
    with_new, without = ([row for row in read if bool(row["new"]) is some] for some in (True, False))
    return {
        "pairs": len(rows), "refused": len(rows) - len(read),
        "chests": sum(row["phantom"] == "ct-nodules" for row in read),
        "lungs_searched": sum(row["margin_mm"][0] >= 0 for row in read if row["phantom"] == "ct-nodules"),
        "found": {name: [sum(one["found"] for one in group), len(group)] for name, group in groups.items()},
        "organs": sorted({one["host"] for one in groups["organ"]}),
        "false_in_pairs_with_new": [sum(row["false"] for row in with_new), len(with_new)],
        "false_in_pairs_without_new": [sum(row["false"] for row in without), len(without)],
    }  # fmt: skip


def rows_of(session: ModelSession, subject: FollowUpReader, chosen: Sequence[int]) -> Iterator[dict[str, Any]]:
    """Yield what is found in the chosen pairs."""
    for number in chosen:
        name, truth, setup = PAIRS[number]
        row = pair_row(session, subject, made(name, truth, setup))
        print(json.dumps(row), flush=True)
        yield row


def words_of(document: Mapping[str, Any]) -> str:
    """Return what was measured, in words: the card and the README say exactly this."""
    found, new, none = (document[key] for key in ("found", "false_in_pairs_with_new", "false_in_pairs_without_new"))
    return (
        f"New lesions in CT, simulated: {document['pairs']} pairs chosen beforehand ({document['refused']} refused), "
        "another noise and position, in all but one another breath (organs moved by 4 to 10 mm), in abdomens another "
        "bowel on the second date. The lungs could be "
        f"searched in {document['lungs_searched']} of {document['chests']} chests; where they lay too far from before, "
        "their nodules count as missed. "
        f"{found['lung'][0]} of {found['lung'][1]} new nodules in the lungs and {found['organ'][0]} of "
        f"{found['organ'][1]} new lesions of {' and '.join(document['organs'])} were marked, {found['fat'][0]} of "
        f"{found['fat'][1]} in fat, which is not searched; muscle is searched, no new lesion lay in it. False marks: "
        f"{new[0]} in {new[1]} pairs with something new, {none[0]} in {none[1]} pairs without. "
        "Command: python -m bench.follow_up_new."
    )


def main() -> None:
    """Measure all pairs, or some, and keep what was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", default="", help="numbers from 0, divided by commas; nothing is kept then")
    asked = parser.parse_args()
    session = open_session(FOLDER / "model", FOLDER / "card.toml")
    subject = reader(read_card(FOLDER / "card.toml"))
    if asked.pairs:
        list(rows_of(session, subject, [int(part) for part in asked.pairs.split(",")]))
        return
    keep(list(rows_of(session, subject, range(len(PAIRS)))))


def told(rows: Sequence[Mapping[str, Any]]) -> None:
    """Put what was measured into the card and the README, which must be locked afterwards."""
    said = words_of(summary(rows))
    card, page = FOLDER / "card.toml", FOLDER / "README.md"
    line = re.compile(r'(?m)^validation = "(.*?)(?: New lesions in CT, simulated: .*)?"$')
    card.write_text(line.sub(lambda m: f'validation = "{m[1]} {said}"', card.read_text("utf-8")), encoding="utf-8")
    text = page.read_text("utf-8").split("**When not to trust it.**")
    text[0] = re.sub(r"(?ms)^New lesions in CT, simulated: .*?\n\n", "", text[0])
    page.write_text(f"{text[0]}{fill(said, 118)}\n\n**When not to trust it.**{text[1]}", encoding="utf-8")


def keep(rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows and their summary into the reader's measurements."""
    path = Path(FOLDER) / "measurements.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    document["new_ct"] = summary(rows) | {"rows": list(rows)}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    told(rows)


if __name__ == "__main__":
    main()
