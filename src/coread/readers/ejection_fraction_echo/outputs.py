"""The names and sizes that network, recipe and reader share."""

AREA = "chambers"
"""Name of the network's output: (N, 1 + classes, ROWS, COLUMNS) logits, background first."""
CLASSES = ("left ventricle", "muscle", "left atrium")
CAVITY, MUSCLE, ATRIUM = 1, 2, 3
ROWS, COLUMNS = 96, 128
"""Of the picture that the network sees: the region of the loop, fitted in and centred, its surroundings 0."""
GRAPH = "network"
EJECTION = "reduced_ejection_fraction"
