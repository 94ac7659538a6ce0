"""What became of known lesions since an earlier study, and which FLAIR lesions are new; calculated, no network."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.cards import ReaderCard
from coread.domain.geometry import Geometry
from coread.domain.images import Quantity, Volume
from coread.domain.reading import Arrays, ModelSession, Prepared, Prior, ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.domain.study import InstanceHeader
from coread.imaging.resampling import resampled_array, straightened
from coread.readers.follow_up.brain import changed, covered_by
from coread.readers.follow_up.fresh import searched
from coread.readers.follow_up.known import Known, followed, known_lesions, site_arrays, site_of
from coread.readers.follow_up.matched import matched, working_grid
from coread.readers.follow_up.placing import (
    BODY_MM,
    BRAIN_MM,
    LEAST_LIKENESS,
    Placed,
    facing,
    inverse,
    placed,
)
from coread.readers.follow_up.report import Seen, reported
from coread.readers.volumes import reason_against

Mask = NDArray[np.bool_]
_MOST_LESIONS = 10
_COVERED_MARGIN_MM = 3.0
"""Smoothing carries the emptiness beyond the earlier field so far into it."""
_FLAIR_WORDS = ("flair", "dark fluid", "dark-fluid", "dark_fluid")


@dataclass(frozen=True, slots=True, eq=False)
class _Compared:
    """The earlier study that is compared with."""

    prior: Prior
    volume: Volume
    lesions: tuple[Known, ...]
    """Those that are followed."""
    others: int = 0
    """How many more are outlined there."""
    outlined: Mask | None = None
    """All of them, on the grid of the earlier volume."""


@dataclass(frozen=True, slots=True)
class FollowUpReader:
    """See README.md for what it compares and when not to trust it."""

    card: ReaderCard

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        """Choose the earlier study, lay the scans over one another and cut out the places of known lesions."""
        if not inputs.volumes:
            return Refusal(Reason(ReasonCode.NO_ELIGIBLE, "the study has no volume"))
        now = facing(inputs.volumes[0])
        modality = now.headers[0].modality if now.headers else ""
        quantity = Quantity.HOUNSFIELD if modality == "CT" else Quantity.ARBITRARY
        if (reason := reason_against(self.card.input, now, quantity)) is not None:
            return Refusal(reason)
        found = _compared(self.card, inputs.priors, now)
        if isinstance(found, Reason):
            return Refusal(found)
        laid = placed(found.volume, now, BODY_MM if modality == "CT" else BRAIN_MM)
        if laid.likeness < LEAST_LIKENESS:
            detail = f"correlation {laid.likeness:.2f} with the study of {found.prior.study.study_date}"
            return Refusal(Reason(ReasonCode.NOT_ALIGNED, f"{detail}, {LEAST_LIKENESS:g} is needed"))
        return _prepared(inputs, now, found, laid)

    def infer(self, session: ModelSession, prepared: Prepared) -> Arrays:
        """Outline each lesion on both dates; subtract FLAIR scans. See ``known.followed`` and ``brain.changed``."""
        arrays = prepared.arrays
        outputs: dict[str, NDArray[Any]] = {}
        count = sum(name.startswith("seed_") for name in arrays)
        for number in range(count):
            outputs |= followed(arrays, number, session.parameters["outline"])
        if "flair_now" in arrays:
            outputs |= _subtracted(arrays, session)
        if "ct_now" in arrays:
            outputs |= searched(arrays, session.parameters["new"])
        return outputs

    def interpret(self, session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        """Measure both dates alike and say what changed beyond the error of measurement."""
        if "brain_voxels" in outputs and not outputs["brain_voxels"][0]:
            return Refusal(Reason(ReasonCode.INDETERMINATE, "no brain was recognised in the FLAIR scan"))
        return reported(self.card, session, prepared.context, outputs)


def _subtracted(arrays: Arrays, session: ModelSession) -> dict[str, NDArray[Any]]:
    now, before = (np.asarray(arrays[name], dtype=np.float32) for name in ("flair_now", "flair_before"))
    try:
        found = changed(now, before, np.asarray(arrays["flair_steps_mm"]), session.parameters["flair"])
    except ValueError:
        nothing = np.zeros(now.shape, dtype=np.bool_)
        return {"brighter": nothing, "darker": nothing, "brain_voxels": np.array([0, 0])}
    covered = np.asarray(arrays["flair_covered"], dtype=np.bool_)
    return {
        "brighter": found.brighter & covered,
        "darker": found.darker & covered,
        "brain_voxels": np.array([np.count_nonzero(found.brain), np.count_nonzero(found.brain & ~covered)]),
    }


def is_flair(header: InstanceHeader) -> bool:
    """Say whether a series is named as fluid-attenuated inversion recovery."""
    name = f"{header.series_description} {header.protocol_name}".casefold()
    return any(word in name for word in _FLAIR_WORDS)


def _compared(card: ReaderCard, priors: Sequence[Prior], now: Volume) -> _Compared | Reason:
    """Return the newest earlier study with known lesions, or the newest CT or FLAIR scan for one that has none."""
    modality = now.headers[0].modality
    why = "no earlier study of this patient with a fitting series is stored"
    flair = is_flair(now.headers[0])
    fallback: _Compared | None = None
    for prior in priors:
        if not prior.volumes:
            continue
        volume = facing(prior.volumes[0])
        quantity = Quantity.HOUNSFIELD if modality == "CT" else Quantity.ARBITRARY
        reason = reason_against(card.input, volume, quantity)
        alike = bool(volume.headers) and volume.headers[0].modality == modality
        if reason is not None or not alike or (modality == "MR" and is_flair(volume.headers[0]) != flair):
            why = f"the study of {prior.study.study_date} holds no series of the same kind"
            continue
        lesions = known_lesions(prior.regions, volume)
        if lesions:
            whole = np.any([lesion.mask for lesion in lesions], axis=0)
            return _Compared(prior, volume, lesions[:_MOST_LESIONS], max(0, len(lesions) - _MOST_LESIONS), whole)
        why = f"no lesion is outlined in the study of {prior.study.study_date}"
        fallback = fallback or _Compared(prior, volume, ())
    return fallback if fallback is not None and (flair or modality == "CT") else Reason(ReasonCode.NO_PRIOR, why)


def _prepared(inputs: ReaderInputs, now: Volume, found: _Compared, laid: Placed) -> Prepared:
    sites = tuple(site_of(lesion, found.volume, now, laid.to_now) for lesion in found.lesions)
    arrays: dict[str, NDArray[Any]] = {}
    for number, site in enumerate(sites):
        arrays |= site_arrays(number, site, found.volume, now)
    if is_flair(now.headers[0]):
        back = inverse(laid.to_now)
        before = resampled_array(found.volume.voxels, found.volume.geometry, now.geometry, transform=back)
        arrays["flair_now"], arrays["flair_before"] = now.voxels, before.astype(np.float32)
        arrays["flair_covered"] = covered_by(found.volume.geometry, now.geometry, back, _COVERED_MARGIN_MM)
        arrays["flair_steps_mm"] = np.array(now.geometry.spacing_mm())
    fresh = None
    if now.quantity is Quantity.HOUNSFIELD:
        fresh = working_grid(straightened(now).geometry)
        arrays |= _search_arrays(now, found, laid, fresh)
    older = tuple(prior for prior in inputs.priors if prior is not found.prior)
    seen = Seen(
        inputs.study, inputs.volumes[0], found.prior.study, older, sites, laid, now.geometry, "flair_now" in arrays,
        found.others, fresh,
    )  # fmt: skip
    return Prepared(arrays, seen)


def _search_arrays(now: Volume, found: _Compared, laid: Placed, grid: Geometry) -> dict[str, NDArray[Any]]:
    """Return what new lesions are searched in: both scans matched on one grid, and what is known there."""
    match = matched(found.volume, now, laid.in_segment, grid)
    known = np.zeros(grid.shape, dtype=np.bool_)
    if found.outlined is not None:
        mask = found.outlined.astype(np.float32)
        known = resampled_array(mask, found.volume.geometry, grid, transform=inverse(laid.in_segment)) > 0.3
    return {
        "ct_now": match.now,
        "ct_before": match.before,
        "ct_covered": match.covered,
        "ct_known": np.asarray(known),
        "ct_steps_mm": np.array(grid.spacing_mm()),
        "ct_upward": np.array([np.abs(grid.matrix()[2, :3]).argmax()]),
    }


def reader(card: ReaderCard) -> FollowUpReader:
    """Build the reader with its card."""
    return FollowUpReader(card)
