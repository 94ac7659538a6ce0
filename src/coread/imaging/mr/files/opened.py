"""Open a file of raw MR data whatever its form: what it is shows from its content, never from its name."""

from pathlib import Path

from coread.domain.kspace import KSpace
from coread.imaging.errors import NotRawData
from coread.imaging.mr.files import cfl, fastmri, ismrmrd, numpy_file, raw_object
from coread.imaging.mr.files.hdf5 import is_hdf5, ismrmrd_group, opened
from coread.imaging.mr.files.room import RoomLimits

_READ = "ISMRMRD or fastMRI (HDF5), NumPy (.npy), BART (.hdr with .cfl), DICOM Raw Data written by Coread"


def open_raw(path: Path, limits: RoomLimits | None = None) -> KSpace:
    """Return the acquisition in a file. Samples beyond 512 MiB lie on disk and are mapped.

    Raises ImagingRefused with a coded reason, FileNotFoundError where there is nothing.
    """
    if path.is_dir():
        raise NotRawData(f"{path.name} is a folder; name a file")
    if not path.exists() and not cfl.is_cfl(path):
        raise FileNotFoundError(path)
    if cfl.is_cfl(path) and (not path.exists() or path.suffix in (".hdr", ".cfl")):
        return cfl.read(path, limits)
    if is_hdf5(path):
        with opened(path) as file:
            is_ismrmrd = ismrmrd_group(file) is not None
        return ismrmrd.read(path, limits) if is_ismrmrd else fastmri.read(path, limits)
    if numpy_file.is_numpy(path):
        return numpy_file.read(path, limits)
    if raw_object.is_dicom(path):
        return raw_object.unwrapped(path, limits)
    raise NotRawData(f"{path.name} is none of: {_READ}")
