"""The names of everything the network gives; shared by the reader and its recipe."""

SIDE = 160
"""Rows and columns of the network's input."""

GRAPH = "network"
INPUT = "image"

AREA = "area"
"""Output (N, 1, side, side): logit of lying on a polyp."""

POLYP = "polyp"
"""Key of the output on the card."""
