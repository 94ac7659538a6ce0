"""Brain volumes from a T1 volume, lesions from the FLAIR volume of the same study, and loss since an earlier T1."""

from dataclasses import dataclass

import numpy as np

from coread.domain.cards import ReaderCard
from coread.domain.images import Quantity, Volume
from coread.domain.reading import Arrays, ModelSession, Prepared, Prior, ReaderInputs
from coread.domain.reasons import Reason, ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.imaging.resampling import straightened
from coread.readers.brain_volume.comparing import Compared, Date, compared
from coread.readers.brain_volume.examined import Examined, examined, lesions_or_reason
from coread.readers.brain_volume.head import Head, found_head, upright_grid
from coread.readers.brain_volume.outputs import HEAD_MM, HEAD_SHAPE
from coread.readers.brain_volume.report import Flair, Seen, lesions_reported, volumes_reported
from coread.readers.brain_volume.tissues import Contrast, levels_of
from coread.readers.volumes import reason_against

_NOW, _BEFORE, _BESIDE = "now", "before", "flair"
_THICKEST_MM = 7.0
_THICKEST_COMPARED_MM = 3.0


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What ``interpret`` needs from ``prepare``."""

    now: Volume
    before: Volume | None
    beside: Volume | None
    """The companion: FLAIR by its name."""
    notes: tuple[str, ...]

    def volumes(self) -> dict[str, Volume]:
        """Return the volumes in which a head is looked for, by name."""
        named = {_NOW: self.now, _BEFORE: self.before, _BESIDE: self.beside}
        return {name: volume for name, volume in named.items() if volume is not None}


@dataclass(frozen=True, slots=True)
class BrainVolumeReader:
    """See README.md for what it measures and when not to trust it."""

    card: ReaderCard

    def prepare(self, inputs: ReaderInputs) -> Prepared | Refusal:
        """Check the volume, and the earlier one, against the card."""
        if not inputs.volumes:
            return Refusal(Reason(ReasonCode.NO_ELIGIBLE, "the study has no volume"))
        volume = inputs.volumes[0]
        reason = self._reason(volume)
        if reason is not None:
            return Refusal(reason)
        before, notes = self._earlier(inputs.priors)
        beside, more = self._companion(inputs.companions)
        others = [None if one is None else straightened(one) for one in (before, beside)]
        kept = Context(straightened(volume), others[0], others[1], (*notes, *more))
        return Prepared({name: one.voxels[np.newaxis] for name, one in kept.volumes().items()}, kept)

    def infer(self, session: ModelSession, prepared: Prepared) -> Arrays:
        """Find the head in each volume: the tissue network's probabilities, and where the middle of its grid lies."""
        context: Context = prepared.context
        found = {}
        for name, volume in context.volumes().items():
            head = found_head(session, volume)
            if head is not None:
                found[f"{name} shares"] = head.shares
                found[f"{name} middle"] = head.grid.to_patient((np.asarray(HEAD_SHAPE)[np.newaxis] - 1) / 2)[0]
        return found

    def interpret(self, session: ModelSession, prepared: Prepared, outputs: Arrays) -> ReadResult | Refusal:
        """Measure; refuse what shows no head or neither contrast."""
        context: Context = prepared.context
        head = _head(outputs, _NOW, context.now)
        if head is None:
            return Refusal(Reason(ReasonCode.INDETERMINATE, "no head was recognised in the volume"))
        levels = levels_of(context.now, head)
        contrast = levels.contrast()
        if contrast is Contrast.UNCLEAR:
            return Refusal(Reason(ReasonCode.WRONG_CONTRAST, f"neither T1 nor FLAIR (rank {levels.rank:.2f})"))
        seen = Seen(context.now, session, self.card)
        if contrast is Contrast.FLAIR:
            lesions = lesions_or_reason(context.now, head)
            if isinstance(lesions, Reason):
                return Refusal(lesions)
            return lesions_reported(seen, lesions, context.notes)
        now = examined(session, context.now, head, levels)
        if isinstance(now, Reason):
            return Refusal(now)
        change, notes = self._change(now, context, outputs)
        flair, more = lesions_beside(context, outputs)
        return volumes_reported(seen, now, change, (*context.notes, *notes, *more), flair)

    def _change(
        self, now: Examined, context: Context, outputs: Arrays
    ) -> tuple[tuple[Examined, Compared] | None, tuple[str, ...]]:
        if context.before is None:
            return None, ()
        head = _head(outputs, _BEFORE, context.before)
        if head is None:
            return None, ("not compared: no head was recognised in the earlier study",)
        levels = levels_of(context.before, head)
        if levels.contrast() is not Contrast.T1:
            return None, ("not compared: the earlier volume does not look like T1",)
        before = examined(None, context.before, head, levels)
        if isinstance(before, Reason):
            return None, (f"not compared: {before.text()}",)
        if now.cut or before.cut:
            return None, ("not compared: the field cuts the brain on one of the dates",)
        widest = max(*context.now.geometry.spacing_mm(), *context.before.geometry.spacing_mm())
        if widest > _THICKEST_COMPARED_MM:
            return None, (f"not compared: {widest:.1f} mm between slices, at most {_THICKEST_COMPARED_MM:g}",)
        dates = [Date(one.volume, one.head, one.tissues) for one in (before, now)]
        found = compared(dates[0], dates[1])
        if isinstance(found, float):
            return None, (f"not compared: the heads of both dates overlap by {found:.3f} only (Dice)",)
        return (before, found), ()

    def _companion(self, companions: tuple[Volume, ...]) -> tuple[Volume | None, tuple[str, ...]]:
        if not companions:
            return None, ()
        reason = self._reason(companions[0])
        return (companions[0], ()) if reason is None else (None, (f"FLAIR volume not read: {reason.text()}",))

    def _earlier(self, priors: tuple[Prior, ...]) -> tuple[Volume | None, tuple[str, ...]]:
        if not priors:
            return None, ()
        if len(priors[0].volumes) != 1:
            return None, (f"not compared: {len(priors[0].volumes)} volumes in the earlier study",)
        volume = priors[0].volumes[0]
        reason = self._reason(volume)
        return (volume, ()) if reason is None else (None, (f"not compared: {reason.text()}",))

    def _reason(self, volume: Volume) -> Reason | None:
        reason = reason_against(self.card.input, volume, Quantity.ARBITRARY)
        if reason is not None:
            return reason
        widest = max(volume.geometry.spacing_mm())
        if widest > _THICKEST_MM:
            return Reason(ReasonCode.WRONG_SPACING, f"{widest:.1f} mm between voxels, at most {_THICKEST_MM:g}")
        return None


