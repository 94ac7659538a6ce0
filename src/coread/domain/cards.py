"""The reader card: everything the rest of the system knows of a reader, as data (card.toml beside its code)."""

from dataclasses import dataclass
from enum import StrEnum

from coread.domain.codes import Code
from coread.domain.errors import InvalidRecord


class ReaderKind(StrEnum):
    """What a reader is for; decides how its results may be shown (STANDARDS: intended use)."""

    TRIAGE = "triage"
    DETECTION = "detection"
    QUANTIFICATION = "quantification"
    RECONSTRUCTION = "reconstruction"
    SCREENING = "screening"
    QUALITY = "quality"

    @property
    def notes_images(self) -> bool:
        """Say whether findings are about images and not about the patient: they are noted, never suspected."""
        return self in (ReaderKind.RECONSTRUCTION, ReaderKind.QUALITY)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured proportion or score with its 95 % interval and the number of cases behind it."""

    value: float
    low: float
    high: float
    n: int

    def __post_init__(self) -> None:
        if not (self.low <= self.value <= self.high and self.n > 0):
            raise InvalidRecord(f"estimate {self.value} [{self.low}, {self.high}], n={self.n} contradicts itself")


@dataclass(frozen=True, slots=True)
class OperatingPoint:
    """A named threshold on the calibrated probability, with what was measured there."""

    name: str
    threshold: float
    rule: str
    """How the threshold was chosen, in words, e.g. ``sensitivity >= 0.90 on the calibration patients``."""
    sensitivity: Estimate | None
    """``None``: not measured, as in an imported package before its validation. Said wherever it would stand."""
    specificity: Estimate | None
    """``None``: not measured, because the data hold no case without the finding. Said wherever it would stand."""
    measured_on: str


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One finding that the reader reports, always, as present, absent or not assessed."""

    key: str
    name: str
    concept: Code
    site: Code | None
    urgent: bool
    """Present findings of this kind move the study up the worklist."""
    auc: Estimate | None
    operating_points: tuple[OperatingPoint, ...]
    default_operating_point: str

    def operating_point(self, name: str = "") -> OperatingPoint:
        """Return the operating point of that name, or the default one."""
        wanted = name or self.default_operating_point
        for point in self.operating_points:
            if point.name == wanted:
                return point
        raise InvalidRecord(f"output {self.key!r} has no operating point {wanted!r}")


@dataclass(frozen=True, slots=True)
class InputContract:
    """What a reader may be given. Empty tuples mean "any"; routing and the reader both check it."""

    modalities: tuple[str, ...]
    sop_class_uids: tuple[str, ...]
    body_parts: tuple[str, ...]
    """Accepted Body Part Examined values (PS3.16 annex L), upper case; a series without one is accepted
    and left to the reader's own gate."""
    views: tuple[str, ...]
    """Accepted View Position values; an image without one is left to the reader's own gate."""
    min_age_years: float | None
    max_age_years: float | None
    min_rows: int
    min_columns: int
    max_pixels: int
    min_images: int
    max_images: int
    presentation: str = "planar"
    """``planar`` (images one by one), ``volume`` (a geometrically complete series), ``loop`` (moving multi-frame
    objects of the study; ``min_images`` and ``max_images`` are then the frames of one, ``views`` its view) or
    ``kspace`` (raw data of the study's acquisitions; matrix and number are those of the images to compute, slices
    times frames, and are known only once the object is opened)."""
    volumes: str = "one"
    """Of a series that holds several (phases, b-values, planes): ``one``, refused where none stands out, or ``all``."""
    gaps: str = "refuse"
    """Slices at uneven distances: ``refuse``, or ``resample`` between the real positions, recorded in the volume."""
    max_priors: int = 0
    """How many earlier studies of the patient are given as well, newest first; each must fit this contract."""
    prior_years: float = 5.0
    """Older ones are left out."""
    series_words: tuple[str, ...] = ()
    """Volumes: where Series Description or Protocol Name of a series that fits holds one of these words, in any case,
    it is taken before the others, e.g. ``FLAIR``."""
    companion_series_words: tuple[str, ...] = ()
    """Volumes: beside the series that is read, the longest one of the same study that is named by one of these words,
    and by none of ``series_words``, is given as well. Where there is none the reader does without."""
    min_coils: int = 1
    """Raw data: fewest receive channels."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What one reading may use; the engine enforces both."""

    memory_mb: int
    seconds: float


@dataclass(frozen=True, slots=True)
class ReaderCard:
    """Identity, intended use, input contract, outputs, data and limits of one reader."""

    reader_id: str
    name: str
    version: str
    kind: ReaderKind
    intended_use: str
    not_for: str
    research_use: bool
    input: InputContract
    outputs: tuple[OutputSpec, ...]
    training_data: tuple[str, ...]
    training_licence: str
    validation: str
    """Data, split rule and n behind the estimates on this card, in words."""
    limits: tuple[str, ...]
    resources: Resources

    def output(self, key: str) -> OutputSpec:
        """Return the output of that key; raises InvalidRecord when the card does not declare it."""
        for output in self.outputs:
            if output.key == key:
                return output
        raise InvalidRecord(f"reader {self.reader_id!r} declares no output {key!r}")
