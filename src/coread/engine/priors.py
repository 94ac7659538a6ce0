"""Earlier studies of the patient for readers that compare; one that cannot be read is named and left out."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from coread.domain.cards import ReaderCard
from coread.domain.findings import Region
from coread.domain.reading import Prior
from coread.domain.reasons import Reason
from coread.domain.results import Refusal
from coread.domain.study import InstanceHeader, Study
from coread.engine.errors import TooMuchMemory
from coread.engine.limits import require_memory
from coread.engine.loading import Loaded, Source, load_inputs


@dataclass(frozen=True, slots=True, eq=False)
class PriorSources:
    """One earlier study and those of its instances that fit the reader's card."""

    study: Study
    sources: tuple[Source, ...]
    regions: tuple[Region, ...] = ()
    """What is stored as outlined on that date."""
    said_by: tuple[str, ...] = ()
    """Which readers, or people, outlined it; in words."""


@dataclass(frozen=True, slots=True, eq=False)
class FoundPriors:
    """The earlier studies of a study's patient that a card asks for, newest first, and why others could not be had."""

    priors: tuple[PriorSources, ...] = ()
    reasons: tuple[Reason, ...] = ()


NO_PRIORS = FoundPriors()
FindPriors = Callable[[Study, ReaderCard], FoundPriors]


@dataclass(frozen=True, slots=True, eq=False)
class LoadedPriors:
    """What could be decoded, and a sentence for each study that could not."""

    priors: tuple[Prior, ...] = ()
    notes: tuple[str, ...] = ()


def region_digests(regions: Sequence[Region]) -> list[str]:
    """Return the SHA-256 of each outline with its identity: what was given is part of the input digest."""
    found = []
    for region in regions:
        digest = hashlib.sha256(f"{region.tracking.uid} {region.mask.shape} {region.geometry}".encode())
        digest.update(np.packbits(region.mask).tobytes())
        found.append(digest.hexdigest())
    return found


def load_priors(card: ReaderCard, found: FoundPriors, held: Sequence[InstanceHeader] = ()) -> LoadedPriors:
    """Decode earlier studies as the card asks. A refused one never stops the reading of the current study.

    ``held`` are the images of the current study, which lie in memory: what does not fit beside them is left out.
    """
    priors: list[Prior] = []
    notes = [f"{reason.code.value}: {reason.text()}" for reason in found.reasons]
    for item in found.priors[: card.input.max_priors]:
        headers = [*held, *(header for _, header in item.sources)]
        loaded = _loaded(card, item, headers)
        if isinstance(loaded, Refusal):
            notes.append(f"Earlier study of {item.study.study_date} not used: {loaded.reason.text()}")
            continue
        held = headers
        given = loaded.inputs
        priors.append(Prior(item.study, given.images, given.volumes, item.regions, given.companions))
        notes.append(f"Given for comparison: study of {item.study.study_date}, {item.study.study_instance_uid}")
        if item.regions:
            notes.append(f"{len(item.regions)} outlines of that date are by {', '.join(item.said_by)}")
        notes += [
            f"Earlier study of {item.study.study_date}: image left out: {why.text()}" for _, why in loaded.skipped
        ]
    return LoadedPriors(tuple(priors), tuple(notes))


def _loaded(card: ReaderCard, item: PriorSources, headers: Sequence[InstanceHeader]) -> Loaded | Refusal:
    try:
        require_memory(card, headers)
    except TooMuchMemory as problem:
        return Refusal(problem.reason)
    return load_inputs(card, item.study, item.sources)
