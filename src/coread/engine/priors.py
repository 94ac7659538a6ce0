"""Earlier studies of the patient for readers that compare; one that cannot be read is named and left out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from coread.domain.cards import ReaderCard
from coread.domain.reading import Prior
from coread.domain.results import Refusal
from coread.domain.study import Study
from coread.engine.loading import Source, load_inputs


@dataclass(frozen=True, slots=True, eq=False)
class PriorSources:
    """One earlier study and those of its instances that fit the reader's card."""

    study: Study
    sources: tuple[Source, ...]


FindPriors = Callable[[Study, ReaderCard], Sequence[PriorSources]]
"""Returns the earlier studies of a study's patient that a card asks for, newest first."""


@dataclass(frozen=True, slots=True, eq=False)
class LoadedPriors:
    """What could be decoded, and a sentence for each study that could not."""

    priors: tuple[Prior, ...] = ()
    notes: tuple[str, ...] = ()


def load_priors(card: ReaderCard, found: Sequence[PriorSources]) -> LoadedPriors:
    """Decode earlier studies as the card asks. A refused one never stops the reading of the current study."""
    priors: list[Prior] = []
    notes: list[str] = []
    for item in found[: card.input.max_priors]:
        loaded = load_inputs(card, item.study, item.sources)
        if isinstance(loaded, Refusal):
            notes.append(f"Earlier study of {item.study.study_date} not used: {loaded.reason.text()}")
            continue
        priors.append(Prior(item.study, loaded.inputs.images, loaded.inputs.volumes))
        notes.append(f"Given for comparison: study of {item.study.study_date}, {item.study.study_instance_uid}")
        notes += [
            f"Earlier study of {item.study.study_date}: image left out: {why.text()}" for _, why in loaded.skipped
        ]
    return LoadedPriors(tuple(priors), tuple(notes))
