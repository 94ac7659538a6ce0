"""A layer that nobody here trained is not shipped."""

import pytest
import torch

from coread.train.errors import BadPlan
from coread.train.own_weights import require_trained


def test_a_layer_that_did_not_learn_is_named() -> None:
    given = {"stem.weight": torch.randn(32, 27), "stage.weight": torch.randn(64, 32), "norm.weight": torch.ones(64)}
    learned = {name: value + 0.01 * torch.randn_like(value) for name, value in given.items()}
    require_trained(learned, given)
    with pytest.raises(BadPlan, match=r"stem\.weight"):
        require_trained(learned | {"stem.weight": given["stem.weight"].clone()}, given)
    require_trained(learned | {"norm.weight": given["norm.weight"]}, given)
    require_trained({}, given)
