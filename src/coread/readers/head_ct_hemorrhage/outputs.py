"""The names and the order of everything the network gives; shared by the reader and its recipe."""

PLACE_HEAD = "places"
"""Name of the network's first output: (N, 1, SIDE, SIDE) logits, how likely each pixel of the middle slice is blood."""
TYPE_HEAD = "types"
"""Name of its second output: the types, (N, 5) logits."""
ANY = "intracranial_haemorrhage"
TYPES = ("intraventricular", "intraparenchymal", "subarachnoid", "epidural", "subdural")
GRAPH = "network"
INPUT = "image"
SIDE = 160
"""Rows and columns of the network's input."""
CHANNELS = 4
"""The slice below, the slice, the slice above, and the mirror image of the slice about the midline."""
