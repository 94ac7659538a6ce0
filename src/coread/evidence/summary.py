"""The result as one colour page that every PACS shows: a Secondary Capture (PS3.3 A.8) beside the images.

The page names no patient: it says what was found, how sure, by what, and shows the numbers of the report.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image
from pydicom.dataset import Dataset

from coread.domain.cards import Estimate
from coread.domain.findings import Finding, Presence
from coread.domain.study import InstanceHeader
from coread.domain.work import EvidenceKind
from coread.evidence import page as p
from coread.evidence.key_image import KeyImage, finding_name, key_image
from coread.evidence.legal import is_code_string
from coread.evidence.page_pictures import draw_pictures
from coread.evidence.page_plot import draw_curve
from coread.evidence.sr import operating_point_of, remarks, shows_marks
from coread.evidence.writing import RESEARCH_USE, Writing, stamp

SOP_CLASS_UID = "1.2.840.10008.5.1.4.1.1.7"
WIDTH = 1400
_MARGIN = 52
_IMAGE_WIDTH, _IMAGE_HEIGHT = 620, 740
_PREVIEW_WIDTH, _PREVIEW_HEIGHT = 360, 430
_GAP = 48
MAX_ROWS = 24
_MAX_CURVES = 4
_CURVE_WIDTH = 420
"""A picture column narrower than this has no room for them."""
_MAX_REMARKS = 8
_WORDS: dict[Presence, tuple[str, p.Colour]] = {
    Presence.PRESENT: ("SUSPECTED", p.AMBER),
    Presence.INDETERMINATE: ("INDETERMINATE", p.BLUE),
    Presence.ABSENT: ("NOT DETECTED", p.GREEN),
    Presence.NOT_ASSESSED: ("NOT ASSESSED", p.MUTED),
}
_NOTES: dict[Presence, tuple[str, p.Colour]] = _WORDS | {
    Presence.PRESENT: ("YES", p.AMBER),
    Presence.ABSENT: ("NO", p.GREEN),
}
"""Of remarks on images, which are facts about the computation and no suspicions."""
_ORDER = tuple(_WORDS)
_UNPAIRED = frozenset(
    {"ABDOMEN", "BRAIN", "CHEST", "COLON", "CSPINE", "HEAD", "HEART", "LARGEINTESTINE", "LIVER", "LSPINE", "NECK"}
    | {"PELVIS", "PITUITARY", "RECTUM", "SKULL", "TSPINE"}
)
"""Body parts (PS3.16 annex L) that have no side."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: a finding or a measurement, its word, and the numbers behind it."""

    name: str
    word: str
    colour: p.Colour
    detail: str
    filled: bool = False
    number: bool = False
    """A measurement: there may be many, so they stand closer."""


def build_summary(writing: Writing, page: p.Page) -> Dataset:
    """Write a drawn page as a Secondary Capture in the study."""
    dataset = Dataset()
    dataset.SOPClassUID = SOP_CLASS_UID
    dataset.Modality = "OT"
    dataset.ConversionType = "WSD"
    dataset.ImageType = ["DERIVED", "SECONDARY", "OTHER"]
    dataset.PatientOrientation = None
    add_body_part(dataset, writing.images[0].header)
    dataset.BurnedInAnnotation = "YES"
    dataset.RecognizableVisualFeatures = "NO"
    dataset.LossyImageCompression = "00"
    dataset.DerivationDescription = f"Summary page of an AI reading. {RESEARCH_USE}"
    dataset.ImageComments = RESEARCH_USE
    dataset.SourceImageSequence = source_items(writing)
    dataset.DateOfSecondaryCapture = writing.at().strftime("%Y%m%d")
    dataset.TimeOfSecondaryCapture = writing.at().strftime("%H%M%S")
    dataset.SecondaryCaptureDeviceManufacturer = "Coread"
    stamp(dataset, writing, EvidenceKind.SECONDARY_CAPTURE, what="summary")
    _add_pixels(dataset, page.image)
    return dataset


def add_body_part(dataset: Dataset, header: InstanceHeader) -> None:
    """Copy the body part and, of a paired one, the side (type 2C, PS3.3 C.7.3.1: empty when it is unknown)."""
    body_part = header.body_part_examined
    if body_part and is_code_string(body_part):
        dataset.BodyPartExamined = body_part
    if body_part not in _UNPAIRED:
        dataset.Laterality = header.laterality if header.laterality in {"L", "R"} else None


def draw_summary(writing: Writing) -> p.Page:
    """Draw the page; its height follows from what there is to say."""
    sheet = p.new_page(WIDTH, 4000)
    top = _header(sheet, writing)
    draw = _below_pictures if writing.result.pictures else _beside_key_image
    bottom = draw(sheet, writing, top)
    bottom = _footer(sheet, writing, bottom + 28)
    return sheet.cut(bottom + bottom % 2)


