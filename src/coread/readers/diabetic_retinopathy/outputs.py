"""The names and the order of everything the network gives; shared by the reader and its recipe."""

HEAD = "eye"
"""Name of the network's output."""
LINES = ("referable", "ungradable")
"""Order of its columns."""
REFERABLE = "referable"
"""Key of the output on the card."""
UNGRADABLE = "ungradable"
"""Key of the quality gate's curve in calibration.json."""
RULE_IN, RULE_OUT = "rule_in", "rule_out"
"""Operating points of the card: at and above the one the answer is yes, below the other no, between them nothing."""
GRAPH = "network"
INPUT = "image"
COLUMNS, ROWS = 352, 288
"""Of the network's input: the field of view across, and what photographs that are cut above and below still show."""
