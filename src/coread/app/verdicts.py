"""What radiologists' verdicts mean for the numbers and outlines of a result: those of a rejected finding do not count.

A verdict never changes a result. What follows lesions over time, in plots or as what a reader is given of an earlier
date, leaves out what a person has said is not there.
"""

from collections.abc import Iterable, Mapping, Sequence

from coread.domain.findings import Finding, Presence, Region
from coread.domain.identifiers import derived_uid
from coread.domain.results import ReadResult
from coread.domain.work import Verdict, VerdictKind


def standing_verdicts(verdicts: Sequence[Verdict]) -> dict[tuple[int, str], Verdict]:
    """Return the latest verdict on each finding (work id, finding key), unless it was taken back."""
    latest = {(verdict.work_id, verdict.finding_key): verdict for verdict in verdicts}
    return {key: verdict for key, verdict in latest.items() if verdict.kind is not VerdictKind.WITHDRAW}


def rejections(verdicts: Sequence[Verdict], work_id: int) -> dict[str, Verdict]:
    """Return the standing verdicts, by finding key, that say of a reading's findings that they are not there."""
    return {
        key: verdict
        for (work, key), verdict in standing_verdicts(verdicts).items()
        if work == work_id and _says_absent(verdict)
    }


def owners(result: ReadResult) -> dict[str, str]:
    """Return from the Tracking UIDs of a result's regions and lesions to the key of the finding that they belong to.

    A region is a finding's when it names it, when it has its Tracking UID or the one derived from it for outlines, or,
    where the finding has none, when it is of the very kind that the finding names. Anatomy belongs to no finding.
    """
    found = {region.tracking.uid: region.finding_key for region in result.regions if region.finding_key}
    for finding in result.findings:
        if finding.presence is Presence.PRESENT and finding.tracking is not None:
            own = dict.fromkeys((finding.tracking.uid, derived_uid(finding.tracking.uid, "outline")), finding.key)
            found = own | found
    untied = [item for item in result.findings if item.presence is Presence.PRESENT and item.tracking is None]
    for region in result.regions:
        key = _key_of_kind(region, untied)
        if key:
            found.setdefault(region.tracking.uid, key)
    return found


def kept_regions(result: ReadResult, rejected: Iterable[str]) -> tuple[Region, ...]:
    """Return the regions of a result but for those of findings (by key) that were rejected."""
    gone, of = set(rejected), owners(result)
    return tuple(region for region in result.regions if of.get(region.tracking.uid) not in gone)


def rejected_uids(of: Mapping[str, str], rejected: Mapping[str, Verdict]) -> dict[str, str]:
    """Return from Tracking UIDs to who rejected the finding that they belong to and when, in words."""
    return {uid: _words(rejected[key]) for uid, key in of.items() if key in rejected}


def _says_absent(verdict: Verdict) -> bool:
    corrected = verdict.kind is VerdictKind.EDIT and verdict.corrected_presence == Presence.ABSENT.value
    return verdict.kind is VerdictKind.REJECT or corrected


def _key_of_kind(region: Region, findings: Sequence[Finding]) -> str:
    return next((item.key for item in findings if item.concept == region.type), "")


def _words(verdict: Verdict) -> str:
    return f"rejected by {verdict.user}, {verdict.created_at:%Y-%m-%d}"
