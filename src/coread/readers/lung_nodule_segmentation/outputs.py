"""The names of everything the network gives; shared by the reader and its recipe."""

SIDE = 144
"""Rows and columns of the network's input: a crop of 72 pixels is enlarged twice."""

GRAPH = "network"
INPUT = "image"

AREA = "area"
"""Output (N, 1, side, side): logit of lying inside the nodule."""

NODULE = "nodule"
"""Key of the output on the card."""
LABEL = "Nodule"
"""Label of the region."""
