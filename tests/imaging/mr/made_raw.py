"""Small acquisitions with known samples, and the same as files that the official library writes."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry, affine_of
from coread.domain.kspace import KSpace, RawHeader, Samples

HEADER = """<?xml version="1.0"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
<subjectInformation><patientName>Doe^Jane</patientName><patientWeight_kg>61.5</patientWeight_kg><patientID>P1</patientID>
<patientBirthdate>1970-01-02</patientBirthdate><patientGender>F</patientGender></subjectInformation>
<studyInformation><studyDate>2026-01-02</studyDate><studyTime>10:15:00</studyTime><studyID>1</studyID>
<accessionNumber>4711</accessionNumber><studyInstanceUID>1.2.3.4</studyInstanceUID></studyInformation>
<measurementInformation><patientPosition>HFS</patientPosition><protocolName>t2_tse</protocolName>
<frameOfReferenceUID>1.2.3.5</frameOfReferenceUID></measurementInformation>
<acquisitionSystemInformation><systemVendor>Maker</systemVendor><systemFieldStrength_T>3</systemFieldStrength_T>
</acquisitionSystemInformation>
<experimentalConditions><H1resonanceFrequency_Hz>123000000</H1resonanceFrequency_Hz></experimentalConditions>
<encoding><encodedSpace><matrixSize><x>{ex}</x><y>{ey}</y><z>{ez}</z></matrixSize>
<fieldOfView_mm><x>{fx}</x><y>{fy}</y><z>{fz}</z></fieldOfView_mm></encodedSpace>
<reconSpace><matrixSize><x>{rx}</x><y>{ry}</y><z>{ez}</z></matrixSize>
<fieldOfView_mm><x>{gx}</x><y>{gy}</y><z>{fz}</z></fieldOfView_mm></reconSpace>
<encodingLimits><kspace_encoding_step_1><minimum>0</minimum><maximum>{last}</maximum><center>{center}</center>
</kspace_encoding_step_1><kspace_encoding_step_2><minimum>0</minimum><maximum>{lastz}</maximum><center>{centerz}</center>
</kspace_encoding_step_2></encodingLimits><trajectory>{trajectory}</trajectory>
<parallelImaging><accelerationFactor><kspace_encoding_step_1>2</kspace_encoding_step_1>
<kspace_encoding_step_2>1</kspace_encoding_step_2></accelerationFactor><calibrationMode>{mode}</calibrationMode>
</parallelImaging></encoding>
<sequenceParameters><TR>4000</TR><TE>96</TE><flipAngle_deg>120</flipAngle_deg></sequenceParameters>
</ismrmrdHeader>"""
SPACE = {
    "ex": 32, "ey": 20, "ez": 1, "fx": 64, "fy": 40, "fz": 4, "rx": 16, "ry": 20, "gx": 32, "gy": 40, "last": 19,
    "center": 10, "lastz": 0, "centerz": 0, "trajectory": "cartesian", "mode": "embedded",
}  # fmt: skip


def header(**changes: Any) -> str:
    return HEADER.format(**(SPACE | changes))


def noise_like(shape: tuple[int, ...], seed: int = 1) -> Samples:
    random = np.random.default_rng(seed)
    return np.asarray(random.normal(size=shape) + 1j * random.normal(size=shape), dtype=np.complex64)


def official(path: Path, xml: str, acquisitions: list[tuple[Samples, dict[str, Any]]]) -> Path:
    """Write a file with the official library: each acquisition is (coils, samples) and its header's values."""
    import ismrmrd

    with ismrmrd.Dataset(str(path), "dataset") as file:
        file.write_xml_header(xml.encode())
        for samples, values in acquisitions:
            way = values.pop("traj", None)
            one = ismrmrd.Acquisition.from_array(samples, way)
            for name, value in values.items():
                if name == "flags":
                    for flag in value:
                        one.set_flag(flag)
                elif name.startswith("idx_"):
                    setattr(one.idx, name[4:], value)
                elif isinstance(value, tuple):
                    getattr(one, name)[:] = value
                else:
                    setattr(one, name, value)
            file.append_acquisition(one)
    return path


AXIAL: dict[str, Any] = {"read_dir": (1.0, 0.0, 0.0), "phase_dir": (0.0, 1.0, 0.0), "slice_dir": (0.0, 0.0, 1.0)}


def line(number: int, **more: Any) -> dict[str, Any]:
    return {"idx_kspace_encode_step_1": number, "center_sample": 16, "sample_time_us": 5.0} | AXIAL | more


def grid(slices: int, lines: int, columns: int) -> Geometry:
    rows = np.array([[0, 0, 1.5, -10], [0, 2.0, 0, -20], [5, 0, 0, 3]])
    return Geometry((slices, lines, columns), affine_of(rows), "1.2.3")


def acquisition(
    frames: int = 1, slices: int = 2, coils: int = 4, lines: int = 24, readout: int = 32, *, every: int = 2
) -> KSpace:
    """Return noise-like samples of every other line with a whole middle."""
    mask = np.zeros((frames, slices, 1, lines), np.bool_)
    mask[..., ::every] = True
    mask[..., lines // 2 - 6 : lines // 2 + 6] = True
    samples = noise_like((frames, slices, coils, 1, lines, readout)) * mask[:, :, None, :, :, None]
    about = RawHeader(
        patient_id="P1", patient_name="Doe^Jane", accession_number="A-7", study_instance_uid="1.2.3.4",
        study_date="20260102", study_time="101500", frame_of_reference_uid="1.2.3", patient_position="HFS",
        field_strength_t=3.0, echo_time_ms=96.0, coil_names=tuple(f"H{n}" for n in range(coils)), synthetic=True,
    )  # fmt: skip
    meaning = "repetition" if frames > 1 else ""
    return KSpace(samples, mask, grid(slices, lines, readout), about, frame_meaning=meaning)


def same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    return one.shape == other.shape and bool(np.array_equal(one, other))