def _below_pictures(sheet: p.Page, writing: Writing, top: int) -> int:
    """Draw the pictures in a row, the table over the whole width below them, then the curves; return the y below."""
    y = draw_pictures(sheet, writing.result.pictures, (_MARGIN, top), WIDTH - 2 * _MARGIN)
    y = _table(sheet, writing, _MARGIN, y + 24)
    return _curves(sheet, writing, (_MARGIN, y + 12), _IMAGE_WIDTH)


def _beside_key_image(sheet: p.Page, writing: Writing, top: int) -> int:
    """Draw the key image on the left and the table beside it; return the y below both."""
    marks = shows_marks(writing)
    wide, high = (_IMAGE_WIDTH, _IMAGE_HEIGHT) if marks else (_PREVIEW_WIDTH, _PREVIEW_HEIGHT)
    key = key_image(writing, width=wide, height=high, marks=marks)
    column = key.picture.size[0] if key.picture else 0
    below_image = _image_column(sheet, key, top)
    left = _MARGIN + (column + _GAP if column else 0)
    below_table = _table(sheet, writing, left, top)
    if column >= _CURVE_WIDTH:
        return max(_curves(sheet, writing, (_MARGIN, below_image + 12), column), below_table)
    return _curves(sheet, writing, (_MARGIN, max(below_image, below_table) + 12), _IMAGE_WIDTH)


def _curves(sheet: p.Page, writing: Writing, at: tuple[int, int], width: int) -> int:
    """Draw the curves below one another; return the y below them."""
    left, y = at
    for curve in writing.result.curves[:_MAX_CURVES]:
        y = draw_curve(sheet, curve, (left, y), width)
    return y


def rows_of(writing: Writing) -> list[Row]:
    """Return the lines of the table, what is suspected first."""
    ordered = sorted(writing.result.findings, key=lambda finding: _ORDER.index(finding.presence))
    rows = [_finding_row(writing, finding) for finding in ordered]
    for measurement in writing.result.measurements:
        method = measurement.method.meaning if measurement.method else ""
        value = f"{measurement.value:.4g}{measurement.spread()} {measurement.unit_text()}".rstrip()
        rows.append(Row(measurement.name(), value, p.TEXT, method, number=True))
    return rows


def _finding_row(writing: Writing, finding: Finding) -> Row:
    word, colour = (_NOTES if writing.card.kind.notes_images else _WORDS)[finding.presence]
    side = f", {finding.laterality.meaning.lower()}" if finding.laterality else ""
    name = f"{finding_name(writing, finding)}{side}"
    return Row(name, word, colour, _numbers(writing, finding), filled=finding.presence is Presence.PRESENT)


def _numbers(writing: Writing, finding: Finding) -> str:
    point = operating_point_of(writing, finding)
    if point is None or finding.probability is None or finding.threshold is None:
        return finding.site.meaning if finding.site else ""
    return (
        f"Probability {percent(finding.probability)}, threshold {percent(finding.threshold)} ({point.name})\n"
        f"There: sensitivity {_estimate(point.sensitivity)}, specificity {_estimate(point.specificity)}"
    )


def percent(value: float) -> str:
    """Return a probability in percent; nothing is certain and nothing impossible."""
    if 0.01 <= value < 0.995:
        return f"{value:.0%}"
    return "below 1%" if value < 0.01 else "above 99%"


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None:
        return "not measured"
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f}, n={estimate.n})"


def _header(sheet: p.Page, writing: Writing) -> int:
    right = WIDTH - _MARGIN
    sheet.pen.rectangle((0, 0, WIDTH, 8), fill=p.AMBER)
    sheet.pill((right, 48), RESEARCH_USE.upper(), p.AMBER)
    room = right - _MARGIN - 520
    y = sheet.lines((_MARGIN, 40), writing.card.name, p.TITLE, room)
    version = f"AI reading, version {writing.provenance.reader_version} ({writing.card.kind.value})"
    if writing.revision is not None:
        version += f", corrected by {writing.revision.person} (version {writing.revision.number} of this result)"
    y = sheet.line((_MARGIN, y + 2), version, p.SMALL)
    said, colour = _headline(writing)
    y = sheet.lines((_MARGIN, y + 16), said, p.Style(28, colour, bold=True), right - _MARGIN)
    sheet.rule(_MARGIN, right, y + 12)
    return y + 36


