"""The names and the order of everything the network gives; shared by the reader and its recipe."""

HEAD = "shown"
"""Name of the network's output."""
KINDS = (
    "chest_radiograph", "chest_ct", "abdomen_ct", "head_ct", "head_mr", "breast_mr", "breast_ultrasound", "mammogram",
    "hand_radiograph", "fundus", "colonoscopy",
)  # fmt: skip
"""Order of its columns; the keys of the outputs on the card."""
GRAPH = "network"
INPUT = "image"
SIDE = 64
"""Rows and columns of the network's input."""
