"""Known lesions are outlined alike on both dates, and what became of them is said with its error; new FLAIR lesions."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from coread.domain.codes import Code
from coread.domain.findings import Presence, Region, TrackingId
from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.domain.reading import Prior, ReaderInputs
from coread.domain.reasons import ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.engine.samples import study_of
from coread.imaging.change import Verdict
from coread.imaging.registration import Registration
from coread.models.session import open_session
from coread.readers import follow_up
from coread.readers.card_file import read_card
from coread.readers.follow_up import words
from coread.readers.follow_up.brain import brain_mask, changed, covered_by
from coread.readers.follow_up.known import State, known_lesions, site_arrays, site_of
from coread.readers.follow_up.outline import outlined
from coread.readers.follow_up.placing import BODY_MM, facing, placed
from coread.readers.follow_up.reader import FollowUpReader, reader
from coread.readers.follow_up.response import Changed, followed_of, response_of
from tests.route.studies import header

FOLDER = Path(follow_up.__file__).parent
OUTLINE: dict[str, Any] = {
    "smooth_mm": 0.8, "reach_share": 0.7, "reach_mm": 5.0, "distance_weight": 1.5, "least_overlap": 0.5,
    "other_tissue_share": 0.5, "near_mm": 4.0, "grown_share": 0.25,
}  # fmt: skip
CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
MIDDLE = np.array([30, 32, 32])


def ball(radius: float, shape: tuple[int, int, int] = (60, 64, 64), at: NDArray[Any] = MIDDLE) -> NDArray[np.bool_]:
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    return np.asarray(np.linalg.norm(grid - at, axis=-1) < radius)


def scene(radius: float, seed: int, at: NDArray[Any] = MIDDLE) -> NDArray[np.float32]:
    """A soft body with organs to lay over one another, and one dark ball."""
    rng = np.random.default_rng(seed)
    values = np.full((60, 64, 64), -900.0)
    values[4:56, 6:58, 6:58] = 100.0
    values[10:50, 40:52, 12:20] = 300.0
    values[6:24, 10:16, 40:54] = -80.0
    values[44:54, 44:54, 44:54] = 200.0
    values[ball(radius, at=at)] = 40.0
    return np.asarray(values + rng.normal(0, 8, values.shape), np.float32)


def volume(values: NDArray[np.float32], day: str, modality: str = "CT") -> Volume:
    matrix = np.array([[0.0, 0.0, 2.0, -60.0], [0.0, 2.0, 0.0, -60.0], [2.0, 0.0, 0.0, -60.0]])
    uid = f"1.2.3.{day}"
    headers = tuple(
        replace(
            header(k + 1, modality=modality, sop_class_uid=CT_IMAGE, rows=64, columns=64), study_date=day,
            study_instance_uid=uid,
            series_instance_uid=f"{uid}.1", sop_instance_uid=f"{uid}.1.{k + 1}", patient_age="060Y",
            body_part_examined="ABDOMEN",
        )
        for k in range(len(values))
    )  # fmt: skip
    quantity = Quantity.HOUNSFIELD if modality == "CT" else Quantity.ARBITRARY
    return Volume(values, quantity, Geometry(values.shape, affine_of(matrix), "1.9"), headers)


def region(of: Volume, mask: NDArray[np.bool_], category: Code = words.ABNORMAL) -> Region:
    return Region("Liver lesion", category, words.LESION, mask, of.references(), TrackingId("a", "1.2.77"), of.geometry)


def inputs(before: float, after: float, *, marked: bool = True) -> ReaderInputs:
    first, second = volume(scene(before, 1), "20260101"), volume(scene(after, 2), "20260401")
    regions = (region(first, ball(before)),) if marked else ()
    prior = Prior(study_of(first.headers), volumes=(first,), regions=regions)
    return ReaderInputs(study_of(second.headers), volumes=(second,), priors=(prior,))


@pytest.fixture(scope="module")
def subject() -> FollowUpReader:
    return reader(read_card(FOLDER / "card.toml"))


def read(subject: FollowUpReader, given: ReaderInputs) -> ReadResult | Refusal:
    session = open_session(FOLDER / "model", FOLDER / "card.toml")
    prepared = subject.prepare(given)
    if isinstance(prepared, Refusal):
        return prepared
    return subject.interpret(session, prepared, subject.infer(session, prepared))


def presences(result: ReadResult) -> dict[str, Presence]:
    return {item.key: item.presence for item in result.findings}


def test_a_lesion_that_grew_keeps_its_name_and_its_growth_is_real(subject: FollowUpReader) -> None:
    result = read(subject, inputs(6.0, 7.5))
    assert isinstance(result, ReadResult)
    assert presences(result)[words.GROWTH] is Presence.PRESENT
    assert presences(result)[words.NEW_FLAIR] is Presence.NOT_ASSESSED
    (outline,) = result.regions
    assert outline.tracking.uid == "1.2.77"
    sizes = {item.concept.value: item.value for item in result.measurements if item.tracking is not None}
    truth = ball(7.5).sum() * 8 / 1000
    assert sizes[words.VOLUME.value] == pytest.approx(truth, rel=0.1)
    assert sizes[words.VOLUME_CHANGE.value] == pytest.approx(100 * (7.5**3 / 6**3 - 1), abs=20)
    assert "doubling time" in " ".join(result.notes)
    (curve,) = result.curves
    assert curve.name.endswith("grew")
    assert curve.points[-1][1] == pytest.approx(sizes[words.VOLUME.value])
    assert curve.points[0][1] < curve.points[-1][1]
    assert curve.points[-1][0] > 0


def test_no_change_is_called_none_and_a_vanished_lesion_is_gone(subject: FollowUpReader) -> None:
    same = read(subject, inputs(6.0, 6.0))
    assert isinstance(same, ReadResult)
    assert presences(same)[words.GROWTH] is Presence.ABSENT
    assert Verdict.WITHIN_ERROR.value in " ".join(same.notes)
    gone = read(subject, inputs(6.0, 0.0))
    assert isinstance(gone, ReadResult)
    assert "vanished" in " ".join(gone.notes)
    assert gone.regions == ()
    assert gone.curves[0].points[-1][1] == 0


def test_lesions_that_are_too_many_to_follow_are_counted_and_nothing_is_called_absent(
    subject: FollowUpReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coread.readers.follow_up.reader._MOST_LESIONS", 1)
    given = inputs(6.0, 6.0)
    (prior,) = given.priors
    mask = ball(5.0, at=np.array([20, 48, 48]))
    other = replace(region(prior.volumes[0], mask), tracking=TrackingId("b", "1.2.78"))
    result = read(subject, replace(given, priors=(replace(prior, regions=(*prior.regions, other)),)))
    assert isinstance(result, ReadResult)
    assert presences(result)[words.GROWTH] is Presence.INDETERMINATE
    assert presences(result)[words.PROGRESSION] is Presence.INDETERMINATE
    assert "1 more lesions are outlined in the earlier study" in " ".join(result.notes)


def test_without_an_earlier_study_or_in_mr_without_an_outlined_lesion_it_is_refused(subject: FollowUpReader) -> None:
    given = inputs(6.0, 6.0, marked=False)
    (prior,) = given.priors
    first, second = (
        volume(one.voxels, one.headers[0].study_date, "MR") for one in (prior.volumes[0], given.volumes[0])
    )
    unmarked = replace(given, volumes=(second,), priors=(replace(prior, volumes=(first,)),))
    for refused in (replace(given, priors=()), unmarked):
        ending = read(subject, refused)
        assert isinstance(ending, Refusal)
        assert ending.reason.code is ReasonCode.NO_PRIOR


def test_a_ct_without_known_lesions_is_searched_for_new_ones_and_never_called_absent(subject: FollowUpReader) -> None:
    found = read(subject, inputs(0.0, 6.0, marked=False))
    assert isinstance(found, ReadResult)
    assert presences(found)[words.NEW_CT] is Presence.INDETERMINATE
    assert presences(found)[words.GROWTH] is Presence.NOT_ASSESSED
    (candidate,) = found.regions
    assert candidate.finding_key == words.NEW_CT
    whole = np.zeros((60, 64, 64), dtype=bool)
    first = int(candidate.images[0].sop_instance_uid.rpartition(".")[2]) - 1
    whole[first : first + len(candidate.mask)] = candidate.mask
    overlap = 2 * (whole & ball(6.0)).sum() / (whole.sum() + ball(6.0).sum())
    assert overlap > 0.6
    same = read(subject, inputs(6.0, 6.0, marked=False))
    assert isinstance(same, ReadResult)
    assert presences(same)[words.NEW_CT] is Presence.NOT_ASSESSED
    (count,) = [one for one in same.measurements if one.concept == words.NEW_COUNT]
    assert count.value == 0
    assert "never searched" in " ".join(same.notes)


def test_a_lesion_that_the_later_field_cuts_did_not_shrink() -> None:
    first = volume(scene(6.0, 1), "20260101")
    (lesion,) = known_lesions((region(first, ball(6.0)),), first)
    for slices, seen in ((60, True), (38, True), (32, False)):
        later = volume(scene(6.0, 2)[:slices], "20260401")
        assert site_of(lesion, first, later, np.eye(4)).in_field is seen


def test_scans_of_two_places_are_not_laid_over_one_another(subject: FollowUpReader) -> None:
    given = inputs(6.0, 6.0)
    noise = np.random.default_rng(5).normal(0, 50, (60, 64, 64)).astype(np.float32)
    other = replace(given.volumes[0], voxels=noise)
    ending = read(subject, replace(given, volumes=(other,)))
    assert isinstance(ending, Refusal)
    assert ending.reason.code is ReasonCode.NOT_ALIGNED


def test_soft_tissue_decides_between_vertebrae(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outline and spine are alike some vertebrae up or down: registration may lock there."""
    first, second = volume(scene(6.0, 1), "20260101"), volume(scene(6.0, 2), "20260401")
    off = np.eye(4)

    def locked(fixed: Volume, moving: Volume, *, start: NDArray[Any] | None = None, samples: int = 0) -> Registration:
        return Registration(off if start is None else start, 0.0, 0.0, 1)

    monkeypatch.setattr("coread.readers.follow_up.placing.registered", locked)
    off[2, 3] = 12.0
    near = placed(first, second, BODY_MM)
    assert near.to_now[2, 3] == 12.0
    assert abs(near.in_segment[2, 3]) < 5.0
    off[2, 3] = 32.0
    laid = placed(first, second, BODY_MM)
    assert abs(laid.to_now[2, 3]) < 1.0
    assert laid.likeness > 0.95
    brains = [replace(one, quantity=Quantity.ARBITRARY) for one in (first, second)]
    assert placed(brains[0], brains[1], BODY_MM).to_now[2, 3] == 32.0


