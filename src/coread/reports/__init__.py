"""Radiologists' report text to finding labels, by rules that stand in data files.

One path: normalise -> sections -> sentences -> phrases -> scope -> document. Pure functions; any text is answered, and
a text that cannot be judged is "not assessed" with its reason.
"""

from coread.reports.comparison import Agreement, Comparison, compare_with_reader
from coread.reports.document import label_report
from coread.reports.records import FINDINGS, Change, Label, NotAssessed, ReportLabels, Section, Side, Status
from coread.reports.weak import WeakLabels, weak_labels, weak_labels_of

__all__ = [
    "FINDINGS",
    "Agreement",
    "Change",
    "Comparison",
    "Label",
    "NotAssessed",
    "ReportLabels",
    "Section",
    "Side",
    "Status",
    "WeakLabels",
    "compare_with_reader",
    "label_report",
    "weak_labels",
    "weak_labels_of",
]
