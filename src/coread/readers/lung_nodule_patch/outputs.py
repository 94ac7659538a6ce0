"""The names and the order of everything the network gives; shared by the reader and its recipe."""

HEAD = "nodule"
"""Name of the network's output."""
NODULE = "nodule"
"""Key of the output on the card."""
GRAPH = "network"
INPUT = "image"
SIDE = 50
"""Rows and columns of the patch: that of the LUNA16 candidate patches."""
LARGEST = 96
"""Most rows and columns of a patch that is cut down to its middle; a whole slice is no patch."""
TURNS = 4
"""Quarter turns of a patch whose answers are averaged: a nodule has no upside."""
