"""The names and the order of everything the network gives, and codes of what is measured; for reader and recipe."""

from coread.domain.codes import COREAD_SCHEME, Code

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
SKULL = Code("128319008", "SCT", "Intracranial structure")
BLOOD_VOLUME = Code("BLOOD_VOLUME", COREAD_SCHEME, "Volume of intracranial blood")
MIDLINE_SHIFT = Code("MIDLINE_SHIFT", COREAD_SCHEME, "Midline shift of the brain")
ML, MM = Code("ml", "UCUM", "milliliter"), Code("mm", "UCUM", "millimeter")
