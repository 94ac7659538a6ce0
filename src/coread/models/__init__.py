"""Model packages: build, lock, verify; ONNX Runtime sessions; calibration at run time."""
