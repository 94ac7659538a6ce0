"""The names and shapes of what the networks take and give; shared by the reader and its recipes."""

INPUT = "image"

HIPPOCAMPUS = "hippocampus"
"""Graph: one hippocampus with its surroundings to its two parts."""
HIPPOCAMPUS_SHAPE = (40, 56, 40)
"""Voxels of 1 mm along (superior, posterior, left)."""
PARTS = "parts"
"""Output (N, 3, *HIPPOCAMPUS_SHAPE): logits of elsewhere, anterior part, posterior part."""
PART_NAMES = ("anterior", "posterior")

TISSUE = "tissue"
"""Graph and output: a whole head to its tissues; (N, 6, *HEAD_SHAPE) logits of elsewhere and TISSUE_NAMES."""
TISSUE_NAMES = ("fluid", "grey matter", "white matter", "ventricles", "hippocampi")
HEAD_SHAPE = (48, 56, 48)
HEAD_MM = 4.0
"""Voxels of the head's grid along (superior, posterior, left), middle of the skull's cavity near its middle."""
