"""What one case came to, as plain data: one line of the journal, and what everything is measured from."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from coread.domain.results import Outcome


@dataclass(frozen=True, slots=True)
class OutputRecord:
    """The reader's word on one output."""

    presence: str
    probability: float | None
    """Calibrated, as a radiologist would be shown it."""
    logit: float | None
    """The raw score that was calibrated, where the reader calibrated one."""
    threshold: float | None = None
    operating_point: str = ""


@dataclass(frozen=True, slots=True)
class BoxRecord:
    """One box that the reader marked, in pixels of the case's picture number ``image`` (from 0)."""

    key: str
    score: float
    x0: float
    y0: float
    x1: float
    y1: float
    image: int = 0


@dataclass(frozen=True, slots=True)
class MaskRecord:
    """One region of the reader against the mask of the truth; distances in mm, or pixels where no spacing is known."""

    dice: float
    hausdorff95: float | None
    surface_distance: float | None
    volume: float
    """Of the reader's region: ml for volumes with geometry, else square mm or pixels."""
    volume_truth: float
    unit: str


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """How one case ended."""

    case_id: str
    outcome: str
    reason: str = ""
    """Code of the refusal, or kind of the failure."""
    detail: str = ""
    outputs: Mapping[str, OutputRecord] = field(default_factory=dict)
    boxes: tuple[BoxRecord, ...] = ()
    masks: Mapping[str, MaskRecord] = field(default_factory=dict)
    numbers: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    skipped: int = 0
    """Images of the case that were not read although others were."""
    seconds: float = 0.0
    """Wall-clock time of the reading itself, without wrapping."""
    input_digest: str = ""
    modality: str = ""
    """As the header of its first image says it."""

    @property
    def was_read(self) -> bool:
        """Whether the reader gave a result: also one that ends as not analysed because nothing in it is clear."""
        return bool(self.outputs) or self.outcome in (Outcome.POSITIVE.value, Outcome.NEGATIVE.value)

    def document(self) -> dict[str, Any]:
        """Return the record as plain JSON values."""
        return asdict(self)


def record_of(body: Mapping[str, Any]) -> CaseRecord:
    """Read what ``document`` wrote."""
    plain = {
        key: body[key]
        for key in ("case_id", "outcome", "reason", "detail", "skipped", "seconds", "input_digest")
    }  # fmt: skip
    return CaseRecord(
        **plain,
        outputs={key: OutputRecord(**item) for key, item in body["outputs"].items()},
        boxes=tuple(BoxRecord(**item) for item in body["boxes"]),
        masks={key: MaskRecord(**item) for key, item in body["masks"].items()},
        numbers=dict(body["numbers"]),
        notes=tuple(body["notes"]),
        modality=body.get("modality", ""),
    )
