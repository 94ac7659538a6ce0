"""Tumour volume reader: how its package is locked and measured.

``python -m bench.tumor_volume --data D --work W``: W holds the fits of the reader's recipe. First the cross-fitted
members say, each of the patients that it did not learn from, how far volumes err and from which certainty on an outline
counts; then the package is locked into the reader's folder and measured on the six patients kept apart. Every number
comes twice: on fields as published, whose margin of 5 cm gives the tumour's place away, and on parts of them that were
cut anew at random. Without --work only the locked package is measured.
"""

import argparse
import json
import resource
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.lesion_outlines import Scene, lesions_of
from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.domain.reading import ModelSession
from coread.imaging.errors import ImagingRefused
from coread.imaging.lesion_segmentation import Outlined, segment_lesion
from coread.imaging.prompts import BoxPrompt, box_of_indices
from coread.models.lineage import sha256_of
from coread.models.session import open_session
from coread.phantoms.reference.scan import Setup
from coread.readers import tumor_volume
from coread.readers.tumor_volume.cohort import FOLDS, SET, Case, loosened, random_part, read_cases
from coread.readers.tumor_volume.field import SIDE, field_box, field_cube, network_input, prompted_cube
from coread.readers.tumor_volume.outlined import GRAPH, INPUT, OUTPUT, tumor_in_box, tumor_of
from coread.readers.tumor_volume.words import card_of, readme_of
from coread.statistics.overlap import dice
from coread.train.card_text import card_toml
from coread.train.fit import Fitted, read_fitted
from coread.train.reader_folder import ReaderFolder, install, lock_again

FOLDER = Path(tumor_volume.__file__).parent
HEADING = "Research use only. Written by bench/tumor_volume.py."
PARTS = 5
"""Fields cut anew, and boxes drawn, for each patient."""
SEED = 20261130
KEPT = 0.95
CLEAR_FROM = 0.7
"""Clearness from which a lesion stands out; as in docs/how-to/measure-a-lesion.md."""
DRAWN = tuple(
    Scene("ct-lesions", (f"volumes_ml={first},{second}", "places=retroperitoneum,mesentery", "doubling_days=0,0"),
          Setup(seed=seed, spacing_mm=spacing, noise=noise))
    for seed, first, second, spacing, noise in (
        (511, 60, 60, (3.0, 1.0, 1.0), 12.0),
        (512, 90, 70, (4.0, 1.2, 1.2), 20.0),
        (513, 120, 60, (2.5, 1.5, 1.5), 15.0),
    )
)  # fmt: skip
"""Lesions of 49 mm and more across; fixed before any was outlined."""
Answer = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Margin:
    """The ellipsoid that a field with the published margin gives away, without looking at the image."""

    mm: float = 52.7

    def mask(self, geometry: Geometry) -> NDArray[np.bool_]:
        """Return the ellipsoid that ends ``mm`` inside the field."""
        box = field_box(geometry)
        half = np.maximum(np.ptp(box, axis=0) / 2 - self.mm, 1.0)
        places = geometry.to_patient(np.indices(geometry.shape).reshape(3, -1).T)
        inside = np.square((places - box.mean(axis=0)) / half).sum(axis=1) <= 1
        return np.asarray(inside.reshape(geometry.shape))


def ratio(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(mask) / np.count_nonzero(truth))


def crossfitted(members: Sequence[Fitted], data: Path) -> list[dict[str, Any]]:
    """Return what each member says of the patients of its own fold, on fields as published and cut anew."""
    random = np.random.default_rng(SEED)
    rows = []
    for number, case in enumerate(read_cases(data, held_out=False)):
        fold = number % FOLDS
        if fold >= len(members):
            continue

        def answer(image: NDArray[np.float32], member: Fitted = members[fold]) -> NDArray[np.float32]:
            return np.asarray(member.predict(image, flips=True)[OUTPUT][0, 0])

        for kind, part in (("published", case), *(("cut anew", random_part(case, random)) for _ in range(2))):
            cube = field_cube(part.volume.geometry)
            tumor = tumor_of(answer(network_input(part.volume, cube, None)[np.newaxis]), cube, part.volume.geometry)
            rows.append(_row(part, kind, None if tumor is None else tumor.mask, tumor.certainty if tumor else 0.0))
        box = loosened(case.box_mm(), random)
        cube = prompted_cube(box, "")
        tumor = tumor_of(answer(network_input(case.volume, cube, box)[np.newaxis]), cube, case.volume.geometry)
        rows.append(_row(case, "box, network", None if tumor is None else tumor.mask, 0.0))
        rows.append(_row(case, "box, image", _image_mask(case, box), 0.0))
    return rows


