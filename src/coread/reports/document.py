"""From the sentences of a report to one label per finding: what outranks what."""

from collections.abc import Iterable, Sequence

from coread.reports.language import LONGEST_REPORT, why_not
from coread.reports.reading import SILENT, Mention, Reading, read_sentence
from coread.reports.records import (
    FINDINGS,
    HEMORRHAGE,
    HEMORRHAGES,
    Label,
    NotAssessed,
    ReportLabels,
    Section,
    Status,
)
from coread.reports.sentences import Sentence, lowered, sentences

_RANKS = {Section.PRELIMINARY: 0, Section.FINDINGS: 1, Section.BODY: 1, Section.IMPRESSION: 2, Section.ADDENDUM: 3}
"""Sections that make labels; a higher one outranks a lower one."""
_ANY_SECTION = "support_devices"
"""A device that one section names is there, whatever another says of another device."""
_ORDER = (Status.PRESENT, Status.UNCERTAIN, Status.ABSENT)
_POSITION = {finding: number for number, finding in enumerate(FINDINGS)}


def label_report(text: str) -> ReportLabels:
    """Label one English radiology report; never raises on any text."""
    if len(text) > LONGEST_REPORT:
        return ReportLabels((), (), NotAssessed.TOO_LONG)
    low = lowered(text)
    problem = why_not(text, low)
    if problem is not None:
        return ReportLabels((), (), problem)
    read = [
        (one, said) for one in sentences(text, low) if (said := read_sentence(low[one.start : one.end])) is not SILENT
    ]
    mentions = _mentions(read)
    by_finding: dict[str, list[Label]] = {}
    for mention in mentions:
        by_finding.setdefault(mention.finding, []).append(mention)
    normal = by_finding.pop("no_finding", [])
    labels = {
        finding: found[0] if len(found) == 1 else _with_size(_judge(finding, found), found)
        for finding, found in by_finding.items()
    }
    _whole_from_parts(labels)
    if none := _no_finding(labels, normal):
        labels["no_finding"] = none
    ordered = sorted(labels.values(), key=lambda label: _POSITION[label.finding])
    return ReportLabels(tuple(ordered), tuple(mentions))


def _mentions(read: list[tuple[Sentence, Reading]]) -> list[Label]:
    """Mentions of the sections that count, in order, with what only the whole report can decide."""
    chest, head, *hints = map(sum, zip(*(reading.hints for _, reading in read), strict=True)) if read else (0, 0, 0, 0)
    found: list[Label] = []
    for sentence, reading in read:
        if sentence.section not in _RANKS:
            continue
        if reading.loose_sizes and found:
            _give_size(found, max(reading.loose_sizes))
        for mention in reading.mentions:
            if mention.region and not _in_region(mention, reading, chest, head):
                continue
            finding = mention.finding if not mention.either else _meant(mention, reading, hints)
            if finding:
                found.append(_label(mention, finding, sentence, reading.spans))
    return found


def _label(mention: Mention, finding: str, sentence: Sentence, spans: Sequence[tuple[int, int]]) -> Label:
    return Label(
        finding,
        mention.status,
        sentence.start + spans[mention.first][0],
        sentence.start + spans[mention.last - 1][1],
        sentence.section,
        mention.change,
        mention.side,
        mention.size_mm,
        mention.previous_size_mm,
        mention.site,
        mention.acuity,
        mention.implied,
        mention.narrowed,
    )


def _in_region(mention: Mention, reading: Reading, chest: int, head: int) -> bool:
    """Words that are used for many organs count only in a sentence, else a report, about the right one."""
    if mention.region == "head":
        return reading.hints.head > 0 or (chest == 0 if head == 0 else head >= chest and reading.hints.chest == 0)
    return reading.hints.chest > 0 or (reading.hints.head == 0 and head <= chest)


