"""Findings at the operating point of the card."""

from dataclasses import replace

from coread.domain.calling import absent_finding, called_finding
from coread.domain.cards import OperatingPoint, OutputSpec
from coread.domain.codes import CHEST, Code
from coread.domain.findings import ImageReference, Presence

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
    assert absent_finding(SPEC, highest=0.2, images=[IMAGE]).probability == 0.2
    shown = absent_finding(SPEC, highest=0.9, images=[IMAGE])
    assert shown.presence is Presence.ABSENT
    assert shown.probability is not None
    assert 0.2999 < shown.probability < 0.3
    assert not shown.urgent
