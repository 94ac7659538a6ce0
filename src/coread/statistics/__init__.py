"""Numbers about readers, with intervals: pure functions over arrays, shared by training, validation and monitoring."""
