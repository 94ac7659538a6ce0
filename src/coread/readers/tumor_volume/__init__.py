"""Volume and diameters of a soft-tissue tumour in a CT field that was cut around it."""
