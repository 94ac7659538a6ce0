"""Brain tumour reader for contrast-enhanced T1 slices: a box around the tumour and its likely type."""
