"""Reads public sets as they are distributed: one function per set, all listed in ADAPTERS."""

from coread.train.adapters.cbis_ddsm import CBIS_DDSM
from coread.train.adapters.chexpert import CHEXPERT
from coread.train.adapters.coco import COCO
from coread.train.adapters.contract import Adapter
from coread.train.adapters.cxr_nih import NIH
from coread.train.adapters.dicom_regions import DICOM_SEG, RTSTRUCT
from coread.train.adapters.dicom_table import DICOM_FOLDER, DICOM_TABLE
from coread.train.adapters.echonet import ECHONET
from coread.train.adapters.lidc_idri import LIDC_IDRI
from coread.train.adapters.luna16 import LUNA16
from coread.train.adapters.mimic_cxr import MIMIC_CXR
from coread.train.adapters.mini_mias import MINI_MIAS
from coread.train.adapters.pictures_with_labels import APTOS, IDRID, KVASIR_SEG, MEDMNIST
from coread.train.adapters.rsna import RSNA_ICH, RSNA_PE, RSNA_PNEUMONIA
from coread.train.adapters.siim_acr import SIIM_ACR
from coread.train.adapters.subsets import SUBSETS
from coread.train.adapters.vindr_cxr import VINDR_CXR
from coread.train.adapters.volumes import BRATS, FASTMRI, MSD

ADAPTERS: dict[str, Adapter] = {
    "dicom_folder": DICOM_FOLDER,
    "dicom_table": DICOM_TABLE,
    "dicom_seg": DICOM_SEG,
    "rtstruct": RTSTRUCT,
    "coco": COCO,
    "nih_chest_xray14": NIH,
    "chexpert": CHEXPERT,
    "mimic_cxr": MIMIC_CXR,
    "vindr_cxr": VINDR_CXR,
    "siim_acr": SIIM_ACR,
    "rsna_pneumonia": RSNA_PNEUMONIA,
    "rsna_ich": RSNA_ICH,
    "rsna_pe": RSNA_PE,
    "lidc_idri": LIDC_IDRI,
    "luna16": LUNA16,
    "cbis_ddsm": CBIS_DDSM,
    "mini_mias": MINI_MIAS,
    "msd": MSD,
    "brats": BRATS,
    "fastmri": FASTMRI,
    "echonet_dynamic": ECHONET,
    "kvasir_seg": KVASIR_SEG,
    "idrid": IDRID,
    "aptos2019": APTOS,
    "medmnist": MEDMNIST,
    **SUBSETS,
}
"""Every adapter by the name that ``coread dataset build`` takes."""
