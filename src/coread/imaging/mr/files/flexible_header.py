"""The XML header of ISMRMRD: what it says of patient, study, scanner, sequence and of the encoded space.

Only the standard library's parser is used, and a document with a DOCTYPE (which is where entities are declared) is
refused before it is parsed: a header has no use for one.
"""

import re
from dataclasses import dataclass, field
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from coread.domain.identifiers import is_tolerable_uid
from coread.domain.kspace import RawHeader
from coread.imaging.errors import BadHeader

MOST_XML_BYTES = 4 << 20
_ENTITIES = (b"<!doctype", b"<!entity")
MOST_MATRIX = 65535
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")
SYNTHETIC_PARAMETER = "CoreadSynthetic"
ACCESSION_PARAMETER = "AccessionNumber"
NO_POSITION_PARAMETER = "PatientPositionUnknown"
POINTS_PARAMETER = "CoreadZeroIsNotSampled"
"""User parameters of our own: the schema knows no word for them, takes only whole numbers as accession number, demands
a patient position, and knows lines that were sampled but no points."""
BIRTH_DATE_TAGS = ("patientBirthdate", "patientBirthDate")
Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Space:
    """Matrix and field of view (mm) along read-out, lines, partitions."""

    matrix: tuple[int, int, int]
    field_of_view_mm: Triple

    def voxel_mm(self) -> Triple:
        """Return the size of one voxel along the same axes."""
        x, y, z = (fov / n for fov, n in zip(self.field_of_view_mm, self.matrix, strict=True))
        return x, y, z


@dataclass(frozen=True, slots=True)
class Limit:
    """Range of one counter and which value is the centre of k-space."""

    minimum: int
    maximum: int
    center: int


@dataclass(frozen=True, slots=True)
class RawEncoding:
    """One ``encoding`` element."""

    encoded: Space
    recon: Space
    trajectory: str
    limits: dict[str, Limit] = field(default_factory=dict)
    calibration_mode: str = ""


@dataclass(frozen=True, slots=True)
class FlexibleHeader:
    """The whole document."""

    header: RawHeader
    encodings: tuple[RawEncoding, ...]
    zero_is_not_sampled: bool = False
    """Points of a line that are 0 were left out (our own files only)."""


