"""The frames of an enhanced multi-frame object as slices: functional groups laid flat (PS3.3 C.7.6.16)."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset

from coread.domain.study import InstanceHeader
from coread.imaging.attributes import dataset_of
from coread.imaging.decode import NATIVE, open_pixels
from coread.imaging.elements import UNDEFINED
from coread.imaging.errors import MixedGeometry, PixelMeaning
from coread.imaging.geometry import numbers, pair
from coread.imaging.intensity import grey_scale
from coread.imaging.quantities import quantity_and_unit
from coread.imaging.slices import Slice
from coread.imaging.traits import Traits, Value, component_of, map_of, traits

_FRAME_TYPES = ("MRImageFrameTypeSequence", "CTImageFrameTypeSequence", "PETFrameTypeSequence")
Groups = tuple[Dataset, ...]
"""The per-frame item of a frame, then the shared item: the first that has a functional group counts."""


def frame_slices(path: Path, header: InstanceHeader) -> list[Slice]:
    """Return every frame of a multi-frame object, in the order of the file.

    Raises MixedGeometry where the object has no functional groups that place its frames.
    """
    source = open_pixels(path)
    dataset = dataset_of(source.raw)
    shared = tuple((dataset.get("SharedFunctionalGroupsSequence") or [])[:1])
    per_frame = dataset.get("PerFrameFunctionalGroupsSequence") or []
    layout, element = source.layout, source.element
    if layout.samples != 1:
        raise PixelMeaning(f"{layout.photometric or 'colour'} pixels have no modality values")
    if len(per_frame) < layout.frames:
        raise MixedGeometry(f"{layout.frames} frames, but only {len(per_frame)} of them say where they lie")
    native = source.raw.transfer_syntax_uid in NATIVE and source.raw.little_endian and layout.samples == 1
    whole = layout.bits_allocated % 8 == 0 and element.length != UNDEFINED
    in_file = not source.raw.transfer_syntax_uid.endswith(".1.99")
    needed = layout.frame_samples * layout.frames * layout.bits_allocated // 8
    plain = native and whole and in_file and element.offset + needed <= len(source.raw.data)
    first = Slice(
        path=path, header=header, frame=1, rows=layout.rows, columns=layout.columns, image_position_patient=(),
        image_orientation_patient=(), spacing_mm=None, thickness_mm=None, step_mm=None, tilt_degrees=None,
        layout=layout, grey=grey_scale(dataset, signed=layout.signed),
        quantity=quantity_and_unit(header.modality, header.image_type)[0], unit="", traits=Traits(),
        pixels_at=element if plain else None, frame_of_reference_uid=header.frame_of_reference_uid,
    )  # fmt: skip
    return [_placed(first, number, (item, *shared)) for number, item in enumerate(per_frame[: layout.frames], start=1)]


def _placed(first: Slice, frame: int, groups: Groups) -> Slice:
    measures = _group(groups, "PixelMeasuresSequence")
    transformed = _group(groups, "PixelValueTransformationSequence")
    frame_type = _frame_type(groups) or first.header.image_type
    rescale_type = str(transformed.get("RescaleType", "") or "").strip().upper()
    quantity, unit = quantity_and_unit(
        first.header.modality, frame_type, rescale_type=rescale_type, units=_real_world_unit(groups),
        rescaled="RescaleIntercept" in transformed,
    )  # fmt: skip
    thickness = numbers([measures.get("SliceThickness")], 1)
    between = numbers([measures.get("SpacingBetweenSlices")], 1)
    return replace(
        first,
        frame=frame,
        image_position_patient=numbers(_group(groups, "PlanePositionSequence").get("ImagePositionPatient"), 3),
        image_orientation_patient=numbers(_group(groups, "PlaneOrientationSequence").get("ImageOrientationPatient"), 6),
        spacing_mm=pair(measures.get("PixelSpacing")),
        thickness_mm=thickness[0] if thickness and thickness[0] > 0 else None,
        step_mm=abs(between[0]) if between and between[0] else None,
        grey=grey_scale(transformed, signed=first.layout.signed) if transformed else first.grey,
        quantity=quantity,
        unit=unit,
        traits=_traits(groups, frame_type),
    )


def _traits(groups: Groups, frame_type: tuple[str, ...]) -> Traits:
    content = _group(groups, "FrameContentSequence")
    cardiac = _group(groups, "CardiacSynchronizationSequence")
    diffusion = _group(groups, "MRDiffusionSequence")
    direction = (diffusion.get("DiffusionGradientDirectionSequence") or [Dataset()])[0]
    gradient = numbers(direction.get("DiffusionGradientOrientation"), 3)
    kinds: dict[str, Value | None] = {
        "component": component_of(frame_type, str(_complex(groups))),
        "map": map_of(frame_type),
        "b_value": _number(diffusion, "DiffusionBValue"),
        "stack": str(content.get("StackID", "") or "") or None,
        "echo_number": None,
    }
    times: dict[str, Value | None] = {
        "temporal_position": _number(content, "TemporalPositionIndex")
        or _number(_group(groups, "TemporalPositionSequence"), "TemporalPositionTimeOffset"),
        "cardiac_phase": _number(cardiac, "NominalPercentageOfCardiacPhase"),
        "trigger_time_ms": _number(cardiac, "NominalCardiacTriggerDelayTime"),
        "echo_time_ms": _number(_group(groups, "MREchoSequence"), "EffectiveEchoTime"),
        "gradient": " ".join(f"{part:.5f}" for part in gradient) or None,
        "acquisition_number": _number(content, "FrameAcquisitionNumber"),
        "acquisition_time": str(content.get("FrameAcquisitionDateTime", "") or "") or None,
        "content_time": str(content.get("FrameReferenceDateTime", "") or "") or None,
    }
    return traits(kinds, times)


def _complex(groups: Groups) -> Any:
    return next((_group(groups, name).get("ComplexImageComponent", "") for name in _FRAME_TYPES[:1]), "") or ""


def _frame_type(groups: Groups) -> tuple[str, ...]:
    for name in _FRAME_TYPES:
        value = _group(groups, name).get("FrameType")
        if value:
            return tuple(str(part) for part in value)
    return ()


def _real_world_unit(groups: Groups) -> str:
    """Return the PET Units code that a Real World Value Mapping's unit means, where the mapping is the identity."""
    mapping = _group(groups, "RealWorldValueMappingSequence")
    codes = mapping.get("MeasurementUnitsCodeSequence") or []
    if not codes or mapping.get("RealWorldValueSlope") is None:
        return ""
    rescale = _group(groups, "PixelValueTransformationSequence")
    same = float(mapping.RealWorldValueSlope) == float(rescale.get("RescaleSlope", 1) or 1)
    same = same and float(mapping.get("RealWorldValueIntercept", 0) or 0) == float(
        rescale.get("RescaleIntercept", 0) or 0
    )
    unit = str(codes[0].get("CodeValue", ""))
    return {"Bq/ml": "BQML", "{counts}": "CNTS", "{counts}/s": "CPS"}.get(unit, "") if same else ""


def _group(groups: Groups, keyword: str) -> Dataset:
    for item in groups:
        found = item.get(keyword)
        if found:
            return found[0] if isinstance(found[0], Dataset) else Dataset()
    return Dataset()


def _number(item: Dataset, keyword: str) -> float | None:
    found = numbers([item.get(keyword)], 1)
    return found[0] if found else None
