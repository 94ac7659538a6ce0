"""The DICOMweb server."""