def parsed_header(xml: bytes) -> FlexibleHeader:
    """Read the document; raises BadHeader when it is none, is too long, or declares a DOCTYPE."""
    if len(xml) > MOST_XML_BYTES:
        raise BadHeader(f"the XML header has more than {MOST_XML_BYTES} bytes")
    text = xml.rstrip(b"\0")
    # Other encodings than UTF-8 could hide the word: the documentation allows none. UTF-16 that is all ASCII is valid
    # UTF-8 with zeros between its letters, and the parser finds out by itself what it is.
    if text[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in text or any(word in text.lower() for word in _ENTITIES):
        raise BadHeader("the XML header declares a DOCTYPE or is not UTF-8")
    try:
        text.decode("utf-8")
        root = ElementTree.fromstring(text, parser=ElementTree.XMLParser(encoding="utf-8"))
    except (ElementTree.ParseError, UnicodeDecodeError, ValueError, LookupError) as problem:
        raise BadHeader(f"the XML header cannot be read: {type(problem).__name__}") from problem
    tree = Tree(root)
    if tree.name != "ismrmrdHeader":
        raise BadHeader(f"the XML header is a document {tree.name[:40]!r}, not ismrmrdHeader")
    encodings = tuple(_encoding(part) for part in tree.all("encoding"))
    if not encodings:
        raise BadHeader("the XML header names no encoding")
    points = user_parameters(tree).get(POINTS_PARAMETER, "") == "1"
    return FlexibleHeader(_raw_header(tree), encodings, points)


class Tree:
    """An element, asked by local names: writers disagree about prefixes, and old files have no namespace."""

    def __init__(self, element: Element | None) -> None:
        self._element = element

    @property
    def name(self) -> str:
        """The local name; empty where the element is absent."""
        return "" if self._element is None else self._element.tag.rpartition("}")[2]

    def all(self, name: str) -> "list[Tree]":
        """Return the children of a name."""
        children = () if self._element is None else self._element
        return [Tree(child) for child in children if Tree(child).name == name]

    def at(self, *path: str) -> "Tree":
        """Return the first descendant along a path of names; an absent one has no text and no children."""
        found = self
        for name in path:
            found = next(iter(found.all(name)), Tree(None))
        return found

    def text(self, *path: str, most: int = 64) -> str:
        """Return what stands there as one line that DICOM can hold, at most ``most`` characters; empty if absent."""
        element = self.at(*path)._element
        raw = "" if element is None or element.text is None else element.text
        return one_line(raw, most)

    def number(self, *path: str) -> float | None:
        """Return the number that stands there; ``None`` where there is none or it is not finite."""
        try:
            value = float(self.text(*path))
        except ValueError:
            return None
        return value if -1e12 < value < 1e12 else None


def one_line(text: str, most: int = 64) -> str:
    """Return a text without control characters and backslashes, which would make two values of one in DICOM."""
    return _CONTROL.sub(" ", text).strip()[:most]


def _raw_header(root: Tree) -> RawHeader:
    subject, study = root.at("subjectInformation"), root.at("studyInformation")
    measured, system = root.at("measurementInformation"), root.at("acquisitionSystemInformation")
    sequence, user = root.at("sequenceParameters"), user_parameters(root)
    birth = next((found for tag in BIRTH_DATE_TAGS if (found := subject.text(tag))), "")
    series = measured.number("initialSeriesNumber")
    sequence_name = (sequence.text("sequence_type") or measured.text("sequenceName"))[:16]
    return RawHeader(
        patient_id=subject.text("patientID"),
        patient_name=subject.text("patientName"),
        patient_birth_date=_date(birth),
        patient_sex=subject.text("patientGender") if subject.text("patientGender") in ("M", "F", "O") else "",
        patient_weight_kg=subject.number("patientWeight_kg"),
        study_instance_uid=_uid(study.text("studyInstanceUID")),
        series_instance_uid=_uid(measured.text("seriesInstanceUIDRoot")),
        frame_of_reference_uid=_uid(measured.text("frameOfReferenceUID")),
        accession_number=user.get(ACCESSION_PARAMETER, study.text("accessionNumber", most=16))[:16],
        study_id=study.text("studyID", most=16),
        study_date=_date(study.text("studyDate") or measured.text("seriesDate")),
        study_time=_time(study.text("studyTime") or measured.text("seriesTime")),
        study_description=study.text("studyDescription"),
        referring_physician_name=study.text("referringPhysicianName"),
        series_number=int(series) if series is not None and 0 <= series < 2**31 else None,
        series_description=measured.text("seriesDescription"),
        protocol_name=measured.text("protocolName"),
        body_part_examined=study.text("bodyPartExamined", most=16).upper(),
        patient_position="" if NO_POSITION_PARAMETER in user else measured.text("patientPosition", most=16),
        manufacturer=system.text("systemVendor"),
        manufacturer_model_name=system.text("systemModel"),
        station_name=system.text("stationName", most=16),
        institution_name=system.text("institutionName"),
        field_strength_t=system.number("systemFieldStrength_T"),
        sequence_name=sequence_name,
        repetition_time_ms=sequence.number("TR"),
        echo_time_ms=sequence.number("TE"),
        inversion_time_ms=sequence.number("TI"),
        flip_angle_degrees=sequence.number("flipAngle_deg"),
        coil_names=tuple(label.text("coilName") for label in system.all("coilLabel")),
        synthetic=user.get(SYNTHETIC_PARAMETER, "") == "1",
    )


def user_parameters(root: Tree) -> dict[str, str]:
    """Return the user parameters of every kind by name."""
    kinds = ("userParameterString", "userParameterLong", "userParameterDouble")
    listed = (one for kind in kinds for one in root.at("userParameters").all(kind))
    return {one.text("name"): one.text("value") for one in listed}


def _encoding(part: Tree) -> RawEncoding:
    limits = {
        name: Limit(*(_counter(part, name, value) for value in ("minimum", "maximum", "center")))
        for name in (
            "kspace_encoding_step_0", "kspace_encoding_step_1", "kspace_encoding_step_2", "average", "slice",
            "contrast", "phase", "repetition", "set", "segment",
        )
        if part.at("encodingLimits", name).name
    }  # fmt: skip
    return RawEncoding(
        encoded=_space(part, "encodedSpace"),
        recon=_space(part, "reconSpace"),
        trajectory=part.text("trajectory").lower(),
        limits=limits,
        calibration_mode=part.text("parallelImaging", "calibrationMode").lower(),
    )


def _counter(part: Tree, name: str, value: str) -> int:
    found = part.number("encodingLimits", name, value)
    if found is None or not 0 <= found <= MOST_MATRIX or found != int(found):
        raise BadHeader(f"encodingLimits/{name}/{value} is no whole number from 0 to {MOST_MATRIX}")
    return int(found)


def _space(part: Tree, name: str) -> Space:
    matrix = [part.number(name, "matrixSize", axis) for axis in "xyz"]
    field_of_view = [part.number(name, "fieldOfView_mm", axis) for axis in "xyz"]
    if any(n is None or not 1 <= n <= MOST_MATRIX or n != int(n) for n in matrix):
        raise BadHeader(f"{name}/matrixSize is not three whole numbers from 1")
    if any(mm is None or not 0 < mm < 1e5 for mm in field_of_view):
        raise BadHeader(f"{name}/fieldOfView_mm is not three lengths")
    x, y, z = (int(n or 0) for n in matrix)
    width, height, depth = (float(mm or 0) for mm in field_of_view)
    return Space((x, y, z), (width, height, depth))


def _uid(text: str) -> str:
    return text if is_tolerable_uid(text) else ""


def _date(text: str) -> str:
    """Return an XML date as DICOM DA; empty when it is none."""
    found = re.match(r"(\d{4})-?(\d{2})-?(\d{2})", text)
    if not found or not ("01" <= found[2] <= "12" and "01" <= found[3] <= "31"):
        return ""
    return found[1] + found[2] + found[3]


def _time(text: str) -> str:
    """Return an XML time as DICOM TM without fractions; empty when it is none."""
    found = re.match(r"([01]\d|2[0-3]):?([0-5]\d):?([0-5]\d)", text)
    return found[1] + found[2] + found[3] if found else ""
