"""Which readers apply to a settled study, and for every other one the coded reason why not. Pure.

Sees reader cards only: no reader's code, no pixels. What a header does not state (view, body part, age) is left to
the reader's own gate.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from coread.domain.cards import InputContract, ReaderCard
from coread.domain.kspace import RAW_DATA_STORAGE
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.series_names import chosen_series
from coread.domain.study import Instance, InstanceHeader, Study
from coread.domain.work import RoutingDecision
from coread.route.age import stated_ages

TWO_PATIENTS_FLAG = "two_patients"
_NOT_IMAGES = frozenset({"SR", "KO", "PR", "SEG", "DOC", "REG", "RTSTRUCT", "RTPLAN", "RTDOSE", "RWV", "FID", "AU"})
"""Modalities (PS3.3 C.7.3.1.1.1) of objects that describe images and are not images."""
_OWN_DOOR = "own"
_OWN_MANUFACTURER = "Coread"
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
"""Secondary Capture and its multi-frame kinds (PS3.4 annex B.5); Coread's phantoms are of other classes."""


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """What a site switched off."""

    disabled_readers: frozenset[str] = frozenset()


Check = Callable[[InputContract, InstanceHeader, date | None], Reason | None]


def decide(
    study: Study,
    cards: Sequence[ReaderCard],
    settings: RouteSettings | None = None,
    *,
    flags: Collection[str] = (),
    at: datetime | None = None,
) -> tuple[RoutingDecision, ...]:
    """Return exactly one decision for every card, sorted by reader id; ``study`` holds its series and instances.

    ``flags`` are the flags of the study (``two_patients``); ``at`` is now, for dates that lie in the future.
    """
    settings = settings or RouteSettings()
    images = [item for series in study.series for item in series.instances if _is_image_to_read(item)]
    decisions: list[RoutingDecision] = []
    for card in sorted(cards, key=lambda card: card.reader_id):
        chosen = _blanket_reason(card, settings, flags) or _choose(card.input, images, at.date() if at else None)
        accepted = not isinstance(chosen, Reason)
        decisions.append(
            RoutingDecision(
                study_instance_uid=study.study_instance_uid,
                generation=study.generation,
                reader_id=card.reader_id,
                reader_version=card.version,
                accepted=accepted,
                sop_instance_uids=() if isinstance(chosen, Reason) else chosen,
                reason=chosen if isinstance(chosen, Reason) else None,
                decided_at=at,
            )
        )
    return tuple(decisions)


def why_not(contract: InputContract, header: InstanceHeader, today: date | None = None) -> Reason | None:
    """Return the first thing about one image that the contract excludes, or None when the image fits."""
    return _first_failure(contract, header, today)[1]


def _blanket_reason(card: ReaderCard, settings: RouteSettings, flags: Collection[str]) -> Reason | None:
    if card.reader_id in settings.disabled_readers:
        return Reason(ReasonCode.READER_DISABLED)
    if TWO_PATIENTS_FLAG in flags:
        return Reason(ReasonCode.TWO_PATIENTS, "images with different Patient ID or name came for this study")
    return None


def _choose(contract: InputContract, images: Sequence[Instance], today: date | None) -> tuple[str, ...] | Reason:
    if not images:
        return Reason(ReasonCode.NO_ELIGIBLE, "the study holds no images")
    verdicts = [(item.header, *_first_failure(contract, item.header, today)) for item in images]
    fitting = [header for header, _, reason in verdicts if reason is None]
    if not fitting:
        return _best_explanation([(passed, reason) for _, passed, reason in verdicts if reason is not None])
    if contract.presentation == "volume":
        return _one_series(contract, fitting)
    frames = sum(_frames(header) for header in fitting)
    if contract.presentation != "kspace" and frames < contract.min_images:
        return Reason(ReasonCode.TOO_FEW_IMAGES, f"{frames} fit, {contract.min_images} needed")
    # More than max_images is no reason to stay silent: the engine reads the first ones and lists the others.
    return tuple(header.sop_instance_uid for header in sorted(fitting, key=_place))


def _one_series(contract: InputContract, fitting: Sequence[InstanceHeader]) -> tuple[str, ...] | Reason:
    """Choose the longest series, of those that the card names if there are any: a volume is one series (A.1.2.3).

    The longest one that the card names as a companion follows it.
    """
    by_series: dict[str, list[InstanceHeader]] = {}
    for header in fitting:
        by_series.setdefault(header.series_instance_uid, []).append(header)
    sizes = {uid: sum(_frames(header) for header in headers) for uid, headers in by_series.items()}
    within = {uid: size for uid, size in sizes.items() if contract.min_images <= size <= contract.max_images}
    if not within:
        longest = max(sizes.values())
        if longest < contract.min_images:
            return Reason(ReasonCode.TOO_FEW_IMAGES, f"{longest} in one series, {contract.min_images} needed")
        return Reason(ReasonCode.IMAGE_TOO_LARGE, f"{longest} slices, at most {contract.max_images}")
    firsts = [min(by_series[uid], key=_place) for uid in within]
    firsts.sort(key=lambda first: (-within[first.series_instance_uid], _place(first)))
    chosen = chosen_series(contract, firsts)
    return tuple(header.sop_instance_uid for uid in chosen for header in sorted(by_series[uid], key=_place))


