"""Findings called at an operating point of the card: present or absent, with the probability that decided it.

Not for findings that no probability decides (a volume, a rule): those build their ``Finding`` themselves.
"""

from collections.abc import Sequence
from dataclasses import replace

from coread.domain.cards import OutputSpec
from coread.domain.codes import Code
from coread.domain.findings import Finding, HeatMap, ImageReference, Location, Presence, TrackingId


def called_finding(
    spec: OutputSpec, *, present: bool, probability: float, images: Sequence[ImageReference],
    tracking: TrackingId | None = None, locations: Sequence[Location] = (), laterality: Code | None = None,
    heat_maps: Sequence[HeatMap] = (),
) -> Finding:  # fmt: skip
    """Return the finding of an output at its default operating point; urgent when it is present and urgent on the card.

    ``images`` are those that show it or, where it is absent, all that were read.
    """
    point = spec.operating_point()
    return Finding(
        key=spec.key,
        concept=spec.concept,
        presence=Presence.PRESENT if present else Presence.ABSENT,
        probability=probability,
        threshold=point.threshold,
        operating_point=point.name,
        site=spec.site,
        laterality=laterality,
        tracking=tracking,
        images=tuple(images),
        locations=tuple(locations),
        heat_maps=tuple(heat_maps),
        urgent=present and spec.urgent,
    )


def absent_finding(spec: OutputSpec, *, highest: float, images: Sequence[ImageReference]) -> Finding:
    """Return that nothing was called in any of the images, with the highest probability met: absent.

    What is at or above the threshold but cannot be shown (an empty outline) is indeterminate, with its own probability:
    it is neither called, for there is nothing to look at, nor absent.
    """
    finding = called_finding(spec, present=False, probability=highest, images=images)
    if highest < spec.operating_point().threshold:
        return finding
    return replace(finding, presence=Presence.INDETERMINATE)
