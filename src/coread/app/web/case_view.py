"""What the case page shows, put together from the study's story and the readers' cards. Pure functions over records."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from coread.app.scope import in_front
from coread.app.verdicts import standing_verdicts
from coread.app.web.formats import duration
from coread.app.web.versions import NumberRow, VersionView, region_places
from coread.app.why import ReaderStory, SentObject, Story
from coread.domain.cards import OperatingPoint, ReaderCard
from coread.domain.errors import InvalidRecord
from coread.domain.findings import Box, Finding, Presence
from coread.domain.results import ReadResult
from coread.domain.study import Instance, InstanceHeader
from coread.domain.work import Delivery, DeliveryState, EvidenceKind, EvidenceRecord, Verdict

_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_OUTLINED = "1.2.840.10008.5.1.4.1.1.7.4"
"""Our copies of images with outlines: the page draws outlines itself."""
_BEHIND = (
    *(DeliveryState.DEAD, DeliveryState.QUEUED, DeliveryState.SENDING, DeliveryState.SENT, DeliveryState.COMMITTED),
)
"""From what needs a person to what is done."""


@dataclass(frozen=True, slots=True)
class FindingRow:
    """One finding with the numbers of its operating point and the verdict that stands on it."""

    id: str
    work_id: int
    finding: Finding
    name: str
    point: OperatingPoint | None
    verdict: Verdict | None


@dataclass(frozen=True, slots=True)
class ReaderView:
    """One reader's panel."""

    name: str
    story: ReaderStory
    findings: tuple[FindingRow, ...]
    numbers: tuple[NumberRow, ...]
    """Of the current version."""
    notes: tuple[str, ...]
    version: VersionView | None


@dataclass(frozen=True, slots=True)
class ObjectRow:
    """One object, or the slices of one computed series together."""

    evidence: EvidenceRecord
    """The first."""
    count: int
    size: int
    """Bytes of all."""
    deliveries: tuple[Delivery, ...]
    """One for each destination: of several, the one that is furthest behind."""


@dataclass(frozen=True, slots=True)
class CaseView:
    """Everything on the case page."""

    story: Story
    readers: tuple[ReaderView, ...]
    shown: tuple[ReaderView, ...]
    """The readers that read the study or were meant for its kind; ``aside`` are the others."""
    aside: tuple[ReaderView, ...]
    objects: tuple[ObjectRow, ...]
    urgent: bool
    flags: tuple[str, ...]
    has_images: bool
    images: Mapping[str, object]
    """Frames and marks, for the script that draws them."""
    total: str


def case_view(
    story: Story,
    cards: Mapping[str, ReaderCard],
    instances: Sequence[Instance],
    flags: tuple[str, ...],
    versions: Mapping[int, VersionView],
) -> CaseView:
    """Put the page together; ``versions`` are the current versions of the results by work item."""
    standing = standing_verdicts(story.verdicts)
    readers = tuple(_reader_view(reader, cards.get(reader.reader_id), standing, versions) for reader in story.readers)
    shown, aside = in_front(readers, lambda one: one.story.outcome, lambda one: one.story.reason())
    series = picture_series(instances)
    rows = [row for reader in readers for row in reader.findings]
    document = {
        "study": story.study.study_instance_uid,
        "series": series,
        **region_places([view for view in versions.values() if view.marks] if series else []),
        "findings": [_finding_marks(story.study.study_instance_uid, row) for row in rows],
    }
    return CaseView(
        story=story,
        readers=readers,
        shown=shown,
        aside=aside,
        objects=object_rows([sent for reader in story.readers for sent in reader.objects]),
        urgent=any(row.finding.urgent and row.finding.presence is Presence.PRESENT for row in rows),
        flags=flags,
        has_images=bool(series),
        images=document,
        total=total_text(story),
    )


def object_rows(objects: Sequence[SentObject]) -> tuple[ObjectRow, ...]:
    """Return the objects in their order, with the slices of a computed series as one row."""
    groups: dict[str, list[SentObject]] = {}
    for sent in objects:
        whole = sent.evidence.kind is EvidenceKind.DERIVED_IMAGES
        key = sent.evidence.series_instance_uid if whole else sent.evidence.sop_instance_uid
        groups.setdefault(key, []).append(sent)
    return tuple(_object_row(members) for members in groups.values())


def _object_row(members: Sequence[SentObject]) -> ObjectRow:
    behind: dict[str, Delivery] = {}
    for delivery in (one for sent in members for one in sent.deliveries):
        known = behind.setdefault(delivery.destination, delivery)
        if _BEHIND.index(delivery.state) < _BEHIND.index(known.state):
            behind[delivery.destination] = delivery
    size = sum(sent.evidence.size for sent in members)
    return ObjectRow(members[0].evidence, len(members), size, tuple(behind.values()))