def _row(case: Case, kind: str, mask: NDArray[np.bool_] | None, certainty: float) -> dict[str, Any]:
    found = np.zeros_like(case.mask) if mask is None else mask
    return {
        "patient": case.patient, "kind": kind, "dice": round(dice(case.mask, found), 4),
        "volume_ratio": round(ratio(found, case.mask), 4), "certainty": round(certainty, 4),
    }  # fmt: skip


def _outlined(volume: Volume, box: NDArray[np.float64]) -> Outlined | None:
    try:
        return segment_lesion(volume, BoxPrompt(tuple(box[0].tolist()), tuple(box[1].tolist())))
    except ImagingRefused:
        return None


def _image_mask(case: Case, box: NDArray[np.float64]) -> NDArray[np.bool_] | None:
    found = _outlined(case.volume, box)
    return None if found is None else found.mask


def parameters_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the error of volumes that 95 % of cross-fitted fields stay below, and the certainty that 95 % reach."""
    own = [row for row in rows if row["kind"] in ("published", "cut anew") and row["volume_ratio"] > 0]
    errors = np.abs(np.array([row["volume_ratio"] for row in own]) - 1)
    certainty = np.quantile([row["certainty"] for row in own], 1 - KEPT)
    share = float(np.quantile(errors, KEPT))
    return {"volume_error_share": round(share, 2), "least_certainty": round(float(certainty), 3)}


def golden_images() -> NDArray[np.float32]:
    """Return drawings for the golden cases: a ball of tumour in muscle, without and with a box."""
    z, y, x = np.indices((SIDE, SIDE, SIDE)) - SIDE / 2
    hounsfield = np.where(z**2 + y**2 + x**2 < 9**2, 25.0, np.where(y**2 + x**2 < 20**2, 55.0, -1000.0))
    geometry = Geometry((SIDE, SIDE, SIDE), affine_of(np.eye(4)[:3][:, [2, 1, 0, 3]] * [3, 3, 3, 1]), "")
    volume = Volume(hounsfield.astype(np.float32), Quantity.HOUNSFIELD, geometry, ())
    cube = field_cube(geometry)
    box = np.array([[43.0, 43.0, 43.0], [100.0, 100.0, 100.0]])
    return np.stack([network_input(volume, cube, None), network_input(volume, cube, box)])


def lock(members: Sequence[Fitted], data: Path, work: Path, rows: Sequence[Mapping[str, Any]], words: str) -> str:
    """Write graph, parameters, golden cases and card, lock the package into the reader's folder; return the digest."""
    folder = ReaderFolder(work / "tumor_volume", FOLDER, [data])
    for path in FOLDER.glob("*.py"):
        shutil.copyfile(path, folder.path / path.name)
    card = card_of(words)
    folder.write_graph(members)
    (folder.model / "parameters.json").write_text(json.dumps(parameters_of(rows), indent=2) + "\n", encoding="utf-8")
    folder.lock(card, HEADING)
    folder.write_golden(golden_images())
    digest = folder.lock(card, HEADING)
    install(folder.path, FOLDER)
    return digest


def measured(session: ModelSession, cases: Sequence[Case]) -> Iterator[dict[str, Any]]:
    """Yield rows for the patients kept apart: fields as published and cut anew, and boxes; refusals are Dice 0."""
    random = np.random.default_rng(SEED + 1)
    least = float(session.parameters["least_certainty"])
    for case in cases:
        yield _row(case, "margin alone", Margin().mask(case.volume.geometry), 0.0)
        for kind, part in (("published", case), *(("cut anew", random_part(case, random)) for _ in range(PARTS))):
            cube = field_cube(part.volume.geometry)
            image = network_input(part.volume, cube, None)[np.newaxis]
            tumor = tumor_of(session.run(GRAPH, {INPUT: image})[OUTPUT][0, 0], cube, part.volume.geometry)
            row = _row(part, kind, None if tumor is None else tumor.mask, tumor.certainty if tumor else 0.0)
            yield row | {"refused": tumor is None or tumor.certainty < least}
        for _ in range(PARTS):
            box = loosened(case.box_mm(), random)
            tumor = tumor_in_box(session, case.volume, box)
            yield _row(case, "box, network", None if tumor is None else tumor.mask, 0.0)
            found = _outlined(case.volume, box)
            row = _row(case, "box, image", None if found is None else found.mask, 0.0)
            yield row | {"clearness": None if found is None else round(found.clearness, 3)}


