"""Files of raw MR data, read and written: ISMRMRD, fastMRI, BART cfl, NumPy, and DICOM Raw Data objects around them."""
