"""The names and the order of everything the network gives; shared by the reader and its recipe."""

FINDINGS = ("pneumothorax", "effusion", "cardiomegaly", "opacity", "nodule_mass", "atelectasis")
"""Order of the channels of ``logits`` and ``maps``; the keys of the outputs on the card."""

GATE = ("frontal_chest", "other", "inverted", "child", "turned")
"""Order of the channels of ``gate`` (softmax)."""

SIDE = 320
"""Rows and columns of the network's input."""

GRAPH = "network"
INPUT = "image"

ONE_SIDED = frozenset({"pneumothorax", "effusion", "opacity", "nodule_mass", "atelectasis"})
"""Findings that have a side; the heart has none."""

MIDLINE = 0.03
"""Half width of the middle strip, as a share of the image, that a box may touch and still be on one side."""

BOX_LEVEL = 0.5
"""Share of a map's peak that bounds the box around it."""
