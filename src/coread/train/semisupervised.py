"""Learning also from images without labels: the fit's own moving average teaches on an easy view, the network learns
on a hard one of the same image.

FixMatch (Sohn 2020): only what the teacher is sure of counts, as a hard label. Mean teacher (Tarvainen and Valpola
2017): the two answers are brought together, sure or not. Both views share their geometry, so masks work too.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from coread.train.arrays import ImageRows
from coread.train.augmenting import AugmentPlan, Movement, draw_movement, expose
from coread.train.batches import in_unit_range
from coread.train.errors import BadPlan
from coread.train.heads import Head
from coread.train.place_heads import Boxes
from coread.train.vector_heads import MultiClass, Regression


@dataclass(frozen=True, slots=True)
class SemiPlan:
    """How images without labels take part."""

    method: Literal["fixmatch", "mean_teacher"] = "fixmatch"
    weight: float = 1.0
    batch: int = 32
    """Images without labels in each step."""
    sure: float = 0.9
    """FixMatch: probability from which the teacher's answer counts."""
    ramp: float = 0.3
    """Share of the fit over which the weight rises (the teacher knows nothing at first)."""
    move: AugmentPlan = field(default_factory=lambda: AugmentPlan(gamma=0, contrast=0, sharpness=0, noise=0, erase=0))
    """Movement that both views share."""
    hard: AugmentPlan = field(
        default_factory=lambda: AugmentPlan(gamma=0.5, contrast=0.35, sharpness=0.6, noise=0.06, erase=0.5)
    )
    """Exposure and covers of the view that is learned on."""

    def __post_init__(self) -> None:
        if self.method not in ("fixmatch", "mean_teacher"):
            raise BadPlan(f"method {self.method!r} is unknown; it is fixmatch or mean_teacher")
        if not 0.5 <= self.sure < 1 or self.batch < 1 or self.weight <= 0:
            raise BadPlan("sure lies from 0.5 to below 1, batch is at least 1, weight above 0")


@dataclass(frozen=True, slots=True, eq=False)
class Unlabelled:
    """Images (N, C, *spatial) without labels and how they take part in a fit."""

    images: ImageRows
    plan: SemiPlan = field(default_factory=SemiPlan)

    def check(self, heads: Sequence[Head], channels: int, shape: tuple[int, ...]) -> None:
        """Raise BadPlan where heads or images do not fit."""
        if any(isinstance(head, Boxes) for head in heads):
            raise BadPlan("boxes cannot be learned from images without labels; leave that head out")
        if self.plan.method == "fixmatch" and any(isinstance(head, Regression) for head in heads):
            raise BadPlan("fixmatch needs classes; use mean_teacher for quantities")
        if tuple(self.images.shape[1:]) != (channels, *shape) or not len(self.images):
            raise BadPlan(
                f"images without labels are {tuple(self.images.shape)}, those with are (N, {channels}, *{shape})"
            )

    def loss(self, student: nn.Module, teacher: nn.Module, heads: Sequence[Head], *, done: float) -> Tensor:
        """Return the weighted loss of one random batch; ``done`` is the share of the fit that is over.

        Draws from torch's global generator, which the fit seeds for each step.
        """
        plan = self.plan
        rows = torch.randint(len(self.images), (plan.batch,)).numpy()
        images = in_unit_range(torch.from_numpy(np.ascontiguousarray(self.images[rows])))
        images = images.to(next(student.parameters()).device)
        movement = draw_movement(len(images), tuple(images.shape[2:]), plan.move)
        easy = Movement(movement.matrix.to(images.device)).images(images)
        wanted = _taught(teacher, easy)
        said: Mapping[str, Tensor] = student(expose(easy, plan.hard))
        parts = [head.weight * self._apart(head, said[head.name], wanted[head.name]) for head in heads]
        return plan.weight * _risen(done, plan.ramp) * torch.stack(parts).sum()

    def _apart(self, head: Head, said: Tensor, wanted: Tensor) -> Tensor:
        if isinstance(head, Regression):
            return functional.smooth_l1_loss(said, wanted)
        exclusive = isinstance(head, MultiClass) or (head.place == "mask" and head.channels() > 1)
        if self.plan.method == "mean_teacher":
            turn = (lambda x: x.softmax(dim=1)) if exclusive else torch.sigmoid
            return functional.mse_loss(turn(said), turn(wanted))
        if exclusive:
            sure, label = wanted.softmax(dim=1).max(dim=1)
            each = functional.cross_entropy(said, label, reduction="none")
        else:
            probability = torch.sigmoid(wanted)
            sure = torch.maximum(probability, 1 - probability)
            each = functional.binary_cross_entropy_with_logits(said, (probability >= 0.5).float(), reduction="none")
        return (each * (sure >= self.plan.sure)).mean()


def _taught(teacher: nn.Module, images: Tensor) -> dict[str, Tensor]:
    was = teacher.training
    teacher.eval()
    with torch.no_grad():
        answer: dict[str, Tensor] = teacher(images)
    teacher.train(was)
    return answer


def _risen(done: float, ramp: float) -> float:
    """Rise as Laine and Aila (2017): exp(-5 (1 - t)^2)."""
    if ramp <= 0:
        return 1.0
    return math.exp(-5 * (1 - min(1.0, done / ramp)) ** 2)
