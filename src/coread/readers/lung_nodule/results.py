"""Nodules as findings, regions and measurements, and what there is to say beside them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from coread.domain.calling import absent_finding, called_finding
from coread.domain.cards import OutputSpec, ReaderCard
from coread.domain.codes import COREAD_SCHEME, Code
from coread.domain.findings import Box, Finding, ImageReference, Measurement, Presence, Region, TrackingId
from coread.domain.geometry import Geometry
from coread.domain.identifiers import derived_uid
from coread.domain.results import ReadResult
from coread.imaging.change import Verdict
from coread.readers.lung_nodule.followup import Errors, FollowUp
from coread.readers.lung_nodule.frame import Mask, cut
from coread.readers.lung_nodule.grading import History, fleischner, highest, lung_rads
from coread.readers.lung_nodule.nodules import Nodule, Scan
from coread.readers.lung_nodule.outputs import GROWTH, LEFT, LEFT_LUNG, LUNG, NODULE, RIGHT, RIGHT_LUNG

_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_VOLUME = Code("118565006", "SCT", "Volume")
_LONG, _SHORT = Code("103339001", "SCT", "Long axis"), Code("103340004", "SCT", "Short axis")
_ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
_MEAN = Code("373098007", "SCT", "Mean")
_THIN_MM = 2.5 + 1e-3
"""Widest slices on which the errors of volumes were measured."""
_MM, _MM3 = Code("mm", "UCUM", "millimeter"), Code("mm3", "UCUM", "cubic millimeter")
_ML, _HU = Code("ml", "UCUM", "milliliter"), Code("[hnsf'U]", "UCUM", "Hounsfield unit")
_DAYS, _PERCENT = Code("d", "UCUM", "day"), Code("%", "UCUM", "percent")
_CHANGE = Code("VOLUME_CHANGE", COREAD_SCHEME, "Change of volume since the earlier study")
_DOUBLING = Code("DOUBLING_TIME", COREAD_SCHEME, "Volume doubling time")
_SOLID_PART = Code("SOLID_VOLUME", COREAD_SCHEME, "Volume of the solid part")


@dataclass(frozen=True, slots=True, eq=False)
class Read:
    """All that was found."""

    scan: Scan
    nodules: tuple[Nodule, ...]
    highest: float
    """Highest probability of any candidate."""
    errors: Errors
    followed: FollowUp | None
    notes: tuple[str, ...]


def result_of(card: ReaderCard, read: Read) -> ReadResult:
    """Return findings, regions, measurements and notes; every output of the card is answered."""
    nodules, histories = _with_history(read)
    findings: list[Finding] = []
    regions: list[Region] = []
    measured = [Measurement(_VOLUME, round(read.scan.lungs.volume_ml, 1), _ML, site=LUNG, images=_ends(read.scan))]
    notes: list[str] = [*read.scan.lungs.remarks, *_thick(read.scan), *read.notes]
    categories: list[str] = []
    for number, (nodule, history) in enumerate(zip(nodules, histories, strict=True), start=1):
        finding, region = _shown(card.output(NODULE), read.scan, nodule)
        findings.append(finding)
        regions.append(region)
        measured += _measured(nodule, region, read.errors)
        category = lung_rads(nodule.outline.density, nodule.mean_diameter_mm(), nodule.solid_diameter_mm(), history)
        categories.append(category)
        notes.append(_line(number, nodule, category, history))
    findings = findings or [_none(card.output(NODULE), read)]
    findings.append(_growth(card.output(GROWTH), read))
    measured += _changes(read, regions)
    notes += _told(read)
    if categories or read.scan.lungs.whole:
        found = f"Lung-RADS v2022 by size of what was found: {highest(categories)}"
        notes.append(f"{found}. A category needs a radiologist")
    else:
        notes.append("Lung-RADS v2022: no category, the lungs are not seen whole")
    return ReadResult(tuple(findings), tuple(measured), tuple(regions), notes=tuple(notes))


def _with_history(read: Read) -> tuple[list[Nodule], list[History]]:
    """Return the nodules now, with the identity of the earlier study where there is one, and their histories."""
    followed = read.followed
    if followed is None:
        return list(read.nodules), [History.FIRST] * len(read.nodules)
    rows = [(one.after, one.history(followed.days)) for one in followed.compared]
    rows += [(one, History.NEW) for one in followed.new]
    rows.sort(key=lambda row: (-row[0].probability, row[0].tracking.uid))
    return [row[0] for row in rows], [row[1] for row in rows]


def _shown(spec: OutputSpec, scan: Scan, nodule: Nodule) -> tuple[Finding, Region]:
    mask, images, geometry = _on_source(scan, nodule)
    fullest = int(mask.sum(axis=(1, 2)).argmax())
    rows, columns = np.flatnonzero(mask[fullest].any(axis=1)), np.flatnonzero(mask[fullest].any(axis=0))
    box = Box(images[fullest], float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1))
    right = nodule.side == "right"
    # A nodule that only the other date led to carries no probability of its own.
    told = nodule.probability >= spec.operating_point().threshold
    called = called_finding(
        spec, present=True, probability=nodule.probability, images=(images[fullest],), tracking=nodule.tracking,
        locations=(box,), laterality=RIGHT if right else LEFT,
    )  # fmt: skip
    finding = replace(called, site=RIGHT_LUNG if right else LEFT_LUNG)
    if not told:
        finding = replace(finding, probability=None, threshold=None, operating_point="")
    tracking = TrackingId(f"{nodule.tracking.identifier} outline", derived_uid(nodule.tracking.uid, "outline"))
    label = f"{nodule.outline.density.value} nodule"
    return finding, Region(label, _ABNORMAL, spec.concept, mask, images, tracking, geometry)


def _on_source(scan: Scan, nodule: Nodule) -> tuple[Mask, tuple[ImageReference, ...], Geometry]:
    """Return the outline on the images that show it, in the order and way round in which they came."""
    outline, frame, volume = nodule.outline, scan.frame, scan.volume
    low = np.asarray(outline.low)
    sizes = np.asarray(outline.mask.shape)
    own_low, own_high = np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.int64)
    for number, axis in enumerate(frame.axes):
        first, last = low[number], low[number] + sizes[number]
        total = frame.hu.shape[number]
        own_low[axis], own_high[axis] = (total - last, total - first) if frame.turned[number] else (first, last)
    small = frame.to_source(outline.mask)
    filled = np.flatnonzero(small.any(axis=(1, 2)))
    start, stop = int(own_low[0] + filled[0]), int(own_low[0] + filled[-1] + 1)
    mask = np.zeros((stop - start, *volume.voxels.shape[1:]), dtype=np.bool_)
    mask[:, own_low[1] : own_high[1], own_low[2] : own_high[2]] = small[filled[0] : filled[-1] + 1]
    begin, end = np.array([start, 0, 0]), np.array([stop, *volume.voxels.shape[1:]])
    return mask, volume.references()[start:stop], cut(volume.geometry, begin, end)


def _measured(nodule: Nodule, region: Region, errors: Errors) -> list[Measurement]:
    outline, diameters = nodule.outline, nodule.diameters
    share = errors.volume_error[outline.density.value]
    rows: list[tuple[Code, float, Code, float | None, Code | None]] = [
        (_VOLUME, round(outline.volume_mm3, 1), _MM3, round(outline.volume_mm3 * share, 1), None),
        (_LONG, round(diameters.long_axis.value, 1), _MM, round(diameters.long_axis.half_width, 2), None),
        (_SHORT, round(diameters.short_axis.value, 1), _MM, round(diameters.short_axis.half_width, 2), None),
        (_ATTENUATION, round(outline.mean_hu, 1), _HU, None, _MEAN),
    ]
    if outline.solid_mm3 and outline.solid_mm3 != outline.volume_mm3:
        rows.append((_SOLID_PART, round(outline.solid_mm3, 1), _MM3, None, None))
    return [
        Measurement(concept, value, unit, spread, tracking=region.tracking, images=region.images, derivation=derivation)
        for concept, value, unit, spread, derivation in rows
    ]


def _changes(read: Read, regions: Sequence[Region]) -> list[Measurement]:
    found: list[Measurement] = []
    by_uid = {region.tracking.uid: region for region in regions}
    for one in read.followed.compared if read.followed else ():
        region = by_uid[derived_uid(one.after.tracking.uid, "outline")]
        if one.change.relative is not None:
            found.append(Measurement(_CHANGE, round(100 * one.change.relative, 1), _PERCENT, tracking=region.tracking,
                                     images=region.images))  # fmt: skip
        if one.doubling is not None:
            found.append(Measurement(_DOUBLING, round(one.doubling.days, 1), _DAYS, tracking=region.tracking,
                                     images=region.images))  # fmt: skip
    return found


def _none(spec: OutputSpec, read: Read) -> Finding:
    """Return that there is none; where the lungs are cut off, that this cannot be said."""
    images = _ends(read.scan)
    if not read.scan.lungs.whole:
        return Finding(spec.key, spec.concept, Presence.INDETERMINATE, site=spec.site, images=images)
    return absent_finding(spec, highest=read.highest, images=images)


def _growth(spec: OutputSpec, read: Read) -> Finding:
    """Return growth of any nodule that is on both dates; absent only where each earlier one could be looked at."""
    followed, images = read.followed, _ends(read.scan)
    if followed is None or not (followed.compared or followed.vanished):
        return Finding(spec.key, spec.concept, Presence.NOT_ASSESSED, site=spec.site, images=images)
    grown = any(one.change.verdict is Verdict.GREW for one in followed.compared)
    unseen = Presence.INDETERMINATE if followed.outside else Presence.ABSENT
    presence = Presence.PRESENT if grown else unseen
    return Finding(spec.key, spec.concept, presence, site=spec.site, images=images, urgent=grown and spec.urgent)


def _line(number: int, nodule: Nodule, category: str, history: History) -> str:
    outline = nodule.outline
    solid = ""
    if 0 < outline.solid_mm3 < outline.volume_mm3:
        solid = f", solid part {outline.solid_mm3:.0f} mm3 ({nodule.solid_diameter_mm():.1f} mm)"
    return (
        f"Nodule {number}: {nodule.words()}, {outline.volume_mm3:.0f} mm3, mean diameter "
        f"{nodule.mean_diameter_mm():.1f} mm{solid}, {history.value}: Lung-RADS v2022 {category}; "
        f"Fleischner 2017 size class {fleischner(outline.density, outline.volume_mm3)}"
    )


def _told(read: Read) -> list[str]:
    followed = read.followed
    if followed is None:
        return []
    days = "at an unknown interval" if followed.days is None else f"{followed.days:.0f} days before"
    lines = [f"Compared with the study {days}; lungs of both dates overlap by {followed.overlap:.2f} (Dice)"]
    for one in followed.compared:
        text = (
            f"{one.after.tracking.identifier}: {one.change.before:.0f} to {one.change.after:.0f} mm3, "
            f"{one.change.verdict.value}"
        )
        if one.doubling is not None:
            word = "doubling" if one.doubling.days > 0 else "halving"
            text += f", {word} time {abs(one.doubling.days):.0f} days"
            if one.doubling.low is not None and one.doubling.high is not None:
                bounds = sorted((abs(one.doubling.low), abs(one.doubling.high)))
                text += f" ({bounds[0]:.0f} to {bounds[1]:.0f})"
        lines.append(text)
    lines += [f"New: {one.words()}, {one.outline.volume_mm3:.0f} mm3" for one in followed.new]
    lines += [f"No longer seen: {one.words()}, {one.outline.volume_mm3:.0f} mm3 before" for one in followed.vanished]
    lines += [f"Not in this field of view: {one.words()}" for one in followed.outside]
    return lines


def _thick(scan: Scan) -> list[str]:
    widest = max(scan.frame.step_mm())
    return [f"{widest:.1f} mm between slices: volumes err by more than stated"] if widest > _THIN_MM else []


def _ends(scan: Scan) -> tuple[ImageReference, ...]:
    """Return the image in the middle of the scan, which stands for all of it."""
    references = scan.volume.references()
    return references[len(references) // 2 : len(references) // 2 + 1]