def drawn_rows(session: ModelSession) -> Iterator[dict[str, Any]]:
    """Yield both outlines of generated lesions of the size of those that the network learnt from, two boxes each."""
    random = np.random.default_rng(SEED + 2)
    for scene in DRAWN:
        for lesion in lesions_of(scene):
            at = np.argwhere(lesion.mask)
            ends = (_index(at.min(axis=0)), _index(at.max(axis=0)))
            tight = box_of_indices(lesion.volume.geometry, ends).corners()
            for _ in range(2):
                box = loosened(tight, random)
                tumor, found = tumor_in_box(session, lesion.volume, box), _outlined(lesion.volume, box)
                nothing = np.zeros_like(lesion.mask)
                yield {
                    "lesion": f"{lesion.name}, seed {scene.setup.seed}",
                    "longest_mm": round(float(np.ptp(box, axis=0).max())),
                    "network": round(dice(lesion.mask, nothing if tumor is None else tumor.mask), 4),
                    "calculated": round(dice(lesion.mask, nothing if found is None else found.mask), 4),
                    "clearness": None if found is None else round(found.clearness, 3),
                }  # fmt: skip


def _index(place: NDArray[np.int64]) -> tuple[float, float, float]:
    return float(place[0]), float(place[1]), float(place[2])


def box_parameters(document: Mapping[str, Any], data: Path) -> dict[str, Any]:
    """Return what the box mode goes by: the sizes that were learnt from, and which method did better on what."""
    sides = [float(np.ptp(case.box_mm(), axis=0).max()) for case in read_cases(data, held_out=False)]
    clear = [row for row in document["drawn_rows"] if (row["clearness"] or 0) >= CLEAR_FROM]
    held = document["held_out"]
    unclear = [row for row in document["held_out_rows"] if row["kind"] == "box, image"]
    if any((row["clearness"] or 0) >= CLEAR_FROM for row in unclear):
        raise SystemExit("a tumour of the patients kept apart stands out: put it in the row of clear ones")
    return {
        "longest_mm": [round(min(sides)), round(max(sides))],
        "clear_from": CLEAR_FROM,
        "clear": {
            "network": round(float(np.mean([row["network"] for row in clear])), 3),
            "calculated": round(float(np.mean([row["calculated"] for row in clear])), 3),
            "on": f"{len(clear)} boxes around generated lesions that stand out (clearness {CLEAR_FROM:g} or more)",
        },
        "unclear": {
            "network": held["box, network"]["dice"], "calculated": held["box, image"]["dice"],
            "on": f"{held['box, network']['patients']} patients with sarcoma whose tumours do not stand out",
        },
    }  # fmt: skip


