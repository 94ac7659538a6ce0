"""Windows over a volume, against MONAI's own transforms and sliding window."""

from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data.meta_tensor import MetaTensor
from monai.inferers.utils import sliding_window_inference
from monai.transforms.intensity.array import ScaleIntensityRange
from monai.transforms.spatial.array import Orientation, Spacing
from numpy.typing import NDArray

from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.imaging.plan import PlannedRegion, VolumePlan
from coread.imaging.windows import labels_by_windows, turn_to

REGIONS = (PlannedRegion("bright", 1),)
LPS = np.array([[0.0, 0.1, 1.5, -36.0], [0.1, 1.4, 0.0, -30.0], [3.0, 0.0, 0.1, -24.0], [0.0, 0.0, 0.0, 1.0]])
"""(slice, row, column) to LPS mm."""


def volume(shape: tuple[int, int, int] = (9, 24, 20), affine: NDArray[np.float64] = LPS) -> Volume:
    values = np.random.default_rng(1).normal(0, 200, shape).astype(np.float32)
    return Volume(values, Quantity.HOUNSFIELD, Geometry(shape, affine_of(affine), "1.2"), ())


def by_monai(plan: VolumePlan, given: Volume, network: torch.nn.Module) -> Any:
    """Return the mean scores on MONAI's grid."""
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ given.geometry.matrix()
    image = MetaTensor(torch.from_numpy(given.voxels)[None], affine=torch.from_numpy(ras))
    turned: Any = Orientation(axcodes=plan.orientation, labels=(("L", "R"), ("P", "A"), ("I", "S")))(image)
    if plan.spacing_mm:
        turned = Spacing(pixdim=plan.spacing_mm, mode="bilinear")(turned)
    if plan.window:
        low, high, new_low, new_high = plan.window
        turned = ScaleIntensityRange(low, high, new_low, new_high, clip=True)(turned)
    values = torch.as_tensor(np.asarray(turned))[None].float()
    with torch.inference_mode():
        return sliding_window_inference(values, plan.roi, 1, network, overlap=plan.overlap)


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "SAR"])
@pytest.mark.parametrize(
    ("roi", "overlap"), [((8, 8, 8), 0.5), ((16, 16, 4), 0.25), ((32, 32, 32), 0.25), ((7, 9, 5), 0.0)]
)
def test_without_resampling_labels_are_those_of_monai(
    orientation: str, roi: tuple[int, int, int], overlap: float
) -> None:
    torch.manual_seed(0)
    network = torch.nn.Conv3d(1, 3, 3, padding=1).eval()
    plan = VolumePlan(REGIONS, "network", "image", "scores", orientation, (), (-200, 200, 0, 1), roi, overlap)
    given = volume()

    def scores_of(window: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return np.asarray(network(torch.from_numpy(window)[None, None])[0])

    labels = labels_by_windows(plan, given, scores_of)
    expected = by_monai(plan, given, network)[0].argmax(dim=0).numpy()
    turn = turn_to(orientation, given.geometry.matrix())
    assert (turn.apply(labels) == expected).mean() > 0.999


def test_resampling_gives_the_grid_and_the_values_of_monai() -> None:
    """The scores are the values themselves, so the label tells where they are above a level."""
    straight = np.array([[0, 0, 1.0, -5], [0, 1.0, 0, -6], [2.5, 0, 0, -7], [0, 0, 0, 1.0]])
    given = volume((10, 30, 26), straight)
    level = torch.nn.Conv3d(1, 2, 1).eval()
    with torch.no_grad():
        level.weight.copy_(torch.tensor([0.0, 1.0]).view(2, 1, 1, 1, 1))
        level.bias.copy_(torch.tensor([40.0, 0.0]))  # type: ignore[union-attr]
    plan = VolumePlan(REGIONS, "network", "image", "scores", "RAS", (1.7, 1.3, 2.0), (), (64, 64, 64), 0.25)
    seen: list[NDArray[np.float32]] = []

    def scores_of(window: NDArray[np.float32]) -> NDArray[np.float32]:
        seen.append(window)
        return np.stack([np.full_like(window, 40.0), window])

    labels_by_windows(plan, given, scores_of)
    ras = np.diag([-1.0, -1.0, 1.0, 1.0]) @ straight
    image = MetaTensor(torch.from_numpy(given.voxels)[None], affine=torch.from_numpy(ras))
    turned = Orientation(axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))(image)
    expected = np.asarray(Spacing(pixdim=plan.spacing_mm, mode="bilinear")(turned))[0]
    inside = tuple(slice((64 - size) // 2, (64 - size) // 2 + size) for size in expected.shape)
    assert seen[0][inside] == pytest.approx(expected, abs=0.05)
    assert np.count_nonzero(seen[0]) == np.count_nonzero(expected)


ORIENTATIONS = ["".join(letters) for order in permutations(("RL", "AP", "SI")) for letters in product(*order)]


@given(st.sampled_from(ORIENTATIONS), st.permutations([0, 1, 2]), st.tuples(*[st.sampled_from([1, -1])] * 3))
@settings(max_examples=60)
def test_turning_there_and_back_changes_nothing_and_leads_to_the_letters(
    orientation: str, order: list[int], signs: tuple[int, int, int]
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = (np.diag([1.5, 2.0, 3.0]) * np.array(signs))[:, order]
    turn = turn_to(orientation, affine)
    values = np.arange(24).reshape(2, 3, 4)
    assert np.array_equal(turn.undo(turn.apply(values)), values)
    ras = np.diag([-1.0, -1.0, 1.0]) @ affine[:3, :3]
    for place, letter in enumerate(orientation):
        step = ras[:, turn.order[place]] * (-1 if place in turn.reversed_axes else 1)
        world = "RLAPSI".index(letter) // 2
        assert step[world] * (1 if letter in "RAS" else -1) > 0


def test_a_segmentation_comes_back_where_it_belongs_after_resampling() -> None:
    """A bright block, found at another spacing and orientation, must lie on the block again."""
    given = volume((20, 40, 36))
    values = given.voxels * 0
    values[6:14, 10:28, 8:24] = 100.0
    block = Volume(values, given.quantity, given.geometry, ())
    plan = VolumePlan(REGIONS, "network", "image", "scores", "LAS", (2.0, 2.0, 2.0), (0, 100, 0, 1), (16, 16, 16), 0.5)
    labels = labels_by_windows(plan, block, lambda window: np.stack([np.full_like(window, 0.5), window]))
    truth = values > 50
    dice = 2 * (truth & (labels == 1)).sum() / (truth.sum() + (labels == 1).sum())
    assert labels.shape == truth.shape
    assert dice > 0.9
