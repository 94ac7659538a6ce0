"""Reads public sets as they are distributed: one function per set, all listed in ADAPTERS."""

from coread.train.adapters.contract import Adapter
from coread.train.adapters.cxr_nih import NIH
from coread.train.adapters.dicom_table import DICOM_TABLE
from coread.train.adapters.subsets import SUBSETS

ADAPTERS: dict[str, Adapter] = {
    "dicom_table": DICOM_TABLE,
    "nih_chest_xray14": NIH,
    **SUBSETS,
}
"""Every adapter by the name that ``coread dataset build`` takes."""
