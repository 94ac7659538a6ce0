"""Labels for training from report text, with how far each can be trusted."""

import math
from dataclasses import dataclass

from coread.reports.document import label_report
from coread.reports.records import FINDINGS, HEMORRHAGE, HEMORRHAGES, ReportLabels, Status

OUTRIGHT = 0.0
IMPLIED = 0.5
HEDGED = 1.0


@dataclass(frozen=True, slots=True)
class WeakLabels:
    """Labels of one report for training.

    ``values``: 1.0 present, 0.0 absent, NaN unknown, for every finding. ``uncertainty``: for mentioned findings only,
    0.0 stated outright, 0.5 implied by other words, 1.0 hedged in the text.
    """

    values: dict[str, float]
    uncertainty: dict[str, float]
    assessed: bool
    reason: str


def weak_labels(text: str, *, uncertain_as: float = math.nan) -> WeakLabels:
    """Label a report for training; a hedged finding takes ``uncertain_as`` (NaN: not used)."""
    return weak_labels_of(label_report(text), uncertain_as=uncertain_as)


def weak_labels_of(report: ReportLabels, *, uncertain_as: float = math.nan) -> WeakLabels:
    """Turn what a report says into labels for training, as ``weak_labels`` does."""
    values = dict.fromkeys(FINDINGS, math.nan)
    uncertainty: dict[str, float] = {}
    for label in report.labels:
        if label.status is Status.UNCERTAIN:
            values[label.finding], uncertainty[label.finding] = uncertain_as, HEDGED
        else:
            values[label.finding] = 1.0 if label.status is Status.PRESENT else 0.0
            uncertainty[label.finding] = IMPLIED if label.implied or label.narrowed else OUTRIGHT
    if values[HEMORRHAGE] == 0.0:
        for part in HEMORRHAGES:
            if part not in uncertainty:
                values[part], uncertainty[part] = 0.0, IMPLIED
    return WeakLabels(values, uncertainty, report.assessed, report.reason)
