"""Laws of the random changes: masks and boxes move with the image, zeros change nothing, values stay in range."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coread.imaging.detections import intersection_over_union
from coread.train.augmenting import NO_AUGMENTATION, AugmentPlan, draw_movement, expose, mixing

MOVES = AugmentPlan(rotation_degrees=25, scale=0.25, aspect=0.15, shift=0.12, mirror=(-1, -2))


def ellipses(count: int, shape: tuple[int, int], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Bright ellipses as images (N, 1, rows, columns), and the boxes around them (N, 1, 5)."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]] + 0.5
    images, boxes = [], []
    for _ in range(count):
        half = random.uniform(8, 14, 2)
        middle = random.uniform(0.35, 0.65, 2) * (shape[1], shape[0])
        images.append((((columns - middle[0]) / half[0]) ** 2 + ((rows - middle[1]) / half[1]) ** 2) < 1)
        boxes.append([[0, middle[0] - half[0], middle[1] - half[1], middle[0] + half[0], middle[1] + half[1]]])
    return torch.tensor(np.array(images))[:, None].float(), torch.tensor(np.array(boxes), dtype=torch.float32)


@given(st.integers(0, 10_000), st.sampled_from([(96, 96), (64, 112), (120, 72)]))
def test_boxes_move_with_the_image(seed: int, shape: tuple[int, int]) -> None:
    torch.manual_seed(seed)
    images, boxes = ellipses(4, shape, seed)
    movement = draw_movement(4, shape, MOVES)
    moved, after = movement.images(images), movement.boxes(boxes, shape)
    for image, box in zip(moved, after[:, 0].numpy(), strict=True):
        rows, columns = np.nonzero(image[0].numpy() > 0.5)
        if box[0] < 0 or min(rows.min(), columns.min()) == 0 or rows.max() == shape[0] - 1:
            continue
        if columns.max() == shape[1] - 1:
            continue
        seen = np.array([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], dtype=np.float32)
        assert intersection_over_union(seen, box[None, 1:])[0, 0] > 0.85


@given(st.integers(0, 10_000), st.sampled_from([(48, 48), (40, 56), (16, 24, 32)]))
def test_masks_move_with_the_image(seed: int, shape: tuple[int, ...]) -> None:
    torch.manual_seed(seed)
    masks = torch.zeros(3, *shape, dtype=torch.uint8)
    middle = tuple(slice(side // 3, 2 * side // 3) for side in shape)
    masks[(slice(None), *middle)] = 1
    movement = draw_movement(3, shape, MOVES)
    moved, drawn = movement.images(masks[:, None].float()), movement.masks(masks)
    # Nearest and linear interpolation differ on the border alone.
    assert ((moved[:, 0] > 0.99) <= (drawn == 1)).all()
    assert ((moved[:, 0] < 0.01) <= (drawn == 0)).all()


@pytest.mark.parametrize("shape", [(20, 30), (6, 10, 12)])
def test_no_augmentation_changes_nothing(shape: tuple[int, ...]) -> None:
    images = torch.rand(3, 2, *shape)
    movement = draw_movement(3, shape, NO_AUGMENTATION)
    assert torch.allclose(movement.images(images), images, atol=1e-4)
    masks = torch.randint(0, 4, (3, *shape)).to(torch.uint8)
    assert torch.equal(movement.masks(masks), masks)
    assert torch.allclose(expose(images, NO_AUGMENTATION), images, atol=1e-5)
    if len(shape) == 2:
        boxes = torch.tensor([[[1.0, 2, 3, 9, 8], [-1, -1, -1, -1, -1]]]).repeat(3, 1, 1)
        assert torch.allclose(movement.boxes(boxes, (20, 30)), boxes, atol=1e-4)


def test_mirroring_is_exact_for_images_and_boxes() -> None:
    torch.manual_seed(3)
    only_mirror = AugmentPlan(**{**dict.fromkeys(AugmentPlan.__slots__, 0), "mirror": (-1,), "share": 1.0})  # type: ignore[arg-type]
    images, boxes = torch.rand(16, 1, 24, 32), torch.tensor([[[0.0, 4, 6, 10, 12]]]).repeat(16, 1, 1)
    movement = draw_movement(16, (24, 32), only_mirror)
    moved, after = movement.images(images), movement.boxes(boxes, (24, 32))
    turned = torch.tensor(
        [torch.allclose(m, torch.flip(i, [2]), atol=1e-4) for m, i in zip(moved, images, strict=True)]
    )
    assert 0 < int(turned.sum()) < 16
    assert torch.allclose(after[turned][:, 0, 1:], torch.tensor([22.0, 6, 28, 12]), atol=1e-3)
    assert torch.allclose(after[~turned], boxes[~turned], atol=1e-3)


def test_a_box_that_leaves_the_image_is_dropped_and_unknown_stays_unknown() -> None:
    torch.manual_seed(0)
    far = AugmentPlan(**{**dict.fromkeys(AugmentPlan.__slots__, 0), "mirror": (), "shift": 0.9, "share": 1.0})  # type: ignore[arg-type]
    boxes = torch.tensor([[[0.0, 1, 1, 9, 9]], [[-2.0, -2, -2, -2, -2]]]).repeat(20, 1, 1)
    after = draw_movement(40, (64, 64), far).boxes(boxes, (64, 64))
    assert (after[::2, 0, 0] == -1).any()
    assert (after[1::2] == -2).all()
    kept = after[::2, 0][after[::2, 0, 0] >= 0]
    assert (kept[:, 1:] >= 0).all()
    assert (kept[:, 1:] <= 64).all()


@given(st.integers(0, 1000), st.sampled_from([(16, 16), (8, 12, 10)]), st.sampled_from([1, 3]))
def test_exposure_stays_in_range_and_depends_on_the_seed_alone(
    seed: int, shape: tuple[int, ...], channels: int
) -> None:
    plan = AugmentPlan(contrast=0.4, gamma=0.5, noise=0.1, erase=0.5, colour=0.2)
    images = torch.rand(4, channels, *shape)
    torch.manual_seed(seed)
    once = expose(images, plan)
    torch.manual_seed(seed)
    assert torch.equal(once, expose(images, plan))
    assert float(once.min()) >= 0.0
    assert float(once.max()) <= 1.0


def test_a_mixed_image_keeps_at_least_half_of_its_own() -> None:
    torch.manual_seed(0)
    shares = [mixing(4, 0.4)[0] for _ in range(50)]
    assert 0.5 <= min(shares) <= max(shares) <= 1.0
