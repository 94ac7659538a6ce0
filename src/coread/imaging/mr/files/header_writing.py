"""Write the XML header of ISMRMRD in the order that its schema wants."""

from collections.abc import Mapping
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from coread.domain.kspace import KSpace, RawHeader, Trajectory
from coread.imaging.mr.files.flexible_header import (
    ACCESSION_PARAMETER,
    NO_POSITION_PARAMETER,
    POINTS_PARAMETER,
    SYNTHETIC_PARAMETER,
    Space,
)
from coread.imaging.mr.files.layout import NAMESPACE

PROTON_HZ_PER_TESLA = 42_577_478.5
"""Gyromagnetic ratio of the proton in water over 2 pi, CODATA 2018."""


def header_xml(kspace: KSpace, encoded: Space, recon: Space, counters: Mapping[str, int]) -> bytes:
    """Return the document for an acquisition; ``counters`` gives the number of values of slice, phase and so on."""
    root = Element("ismrmrdHeader", xmlns=NAMESPACE)
    header = kspace.header
    _text(root, "version", 2)
    _subject(root, header)
    _study(root, header)
    _measurement(root, header)
    _system(root, header, kspace.coils)
    conditions = SubElement(root, "experimentalConditions")
    _text(conditions, "H1resonanceFrequency_Hz", round((header.field_strength_t or 0.0) * PROTON_HZ_PER_TESLA))
    _encoding(root, kspace, (encoded, recon), counters)
    _sequence(root, header)
    _user(root, kspace)
    text: bytes = ElementTree.tostring(root, encoding="utf-8")
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + text


def _text(parent: Element, name: str, value: object) -> None:
    """Add an element unless its value is absent."""
    if value is not None and value != "":
        SubElement(parent, name).text = f"{value:g}" if isinstance(value, float) else str(value)


def _subject(root: Element, header: RawHeader) -> None:
    part = SubElement(root, "subjectInformation")
    _text(part, "patientName", header.patient_name)
    _text(part, "patientWeight_kg", header.patient_weight_kg)
    _text(part, "patientID", header.patient_id)
    _text(part, "patientBirthdate", _date(header.patient_birth_date))
    _text(part, "patientGender", header.patient_sex)


def _study(root: Element, header: RawHeader) -> None:
    part = SubElement(root, "studyInformation")
    _text(part, "studyDate", _date(header.study_date))
    _text(part, "studyTime", _time(header.study_time))
    _text(part, "studyID", header.study_id)
    if _is_whole(header.accession_number):
        _text(part, "accessionNumber", header.accession_number)
    _text(part, "referringPhysicianName", header.referring_physician_name)
    _text(part, "studyDescription", header.study_description)
    _text(part, "studyInstanceUID", header.study_instance_uid)
    _text(part, "bodyPartExamined", header.body_part_examined)


def _measurement(root: Element, header: RawHeader) -> None:
    part = SubElement(root, "measurementInformation")
    _text(part, "patientPosition", header.patient_position or "HFS")
    _text(part, "initialSeriesNumber", header.series_number)
    _text(part, "protocolName", header.protocol_name)
    _text(part, "sequenceName", header.sequence_name)
    _text(part, "seriesDescription", header.series_description)
    _text(part, "seriesInstanceUIDRoot", header.series_instance_uid)
    _text(part, "frameOfReferenceUID", header.frame_of_reference_uid)


def _system(root: Element, header: RawHeader, coils: int) -> None:
    part = SubElement(root, "acquisitionSystemInformation")
    _text(part, "systemVendor", header.manufacturer)
    _text(part, "systemModel", header.manufacturer_model_name)
    _text(part, "systemFieldStrength_T", header.field_strength_t)
    _text(part, "receiverChannels", coils)
    for number, name in enumerate(header.coil_names):
        label = SubElement(part, "coilLabel")
        _text(label, "coilNumber", number)
        _text(label, "coilName", name or str(number))
    _text(part, "institutionName", header.institution_name)
    _text(part, "stationName", header.station_name)


def _encoding(root: Element, kspace: KSpace, spaces: tuple[Space, Space], counters: Mapping[str, int]) -> None:
    part = SubElement(root, "encoding")
    for name, space in zip(("encodedSpace", "reconSpace"), spaces, strict=True):
        one = SubElement(part, name)
        for tag, values in (("matrixSize", space.matrix), ("fieldOfView_mm", space.field_of_view_mm)):
            size = SubElement(one, tag)
            for axis, one_value in zip("xyz", values, strict=True):
                SubElement(size, axis).text = repr(one_value)
    limits = SubElement(part, "encodingLimits")
    _, lines, partitions = spaces[0].matrix
    sizes = {"kspace_encoding_step_1": lines, "kspace_encoding_step_2": partitions} | dict(counters)
    for name in ("kspace_encoding_step_1", "kspace_encoding_step_2", "slice", "contrast", "phase", "repetition"):
        limit = SubElement(limits, name)
        number = sizes.get(name, 1)
        for tag, value in (("minimum", 0), ("maximum", number - 1), ("center", number // 2 if "step" in name else 0)):
            SubElement(limit, tag).text = str(value)
    _text(part, "trajectory", "radial" if kspace.trajectory is Trajectory.RADIAL else kspace.trajectory.value)
    parallel = SubElement(part, "parallelImaging")
    factor = SubElement(parallel, "accelerationFactor")
    for name in ("kspace_encoding_step_1", "kspace_encoding_step_2"):
        _text(factor, name, 1)
    _text(parallel, "calibrationMode", "embedded" if kspace.calibration is None else "separate")


def _sequence(root: Element, header: RawHeader) -> None:
    part = SubElement(root, "sequenceParameters")
    _text(part, "TR", header.repetition_time_ms)
    _text(part, "TE", header.echo_time_ms)
    _text(part, "TI", header.inversion_time_ms)
    _text(part, "flipAngle_deg", header.flip_angle_degrees)
    _text(part, "sequence_type", header.sequence_name)


def _user(root: Element, kspace: KSpace) -> None:
    header = kspace.header
    marks = {
        SYNTHETIC_PARAMETER: "1" if header.synthetic else "",
        POINTS_PARAMETER: "1" if kspace.mask.ndim == kspace.samples.ndim - 1 else "",
        NO_POSITION_PARAMETER: "" if header.patient_position else "1",
        ACCESSION_PARAMETER: "" if _is_whole(header.accession_number) else header.accession_number,
    }
    part = SubElement(root, "userParameters")
    for name, value in marks.items():
        if value:
            one = SubElement(part, "userParameterString")
            _text(one, "name", name)
            _text(one, "value", value)


def _is_whole(text: str) -> bool:
    """Say whether a number survives being written as one: no leading zero, within int64."""
    return text.isascii() and text.isdigit() and len(text) <= 18 and str(int(text)) == text


def _date(text: str) -> str:
    return f"{text[:4]}-{text[4:6]}-{text[6:8]}" if len(text) == 8 else ""


def _time(text: str) -> str:
    return f"{text[:2]}:{text[2:4]}:{text[4:6]}" if len(text) >= 6 else ""