def lock_again_with(document: Mapping[str, Any], data: Path, words: str) -> str:
    """Write the numbers of the box mode and the card into the reader's folder and lock it; the graph stays."""
    place = FOLDER / "model" / "parameters.json"
    parameters = json.loads(place.read_text(encoding="utf-8")) | {"box": box_parameters(document, data)}
    place.write_text(json.dumps(parameters, indent=2) + "\n", encoding="utf-8")
    card = card_of(words)
    (FOLDER / "card.toml").write_text(card_toml(card, HEADING), encoding="utf-8")
    return lock_again(FOLDER, card, code=FOLDER, learnt_from=[data])


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return by kind the mean Dice over patients with its interval (bootstrap of patients), n, and refusals."""
    found = {}
    random = np.random.default_rng(1)
    for kind in dict.fromkeys(row["kind"] for row in rows):
        own = [row for row in rows if row["kind"] == kind]
        patients = sorted({row["patient"] for row in own})
        means = np.array([np.mean([row["dice"] for row in own if row["patient"] == one]) for one in patients])
        drawn = means[random.integers(0, len(means), (4000, len(means)))].mean(axis=1)
        low, high = np.quantile(drawn, [0.025, 0.975])
        found[kind] = {
            "dice": round(float(means.mean()), 3), "low": round(float(low), 3), "high": round(float(high), 3),
            "patients": len(patients), "fields": len(own), "refused": sum(bool(row.get("refused")) for row in own),
            "median_volume_ratio": round(float(np.median([row["volume_ratio"] for row in own])), 3),
        }  # fmt: skip
    return found


def sentence(document: Mapping[str, Any]) -> str:
    """Return what was measured, in words: card and page say exactly this."""
    held, cross, box = document["held_out"], document["cross_fitted"], document["box"]

    def text(one: Mapping[str, Any]) -> str:
        return f"{one['dice']:.2f} ({one['low']:.2f} to {one['high']:.2f})"

    published, anew = held["published"], held["cut anew"]
    said = (
        "Six patients kept apart beforehand, mean Dice against the drawn outline with the 95 % interval over patients:",
        f"{text(published)} on the fields as published ({published['refused']} of {published['fields']} refused as not",
        f"clear, counted as they were outlined), {text(anew)} on {anew['fields']} fields cut anew at random from them",
        f"({anew['refused']} refused). The published margin alone, without looking at the image, gives",
        f"{text(held['margin alone'])}. With a box drawn around it: {text(held['box, network'])} by the network,",
        f"{text(held['box, image'])} by the calculated method of coread segment, which learnt nothing. On",
        f"{box['clear']['on']} of the same size: {box['clear']['network']:.2f} and",
        f"{box['clear']['calculated']:.2f}; so coread segment asks the network where a lesion does not stand out, in",
        f"boxes of {box['longest_mm'][0]} to {box['longest_mm'][1]} mm. Cross-fitted over other",
        f"{cross['published']['patients']} patients, each by the member that did not see them:",
        f"{text(cross['published'])}, cut anew {text(cross['cut anew'])}, with a box {text(cross['box, network'])} and",
        f"{text(cross['box, image'])}. One field takes {document['seconds']:.1f} s on one core; peak memory of the",
        f"process {document['peak_mb']:.0f} MB. Command: python -m bench.tumor_volume.",
    )
    return " ".join(said)


def timed(session: ModelSession, case: Case) -> float:
    """Return the seconds of one field, from voxels to outline, on one core."""
    began = time.process_time()
    cube = field_cube(case.volume.geometry)
    image = network_input(case.volume, cube, None)[np.newaxis]
    tumor_of(session.run(GRAPH, {INPUT: image})[OUTPUT][0, 0], cube, case.volume.geometry)
    return time.process_time() - began


def main() -> None:
    """Cross-fit, lock and measure; without --work only measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help=f"folder of {SET}")
    parser.add_argument("--work", type=Path, help="folder of the fits")
    parser.add_argument("--members", type=int, default=FOLDS)
    parser.add_argument("--lock", action="store_true", help="lock anew after measuring: card, code and numbers")
    parser.add_argument("--only-lock", action="store_true", help="lock anew with what was measured before")
    asked = parser.parse_args()
    kept = FOLDER / "measurements.json"
    document: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8")) if kept.is_file() else {}
    if asked.only_lock:
        (FOLDER / "README.md").write_text(readme_of(sentence(document)), encoding="utf-8")
        print(lock_again_with(document, asked.data, sentence(document)))
        return
    members: list[Fitted] = []
    if asked.work is not None:
        members = [read_fitted(asked.work / f"member{number}") for number in range(asked.members)]
        document["cross_fitted_rows"] = crossfitted(members, asked.data)
        lock(members, asked.data, asked.work, document["cross_fitted_rows"], "being measured")
    session = open_session(FOLDER / "model", FOLDER / "card.toml")
    cases = read_cases(asked.data, held_out=True)
    rows = list(measured(session, cases))
    document |= {
        "held_out": summary(rows), "cross_fitted": summary(document["cross_fitted_rows"]), "held_out_rows": rows,
        "seconds": round(timed(session, cases[-1]), 2),
        "network_sha256": sha256_of(FOLDER / "model" / "network.onnx"),
        "peak_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 0),
    }  # fmt: skip
    document["drawn_rows"] = list(drawn_rows(session))
    document["box"] = box_parameters(document, asked.data)
    kept.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    words = sentence(document)
    (FOLDER / "README.md").write_text(readme_of(words), encoding="utf-8")
    if members:
        lock(members, asked.data, asked.work, document["cross_fitted_rows"], words)
    if members or asked.lock:
        lock_again_with(document, asked.data, words)
        if sha256_of(FOLDER / "model" / "network.onnx") != document["network_sha256"]:
            raise SystemExit("the locked network is not the one that was measured: run again without --work")
    print(words)


if __name__ == "__main__":
    main()
