"""How series are understood as volumes, for people (``coread volume info``), and volumes as NIfTI files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from coread.app.errors import NothingFound
from coread.app.paths import files_below
from coread.domain.errors import Refused
from coread.domain.images import Quantity, Volume
from coread.imaging.header import scan_header
from coread.imaging.nifti import write_volume
from coread.imaging.pet import SuvFactor, suv_factor, to_suv
from coread.imaging.resampling import grid_with_spacing, resampled, straightened
from coread.imaging.series import TILT_DEGREES, Choices, OpenedSeries, SliceStack, load, open_series
from coread.imaging.slices import Located
from coread.imaging.stack import gap_runs

_MOST_GAPS = 1000
_NIFTI_ENDS = (".nii.gz", ".nii")


@dataclass(frozen=True, slots=True, eq=False)
class FoundSeries:
    """One series below the paths that were named, and how it is understood."""

    series_instance_uid: str
    instances: tuple[Located, ...]
    opened: OpenedSeries


@dataclass(frozen=True, slots=True)
class Changes:
    """What is done to a volume before it is written."""

    straighten: bool = False
    spacing_mm: tuple[float, float, float] | None = None
    suv: bool = False


@dataclass(frozen=True, slots=True)
class Written:
    """A file that was written, or the reason why a volume was not."""

    series_instance_uid: str
    volume: str
    file: str
    shape: tuple[int, ...]
    detail: str


def series_below(paths: Sequence[Path], choices: Choices) -> tuple[list[FoundSeries], list[tuple[Path, str]]]:
    """Return the series in files and folders, in the order met, and the files that are no DICOM objects."""
    by_series: dict[str, list[Located]] = {}
    refused: list[tuple[Path, str]] = []
    for path in files_below(paths):
        try:
            header = scan_header(path)
        except Refused as problem:
            refused.append((path, str(problem)))
            continue
        by_series.setdefault(header.series_instance_uid, []).append((path, header))
    found = [FoundSeries(uid, tuple(items), open_series(items, choices)) for uid, items in by_series.items()]
    if not found and not refused:
        raise NothingFound(f"no files below {', '.join(str(path) for path in paths)}")
    return found, refused


def series_document(found: FoundSeries) -> dict[str, Any]:
    """Return how one series is understood, as plain JSON values."""
    first = found.instances[0][1]
    return {
        "series_instance_uid": found.series_instance_uid,
        "modality": first.modality,
        "series_number": first.series_number,
        "series_description": first.series_description,
        "images": len(found.instances),
        "volumes": [_stack_document(stack) for stack in found.opened.stacks],
        "set_apart": [
            {"image": item.name, "code": item.reason.code.value, "reason": item.reason.text()}
            for item in found.opened.set_apart
        ],
    }


def _stack_document(stack: SliceStack) -> dict[str, Any]:
    first, found = stack.slices[0], stack.examination
    document: dict[str, Any] = {
        "is": "volume" if stack.refusal is None else "refused",
        "code": stack.refusal.code.value if stack.refusal else None,
        "reason": stack.refusal.text() if stack.refusal else None,
        "differs_in": dict(stack.key),
        "slices": len(stack.slices),
        "shape": list(stack.shape()),
        "plane": stack.plane,
        "quantity": first.quantity.value,
        "unit": first.unit or None,
        "thickness_mm": first.thickness_mm,
        "notes": list(stack.notes),
    }
    if found is not None and len(stack.slices) > 1:
        document |= {
            "gaps_mm": _gap_runs(found.gaps_mm),
            "tilt_degrees": round(found.tilt_degrees, 3),
            "off_grid_mm": round(found.off_grid_mm, 4),
        }
    if stack.refusal is None:
        geometry = stack.geometry()
        document |= {
            "spacing_mm": [round(step, 6) for step in geometry.spacing_mm()],
            "affine_lps_mm": [list(row) for row in geometry.affine],
            "suv": _suv_text(stack),
        }
    return document


def _gap_runs(gaps: Any) -> list[dict[str, float]]:
    """Return runs of equal gaps in slice order, at most so many."""
    return [{"mm": gap, "times": times} for gap, times in gap_runs(gaps)[:_MOST_GAPS]]


def _suv_text(stack: SliceStack) -> str | None:
    if stack.slices[0].header.modality != "PT":
        return None
    try:
        found = factor_of_all(stack)
    except Refused as problem:
        return f"not decidable: {problem}"
    return f"times {found.factor:.6g}: {found.basis}"


def stack_words(stack: SliceStack) -> str:
    """Return what is notable of one stack, in words, for a table."""
    words = [f"{name.replace('_', ' ')} {value}" for name, value in stack.key]
    found = stack.examination
    if found is not None and found.tilt_degrees > TILT_DEGREES and len(stack.slices) > 1:
        words.append(f"tilt {found.tilt_degrees:.1f} degrees")
    words += stack.notes
    if stack.refusal is not None:
        words.append(f"REFUSED {stack.refusal.code.value}: {stack.refusal.text()}")
    return "; ".join(words)


def export_volumes(found: Sequence[FoundSeries], to: Path, choices: Choices, changes: Changes) -> list[Written]:
    """Write every volume of the series; the name gets a number where there are several."""
    stacks = [(item, stack) for item in found for stack in item.opened.stacks]
    loadable = sum(stack.refusal is None for _, stack in stacks)
    written: list[Written] = []
    for item, stack in stacks:
        name = "; ".join(f"{key} {value}" for key, value in stack.key)
        if stack.refusal is not None:
            written.append(Written(item.series_instance_uid, name, "", stack.shape(), stack.refusal.text()))
            continue
        file = numbered(to, 1 + sum(bool(one.file) for one in written), loadable)
        try:
            volume = changed(load(stack, choices), stack, changes)
        except Refused as problem:
            written.append(Written(item.series_instance_uid, name, "", stack.shape(), str(problem)))
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        write_volume(file, volume)
        detail = "; ".join(volume.changes)
        written.append(Written(item.series_instance_uid, name, str(file), volume.voxels.shape, detail))
    return written


def changed(volume: Volume, stack: SliceStack, changes: Changes) -> Volume:
    """Apply what was asked for: SUV, straightening, then another spacing."""
    if changes.suv:
        volume = to_suv(volume, factor_of_all(stack))
    if changes.straighten:
        volume = straightened(volume)
    if changes.spacing_mm is not None:
        volume = resampled(volume, grid_with_spacing(volume.geometry, changes.spacing_mm), smooth=True)
    return volume


def factor_of_all(stack: SliceStack) -> SuvFactor:
    """Return the SUV factor of all slices; raises PixelMeaning where it is not decidable or they differ."""
    from coread.imaging.errors import PixelMeaning

    if stack.slices[0].quantity not in (Quantity.ACTIVITY, Quantity.COUNTS, Quantity.SUV_BODY_WEIGHT):
        raise PixelMeaning("SUV can be made of activity concentration only")
    factors = [suv_factor(path) for path in dict.fromkeys(item.path for item in stack.slices)]
    if max(item.factor for item in factors) > 1.0001 * min(item.factor for item in factors):
        raise PixelMeaning("the slices have different SUV factors")
    return factors[0]


def numbered(to: Path, number: int, count: int) -> Path:
    """Return the file's name, with the volume's number before its ending where there are several."""
    if count <= 1:
        return to
    end = next(end for end in _NIFTI_ENDS if to.name.endswith(end))
    return to.with_name(f"{to.name.removesuffix(end)}-{number:0{len(str(count))}d}{end}")


def is_nifti_name(to: Path) -> bool:
    """Whether a file name ends as NIfTI names do."""
    return to.name.endswith(_NIFTI_ENDS)
