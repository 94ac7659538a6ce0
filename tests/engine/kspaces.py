"""Small simulated acquisitions as raw data objects on disk."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from coread.domain.geometry import Geometry
from coread.domain.kspace import KSpace, RawHeader
from coread.domain.study import InstanceHeader
from coread.imaging.header import scan_header
from coread.imaging.mr.files.raw_object import write_wrapped
from coread.imaging.mr.simulate import Scanner, simulated

SIDE = 32
HEADER = RawHeader(
    patient_id="SYN-1",
    patient_name="SYNTHETIC^RAW",
    patient_birth_date="19700101",
    patient_sex="O",
    study_instance_uid="1.2.3.4",
    study_date="20261101",
    study_time="101112",
    accession_number="A1",
    manufacturer="Nobody",
    body_part_examined="BRAIN",
    synthetic=True,
)


def acquisition(*, coils: int = 4, slices: int = 2, step: int = 2, side: int = SIDE, seed: int = 1) -> KSpace:
    """A disc with two bright spots in each slice; every ``step``-th line and the 12 in the middle were taken."""
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    disc = (np.hypot(x, y) < 0.8).astype(np.float32) + 0.8 * (np.hypot(x - 0.3, y) < 0.15) + 0.1
    taken = np.zeros(side, dtype=bool)
    taken[::step] = True
    taken[side // 2 - 6 : side // 2 + 6] = True
    samples = np.stack(
        [simulated(np.roll(disc, k, 0), Scanner(coils=coils), [seed, k]).samples for k in range(slices)]
    )[None, :, :, None]
    samples[..., ~taken, :] = 0
    affine = ((0.0, 0.0, 2.0, -31.0), (0.0, 2.0, 0.0, -31.0), (5.0, 0.0, 0.0, 3.0))
    geometry = Geometry((slices, side, side), affine, "1.2.3.9")
    mask = np.broadcast_to(taken, (1, slices, 1, side)).copy()
    header = replace(HEADER, coil_names=tuple(f"C{n}" for n in range(coils)))
    return KSpace(samples.astype(np.complex64), mask, geometry, header)


def raw_file(path: Path, kspace: KSpace) -> tuple[Path, InstanceHeader]:
    """Write the object around an acquisition; return it as the engine is given it."""
    write_wrapped(kspace, path)
    return path, scan_header(path)