def _reader_view(
    story: ReaderStory,
    card: ReaderCard | None,
    standing: Mapping[tuple[int, str], Verdict],
    versions: Mapping[int, VersionView],
) -> ReaderView:
    name = card.name if card is not None else story.reader_id
    ending = story.reading.ending if story.reading is not None else None
    if not isinstance(ending, ReadResult) or story.work is None:
        return ReaderView(name, story, (), (), (), None)
    same_version = card if card is not None and card.version == story.reader_version else None
    rows = [
        FindingRow(
            id=f"{story.work.work_id}-{finding.key}",
            work_id=story.work.work_id,
            finding=finding,
            name=_name_of(finding, card),
            point=_point_of(finding, same_version),
            verdict=standing.get((story.work.work_id, finding.key)),
        )
        for finding in ending.findings
    ]
    rows.sort(key=_importance)
    current = versions[story.work.work_id]
    return ReaderView(name, story, tuple(rows), current.numbers(ending), current.notes(), current)


def _importance(row: FindingRow) -> tuple[bool, bool, float]:
    """Present first, urgent before others, then by probability."""
    return (
        row.finding.presence is not Presence.PRESENT,
        not row.finding.urgent,
        -(row.finding.probability or 0.0),
    )


def _name_of(finding: Finding, card: ReaderCard | None) -> str:
    for output in card.outputs if card is not None else ():
        if output.key == finding.key:
            return output.name
    return finding.concept.meaning


def _point_of(finding: Finding, card: ReaderCard | None) -> OperatingPoint | None:
    """Return the numbers of the operating point from the card of the same version; never of another one."""
    if card is None or not finding.operating_point:
        return None
    try:
        return card.output(finding.key).operating_point(finding.operating_point)
    except InvalidRecord:
        return None


def _finding_marks(study_uid: str, row: FindingRow) -> dict[str, object]:
    marks = []
    for location in row.finding.locations:
        place: dict[str, object] = {"sop": location.image.sop_instance_uid, "frame": location.image.frame}
        if isinstance(location, Box):
            width, height = location.column_max - location.column_min, location.row_max - location.row_min
            shape = {"kind": "box", "x": location.column_min, "y": location.row_min, "width": width, "height": height}
        else:
            shape = {"kind": "point", "x": location.column, "y": location.row}
        marks.append(place | shape)
    heat = [
        {
            "sop": item.image.sop_instance_uid,
            "frame": item.image.frame,
            "url": f"/case/{study_uid}/heat/{row.work_id}/{row.finding.key}/{index}",
        }
        for index, item in enumerate(row.finding.heat_maps)
    ]
    present = row.finding.presence is Presence.PRESENT
    return {"id": row.id, "name": row.name, "present": present, "marks": marks if present else [], "heat": heat}


def picture_series(instances: Sequence[Instance]) -> list[dict[str, object]]:
    """Return the series that have pictures, the patient's first, ours (the summary page) last."""
    groups: dict[str, list[Instance]] = {}
    for instance in instances:
        header = instance.header
        if _has_picture(header) and not (instance.origin.door == "own" and header.sop_class_uid == _OUTLINED):
            groups.setdefault(header.series_instance_uid, []).append(instance)
    ordered = sorted(groups.items(), key=lambda item: _series_key(item[1][0]))
    own = [uid for uid, members in ordered if _is_page(members[0])]
    names = {uid: "Coread summary" + (f" {number}" if number > 1 else "") for number, uid in enumerate(own, start=1)}
    return [
        {"uid": uid, "label": names.get(uid) or _series_label(members), "frames": _frames(members)}
        for uid, members in ordered
    ]


def _is_page(instance: Instance) -> bool:
    """Say whether this is a page of ours, and not an image that a reader computed."""
    return instance.origin.door == "own" and instance.header.sop_class_uid.startswith(_SECONDARY_CAPTURE)


def _has_picture(header: InstanceHeader) -> bool:
    if header.modality in ("SEG", "SR", "KO", "PR", "DOC"):
        return False
    return bool(header.rows and header.columns) or header.sop_class_uid.startswith(_SECONDARY_CAPTURE)


def _series_key(instance: Instance) -> tuple[bool, bool, float, int, str]:
    """The patient's series by number, then what was computed, then our pages in the order in which they were made."""
    own = instance.origin.door == "own"
    made = instance.received_at.timestamp() if own else 0.0
    place = (instance.header.series_number or 0, instance.header.series_instance_uid)
    return (own, _is_page(instance), made, *place)


def _series_label(members: Sequence[Instance]) -> str:
    header = members[0].header
    words = [header.modality, header.view_position or header.series_description, f"({len(members)})"]
    return " ".join(word for word in words if word)


def _frames(members: Sequence[Instance]) -> list[dict[str, object]]:
    ordered = sorted(members, key=lambda one: (one.header.instance_number or 0, one.header.sop_instance_uid))
    return [
        {
            "sop": one.header.sop_instance_uid,
            "frame": frame,
            "rows": one.header.rows,
            "columns": one.header.columns,
            "label": " ".join(part for part in (one.header.modality, one.header.view_position) if part),
        }
        for one in ordered
        for frame in range(1, (one.header.number_of_frames or 1) + 1)
    ]


def total_text(story: Story) -> str:
    """Return the times that people are measured by: from the last image to the result, and to the PACS."""
    times = {stage.key: stage.at for stage in story.stages}  # the latest of each kind
    if "last" not in times:
        return ""
    parts = []
    for key, words in (("read", "to the result"), ("delivered", "to the PACS")):
        if key in times and times[key] >= times["last"]:
            parts.append(f"{duration((times[key] - times['last']).total_seconds())} {words}")
    return f"Last image {', '.join(parts)}" if parts else ""
