"""The DICOMweb server (PS3.18): QIDO-RS, WADO-RS and STOW-RS over the store."""

from coread.app.web.dicomweb.router import dicomweb_router

__all__ = ["dicomweb_router"]
