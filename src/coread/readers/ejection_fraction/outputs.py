"""The names and sizes that network, recipe and reader share."""

AREA = "chambers"
"""Name of the network's output: (N, 1 + classes, SIDE, SIDE) logits, background first."""
CLASSES = ("left ventricle", "muscle", "right ventricle")
CAVITY, MUSCLE, RIGHT = 1, 2, 3
SIDE = 112
PIXEL_MM = 1.6
"""Of the square that the network sees: 179 mm around the heart, in the plane of the slice."""
GRAPH = "network"
EJECTION = "reduced_ejection_fraction"
