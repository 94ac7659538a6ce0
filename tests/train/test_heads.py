"""Each head: what its loss ignores, what it prefers, what its score is, and what it refuses."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, cohen_kappa_score, r2_score, roc_auc_score
from torch.nn import functional

from coread.imaging.detections import boxes_from_maps, intersection_over_union
from coread.train.errors import BadPlan, BadTarget
from coread.train.losses import Imbalance, binary_loss, class_loss, draw_boxes, segmentation_loss
from coread.train.scores import average_precision, balanced_accuracy, explained_variance, quadratic_kappa
from coread.train.tasks import (
    Boxes,
    Head,
    MultiClass,
    MultiLabel,
    Ordinal,
    Regression,
    Segmentation,
    head_from_json,
    head_to_json,
    mirrored,
)
from tests.train.shapes import CLASSES, shapes

DATA = shapes(24)
HEADS: list[Head] = [
    MultiLabel("finding", CLASSES),
    MultiLabel("finding", CLASSES, imbalance="focal"),
    MultiLabel("finding", CLASSES, imbalance="asymmetric"),
    MultiClass("type", CLASSES),
    MultiClass("type", CLASSES, imbalance="focal"),
    Ordinal("grade", ("small", "middle", "large")),
    Regression("size", ("area",)),
    Segmentation("region", ("shape",)),
    Boxes("where", CLASSES),
]
SHAPE = (32, 32)


def output_for(head: Head, count: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(1)
    tails: dict[str, tuple[int, ...]] = {"vector": (), "mask": SHAPE, "boxes": (16, 16)}
    return torch.randn(count, head.channels(), *tails[head.place], generator=random)


def unknown(head: Head, count: int) -> Any:
    blank: dict[type, Any] = {
        MultiLabel: np.full((count, 2), np.nan, np.float32),
        MultiClass: np.full(count, -1),
        Ordinal: np.full(count, -1),
        Regression: np.full((count, 1), np.nan, np.float32),
        Segmentation: np.full((count, *SHAPE), 255, np.uint8),
        Boxes: [None] * count,
    }
    return blank[type(head)]


@pytest.mark.parametrize("head", HEADS, ids=lambda head: f"{type(head).__name__}-{getattr(head, 'imbalance', '')}")
def test_unknown_targets_teach_nothing(head: Head) -> None:
    ready = head.prepared(DATA.targets[head.name])
    rows = np.arange(8)
    output = output_for(head, 8).requires_grad_()
    mixed = DATA.targets[head.name]
    half = unknown(head, 8)
    known_only = ready.loss(output[:4], ready.gather(mixed, rows[:4]), SHAPE)
    values: Any = [*[mixed[i] for i in range(4)], *[half[i] for i in range(4)]]
    if not isinstance(head, Boxes):
        values = np.stack(values)
    both = ready.loss(output, ready.gather(values, rows), SHAPE)
    assert torch.allclose(known_only, both, atol=1e-5)
    nothing = ready.loss(output, ready.gather(half, rows), SHAPE)
    (gradient,) = torch.autograd.grad(nothing, output)
    assert float(gradient.abs().max()) == 0.0


@pytest.mark.parametrize("head", HEADS, ids=lambda head: f"{type(head).__name__}-{getattr(head, 'imbalance', '')}")
def test_learning_the_output_directly_lowers_the_loss_and_raises_the_score(head: Head) -> None:
    ready = head.prepared(DATA.targets[head.name])
    target = ready.gather(DATA.targets[head.name], np.arange(24))
    output = (output_for(head, 24) * 0.1).requires_grad_()
    optimizer = torch.optim.Adam([output], lr=3.0 if isinstance(head, Regression) else 0.3)
    for _ in range(200):
        optimizer.zero_grad()
        loss = ready.loss(output, target, SHAPE)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    scored = ready.score(ready.rows(output, target, SHAPE))
    assert next(iter(scored.values())) > 0.95


@pytest.mark.parametrize("head", HEADS, ids=lambda head: type(head).__name__)
def test_a_head_survives_being_written_down(head: Head) -> None:
    import json

    ready = head.prepared(DATA.targets[head.name])
    assert head_from_json(json.loads(json.dumps(head_to_json(ready)))) == ready


@pytest.mark.parametrize(
    ("head", "values"),
    [
        (MultiLabel("a", CLASSES), np.array([[0.0, 2.0]])),
        (MultiLabel("a", CLASSES), np.zeros((1, 3))),
        (MultiClass("a", CLASSES), np.array([2])),
        (MultiClass("a", CLASSES), np.array([0.5])),
        (Ordinal("a", ("x", "y")), np.array([-2])),
        (Regression("a", ("x",)), np.array([[np.inf]])),
        (Segmentation("a", ("x",)), np.full((1, 4, 4), 7, np.uint8)),
        (Boxes("a", CLASSES), [np.array([[2, 0, 0, 4, 4]], np.float32)]),
        (Boxes("a", CLASSES), [np.array([[0, 4, 0, 4, 4]], np.float32)]),
    ],
)
def test_a_target_outside_the_list_is_refused_by_name(head: Head, values: Any) -> None:
    with pytest.raises(BadTarget, match=r"a:"):
        head.check(values, ["the image"])


def test_an_unknown_task_or_setting_is_refused() -> None:
    with pytest.raises(BadPlan, match="Segmentation"):
        head_from_json({"task": "Guessing", "name": "a"})
    with pytest.raises(BadPlan, match="colour"):
        head_from_json({"task": "MultiClass", "name": "a", "classes": ["x"], "colour": 1})
    with pytest.raises(BadPlan, match="classes"):
        head_from_json({"task": "MultiClass", "name": "a"})


def test_plain_losses_are_those_of_torch() -> None:
    torch.manual_seed(0)
    logits, targets = torch.randn(6, 3), (torch.rand(6, 3) > 0.5).float()
    ones, weights = torch.ones(3), torch.tensor([1.0, 2.0, 3.0])
    ours = binary_loss(logits, targets, Imbalance(), positive=weights, smoothing=0.0)
    assert torch.allclose(ours, functional.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights))
    classes = torch.tensor([0, 1, 2, -1, 1, 0])
    ours = class_loss(logits, classes, Imbalance(), weights=weights, smoothing=0.0)
    assert torch.allclose(ours, functional.cross_entropy(logits, classes, weight=weights, ignore_index=-1))
    focal = binary_loss(logits, targets, Imbalance("focal", 0.0), positive=ones, smoothing=0.0)
    assert torch.allclose(focal, functional.binary_cross_entropy_with_logits(logits, targets), atol=1e-6)


def test_the_soft_dice_part_is_that_of_monai() -> None:
    from monai.losses import DiceLoss  # type: ignore[attr-defined]

    torch.manual_seed(1)
    logits, target = torch.randn(3, 1, 8, 8), torch.randint(0, 2, (3, 8, 8)).to(torch.uint8)
    ours = segmentation_loss(logits, target, dice_share=1.0)
    theirs = DiceLoss(sigmoid=True, smooth_nr=1.0, smooth_dr=1.0)(logits, target.unsqueeze(1).float())
    assert torch.allclose(ours, theirs, atol=1e-5)


def test_scores_agree_with_scikit_learn() -> None:
    random = np.random.default_rng(3)
    truth, called = random.integers(0, 4, 80), random.integers(0, 4, 80)
    assert balanced_accuracy(truth, called) == pytest.approx(balanced_accuracy_score(truth, called))
    assert quadratic_kappa(truth, called, 4) == pytest.approx(cohen_kappa_score(truth, called, weights="quadratic"))
    a, b = random.normal(size=(50, 2)), random.normal(size=(50, 2))
    assert explained_variance(a, b) == pytest.approx(r2_score(a, b))
    head = MultiLabel("x", CLASSES)
    said, wanted = random.normal(size=(60, 2)), (random.random((60, 2)) > 0.6).astype(float)
    found = head.score([(s, w) for s, w in zip(said, wanted, strict=True)])
    assert found["auc"] == pytest.approx(roc_auc_score(wanted, said, average="macro"))


def test_average_precision_of_a_worked_example() -> None:
    truth = [np.array([[0, 0, 0, 10, 10], [0, 20, 20, 30, 30]], float)]
    found = [np.array([[0, 0, 0, 10, 10, 0.9], [0, 50, 50, 60, 60, 0.8], [0, 21, 20, 31, 30, 0.7]], float)]
    # Precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1: area 1/2 * 1 + 1/2 * 2/3.
    assert average_precision(found, truth, 0) == pytest.approx(0.5 + 1 / 3)
    assert np.isnan(average_precision(found, truth, 1))
    twice = [np.vstack([found[0][:1], found[0][:1]])]
    assert average_precision(twice, truth, 0) == pytest.approx(0.5), "one object is found once"


def test_grades_never_contradict_one_another() -> None:
    from coread.train.networks import OrderedLogits

    layer = OrderedLogits(5, 4)
    torch.nn.init.normal_(layer.steps, std=3.0)
    logits = layer(torch.randn(20, 5))
    assert (logits.diff(dim=1) <= 0).all()


@given(
    st.lists(
        st.tuples(st.integers(0, 1), st.integers(0, 40), st.integers(0, 40), st.integers(8, 24), st.integers(8, 24)),
        min_size=1,
        max_size=3,
    )
)
def test_what_is_drawn_is_read_back(listed: list[tuple[int, int, int, int, int]]) -> None:
    boxes = np.array([(k, x, y, x + w, y + h) for k, x, y, w, h in listed], dtype=np.float32)
    apart = intersection_over_union(boxes[:, 1:], boxes[:, 1:]) - np.eye(len(boxes)) < 0.05
    cells = ((boxes[:, 1:3] + boxes[:, 3:]) / 8).astype(int)
    if not apart.all() or (len(boxes) > 1 and np.abs(np.subtract.outer(cells, cells)).max() < 3):
        return
    drawn = draw_boxes(torch.from_numpy(boxes[None]), 2, (64, 64), (16, 16))
    heat = torch.logit(drawn.heat.clamp(1e-4, 1 - 1e-4))
    found = boxes_from_maps(torch.cat([heat, drawn.shapes], dim=1)[0].numpy(), (64, 64), floor=0.99)
    for box in boxes:
        same = found[found[:, 0] == box[0]]
        assert intersection_over_union(same[:, 1:5], box[None, 1:]).max() > 0.9


def test_the_mirror_image_of_box_maps_gives_the_mirrored_boxes() -> None:
    boxes = np.array([[0, 5, 8, 25, 20]], dtype=np.float32)
    other: NDArray[np.float32] = np.array([[0, 64 - 25, 8, 64 - 5, 20]], dtype=np.float32)

    def maps(of: NDArray[np.float32]) -> torch.Tensor:
        drawn = draw_boxes(torch.from_numpy(of[None]), 1, (64, 64), (16, 16))
        return torch.cat([torch.logit(drawn.heat.clamp(1e-4, 1 - 1e-4)), drawn.shapes], dim=1)

    back = mirrored(Boxes("where", ("thing",)), maps(other))
    one = boxes_from_maps(back[0].numpy(), (64, 64), floor=0.99)
    assert np.allclose(one[0, 1:5], boxes[0, 1:], atol=0.01)
    vector = torch.randn(2, 2)
    assert mirrored(MultiClass("type", CLASSES), vector) is vector


def test_rare_classes_weigh_more() -> None:
    rare = MultiClass("type", CLASSES).prepared(np.array([0] * 90 + [1] * 10))
    assert rare.class_weights[1] > 2 * rare.class_weights[0]
    labels = np.zeros((100, 2), np.float32)
    labels[:5, 0], labels[:50, 1] = 1, 1
    ready = MultiLabel("finding", CLASSES).prepared(labels)
    assert ready.positive[0] > 3 > ready.positive[1]
    assert MultiLabel("finding", CLASSES, balance=False).prepared(labels).positive == (1.0, 1.0)
