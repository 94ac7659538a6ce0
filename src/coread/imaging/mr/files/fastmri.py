"""Read the HDF5 files of the fastMRI data sets: ``kspace``, ``ismrmrd_header`` and, of test sets, ``mask``.

Their axes are (slices[, coils], read-out, phase encoding), which are swapped to ours. Source: Zbontar et al., "fastMRI:
An Open Dataset and Benchmarks for Accelerated MRI", arXiv:1811.08839, section 4.
"""

from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.geometry import Geometry
from coread.domain.identifiers import derived_uid
from coread.domain.kspace import KSpace, RawHeader
from coread.imaging.errors import BadHeader, NotRawData
from coread.imaging.mr.files.flexible_header import RawEncoding, Space, one_line, parsed_header
from coread.imaging.mr.files.hdf5 import member, opened, text_attributes, text_of
from coread.imaging.mr.files.placing import ASSUMED, Grid, placed, recon_grid
from coread.imaging.mr.files.room import RoomLimits, file_digest, sampled_points, without_constant_readout


def read(source: Path | IO[bytes], limits: RoomLimits | None = None) -> KSpace:
    """Return the acquisition of a file, single coil or several; raises ImagingRefused with a coded reason."""
    room = limits or RoomLimits()
    digest = file_digest(source)
    with opened(source) as file:
        table = member(file, "kspace")
        if table is None:
            raise NotRawData("the HDF5 file holds no k-space")
        samples = _samples(table, room)
        mask_given = member(file, "mask")
        given = None if mask_given is None else _given_mask(mask_given, samples.shape[4])
        xml = member(file, "ismrmrd_header")
        encoding, header = (None, RawHeader()) if xml is None else _headers(text_of(xml))
        header = with_attributes(header, file)
    return KSpace(
        samples=samples,
        mask=_mask(samples, given, room),
        geometry=_geometry(samples, encoding, header, digest),
        header=header,
        source_digest=digest,
        notes=(ASSUMED,),
    )


def check_table(table: Any) -> None:
    """Raise BadHeader where the member ``kspace`` of a file cannot be one of fastMRI's; no sample is read."""
    if getattr(table, "ndim", 0) not in (3, 4) or table.dtype.kind != "c" or 0 in table.shape:
        raise BadHeader("the member 'kspace' is no table of complex numbers with 3 or 4 axes: not fastMRI's")


def _samples(table: Any, room: RoomLimits) -> NDArray[np.complex64]:
    check_table(table)
    slices, readout, lines = table.shape[0], table.shape[-2], table.shape[-1]
    coils = table.shape[1] if table.ndim == 4 else 1
    out = room.zeros((1, slices, coils, 1, lines, readout))
    for number in range(slices):
        block = np.asarray(table[number]).reshape(coils, readout, lines)
        out[0, number, :, 0] = block.transpose(0, 2, 1)
    return out


def _given_mask(table: Any, lines: int) -> NDArray[np.bool_]:
    """Return the file's own mask of lines; its size is looked at before it is read."""
    if getattr(table, "size", None) != lines or table.dtype.kind not in "biuf":
        raise BadHeader(f"a mask that is not one number for each of the {lines} lines of k-space")
    return np.asarray(table[()]).astype(np.bool_).reshape(-1)


def _mask(samples: NDArray[np.complex64], given: NDArray[np.bool_] | None, room: RoomLimits) -> NDArray[np.bool_]:
    """Return what was sampled: lines of the file's mask that hold a signal, or, without one, whatever is not 0."""
    points = sampled_points(samples, room)
    if given is not None:
        samples *= given[:, None]
        points &= given[:, None]
    lines = np.asarray(points.any(axis=-1))
    return lines if given is not None else without_constant_readout(points)


def _headers(xml: bytes) -> tuple[RawEncoding, RawHeader]:
    found = parsed_header(xml)
    return found.encodings[0], found.header


def with_attributes(header: RawHeader, file: Any) -> RawHeader:
    """Add what the file says beside its header: the data set's own name of the patient, and the acquisition."""
    texts = {name: one_line(text) for name, text in text_attributes(file, ("patient_id", "acquisition")).items()}
    return replace(
        header,
        patient_id=header.patient_id or texts.get("patient_id", ""),
        series_description=header.series_description or texts.get("acquisition", ""),
    )


def _geometry(samples: NDArray[np.complex64], encoding: RawEncoding | None, header: RawHeader, digest: str) -> Geometry:
    _, slices, _, _, lines, readout = samples.shape
    if encoding is None:
        grid = Grid((slices, lines, readout), (1.0, 1.0, 1.0))
    else:
        x, y, _ = encoding.encoded.matrix
        if x != readout or abs(y - lines) > 0.25 * y:
            raise BadHeader(f"k-space of {readout} x {lines} for an encoded matrix of {x} x {y}")
        # The data sets pad or cut a few lines: the voxel follows the lines that are there.
        wide, high, deep = encoding.encoded.field_of_view_mm
        grid = recon_grid(Space((readout, lines, 1), (wide, high * lines / y, deep)), encoding.recon, slices)
    uid = header.frame_of_reference_uid or derived_uid("coread", "raw frame", digest)
    return placed(grid, None, np.zeros((slices, 3)), 1, uid)
