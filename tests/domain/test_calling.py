"""Findings at the operating point of the card."""

from dataclasses import replace

import pytest

from coread.domain.calling import absent_finding, called_finding
from coread.domain.cards import OperatingPoint, OutputSpec
from coread.domain.codes import CHEST, Code
from coread.domain.findings import ImageReference, Presence
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import Outcome, ReadResult

SPEC = OutputSpec(
    key="nodule", name="Nodule", concept=Code("27925004", "SCT", "Nodule"), site=CHEST, urgent=True, auc=None,
    operating_points=(OperatingPoint("balanced", 0.3, "by hand", None, None, ""),), default_operating_point="balanced",
)  # fmt: skip
IMAGE = ImageReference("1.2.3", "1.2.4", "1.2.5")


def test_a_present_finding_names_its_point_and_is_urgent_as_on_the_card() -> None:
    found = called_finding(SPEC, present=True, probability=0.3, images=[IMAGE])
    assert (found.presence, found.probability, found.threshold) == (Presence.PRESENT, 0.3, 0.3)
    assert (found.key, found.operating_point, found.site) == ("nodule", "balanced", CHEST)
    assert found.images == (IMAGE,)
    assert found.urgent
    assert not called_finding(replace(SPEC, urgent=False), present=True, probability=0.5, images=[]).urgent


def test_an_absent_finding_is_below_its_threshold_and_never_urgent() -> None:
    found = absent_finding(SPEC, highest=0.2, images=[IMAGE])
    assert (found.presence, found.probability, found.urgent) == (Presence.ABSENT, 0.2, False)


@pytest.mark.parametrize("highest", [0.3, 0.9])
def test_what_is_likely_and_cannot_be_shown_is_indeterminate_with_its_own_probability(highest: float) -> None:
    found = absent_finding(SPEC, highest=highest, images=[IMAGE])
    assert (found.presence, found.probability, found.threshold) == (Presence.INDETERMINATE, highest, 0.3)
    assert not found.urgent
    result = ReadResult((found,))
    assert result.outcome() is Outcome.NOT_ANALYSED
    assert result.reason() == Reason(ReasonCode.INDETERMINATE, "Nodule, likely but nothing could be outlined")