def _headline(writing: Writing) -> tuple[str, p.Colour]:
    """Return the one sentence on top with its colour: green only where something was looked for and not found."""
    notes = writing.card.kind.notes_images
    names: dict[Presence, list[str]] = {presence: [] for presence in Presence}
    for finding in writing.result.findings:
        names[finding.presence].append(finding_name(writing, finding))
    if names[Presence.PRESENT]:
        return headline(names[Presence.PRESENT], notes=notes), p.AMBER
    if names[Presence.INDETERMINATE]:
        return f"Indeterminate: {_listed(names[Presence.INDETERMINATE])}", p.BLUE
    if not names[Presence.ABSENT]:
        return "Measurements only: no finding was assessed", p.TEXT
    if names[Presence.NOT_ASSESSED]:
        return f"Not detected: {_listed(names[Presence.ABSENT])}. The rest was not assessed", p.GREEN
    return headline((), notes=notes), p.GREEN


def headline(present: Sequence[str], *, notes: bool = False) -> str:
    """Return what is suspected or, of images, noted; or that nothing was, although all of it was looked at."""
    if present:
        return f"{'Note' if notes else 'Suspected'}: {_listed(present)}"
    return "Nothing to note" if notes else "Nothing detected that this reader looks for"


def _listed(names: Sequence[str]) -> str:
    names = list(dict.fromkeys(names))
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return f"{', '.join(names[:4])}{more}"


def _image_column(sheet: p.Page, key: KeyImage, top: int) -> int:
    if key.picture is None:
        return sheet.lines((_MARGIN, top), key.caption, p.SMALL, 600) + 8
    width, height = key.picture.size
    sheet.image.paste(key.picture, (_MARGIN, top))
    sheet.pen.rectangle((_MARGIN - 1, top - 1, _MARGIN + width, top + height), outline=p.LINE)
    return sheet.lines((_MARGIN, top + height + 12), key.caption, p.SMALL, width)


def _table(sheet: p.Page, writing: Writing, left: int, top: int) -> int:
    right, y = WIDTH - _MARGIN, top - 8
    rows = rows_of(writing)
    for row in rows[:MAX_ROWS]:
        sheet.pill((right, y + 4), row.word, row.colour, filled=row.filled)
        label = p.Style(18 if row.number else p.BODY.size, p.TEXT, bold=row.filled)
        begun = y
        y = sheet.lines((left, y + 6), row.name, label, right - left - (230 if row.number else 190))
        for line in row.detail.split("\n"):
            y = sheet.lines((left, y + 2), line, p.SMALL, right - left)
        y = max(y + (4 if row.number else 8), begun + 40)
        sheet.rule(left, right, y)
        y += 2 if row.number else 8
    if len(rows) > MAX_ROWS:
        text = f"{len(rows) - MAX_ROWS} more lines stand in the structured report of this study"
        y = sheet.lines((left, y + 4), text, p.SMALL, right - left)
    return y


def _footer(sheet: p.Page, writing: Writing, top: int) -> int:
    right = WIDTH - _MARGIN
    sheet.rule(_MARGIN, right, top)
    y = top + 14
    spoken = remarks(writing)[1:]
    for line in spoken[:_MAX_REMARKS]:
        y = sheet.lines((_MARGIN, y), line, p.SMALL, right - _MARGIN)
    if len(spoken) > _MAX_REMARKS:
        y = sheet.line((_MARGIN, y), f"{len(spoken) - _MAX_REMARKS} more remarks stand in the report", p.SMALL)
    for line in _origin_lines(writing):
        y = sheet.lines((_MARGIN, y), line, p.SMALL, right - _MARGIN)
    return y + 28


def _origin_lines(writing: Writing) -> list[str]:
    origin = writing.provenance
    return [
        f"Intended use: {writing.card.intended_use.rstrip('. ')}. Limits: {writing.card.not_for.rstrip('. ')}.",
        f"Read {writing.at():%Y-%m-%d %H:%M} (UTC{writing.at():%z}), package {origin.package_digest[:12]}, "
        f"coread {origin.coread_version}, {origin.runtime}",
        f"Study {writing.study_instance_uid}",
    ]


def source_items(writing: Writing) -> list[Dataset]:
    """Return references to the images that the result speaks of, to all of them when it names none."""
    return [_source_item(writing, uid) for uid in _source_uids(writing)]


def _source_uids(writing: Writing) -> list[str]:
    named = {image.sop_instance_uid for finding in writing.result.findings for image in finding.images}
    return [i.header.sop_instance_uid for i in writing.pictured if not named or i.header.sop_instance_uid in named]


def _source_item(writing: Writing, uid: str) -> Dataset:
    item = Dataset()
    source = next(image for image in writing.pictured if image.header.sop_instance_uid == uid)
    item.ReferencedSOPClassUID = source.header.sop_class_uid
    item.ReferencedSOPInstanceUID = uid
    return item


def _add_pixels(dataset: Dataset, picture: Image.Image) -> None:
    dataset.Columns, dataset.Rows = picture.size
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PlanarConfiguration = 3, "RGB", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = picture.tobytes()
