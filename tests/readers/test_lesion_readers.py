"""Readers of lesions, with a network that says what it is told: places, outlines, calls, refusals; no weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coread.domain.cards import Estimate
from coread.domain.findings import Box, Finding, Presence
from coread.domain.images import PlanarImage
from coread.domain.reading import Arrays, Reader
from coread.domain.reasons import ReasonCode
from coread.domain.results import Outcome, ReadResult, Refusal
from coread.engine.checks import check_ending
from coread.engine.conformance.subject import mirrored
from coread.engine.samples import inputs_of
from coread.imaging.header import scan_header
from coread.imaging.planar import load_planar
from coread.phantoms.brain_mr import BrainRecipe, brain_slice
from coread.phantoms.colon import ColonRecipe, colon_frame
from coread.phantoms.mammogram import MammogramRecipe, mammogram
from coread.phantoms.nodule_slice import NoduleSliceRecipe, nodule_slice
from coread.readers.brain_mr_tumor import reader as brain
from coread.readers.brain_mr_tumor import words as brain_words
from coread.readers.brain_mr_tumor.outputs import TUMOUR, TYPES
from coread.readers.brain_mr_tumor.preprocess import network_views
from coread.readers.colon_polyp import reader as polyp
from coread.readers.colon_polyp import words as polyp_words
from coread.readers.lung_nodule_segmentation import reader as nodule
from coread.readers.lung_nodule_segmentation import words as nodule_words
from coread.readers.lung_nodule_segmentation.places import longest_diameter
from coread.readers.mammography import reader as mammo
from coread.readers.mammography import words as mammo_words
from coread.readers.mammography.outputs import SHAPE
from coread.readers.mammography.preprocess import network_image

ABOUT = Estimate(0.9, 0.8, 1.0, 20)
BRAIN = brain_words.card_of(
    thresholds=dict.fromkeys((TUMOUR, *TYPES), 0.5), points=dict.fromkeys((TUMOUR, *TYPES), (ABOUT, ABOUT)), aucs={},
    measured_on="here", validation="here",
)  # fmt: skip
POLYP = polyp_words.card_of(threshold=0.5, sensitivity=ABOUT, measured_on="here", validation="here")
NODULE = nodule_words.card_of(threshold=0.5, sensitivity=ABOUT, measured_on="here", validation="here")
MAMMO = mammo_words.card_of(
    thresholds=dict.fromkeys(mammo_words.RULES, 0.5), points=dict.fromkeys(mammo_words.RULES, (ABOUT, ABOUT)), auc=None,
    measured_on="here", validation="here",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Told:
    """A session that answers with what it was told, whatever it is shown."""

    answer: Callable[[NDArray[Any]], Mapping[str, NDArray[Any]]]
    digest: str = "0" * 64
    runtime: str = "told"

    def run(self, _graph: str, inputs: Arrays) -> dict[str, NDArray[Any]]:
        return dict(self.answer(inputs["image"]))

    def calibrate(self, _key: str, logit: float) -> float:
        return float(1 / (1 + np.exp(-logit)))


def loaded(dataset: Any, folder: Path, name: str = "drawn") -> PlanarImage:
    path = folder / f"{name}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    return load_planar(path, scan_header(path))


def read(reader: Reader, session: Any, *images: PlanarImage) -> ReadResult | Refusal:
    prepared = reader.prepare(inputs_of(images))
    if isinstance(prepared, Refusal):
        return prepared
    ending = reader.interpret(session, prepared, reader.infer(session, prepared))
    check_ending(reader.card, ending, [image.header for image in images])
    return ending


def result(reader: Reader, session: Any, *images: PlanarImage) -> ReadResult:
    ending = read(reader, session, *images)
    assert isinstance(ending, ReadResult)
    return ending


def found(ending: ReadResult, key: str) -> Finding:
    return next(item for item in ending.findings if item.key == key)


def bright(image: NDArray[Any], *, level: float = 0.6) -> NDArray[Any]:
    """Take what is bright in the picture for the lesion: logits (N, 1, rows, columns)."""
    return np.where(image[:, :1] > level, 6.0, -6.0).astype(np.float32)


# Brain


def brain_maps(heat: float, kind: int = 0) -> Callable[[NDArray[Any]], Mapping[str, NDArray[Any]]]:
    """A box of 8 x 12 cells around cell (10, 20) of the 36 x 36 grid, in whatever view is shown."""

    def answer(image: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        maps = np.zeros((len(image), 5, 36, 36), dtype=np.float32)
        columns, rows = np.arange(36, dtype=np.float32), np.arange(36, dtype=np.float32)[:, None]
        maps[:, 0] = np.where(((columns - 20) / 4) ** 2 + ((rows - 10) / 6) ** 2 < 1, heat, -9)
        maps[:, 1], maps[:, 2] = np.log(8), np.log(12)
        maps[:, 3], maps[:, 4] = 20.5 - columns, 10.5 - rows
        return {"box": maps, "type": np.eye(3, dtype=np.float32)[[kind] * len(image)] * 6}

    return answer


def test_the_box_of_a_tumour_comes_back_in_pixels_of_the_slice(tmp_path: Path) -> None:
    image = loaded(brain_slice(BrainRecipe()).dataset, tmp_path)
    ending = result(brain.reader(BRAIN), Told(brain_maps(4.0, kind=1)), image)
    (box,) = found(ending, TUMOUR).locations
    assert isinstance(box, Box)
    said = (16.5 * 4, 4.5 * 4, 24.5 * 4, 16.5 * 4)
    places = [view.part.box(said, 144) or said for view in network_views(image)]
    assert np.allclose([box.column_min, box.row_min, box.column_max, box.row_max], np.mean(places, axis=0), atol=0.5)
    assert [found(ending, key).presence for key in TYPES] == [Presence.ABSENT, Presence.PRESENT, Presence.ABSENT]


def test_a_slice_without_a_mark_says_that_this_was_never_measured(tmp_path: Path) -> None:
    image = loaded(brain_slice(BrainRecipe()).dataset, tmp_path)
    ending = result(brain.reader(BRAIN), Told(brain_maps(-4.0)), image)
    assert found(ending, TUMOUR).presence is Presence.ABSENT
    assert any("never measured" in note for note in ending.notes)


def test_marks_stand_only_on_the_slices_that_show_a_tumour(tmp_path: Path) -> None:
    slices = [loaded(brain_slice(BrainRecipe(seed)).dataset, tmp_path, str(seed)) for seed in (1, 2)]

    def answer(image: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        both = {name: values.copy() for name, values in brain_maps(4.0, kind=2)(image).items()}
        both["box"][1, 0] = -9
        return both

    tumour = found(result(brain.reader(BRAIN), Told(answer), *slices), TUMOUR)
    assert [place.image.sop_instance_uid for place in tumour.locations] == [slices[0].header.sop_instance_uid]
    assert len(tumour.images) == 1


# Polyp


def test_a_polyp_is_outlined_where_it_is_and_turns_with_its_frame(tmp_path: Path) -> None:
    drawn = colon_frame(ColonRecipe(seed=3))
    image = loaded(drawn.dataset(), tmp_path)

    def answer(shown: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        share = shown[:, 0] / (shown.sum(axis=1) + 0.2)
        return {"area": np.where(share[:, None] > 0.50, 6.0, -6.0).astype(np.float32)}

    reader = polyp.reader(POLYP)
    one = result(reader, Told(answer), image)
    other = result(reader, Told(answer), mirrored(image))
    overlap = (one.regions[0].mask & drawn.polyp).sum() / (one.regions[0].mask | drawn.polyp).sum()
    assert overlap > 0.6
    assert (one.regions[0].mask == other.regions[0].mask[:, ::-1]).mean() > 0.99
    assert one.outcome() is Outcome.POSITIVE
    assert one.regions[0].tracking != one.findings[0].tracking


def test_each_polyp_is_a_finding_of_its_own_and_specks_are_none(tmp_path: Path) -> None:
    image = loaded(colon_frame(ColonRecipe()).dataset(), tmp_path)

    def answer(shown: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        area = np.full((len(shown), 1, 160, 160), -6.0, dtype=np.float32)
        # Symmetric from top to bottom: the reader also looks at the frame turned upside down.
        area[:, :, 65:95, 20:50] = 6
        area[:, :, 65:95, 90:120] = 3
        area[:, :, 79:81, 150:152] = 6
        return {"area": area}

    ending = result(polyp.reader(POLYP), Told(answer), image)
    assert [finding.key for finding in ending.findings] == ["polyp", "polyp"]
    assert len({finding.tracking for finding in ending.findings}) == 2
    probabilities = [finding.probability or 0.0 for finding in ending.findings]
    assert probabilities == sorted(probabilities, reverse=True)


def test_a_frame_without_a_polyp_is_absent_below_the_threshold(tmp_path: Path) -> None:
    image = loaded(colon_frame(ColonRecipe(radius=0)).dataset(), tmp_path)
    ending = result(polyp.reader(POLYP), Told(lambda shown: {"area": np.full((len(shown), 1, 160, 160), -3.0)}), image)
    assert ending.findings[0].presence is Presence.ABSENT
    assert not ending.regions


def test_a_grey_frame_is_refused(tmp_path: Path) -> None:
    image = replace(loaded(colon_frame(ColonRecipe()).dataset(), tmp_path), colour=None)
    ending = read(polyp.reader(POLYP), Told(lambda shown: {"area": shown}), image)
    assert isinstance(ending, Refusal)
    assert ending.reason.code is ReasonCode.PIXEL_MEANING


# Nodule


def test_the_outline_and_the_size_of_a_nodule_are_those_that_were_drawn(tmp_path: Path) -> None:
    drawn = nodule_slice(NoduleSliceRecipe(seed=2, radius=10))
    image = loaded(drawn.dataset, tmp_path)
    ending = result(nodule.reader(NODULE), Told(lambda shown: {"area": bright(shown, level=0.42)}), image)
    mask = ending.regions[0].mask
    assert 2 * (mask & drawn.nodule).sum() / (mask.sum() + drawn.nodule.sum()) > 0.9
    area, diameter = ending.measurements
    assert area.value == pytest.approx(float(mask.sum()) * 0.49, abs=0.01)
    assert diameter.value == pytest.approx(20 * 0.7, rel=0.2)
    assert area.tracking == ending.regions[0].tracking


def test_without_spacing_the_area_is_counted_in_pixels(tmp_path: Path) -> None:
    image = replace(loaded(nodule_slice(NoduleSliceRecipe()).dataset, tmp_path), spacing_mm=None)
    (area,) = result(nodule.reader(NODULE), Told(lambda shown: {"area": bright(shown)}), image).measurements
    assert area.unit.value == "{pixels}"


def test_of_two_regions_the_one_in_the_middle_is_the_nodule(tmp_path: Path) -> None:
    image = loaded(nodule_slice(NoduleSliceRecipe()).dataset, tmp_path)

    def answer(shown: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        area = np.full((len(shown), 1, 144, 144), -6.0, dtype=np.float32)
        area[:, :, 60:80, 60:80] = 6
        area[:, :, 0:50, 100:144] = 6
        return {"area": area}

    ending = result(nodule.reader(NODULE), Told(answer), image)
    rows, columns = np.nonzero(ending.regions[0].mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (30, 39, 30, 39)


def test_a_whole_slice_is_no_crop(tmp_path: Path) -> None:
    image = loaded(nodule_slice(NoduleSliceRecipe(side=200)).dataset, tmp_path)
    ending = read(nodule.reader(NODULE), Told(lambda shown: {"area": shown}), image)
    assert isinstance(ending, Refusal)
    assert ending.reason.code is ReasonCode.IMAGE_TOO_LARGE


def test_the_longest_diameter_of_a_bar_is_its_diagonal() -> None:
    mask = np.zeros((20, 30), dtype=bool)
    mask[5:9, 10:22] = True
    assert longest_diameter(mask) == pytest.approx(np.hypot(4, 12))
    assert longest_diameter(np.zeros((3, 3), dtype=bool)) == 0


# Mammogram


def spot_at(rows: slice, columns: slice, abnormal: float) -> Callable[[NDArray[Any]], Mapping[str, NDArray[Any]]]:
    def answer(shown: NDArray[Any]) -> Mapping[str, NDArray[Any]]:
        spot = np.full((len(shown), 1, *SHAPE), -6.0, dtype=np.float32)
        spot[:, :, rows, columns] = 4
        density = np.tile(np.array([0.0, 0.0, 3.0], dtype=np.float32), (len(shown), 1))
        return {"spot": spot, "abnormal": np.full((len(shown), 1), abnormal, dtype=np.float32), "density": density}

    return answer


def test_left_and_right_breasts_look_the_same_to_the_network(tmp_path: Path) -> None:
    left, right = (loaded(mammogram(MammogramRecipe(seed=4, laterality=side)).dataset, tmp_path, side) for side in "LR")
    one, other = network_image(left), network_image(right)
    assert one is not None
    assert other is not None
    assert (one[1].mirrored, other[1].mirrored) == (False, True)
    assert np.abs(one[0] - other[0]).mean() < 0.03
    assert one[0][0, :, :40].mean() > one[0][0, :, -40:].mean()


def test_a_spot_comes_back_to_the_breast_that_it_is_in_and_the_density_is_no_finding(tmp_path: Path) -> None:
    phantom = mammogram(MammogramRecipe(seed=4, laterality="R", rows=512))
    image = loaded(phantom.dataset, tmp_path)
    breast = network_image(image)
    assert breast is not None
    rows, columns = np.nonzero(phantom.mass)
    drawn = breast[1].circle(float(columns.mean()), float(rows.mean()), 24.0)
    at_rows, at_columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    told = spot_at(slice(at_rows[0], at_rows[-1] + 1), slice(at_columns[0], at_columns[-1] + 1), 3.0)
    ending = result(mammo.reader(MAMMO), Told(told), image)
    (box,) = ending.findings[0].locations
    assert isinstance(box, Box)
    assert abs((box.column_min + box.column_max) / 2 - columns.mean()) < 20
    assert abs((box.row_min + box.row_max) / 2 - rows.mean()) < 20
    assert [(m.value, m.unit.value) for m in ending.measurements] == [(3.0, "{class}")]
    assert ending.outcome() is Outcome.POSITIVE


def test_a_dense_breast_without_a_spot_is_negative(tmp_path: Path) -> None:
    image = loaded(mammogram(MammogramRecipe(mass=False)).dataset, tmp_path)
    ending = result(mammo.reader(MAMMO), Told(spot_at(slice(0, 0), slice(0, 0), -3.0)), image)
    assert ending.outcome() is Outcome.NEGATIVE
    assert "dense-glandular" in ending.notes[0]


def test_a_picture_without_a_breast_is_refused(tmp_path: Path) -> None:
    image = loaded(mammogram(MammogramRecipe()).dataset, tmp_path)
    pixels = np.zeros_like(image.pixels)
    pixels[:20, :20] = 1
    ending = read(mammo.reader(MAMMO), Told(spot_at(slice(0), slice(0), 0.0)), replace(image, pixels=pixels))
    assert isinstance(ending, Refusal)
    assert ending.reason.code is ReasonCode.LOW_QUALITY
