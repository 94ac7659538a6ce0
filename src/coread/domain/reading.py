"""The contract of a reader: three steps over values. Readers know nothing of queues, files or DICOM writing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from numpy.typing import NDArray

from coread.domain.cards import ReaderCard
from coread.domain.findings import Region
from coread.domain.images import Loop, PlanarImage, Volume
from coread.domain.kspace import KSpace
from coread.domain.results import ReadResult, Refusal
from coread.domain.study import InstanceHeader, Study

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Prior:
    """An earlier study of the same patient, decoded as the reader's card asks."""

    study: Study
    images: tuple[PlanarImage, ...] = ()
    volumes: tuple[Volume, ...] = ()
    regions: tuple[Region, ...] = ()
    """What readers or people outlined on that date and is stored here; their images may be of any of its series."""
    companions: tuple[Volume, ...] = ()
    """As those of ``ReaderInputs``, of that date."""


@dataclass(frozen=True, slots=True, eq=False)
class ReaderInputs:
    """What the engine hands to a reader: the study's record and its decoded images."""

    study: Study
    images: tuple[PlanarImage, ...] = ()
    volumes: tuple[Volume, ...] = ()
    loops: tuple[Loop, ...] = ()
    priors: tuple[Prior, ...] = ()
    """Newest first, at most as many as the card asks for; empty when there is none."""
    companions: tuple[Volume, ...] = ()
    """Of the second series that the card names (``companion_series_words``); empty where the study has none."""
    kspaces: tuple[KSpace, ...] = ()
    """Raw data of the study (``presentation = "kspace"``), decoded from Raw Data Storage objects."""
    kspace_headers: tuple[InstanceHeader, ...] = ()
    """Of the object that each of ``kspaces`` came from, in their order."""


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Network inputs by name (batch axis first) and whatever ``interpret`` needs to find its way back."""

    arrays: Arrays
    context: Any = None


class ModelSession(Protocol):
    """A loaded, verified model package."""

    @property
    def digest(self) -> str:
        """SHA-256 over the whole package."""
        ...

    @property
    def runtime(self) -> str:
        """Inference engine and version."""
        ...

    def run(self, graph: str, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Run one graph of the package by its name (``network`` for most)."""
        ...

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The numbers of ``parameters.json`` in the package; empty where it has none."""
        ...

    def calibrate(self, key: str, logit: float) -> float:
        """Turn a raw logit of the output ``key`` into a calibrated probability in [0, 1]."""
        ...


class Reader(Protocol):
    """One AI reader; the module ``coread.readers.<id>.reader`` offers ``reader(card) -> Reader``."""

    @property
    def card(self) -> ReaderCard:
        """The card that this reader was built with."""
        ...

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        """Check the input and turn it into network inputs; never changes ``inputs``."""
        ...

    def infer(self, session: ModelSession, prepared: Prepared) -> Arrays:
        """Run the graphs of the package over the prepared arrays."""
        ...

    def interpret(self, session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        """Turn raw outputs into findings, each with a calibrated probability at a named operating point."""
        ...
