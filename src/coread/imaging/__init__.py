"""Pure functions: DICOM instances to Volume and PlanarImage, geometry, intensity, decoding. No state."""
