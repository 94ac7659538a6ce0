"""The names and the order of everything the network gives; shared by the reader and its recipe."""

SIDE = 144
"""Rows and columns of the network's input."""
VIEWS = 2
"""Of each slice the network sees the head, then the whole."""

GRAPH = "network"
INPUT = "image"

BOX = "box"
"""Output (N, 5, side / 4, side / 4): maps of ``coread.imaging.dense_detections``, one class."""
TYPE = "type"
"""Output (N, 3): logits of the types in the order of TYPES."""

TUMOUR = "tumour"
TYPES = ("meningioma", "glioma", "pituitary")
"""Keys of the outputs on the card, in the order of the network's classes."""