def _meant(mention: Mention, reading: Reading, hints: Sequence[int]) -> str:
    """Which of two meanings an abbreviation has here; empty where nothing tells."""
    for embolism, effusion in (reading.hints[2:], hints):
        if embolism != effusion:
            return mention.finding if embolism > effusion else mention.either
    return ""


def _give_size(found: list[Label], size_mm: float) -> None:
    """A diameter in a sentence of its own belongs to the nodule or mass that was named last."""
    last = found[-1]
    for number in range(len(found) - 1, -1, -1):
        label = found[number]
        if label.start != last.start:
            break
        if label.status is not Status.ABSENT and label.finding in ("lung_nodule", "lung_lesion", *HEMORRHAGES):
            found[number] = label._replace(size_mm=max(size_mm, label.size_mm or 0.0))


def _judge(finding: str, mentions: list[Label]) -> Label:
    """Named outranks implied; then the section; then present, uncertain, absent. Absence of part outranks none."""
    named = [m for m in mentions if not m.implied] or mentions
    if finding == _ANY_SECTION:
        return _strongest(named)
    for rank in sorted({_RANKS[m.section] for m in named}, reverse=True):
        best = _strongest([m for m in named if _RANKS[m.section] == rank])
        below = [m for m in named if _RANKS[m.section] < rank and m.status is not Status.ABSENT]
        if not (best.status is Status.ABSENT and best.narrowed and below):
            return best
    return _strongest(named)


def _with_size(label: Label, mentions: list[Label]) -> Label:
    """The largest size stated anywhere: an impression often leaves out what the findings measure."""
    if label.status is Status.ABSENT:
        return label
    sized = [m for m in mentions if m.size_mm is not None]
    largest = max(sized, key=lambda m: m.size_mm or 0.0, default=None)
    if largest is None or (largest.size_mm or 0.0) <= (label.size_mm or 0.0):
        return label
    return largest._replace(status=label.status)


def _strongest(mentions: Iterable[Label]) -> Label:
    """The first of the highest status, or the one with the largest size; an absence as a whole before one of part."""
    found = list(mentions)
    if len(found) == 1:
        return found[0]
    status = next(s for s in _ORDER if any(m.status is s for m in found))
    same = [m for m in found if m.status is status]
    best = next((m for m in same if not m.narrowed), same[0])
    sizes = [m.size_mm for m in same if m.size_mm is not None]
    sized = next((m for m in same if sizes and m.size_mm == max(sizes)), best)
    return best if sized is best else sized


def _whole_from_parts(labels: dict[str, Label]) -> None:
    """A haemorrhage in one compartment is an intracranial haemorrhage."""
    whole = labels.get(HEMORRHAGE)
    for status in (Status.PRESENT, Status.UNCERTAIN):
        part = next((labels[key] for key in HEMORRHAGES if key in labels and labels[key].status is status), None)
        weaker = whole is None or _ORDER.index(whole.status) > _ORDER.index(status)
        if part is not None and weaker:
            labels[HEMORRHAGE] = part._replace(finding=HEMORRHAGE, implied=True)
            return


def _no_finding(labels: dict[str, Label], normal: list[Label]) -> Label | None:
    """As in CheXpert: present where nothing but devices is present or uncertain, and something was judged."""
    others = [label for key, label in labels.items() if key != _ANY_SECTION]
    abnormal = [label for label in others if label.status in (Status.PRESENT, Status.UNCERTAIN)]
    if abnormal:
        return _bare(min(abnormal, key=lambda label: (label.status is Status.UNCERTAIN, label.start)), Status.ABSENT)
    if normal:
        return normal[0]._replace(status=Status.PRESENT)
    if others:
        return _bare(min(others, key=lambda label: label.start), Status.PRESENT)
    return None


def _bare(label: Label, status: Status) -> Label:
    """ "No finding" with the words of another label as its evidence, and nothing else of it."""
    return Label("no_finding", status, label.start, label.end, label.section, implied=True)
