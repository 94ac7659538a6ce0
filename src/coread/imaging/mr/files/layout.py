"""The fixed part of ISMRMRD (version 1): the acquisition header of 340 bytes, its flags, the streams' message numbers.

Source: MRD documentation, "Raw Acquisition Data" and "Message Types" (ismrmrd.readthedocs.io). Little endian, no gaps.
"""

from enum import IntEnum
from typing import Any

import numpy as np

NAMESPACE = "http://www.ismrm.org/ISMRMRD"
VERSION = 1

COUNTERS = np.dtype(
    [
        ("kspace_encode_step_1", "<u2"), ("kspace_encode_step_2", "<u2"), ("average", "<u2"), ("slice", "<u2"),
        ("contrast", "<u2"), ("phase", "<u2"), ("repetition", "<u2"), ("set", "<u2"), ("segment", "<u2"),
        ("user", "<u2", (8,)),
    ]
)  # fmt: skip
ACQUISITION_HEADER = np.dtype(
    [
        ("version", "<u2"), ("flags", "<u8"), ("measurement_uid", "<u4"), ("scan_counter", "<u4"),
        ("acquisition_time_stamp", "<u4"), ("physiology_time_stamp", "<u4", (3,)), ("number_of_samples", "<u2"),
        ("available_channels", "<u2"), ("active_channels", "<u2"), ("channel_mask", "<u8", (16,)),
        ("discard_pre", "<u2"), ("discard_post", "<u2"), ("center_sample", "<u2"), ("encoding_space_ref", "<u2"),
        ("trajectory_dimensions", "<u2"), ("sample_time_us", "<f4"), ("position", "<f4", (3,)),
        ("read_dir", "<f4", (3,)), ("phase_dir", "<f4", (3,)), ("slice_dir", "<f4", (3,)),
        ("patient_table_position", "<f4", (3,)), ("idx", COUNTERS), ("user_int", "<i4", (8,)),
        ("user_float", "<f4", (8,)),
    ]
)  # fmt: skip
IMAGE_HEADER_BYTES = 198
WAVEFORM_HEADER_BYTES = 40
CONFIG_FILE_BYTES = 1024
MOST_CHANNELS = 1024
"""Bits of ``channel_mask``."""


def acquisition_in_hdf5() -> np.dtype[Any]:
    """Return the compound type of ``/dataset/data``: header, trajectory and samples of varying length."""
    import h5py

    floats = h5py.vlen_dtype(np.dtype("<f4"))
    return np.dtype([("head", ACQUISITION_HEADER), ("traj", floats), ("data", floats)])


class Flag(IntEnum):
    """Flags of an acquisition that decide what becomes of it: number of the bit, from 1."""

    LAST_IN_MEASUREMENT = 25
    IS_NOISE_MEASUREMENT = 19
    IS_PARALLEL_CALIBRATION = 20
    IS_PARALLEL_CALIBRATION_AND_IMAGING = 21
    IS_REVERSE = 22
    IS_NAVIGATION_DATA = 23
    IS_PHASECORR_DATA = 24
    IS_HPFEEDBACK_DATA = 26
    IS_DUMMYSCAN_DATA = 27
    IS_RTFEEDBACK_DATA = 28
    IS_SURFACECOILCORRECTIONSCAN_DATA = 29
    IS_PHASE_STABILIZATION_REFERENCE = 30
    IS_PHASE_STABILIZATION = 31

    @property
    def bit(self) -> np.uint64:
        """The flag as it stands in ``flags``."""
        return np.uint64(1 << (self.value - 1))


NOT_IMAGE = (
    Flag.IS_NAVIGATION_DATA, Flag.IS_PHASECORR_DATA, Flag.IS_HPFEEDBACK_DATA, Flag.IS_DUMMYSCAN_DATA,
    Flag.IS_RTFEEDBACK_DATA, Flag.IS_SURFACECOILCORRECTIONSCAN_DATA, Flag.IS_PHASE_STABILIZATION_REFERENCE,
    Flag.IS_PHASE_STABILIZATION,
)  # fmt: skip
"""Acquisitions that serve the scanner: they are left out, and it is said how many."""


class Message(IntEnum):
    """Messages of the streaming protocol; each begins with its number as uint16."""

    CONFIG_FILE = 1
    CONFIG_TEXT = 2
    HEADER = 3
    CLOSE = 4
    TEXT = 5
    ACQUISITION = 1008
    IMAGE = 1022
    WAVEFORM = 1026
