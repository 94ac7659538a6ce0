"""The names and the order of everything the network gives; shared by the reader and its recipe."""

SHAPE = (256, 160)
"""Rows and columns of the network's input: a breast, chest wall on the left."""

GRAPH = "network"
INPUT = "image"

ABNORMAL = "abnormal"
"""Output (N, 1): logit of an abnormality anywhere in the breast."""
SPOT = "spot"
"""Output (N, 1, rows, columns): logit of lying in an abnormality, taught with circles."""
DENSITY = "density"
"""Output (N, 3): logits of the density classes."""

SUSPICIOUS = "suspicious"
"""Key of the output on the card."""
DENSITIES = ("fatty", "fatty-glandular", "dense-glandular")
"""Classes F, G and D of the MIAS set, in this order; measured as 1, 2, 3."""
