"""The names and the order of everything the network gives; shared by the reader and its recipe."""

HEAD = "haemorrhage"
"""Name of the network's first output: any haemorrhage in the slice, (N, 1) logits."""
TYPE_HEAD = "types"
"""Name of its second output: the types, (N, 5) logits."""
ANY = "intracranial_haemorrhage"
TYPES = ("intraventricular", "intraparenchymal", "subarachnoid", "epidural", "subdural")
GRAPH = "network"
INPUT = "image"
SIDE = 160
"""Rows and columns of the network's input."""
TOP = 3
"""Slices whose mean logit stands for the study."""
