"""The names and the order of everything the network gives; shared by the reader and its recipe."""

HEAD = "breast"
"""Name of the network's output."""
OUTPUTS = ("malignant", "lesion")
"""Order of its columns; the keys of the outputs on the card."""
GRAPH = "network"
INPUT = "image"
SIDE = 192
"""Rows and columns of the network's input."""
