"""Detection curves agree with their definitions written as loops, box precision with a plain COCO evaluation."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.box_utils import box_iou
from sklearn.metrics import roc_auc_score

from coread.statistics.errors import NotEstimable, UnsuitableData
from coread.statistics.froc import (
    COCO_OVERLAPS,
    afroc_auc,
    afroc_curve,
    box_average_precision,
    cpm,
    froc_curve,
    froc_estimate,
    jafroc,
    jafroc_estimate,
    mean_average_precision,
    sensitivity_at_rate,
)
from coread.statistics.intervals import Resampling
from coread.statistics.matching import Marks, MatchRule, match, overlaps

Study = tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]


def boxes(random: np.random.Generator, count: int) -> np.ndarray:
    low = random.uniform(0, 60, (count, 2))
    return np.concatenate([low, low + random.uniform(8, 30, (count, 2))], axis=1)


def study(seed: int, images: int = 30) -> Study:
    """Lesions, marks near some of them and marks anywhere, with scores that tell them apart a little. Simulated."""
    random = np.random.default_rng(seed)
    truth: list[np.ndarray] = []
    found: list[np.ndarray] = []
    scores: list[np.ndarray] = []
    for k in range(images):
        lesions = boxes(random, int(random.integers(1, 4)) if k % 2 else 0)
        hit = lesions[random.random(len(lesions)) < 0.8]
        near = hit + random.normal(scale=1.5, size=hit.shape)
        wrong = boxes(random, int(random.poisson(1.0)))
        marks = np.concatenate([near, wrong])
        marks[:, 2:] = np.maximum(marks[:, 2:], marks[:, :2] + 1)
        truth.append(lesions)
        found.append(marks)
        given = np.concatenate([random.normal(1, 1, len(near)), random.normal(0, 1, len(wrong))])
        scores.append(np.round(given, 1))
    return truth, found, scores


def marks_of(seed: int) -> Marks:
    return match(*study(seed))


@settings(max_examples=20)
@given(st.integers(0, 500))
def test_overlaps_are_those_of_monai(seed: int) -> None:
    random = np.random.default_rng(seed)
    one, other = boxes(random, 5), boxes(random, 7)
    assert overlaps(one, other) == pytest.approx(np.asarray(box_iou(one, other)), abs=1e-6)  # MONAI: single precision


def test_overlaps_in_three_dimensions_are_shares_of_volume() -> None:
    one = np.array([[0, 0, 0, 2, 2, 2]], dtype=float)
    other = np.array([[1, 1, 1, 3, 3, 3], [5, 5, 5, 6, 6, 6]], dtype=float)
    assert overlaps(one, other) == pytest.approx(np.array([[1 / 15, 0.0]]))


def test_the_matching_rules_mean_what_they_say() -> None:
    lesion = [np.array([[10.0, 10.0, 20.0, 20.0]])]
    mark = [np.array([[14.0, 14.0, 22.0, 22.0]])]  # centre (18, 18); the lesion's centre is (15, 15)

    def hits(rule: MatchRule) -> bool:
        return bool((match(lesion, mark, [[1.0]], rule).lesion >= 0).all())

    assert overlaps(lesion[0], mark[0])[0, 0] == pytest.approx(36 / 128)
    assert hits(MatchRule("iou", 0.28))
    assert not hits(MatchRule("iou", 0.29))
    assert hits(MatchRule("centre"))
    assert hits(MatchRule("distance", 4.3))
    assert not hits(MatchRule("distance", 4.2))
    assert hits(MatchRule("radius"))
    assert not bool((match(lesion, [[[15.0, 21.0, 15.0, 21.0]]], [[1.0]], MatchRule("radius")).lesion >= 0).any())


def test_a_second_mark_on_a_lesion_is_ignored_or_false_as_the_rule_says() -> None:
    lesion = [np.array([[10.0, 10.0, 20.0, 20.0]])]
    marks = [np.array([[10.0, 10.0, 20.0, 20.0], [10.0, 10.0, 20.0, 21.0]])]
    ignored = match(lesion, marks, [[0.5, 0.9]], MatchRule())
    assert (ignored.score.tolist(), ignored.lesion.tolist()) == ([0.9], [0])
    false = match(lesion, marks, [[0.5, 0.9]], MatchRule(duplicates="false"))
    assert sorted(zip(false.score.tolist(), false.lesion.tolist(), strict=True)) == [(0.5, -1), (0.9, 0)]


@settings(max_examples=30)
@given(st.integers(0, 1000))
def test_the_froc_curve_counts_lesions_and_false_marks_at_each_threshold(seed: int) -> None:
    marks = marks_of(seed)
    curve = froc_curve(marks)
    for threshold, rate, sensitivity in zip(
        curve.thresholds, curve.false_positives_per_image, curve.sensitivity, strict=True
    ):
        shown = marks.score >= threshold
        assert rate == pytest.approx((shown & (marks.lesion < 0)).sum() / marks.images)
        assert sensitivity == pytest.approx((shown & (marks.lesion >= 0)).sum() / marks.lesions)


def test_cpm_is_the_mean_over_the_seven_rates_of_luna16() -> None:
    # One lesion in each of four images; marks by falling score: hit, hit, false, hit, false. 4 images.
    marks = Marks(
        np.array([5.0, 4.0, 3.0, 2.0, 1.0]),
        np.array([0, 1, 2, 2, 3]),
        np.array([0, 0, -1, 0, -1]),
        np.ones(4, dtype=int),
    )
    curve = froc_curve(marks)
    assert curve.sensitivity.tolist() == [0, 0.25, 0.5, 0.5, 0.75, 0.75]
    assert curve.false_positives_per_image.tolist() == [0, 0, 0, 0.25, 0.25, 0.5]
    assert sensitivity_at_rate(curve, 0.125) == pytest.approx(0.5)
    assert sensitivity_at_rate(curve, 0.375) == pytest.approx(0.75)
    assert cpm(marks) == pytest.approx((0.5 + 0.75 * 6) / 7)


def jafroc_by_loop(marks: Marks, normals_only: bool) -> float:
    """The figure of merit as Chakraborty and Berbaum write it: a double sum over images and lesions."""
    total, count = 0.0, 0
    lesions = [
        max(
            [s for s, i, k in zip(marks.score, marks.image, marks.lesion, strict=True) if (i, k) == (image, lesion)],
            default=-np.inf,
        )
        for image in range(marks.images)
        for lesion in range(marks.lesions_per_image[image])
    ]
    for image in range(marks.images):
        if normals_only and marks.lesions_per_image[image]:
            continue
        false = [s for s, i, k in zip(marks.score, marks.image, marks.lesion, strict=True) if i == image and k < 0]
        highest = max(false, default=-np.inf)
        for rating in lesions:
            total += 1.0 if rating > highest else 0.5 if rating == highest else 0.0
            count += 1
    return total / count


@settings(max_examples=30)
@given(st.integers(0, 1000), st.booleans())
def test_the_figure_of_merit_is_its_double_sum(seed: int, normals_only: bool) -> None:
    marks = marks_of(seed)
    assert jafroc(marks, normals_only=normals_only) == pytest.approx(jafroc_by_loop(marks, normals_only))


@settings(max_examples=30)
@given(st.integers(0, 1000))
def test_the_figure_of_merit_is_the_area_under_the_afroc_curve(seed: int) -> None:
    marks = marks_of(seed)
    assert afroc_auc(marks) == pytest.approx(jafroc(marks))
    curve = afroc_curve(marks)
    assert curve.sensitivity[0] == curve.false_positive_fraction[0] == 0.0


def test_with_one_lesion_and_one_mark_per_image_it_is_the_auc() -> None:
    random = np.random.default_rng(3)
    truth = np.arange(60) < 25
    scores = np.round(random.normal(size=60) + truth, 1)
    marks = Marks(scores, np.arange(60), np.where(truth, 0, -1), truth.astype(int))
    assert jafroc(marks) == pytest.approx(roc_auc_score(truth, scores))


def test_jackknife_and_bootstrap_intervals_of_the_figure_of_merit_agree() -> None:
    marks = match(*study(4, 150))
    jackknife = jafroc_estimate(marks)
    drawn = froc_estimate(marks, jafroc, plan=Resampling(repeats=600))
    assert (drawn.low, drawn.high) == pytest.approx((jackknife.low, jackknife.high), abs=0.02)
    groups = [f"p{k // 3}" for k in range(150)]
    assert jafroc_estimate(marks, groups).value == jackknife.value
    found = froc_estimate(marks, cpm, groups, plan=Resampling(repeats=100))
    assert 0 < found.low <= found.value <= found.high <= 1


@given(st.integers(0, 1000))
def test_a_resample_of_images_is_the_study_of_those_images(seed: int) -> None:
    truth, found, scores = study(seed, 12)
    chosen = np.random.default_rng(seed).integers(0, 12, 12)
    direct = match([truth[k] for k in chosen], [found[k] for k in chosen], [scores[k] for k in chosen])
    drawn = match(truth, found, scores).of_images(chosen)
    assert np.array_equal(direct.score, drawn.score)
    assert np.array_equal(direct.image, drawn.image)
    assert np.array_equal(direct.lesion, drawn.lesion)
    assert np.array_equal(direct.lesions_per_image, drawn.lesions_per_image)


def iou_of(one: np.ndarray, other: np.ndarray) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return float(shared / (areas[0] + areas[1] - shared))


def coco_by_loop(truth: Sequence[np.ndarray], found: Sequence[np.ndarray], overlap: float) -> float:
    """COCO's evaluation of one class at one overlap, from its description: greedy, 101 recall points."""
    rows: list[tuple[float, bool]] = []
    total = 0
    for lesions, marks in zip(truth, found, strict=True):
        total += len(lesions)
        used: set[int] = set()
        for k in sorted(range(len(marks)), key=lambda k: -marks[k][-1])[:100]:
            best, best_at = overlap - 1e-12, -1
            for j, lesion in enumerate(lesions):
                value = iou_of(lesion, marks[k][:4])
                if j not in used and value >= best:
                    best, best_at = value, j
            if best_at >= 0:
                used.add(best_at)
            rows.append((float(marks[k][-1]), best_at >= 0))
    rows.sort(key=lambda row: -row[0])
    hits, points = 0, []
    for n, (_, hit) in enumerate(rows, 1):
        hits += hit
        points.append((hits / total, hits / n))
    return float(np.mean([max([p for r, p in points if r >= level], default=0.0) for level in np.linspace(0, 1, 101)]))


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_box_precision_is_that_of_coco(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth, found, scores = study(seed, 15)
    distinct = [s + random.uniform(0, 1e-3, len(s)) for s in scores]  # COCO leaves the order of ties open
    joined = [np.c_[f, s] for f, s in zip(found, distinct, strict=True)]
    for overlap in (0.5, 0.75):
        expected = coco_by_loop(truth, joined, overlap)
        assert box_average_precision(truth, found, distinct, overlap=overlap) == pytest.approx(expected)
    labels = [random.integers(0, 2, len(t)) for t in truth]
    marked = [random.integers(0, 2, len(f)) for f in found]
    answer = mean_average_precision(
        [np.c_[label, t] for label, t in zip(labels, truth, strict=True)],
        [np.c_[label, j] for label, j in zip(marked, joined, strict=True)],
    )
    table = [
        [
            coco_by_loop(
                [t[label == k] for t, label in zip(truth, labels, strict=True)],
                [j[label == k] for j, label in zip(joined, marked, strict=True)],
                overlap,
            )
            for overlap in COCO_OVERLAPS
        ]
        for k in (0, 1)
    ]
    assert answer.mean == pytest.approx(np.mean(table))
    assert (answer.at_50, answer.at_75) == pytest.approx(tuple(np.mean(table, axis=0)[[0, 5]]))


def test_perfect_boxes_have_precision_one_and_none_have_zero() -> None:
    truth, _, _ = study(5)
    assert box_average_precision(truth, truth, [np.ones(len(t)) for t in truth]) == 1.0
    empty = [np.empty((0, 4)) for _ in truth]
    assert box_average_precision(truth, empty, [np.empty(0) for _ in truth]) == 0.0
    nothing = match(truth, empty, [np.empty(0) for _ in truth])
    assert cpm(nothing) == 0.0
    assert jafroc(nothing) == 0.5


def test_no_lesions_and_broken_boxes_are_said() -> None:
    empty = [np.empty((0, 4))]
    with pytest.raises(NotEstimable, match="no lesions"):
        froc_curve(match(empty, [np.array([[0.0, 0.0, 1.0, 1.0]])], [[0.3]]))
    lesion = [np.array([[0.0, 0.0, 1.0, 1.0]])]
    with pytest.raises(NotEstimable, match="JAFROC1"):
        jafroc(match(lesion, empty, [np.empty(0)]))
    with pytest.raises(NotEstimable, match="no true boxes"):
        mean_average_precision([np.empty((0, 5))], [np.empty((0, 6))])
    with pytest.raises(NotEstimable, match="three patients"):
        jafroc_estimate(match([*lesion, *empty], [*lesion, *empty], [[0.3], []]))
    with pytest.raises(NotEstimable, match="no true boxes"):
        box_average_precision(empty, empty, [[]])
    with pytest.raises(UnsuitableData, match="negative"):
        sensitivity_at_rate(froc_curve(match(lesion, lesion, [[0.3]])), -1.0)
    with pytest.raises(UnsuitableData, match=r"0.5 and 0.75"):
        mean_average_precision([[[0, 0, 0, 1, 1]]], [np.empty((0, 6))], overlaps=[0.3])
    with pytest.raises(UnsuitableData, match="at least 6 columns"):
        mean_average_precision([[[0, 0, 0, 1, 1]]], [[[0, 0, 0, 1, 1]]])
    with pytest.raises(UnsuitableData, match="dimensions"):
        match(lesion, [np.array([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]])], [[0.3]])
    with pytest.raises(UnsuitableData, match="distance"):
        MatchRule("distance", -1.0)
    with pytest.raises(UnsuitableData, match="lower one first"):
        match(lesion, [np.array([[2.0, 2.0, 1.0, 1.0]])], [[0.3]])
    with pytest.raises(UnsuitableData, match="one score"):
        match(lesion, lesion, [[0.3, 0.4]])
    with pytest.raises(UnsuitableData, match="intersection over union"):
        MatchRule("iou", 0.0)