def test_a_lesion_that_began_as_a_candidate_is_followed_and_not_summed() -> None:
    first = volume(scene(6.0, 1), "20260101")
    known, candidate = (
        replace(region(first, ball(6.0)), tracking=TrackingId(name, uid))
        for name, uid in (("a", "1.2.77"), (f"{words.CANDIDATE} 1/2/3", "1.2.78"))
    )
    rows = []
    for number, one in enumerate((known, candidate)):
        (lesion,) = known_lesions((one,), first)
        site = site_of(lesion, first, first, np.eye(4))
        mask = site_arrays(number, site, first, first)[f"seed_{number}"]
        repeated = {"small_below_ml": 2.0, **{kind: {"small": 0.2, "large": 0.1, "floor": 0.1}
                                              for kind in ("volume", "diameter")}}  # fmt: skip
        rows.append(followed_of(number, site, (mask, mask), 90.0, repeated, cut=False))
    states = [State.FOLLOWED] * 2
    both = response_of(rows, states, (), study_of(first.headers))
    alone = response_of(rows[:1], states[:1], (), study_of(first.headers))
    assert both.sum_mm == alone.sum_mm > 10
    assert response_of(rows[1:], states[:1], (), study_of(first.headers)).presence is Presence.NOT_ASSESSED


def test_anatomy_and_a_second_outline_of_one_lesion_are_no_lesions_of_their_own() -> None:
    first = volume(scene(6.0, 1), "20260101")
    organ = region(first, ball(9.0), Code("91723000", "SCT", "Anatomical Structure"))
    found = known_lesions((organ, region(first, ball(6.0)), region(first, ball(5.5))), first)
    assert len(found) == 1