def lesions_beside(context: Context, outputs: Arrays) -> tuple[Flair | None, tuple[str, ...]]:
    """Return the lesions of the companion, or why there are none to tell of: its name proves no contrast."""
    if context.beside is None:
        return None, ()
    head = _head(outputs, _BESIDE, context.beside)
    if head is None:
        return None, ("FLAIR volume not read: no head was recognised in it",)
    contrast = levels_of(context.beside, head).contrast()
    if contrast is not Contrast.FLAIR:
        return None, (f"FLAIR volume not read: it looks like {contrast.value}",)
    lesions = lesions_or_reason(context.beside, head)
    if isinstance(lesions, Reason):
        return None, (f"FLAIR volume not read: {lesions.text()}",)
    return Flair(context.beside, lesions), ()


def _head(outputs: Arrays, name: str, volume: Volume) -> Head | None:
    if f"{name} shares" not in outputs:
        return None
    middle = np.asarray(outputs[f"{name} middle"], dtype=np.float64)
    grid = upright_grid(middle, HEAD_SHAPE, HEAD_MM, volume.geometry.frame_of_reference_uid)
    return Head(np.asarray(outputs[f"{name} shares"], dtype=np.float32), grid)


def reader(card: ReaderCard) -> BrainVolumeReader:
    """Build the reader with its card."""
    return BrainVolumeReader(card)


__all__ = ["BrainVolumeReader", "reader"]