def _best_explanation(reasons: Sequence[tuple[int, Reason]]) -> Reason:
    """Return the reason of the images that came closest to fitting; the most frequent one among these."""
    furthest = max(passed for passed, _ in reasons)
    counted = Counter(reason for passed, reason in reasons if passed == furthest)
    return min(counted, key=lambda reason: (-counted[reason], reason.code.value, reason.detail))


def _first_failure(contract: InputContract, header: InstanceHeader, today: date | None) -> tuple[int, Reason | None]:
    for passed, check in enumerate(CHECKS):
        reason = check(contract, header, today)
        if reason is not None:
            return passed, reason
    return len(CHECKS), None


def _modality(contract: InputContract, header: InstanceHeader, _: date | None) -> Reason | None:
    return _listed(ReasonCode.WRONG_MODALITY, contract.modalities, header.modality or "none stated")


def _sop_class(contract: InputContract, header: InstanceHeader, _: date | None) -> Reason | None:
    return _listed(ReasonCode.WRONG_SOP_CLASS, contract.sop_class_uids, header.sop_class_uid)


def _pixels(contract: InputContract, header: InstanceHeader, _: date | None) -> Reason | None:
    """Raw data go to readers of raw data, which are given nothing else; images have pixels."""
    if contract.presentation == "kspace":
        raw = header.sop_class_uid == RAW_DATA_STORAGE
        return None if raw else Reason(ReasonCode.WRONG_SOP_CLASS, f"{header.sop_class_uid} is no raw data object")
    if header.sop_class_uid == RAW_DATA_STORAGE:
        return Reason(ReasonCode.NO_PIXELS, "raw data of the scanner")
    rows, columns = header.rows or 0, header.columns or 0
    if min(rows, columns) < 1:
        return Reason(ReasonCode.NO_PIXELS)
    return None


def _body_part(contract: InputContract, header: InstanceHeader, _: date | None) -> Reason | None:
    return _listed(ReasonCode.WRONG_BODY_PART, contract.body_parts, header.body_part_examined)


def _view(contract: InputContract, header: InstanceHeader, _: date | None) -> Reason | None:
    return _listed(ReasonCode.WRONG_VIEW, contract.views, header.view_position)


def _age(contract: InputContract, header: InstanceHeader, today: date | None) -> Reason | None:
    low, high = contract.min_age_years, contract.max_age_years
    for age in stated_ages(header, today):
        # max_age_years = 17 means "until the 18th birthday", as people say it.
        if (low is not None and age.years < low) or (high is not None and age.years >= high + 1):
            return Reason(ReasonCode.WRONG_AGE, f"patient is {_age_text(age.years)} old ({age.source})")
    return None


def _matrix(contract: InputContract, header: InstanceHeader, _: date | None) -> Reason | None:
    if contract.presentation == "kspace":
        return None  # the header of a raw data object states no matrix; the engine looks when it opens it
    rows, columns = header.rows or 0, header.columns or 0
    if rows < contract.min_rows or columns < contract.min_columns:
        needed = f"{contract.min_rows} x {contract.min_columns}"
        return Reason(ReasonCode.IMAGE_TOO_SMALL, f"{rows} x {columns}, needs {needed}")
    if rows * columns > contract.max_pixels:
        return Reason(ReasonCode.IMAGE_TOO_LARGE, f"{rows} x {columns} is more than {contract.max_pixels} pixels")
    return None


CHECKS: tuple[Check, ...] = (_modality, _sop_class, _pixels, _body_part, _view, _age, _matrix)
"""From general to specific: the image that passes most of them explains a declined study best."""


def _listed(code: ReasonCode, accepted: tuple[str, ...], found: str) -> Reason | None:
    wanted = {value.upper() for value in accepted}
    if not wanted or not found or found.upper() in wanted:
        return None
    return Reason(code, f"{found} (reads {', '.join(accepted)})" if len(accepted) <= 6 else found)


def _age_text(years: float) -> str:
    if years >= 2:
        return f"{int(years)} years"
    months = int(years * 12)
    return f"{months} months" if months >= 1 else f"{int(years * 365.25)} days"


def _is_image_to_read(item: Instance) -> bool:
    header = item.header
    if item.origin.door == _OWN_DOOR or header.modality in _NOT_IMAGES:
        return False
    # Our own summary pages come back when a PACS forwards everything it gets.
    own_page = header.manufacturer.startswith(_OWN_MANUFACTURER) and header.sop_class_uid.startswith(_SECONDARY_CAPTURE)
    return not own_page


def _frames(header: InstanceHeader) -> int:
    return max(1, header.number_of_frames or 1)


def _place(header: InstanceHeader) -> tuple[int, str, int, str]:
    return (header.series_number or 0, header.series_instance_uid, header.instance_number or 0, header.sop_instance_uid)
