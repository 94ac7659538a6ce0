"""What a report says, as frozen records: one label per finding, each with the place in the text that says so."""

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

CHEST_FINDINGS = (
    "no_finding",
    "enlarged_cardiomediastinum",
    "cardiomegaly",
    "lung_opacity",
    "lung_lesion",
    "edema",
    "consolidation",
    "pneumonia",
    "atelectasis",
    "pneumothorax",
    "pleural_effusion",
    "pleural_other",
    "fracture",
    "support_devices",
)
"""The 14 observations of CheXpert (Irvin et al., AAAI 2019), in its order."""
HEMORRHAGES = (
    "epidural_hemorrhage",
    "subdural_hemorrhage",
    "subarachnoid_hemorrhage",
    "intraparenchymal_hemorrhage",
    "intraventricular_hemorrhage",
)
"""Compartments of an intracranial haemorrhage: one present makes the whole present."""
HEMORRHAGE = "intracranial_hemorrhage"
FINDINGS = (*CHEST_FINDINGS, HEMORRHAGE, *HEMORRHAGES, "pulmonary_embolism", "large_vessel_occlusion", "lung_nodule")


class Status(StrEnum):
    """What the text says about a finding."""

    PRESENT = "present"
    ABSENT = "absent"
    UNCERTAIN = "uncertain"
    NOT_MENTIONED = "not_mentioned"


class Change(StrEnum):
    """Against earlier examinations, in the radiologist's words."""

    NEW = "new"
    INCREASED = "increased"
    UNCHANGED = "unchanged"
    DECREASED = "decreased"
    RESOLVED = "resolved"


class Side(StrEnum):
    """Side of the body."""

    LEFT = "left"
    RIGHT = "right"
    BILATERAL = "bilateral"


class Section(StrEnum):
    """Part of a report; only the first five make labels."""

    ADDENDUM = "addendum"
    IMPRESSION = "impression"
    FINDINGS = "findings"
    BODY = "body"
    """Text under no heading."""
    PRELIMINARY = "preliminary"
    INDICATION = "indication"
    COMPARISON = "comparison"
    TECHNIQUE = "technique"
    TITLE = "title"
    NOTICE = "notice"


class NotAssessed(StrEnum):
    """Why a text was not judged."""

    EMPTY = "empty"
    NOT_TEXT = "not text"
    NOT_ENGLISH = "not English"
    TOO_LONG = "too long"


class Label(NamedTuple):
    """One finding as one place of the text states it. ``start`` and ``end`` index the original text."""

    finding: str
    status: Status
    start: int
    end: int
    section: Section
    change: Change | None = None
    side: Side | None = None
    size_mm: float | None = None
    """Largest stated diameter."""
    previous_size_mm: float | None = None
    site: str = ""
    """Place words of the sentence: a lobe, a level of the pulmonary arteries, a vessel segment."""
    acuity: str = ""
    """``acute`` or ``chronic`` where the text says so."""
    implied: bool = False
    """The words imply the finding without naming it."""
    narrowed: bool = False
    """An absence of part only: "no large effusion", "left lung is clear"."""


@dataclass(frozen=True, slots=True)
class ReportLabels:
    """All that a report says: the judged labels (one per mentioned finding) and every mention behind them."""

    labels: tuple[Label, ...]
    mentions: tuple[Label, ...]
    not_assessed: NotAssessed | None = None

    @property
    def assessed(self) -> bool:
        """Whether the text could be judged at all."""
        return self.not_assessed is None

    @property
    def reason(self) -> str:
        """Why it was not, or an empty string."""
        return "" if self.not_assessed is None else self.not_assessed.value

    def label(self, finding: str) -> Label | None:
        """Return the label of a finding, None where the text does not mention it."""
        return next((label for label in self.labels if label.finding == finding), None)

    def status(self, finding: str) -> Status:
        """Return the status of a finding."""
        label = self.label(finding)
        return Status.NOT_MENTIONED if label is None else label.status
