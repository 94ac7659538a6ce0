"""The names and the order of everything the reader gives, and the sizes that its steps share."""

from coread.domain.codes import Code

GRAPH = "candidate"
INPUT = "image"
HEAD = "nodule"
"""Name of the network's output."""
NODULE, GROWTH = "nodule", "growth"
"""Keys of the outputs on the card."""
SIDE = 50
"""Rows and columns of a patch."""
TURNS = 4
"""Quarter turns of a patch whose answers are averaged."""
PATCH_MM = 0.7
"""Pixel of a patch. Assumed: the patches that the network learnt from name none; scans of LUNA16 have about this."""
PATCH_LOW_HU, PATCH_HIGH_HU = -1000.0, 400.0
"""Window of a patch. Assumed, and in keeping with the grey values of lung and soft tissue in the patches."""
LEAST_MM, LARGEST_MM = 3.0, 30.0
"""Diameters that are called a nodule (Hansell 2008, Radiology 246:697: up to 3 cm)."""
GLASS_FROM_MM = 5.0
"""Ground glass below is not called: most of it is a vessel that fills its voxels in part, and what is real needs no
follow-up (Fleischner 2017: below 6 mm)."""
THICKEST_MM = 5.0

LUNG = Code("39607008", "SCT", "Lung")
RIGHT_LUNG, LEFT_LUNG = Code("3341006", "SCT", "Right lung"), Code("44029006", "SCT", "Left lung")
RIGHT, LEFT = Code("24028007", "SCT", "Right"), Code("7771000", "SCT", "Left")
