"""Maps of a result as Parametric Map objects (PS3.3 A.75): 32-bit floats with a real-world value mapping.

The stored values are the values: slope 1, intercept 0, with the quantity and its UCUM unit as codes.
"""

from dataclasses import dataclass

from pydicom.dataset import Dataset

from coread.domain.maps import ParameterMap
from coread.domain.work import EvidenceKind
from coread.evidence import concepts as c
from coread.evidence.seg import concept_of, set_dimension_uid, source_dataset
from coread.evidence.sources import SourceImage
from coread.evidence.summary import add_body_part
from coread.evidence.writing import MANUFACTURER, RESEARCH_USE, Writing, stamp

SOP_CLASS_UID = "1.2.840.10008.5.1.4.1.1.30"
MOST_BYTES = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True, eq=False)
class Maps:
    """The objects, and why a map has none."""

    datasets: tuple[Dataset, ...]
    notes: tuple[str, ...]


def build_maps(writing: Writing) -> Maps:
    """Write one object for each map of the result."""
    datasets: list[Dataset] = []
    notes: list[str] = []
    for item in writing.result.maps:
        why = _why_not(writing, item)
        if why:
            notes.append(f"Map {item.label!r} is not written: {why}")
        else:
            datasets.append(_map(writing, item, len(datasets) + 1))
    return Maps(tuple(datasets), tuple(notes))


def _why_not(writing: Writing, item: ParameterMap) -> str:
    if item.values.nbytes > MOST_BYTES:
        return f"{item.values.nbytes // 2**20} MB of values, more than {MOST_BYTES // 2**20}"
    frames = writing.image(item.images[0]).frames
    if frames > 1 and (frames != len(item.images) or len({image.sop_instance_uid for image in item.images}) > 1):
        return "it covers a part of the frames of a multi-frame object"
    return ""


def _map(writing: Writing, item: ParameterMap, index: int) -> Dataset:
    from highdicom import VOILUTTransformation
    from highdicom.pm import ParametricMap, RealWorldValueMapping

    order = sorted(range(len(item.images)), key=lambda k: item.images[k].frame)
    values = item.values[order]
    images: dict[str, SourceImage] = {}
    for k in order:
        source = writing.image(item.images[k])
        images.setdefault(source.header.sop_instance_uid, source)
    low, high = float(values.min()), float(values.max())
    dataset: Dataset = ParametricMap(
        source_images=[source_dataset(writing, one, item.values.shape[-2:], placed=True) for one in images.values()],
        pixel_array=values,
        series_instance_uid=writing.series_uid(EvidenceKind.PARAMETRIC_MAP, index),
        series_number=writing.series_number(EvidenceKind.PARAMETRIC_MAP),
        sop_instance_uid=writing.sop_uid(EvidenceKind.PARAMETRIC_MAP, index),
        instance_number=index,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=writing.model[:64],
        software_versions=writing.provenance.coread_version,
        device_serial_number=writing.provenance.package_digest[:16],
        contains_recognizable_visual_features=False,
        real_world_value_mappings=[
            RealWorldValueMapping(
                lut_label=item.quantity.value[:16],
                lut_explanation=item.label[:64],
                unit=concept_of(item.unit),
                value_range=(low, high),
                slope=1.0,
                intercept=0.0,
                quantity_definition=concept_of(item.quantity),
            )
        ],
        voi_lut_transformations=[VOILUTTransformation(window_center=(low + high) / 2, window_width=high - low or 1.0)],
        content_label="AI_MAP",
        content_description=RESEARCH_USE,
    )
    dataset.Modality = "OT"  # the map is no image of the scanner; the index says the same
    add_body_part(dataset, next(iter(images.values())).header)
    stamp(dataset, writing, EvidenceKind.PARAMETRIC_MAP, what="map", index=index)
    dataset.SeriesInstanceUID = writing.series_uid(EvidenceKind.PARAMETRIC_MAP, index)
    dataset.CodingSchemeIdentificationSequence = c.coding_schemes()
    dataset.ImageComments = RESEARCH_USE
    set_dimension_uid(dataset, writing.uid("map dimensions", str(index)))
    return dataset