def test_outlines_follow_the_anatomy_when_the_axes_of_a_volume_run_the_other_way() -> None:
    first = volume(scene(6.0, 1), "20260101")
    matrix = first.geometry.matrix()[:3].copy()
    matrix[:, 3] += matrix[:, :3] @ (np.array(first.voxels.shape) - 1)
    matrix[:, :3] *= -1
    turned = replace(
        first, voxels=first.voxels[::-1, ::-1, ::-1], headers=first.headers[::-1],
        geometry=replace(first.geometry, affine=affine_of(matrix)),
    )  # fmt: skip
    back = facing(turned)
    assert np.array_equal(back.voxels, first.voxels)
    assert back.geometry == first.geometry
    assert back.references() == first.references()
    (known,) = known_lesions((region(first, ball(6.0)),), back)
    assert np.array_equal(known.mask, ball(6.0))


def test_an_outline_finds_the_edge_half_way_whatever_the_seed() -> None:
    values = np.where(ball(9.0), 40.0, 100.0) + np.random.default_rng(3).normal(0, 5, (60, 64, 64))
    for seed in (7.5, 10.5):
        found = outlined(values.astype(np.float32), ball(seed), 1.0, OUTLINE, may_change=True)
        assert found.mask.sum() == pytest.approx(ball(9.0).sum(), rel=0.06)
    empty = outlined(np.full((60, 64, 64), 100.0, np.float32), ball(9.0), 1.0, OUTLINE, may_change=True)
    assert empty.around == pytest.approx(empty.value, abs=1)


