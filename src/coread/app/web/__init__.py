"""Web pages and DICOMweb."""
