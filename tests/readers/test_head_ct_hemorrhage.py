"""The head CT reader: turned, thin and tilted series, what it refuses, the note instead of marks, drawn blood."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coread.domain.cards import Estimate, OperatingPoint, OutputSpec, ReaderCard, ReaderKind
from coread.domain.findings import Presence
from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import FloatPixels, Quantity, Volume
from coread.domain.reading import Arrays, ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.engine.conformance.volumes import run_other_way
from coread.engine.samples import study_of
from coread.readers.head_ct_hemorrhage import reader as module
from coread.readers.head_ct_hemorrhage.axial import axial_slices
from coread.readers.head_ct_hemorrhage.contrast import stated_contrast
from coread.readers.head_ct_hemorrhage.coverage import Coverage, coverage_of_areas
from coread.readers.head_ct_hemorrhage.drawn import with_blood
from coread.readers.head_ct_hemorrhage.outputs import ANY, CHANNELS, INPUT, PLACE_HEAD, SIDE, TYPE_HEAD, TYPES
from coread.readers.head_ct_hemorrhage.preprocess import (
    brain_of,
    head_slices,
    head_square,
    network_input,
    slices_with_brain,
    windowed,
)
from coread.readers.head_ct_hemorrhage.scores import TOP, carrying, place_probabilities, slice_logits, study_logit
from coread.readers.head_ct_hemorrhage.upright import Midline, midline, upright
from coread.readers.head_ct_hemorrhage.words import OUTPUT_PLANS, card
from tests.readers.reading import SaidSession, header

SLICES, ROWS, COLUMNS_OF_HEAD = 24, 160, 140
CT_STORAGE = "1.2.840.10008.5.1.4.1.1.2"
SURE = Estimate(0.9, 0.8, 1.0, 10)


class SaidInTurn(SaidSession):
    """Gives the rows of its outputs one after another, however many slices it is asked about at a time."""

    def run(self, graph: str, inputs: Arrays) -> dict[str, NDArray[Any]]:
        first = sum(len(one[INPUT]) for one in self.seen)
        whole = super().run(graph, inputs)
        return {name: rows[first : first + len(inputs[INPUT])] for name, rows in whole.items()}


def reader_card() -> ReaderCard:
    plan = OUTPUT_PLANS[0]
    point = OperatingPoint("balanced", 0.5, "for this test", SURE, SURE, "nothing")
    return replace(
        card([]),
        outputs=(OutputSpec(plan.key, plan.name, plan.concept, plan.site, True, SURE, (point,), "balanced"),),
    )


def head(slices: int = SLICES, widths: Sequence[float] = ()) -> NDArray[np.float32]:
    """Air, scalp, bone and brain as nested ellipses, HU, of given widths or all the same; no two slices are equal."""
    rows, columns = np.indices((ROWS, COLUMNS_OF_HEAD))
    away = np.hypot((rows - 82) / 70, (columns - 66) / 58)
    planes = [
        np.select([away < 0.86 * width, away < 0.95 * width, away < width], [36.0, 900.0, 20.0], -1000.0)
        for width in widths or [1.0] * slices
    ]
    noise = np.random.default_rng(3).normal(scale=4, size=(len(planes), ROWS, COLUMNS_OF_HEAD))
    return (np.stack(planes) + noise).astype(np.float32)


BASE, VERTEX = [0.8, 0.85, 0.92], [0.93, 0.84, 0.72, 0.55]
WHOLE = [*BASE, *([1.0] * (SLICES - 7)), *VERTEX]
"""Widths of a head that narrows to the base and to the vertex."""


def volume(voxels: FloatPixels | None = None, step: float = 5.0, tilt: float = 0.0, **more: str) -> Volume:
    hu = head(widths=WHOLE) if voxels is None else voxels
    matrix = np.zeros((3, 4))
    matrix[2, 0], matrix[0, 2] = step, 1.0
    matrix[1, 1], matrix[2, 1] = np.cos(tilt), -np.sin(tilt)
    words = {"modality": "CT", "body_part_examined": "HEAD"} | more
    headers = tuple(
        replace(header(number, *hu.shape[1:], **words), sop_class_uid=CT_STORAGE) for number in range(1, len(hu) + 1)
    )
    shape = (int(hu.shape[0]), int(hu.shape[1]), int(hu.shape[2]))
    return Volume(hu, Quantity.HOUNSFIELD, Geometry(shape, affine_of(matrix), "1.2.3.9"), headers)


def read(given: Volume, logits: Sequence[NDArray[np.float32]] = ()) -> ReadResult | Refusal:
    reader = module.reader(reader_card())
    prepared = reader.prepare(ReaderInputs(study_of(given.headers), volumes=(given,)))
    if isinstance(prepared, Refusal):
        return prepared
    count = len(prepared.arrays[INPUT])
    low = [np.full((count, *shape), -4.0, dtype=np.float32) for shape in ((1, SIDE, SIDE), (len(TYPES),))]
    session = SaidInTurn(dict(zip((PLACE_HEAD, TYPE_HEAD), logits or low, strict=True)))
    return reader.interpret(session, prepared, reader.infer(session, prepared))


def test_a_suspected_study_is_urgent_named_in_words_and_marked_nowhere() -> None:
    suspected = np.full((SLICES, 1, SIDE, SIDE), -4.0, dtype=np.float32)
    types = np.full((SLICES, len(TYPES)), -4.0, dtype=np.float32)
    suspected[6:11, 0, 60:66, 100:106] = 3.0
    types[[7, 8, 9], TYPES.index("epidural")] = 3.0
    result = read(volume(), (suspected, types))
    assert isinstance(result, ReadResult)
    (finding,) = result.findings
    assert (finding.key, finding.presence, finding.urgent) == (ANY, Presence.PRESENT, True)
    assert finding.probability == pytest.approx(1 / (1 + np.exp(-3.0)), abs=1e-5)
    assert [image.sop_instance_uid for image in finding.images] == ["1.2.3.4.9", "1.2.3.4.10"]
    assert not finding.locations
    assert not finding.heat_maps
    assert not result.regions
    assert "images 9, 10" in result.notes[0]
    assert "epidural" in result.notes[1]
    assert module.reader(reader_card()).card.kind is ReaderKind.TRIAGE


def test_a_quiet_study_is_absent_and_not_urgent() -> None:
    result = read(volume())
    assert isinstance(result, ReadResult)
    assert (result.findings[0].presence, result.findings[0].urgent, result.notes) == (Presence.ABSENT, False, ())


@pytest.mark.parametrize(
    ("widths", "said"),
    [
        (WHOLE[:-3], "at the top"),
        (WHOLE[3:], "at the bottom"),
        ([1.0] * SLICES, "at the top and at the bottom"),
    ],
)
def test_a_scan_that_stops_inside_the_brain_is_never_negative(widths: list[float], said: str) -> None:
    cut = volume(head(widths=widths))
    ending = read(cut)
    assert isinstance(ending, Refusal)
    assert ending.reason == Reason(
        ReasonCode.INDETERMINATE,
        f"the scan ends within the brain {said}; nothing is suspected in the part that is seen",
    )
    suspected = np.full((len(widths), 1, SIDE, SIDE), -4.0, dtype=np.float32)
    suspected[8:12, 0, 60:66, 100:106] = 3.0
    found = read(cut, (suspected, np.zeros((len(widths), len(TYPES)), dtype=np.float32)))
    assert isinstance(found, ReadResult)
    assert found.findings[0].presence is Presence.PRESENT
    assert found.notes[0] == f"Only part was seen: the scan ends within the brain {said}."


def test_air_above_the_head_and_a_neck_below_it_are_no_cut() -> None:
    areas = np.array([0.5, 0.6, 0.8, 1.0, 1.0, 0.9, 0.5, 0.0, 0.0])
    brain = np.array([0, 0, 0, 1, 1, 1, 0, 0, 0], dtype=np.bool_)
    assert coverage_of_areas(areas, brain) == Coverage(top=True, bottom=True)
    shoulders = np.concatenate([[3.0, 2.5], areas[2:6]]), np.concatenate([[False, False], brain[2:6]])
    assert coverage_of_areas(*shoulders) == Coverage(top=False, bottom=True)
    assert not coverage_of_areas(areas, np.zeros(9, dtype=np.bool_)).whole
    assert coverage_of_areas(areas, brain).words() == ""


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda v: replace(v, headers=tuple(replace(h, modality="MR") for h in v.headers)), ReasonCode.WRONG_MODALITY),
        (lambda _: volume(body_part_examined="CHEST"), ReasonCode.WRONG_BODY_PART),
        (lambda _: volume(patient_age="002M"), ReasonCode.WRONG_AGE),
        (lambda _: volume(series_description="Head post contrast"), ReasonCode.WRONG_CONTRAST),
        (lambda v: replace(v, quantity=Quantity.ARBITRARY), ReasonCode.PIXEL_MEANING),
        (lambda _: volume(head(11)), ReasonCode.TOO_FEW_IMAGES),
        (lambda _: volume(step=9.0), ReasonCode.WRONG_SPACING),
        (lambda v: replace(v, voxels=np.full_like(v.voxels, 30)), ReasonCode.PIXELS_CONSTANT),
        (lambda v: replace(v, voxels=np.where(v.voxels > 200, 50, v.voxels)), ReasonCode.WRONG_BODY_PART),
        (lambda v: replace(v, voxels=v.voxels / 100 - 1000), ReasonCode.WRONG_BODY_PART),
    ],
)
def test_what_should_not_be_read_is_refused(change: Callable[[Volume], Volume], code: ReasonCode) -> None:
    ending = read(change(volume()))
    assert isinstance(ending, Refusal)
    assert ending.reason.code is code


def test_one_voxel_that_is_no_number_refuses_the_study() -> None:
    voxels = head()
    voxels[3, 80, 70] = np.nan
    ending = read(volume(voxels))
    assert isinstance(ending, Refusal)
    assert ending.reason.code is ReasonCode.PIXELS_NOT_FINITE


def test_a_study_without_a_volume_is_refused() -> None:
    ending = module.reader(reader_card()).prepare(ReaderInputs(study_of(volume().headers)))
    assert isinstance(ending, Refusal)


def test_axes_that_run_the_other_way_give_the_same_slices() -> None:
    given = volume()
    plain, turned = axial_slices(given), axial_slices(run_other_way(given))
    assert not isinstance(plain, Reason)
    assert not isinstance(turned, Reason)
    assert np.array_equal(plain.hu, turned.hu)
    assert plain.sources == turned.sources


def test_rows_across_the_patient_are_exchanged_with_the_columns() -> None:
    given = volume()
    matrix = given.geometry.matrix()[:3][:, [0, 2, 1, 3]]
    shape = (SLICES, COLUMNS_OF_HEAD, ROWS)
    crossed = Volume(
        np.ascontiguousarray(given.voxels.transpose(0, 2, 1)), given.quantity,
        Geometry(shape, affine_of(matrix), "1.2.3.9"), given.headers,
    )  # fmt: skip
    plain, turned = axial_slices(given), axial_slices(crossed)
    assert not isinstance(plain, Reason)
    assert not isinstance(turned, Reason)
    assert np.array_equal(plain.hu, turned.hu)


def test_slices_that_are_not_axial_are_refused() -> None:
    given = volume()
    coronal = replace(given.geometry, affine=affine_of(given.geometry.matrix()[:3][[0, 2, 1]]))
    reason = axial_slices(replace(given, geometry=coronal))
    assert isinstance(reason, Reason)
    assert reason.code is ReasonCode.WRONG_VIEW


def test_pixels_that_are_not_square_are_refused() -> None:
    given = volume()
    matrix = given.geometry.matrix()[:3]
    matrix[:, 1] *= 1.2
    reason = axial_slices(replace(given, geometry=replace(given.geometry, affine=affine_of(matrix))))
    assert isinstance(reason, Reason)
    assert reason.code is ReasonCode.WRONG_SPACING


def test_thin_slices_are_averaged_and_every_image_is_named_once() -> None:
    thin = volume(head(60), step=1.25)
    found = axial_slices(thin)
    assert not isinstance(found, Reason)
    assert found.spacing_mm == 5.0
    assert found.hu.shape[0] == 15
    assert np.allclose(found.hu[0], thin.voxels[:4].mean(axis=0), atol=1e-3)
    assert [image.sop_instance_uid for slice_ in found.sources for image in slice_] == [
        item.sop_instance_uid for item in thin.headers
    ]


def test_a_tilted_gantry_is_read_as_acquired() -> None:
    found = axial_slices(volume(tilt=np.deg2rad(18.5)))
    assert not isinstance(found, Reason)
    assert np.array_equal(found.hu, volume().voxels)
    assert found.spacing_mm == pytest.approx(5.0 * np.cos(np.deg2rad(18.5)))


@pytest.mark.parametrize(
    ("words", "stated"),
    [
        ("Head without contrast", False), ("NCCT 5mm", False), ("Kopf nativ", False), ("HEAD w/o contrast", False),
        ("Brain C-", False), ("pre-contrast head", False), ("Routine Head 5.0", False), ("", False),
        ("CTA head", True), ("Head with contrast", True), ("Brain C+", True), ("post IV 5mm", True),
        ("Perfusion 5mm", True), ("Angio Kopf", True), ("without and with contrast", True),
    ],
)  # fmt: skip
def test_contrast_is_known_by_its_words(words: str, stated: bool) -> None:
    assert bool(stated_contrast(volume(series_description=words).headers[0])) is stated
    assert bool(stated_contrast(volume(protocol_name=words).headers[0])) is stated


def test_the_square_holds_the_head_and_a_holder_beside_it_changes_nothing() -> None:
    images = windowed(head())
    square = head_square(images)
    assert square is not None
    assert square.side == pytest.approx(140 * 1.06, abs=3)
    with_holder = images.copy()
    with_holder[:, 155:157, 20:120] = 1.0
    again = head_square(with_holder)
    assert again is not None
    assert abs(again.side - square.side) <= 1
    assert head_square(np.zeros((3, 64, 64), dtype=np.float32)) is None


def test_a_square_beyond_the_picture_is_black_there() -> None:
    found = head_slices(windowed(head()[:, 20:150, 10:]), SIDE)
    assert found is not None
    assert found.slices.shape == (SLICES, SIDE, SIDE)
    whole = head_slices(windowed(head()), SIDE)
    assert whole is not None
    assert slices_with_brain(whole.slices).all()


def test_the_network_sees_neighbours_and_the_mirror_image() -> None:
    slices = np.random.default_rng(0).random((5, 8, 8), dtype=np.float32)
    given = network_input(slices)
    assert given.shape == (5, CHANNELS, 8, 8)
    assert np.array_equal(given[2, 0], slices[1])
    assert np.array_equal(given[2, 1], slices[2])
    assert np.array_equal(given[2, 2], slices[3])
    assert np.array_equal(given[2, 3], slices[2][:, ::-1])
    assert np.array_equal(given[0, 0], slices[0])
    assert np.array_equal(given[4, 2], slices[4])


@pytest.mark.parametrize("degrees", [-20.0, 0.0, 14.0])
def test_a_turned_head_is_set_upright(degrees: float) -> None:
    whole = head_slices(windowed(head(4)), SIDE)
    assert whole is not None
    straight = whole.slices
    turned = upright(straight, Midline(np.deg2rad(degrees), 0.03))
    found = midline(turned)
    assert np.rad2deg(found.angle) == pytest.approx(-degrees, abs=4.0)
    again = upright(turned, found)
    assert np.abs(again - again[..., ::-1]).mean() < np.abs(turned - turned[..., ::-1]).mean() + 0.01
    assert np.abs(again - straight).mean() < 0.05


def test_places_are_smoothed_over_neighbouring_slices_and_their_highest_pixels_count() -> None:
    logits = np.full((3, 1, 12, 12), -9.0, dtype=np.float32)
    logits[1, 0, :4, :6] = 9.0
    places = place_probabilities(logits)
    assert places[1, 0, 0] == pytest.approx(2 / 3, abs=1e-3)
    assert places[0, 0, 0] == pytest.approx(1 / 6, abs=1e-3)
    assert slice_logits(places)[1] == pytest.approx(np.log(2), abs=1e-2)
    assert slice_logits(places)[0] == pytest.approx(np.log(1 / 5), abs=1e-2)


def test_the_study_is_the_mean_of_its_highest_slices() -> None:
    logits = np.array([-3.0, 5.0, 1.0, -1.0, 3.0])
    assert study_logit(logits) == 4.0
    assert carrying(logits) == [1, 4]
    assert study_logit(logits[:1]) == -3.0
    assert TOP == 2


def test_drawn_blood_is_bright_inside_the_skull_and_changes_nothing_else() -> None:
    whole = head_slices(windowed(head(9)), SIDE)
    assert whole is not None
    slices = whole.slices
    brains = [brain_of(one) for one in slices]
    kinds = set()
    for seed in range(40):
        made = with_blood(slices, brains, 4, np.random.default_rng(seed))
        if made is None:
            continue
        drawn, kind = made
        kinds.add(TYPES[kind])
        assert 4 in drawn
        for number, one in drawn.items():
            brain = brains[number]
            assert brain is not None
            assert not (one.place & ~brain).any()
            assert one.image[one.place].mean() > slices[number][one.place].mean()
            assert np.array_equal(one.image[slices[number] >= 0.97], slices[number][slices[number] >= 0.97])
            assert np.abs(one.image - slices[number])[:8].max() == 0.0
    assert {"epidural", "intraparenchymal", "subdural"} <= kinds
    assert with_blood(slices, [None] * 9, 4, np.random.default_rng(0)) is None
