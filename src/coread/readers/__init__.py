"""One folder per clinical use. Leaves: they know nothing of queues, networks, files or DICOM writing."""