def test_a_bright_spot_that_is_new_in_flair_is_found_and_the_skull_is_no_brain() -> None:
    shape = (40, 80, 80)
    steps, middle = np.array([3.0, 2.0, 2.0]), np.array([20, 40, 40])
    grid = np.stack(np.meshgrid(*[np.arange(n) for n in shape], indexing="ij"), axis=-1)
    far = np.linalg.norm((grid - middle) * steps, axis=-1)
    head = np.where(far < 50, 300.0, 20.0) + np.where((far > 60) & (far < 66), 400.0, 0.0)
    rng = np.random.default_rng(4)
    spot = np.linalg.norm((grid - np.array([22, 46, 44])) * steps, axis=-1) < 6
    now = np.asarray(head + 150.0 * spot + rng.normal(0, 8, shape), np.float32)
    before = np.asarray(1.4 * (head + rng.normal(0, 8, shape)), np.float32)
    brain = brain_mask(now, steps)
    assert 2 * (brain & (far < 50)).sum() / (brain.sum() + (far < 50).sum()) > 0.95
    flair = {"smooth_mm": 1.2, "misplaced_mm": 1.0, "grow_sd": 1.5, "core_sd": 5.0, "bright_sd": 1.0, "edge_mm": 3.0,
             "least_mm3": 10.0}  # fmt: skip
    found = changed(now, before, steps, flair)
    assert found.brighter[spot].mean() > 0.6
    assert found.brighter[~spot].sum() < 60
    assert not found.darker.any()
    with pytest.raises(ValueError, match="no brain"):
        changed(np.zeros(shape, np.float32), np.zeros(shape, np.float32), steps, flair)


def test_the_interval_of_one_value_is_narrower_than_that_of_a_difference() -> None:
    change = Changed(10.0, 12.0, 0.3, Verdict.WITHIN_ERROR)
    assert change.half_width == pytest.approx(0.3 * 12 / 2**0.5)


def test_what_lies_beyond_the_earlier_field_is_not_compared() -> None:
    """There the earlier scan is 0 and everything would be new."""
    now = Geometry((20, 30, 30), affine_of(np.array([[0.0, 0, 2, 0], [0, 2, 0, 0], [3, 0, 0, 0]])), "1.9")
    assert covered_by(now, now, np.eye(4), 3.0).all()
    shifted = np.eye(4)
    shifted[2, 3] = 15.0  # five slices of the later scan lie above the earlier one
    covered = covered_by(now, now, shifted, 3.0)
    assert covered[:14].all()
    assert not covered[14:].any()
