"""The names and codes of what is said."""

from coread.domain.codes import COREAD_SCHEME, Code

GROWTH, PROGRESSION, NEW_FLAIR = "lesion_growth", "progression", "new_flair_lesion"
NEW_CT = "new_ct_lesion"
CANDIDATE = "New lesion"
"""How the Tracking Identifier of a candidate begins, on its own date and on those that follow."""
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
LESION = Code("52988006", "SCT", "Lesion")
VOLUME = Code("118565006", "SCT", "Volume")
LONG, SHORT = Code("103339001", "SCT", "Long axis"), Code("103340004", "SCT", "Short axis")
VOLUME_CHANGE = Code("VOLUME_CHANGE", COREAD_SCHEME, "Change of volume since the earlier study")
LONG_CHANGE = Code("DIAMETER_CHANGE", COREAD_SCHEME, "Change of long axis since the earlier study")
DOUBLING = Code("DOUBLING_TIME", COREAD_SCHEME, "Volume doubling time")
SUM_DIAMETERS = Code("SUM_DIAMETERS", COREAD_SCHEME, "Sum of diameters of followed lesions")
SUM_VOLUMES = Code("SUM_VOLUMES", COREAD_SCHEME, "Sum of volumes of followed lesions")
NEW_VOLUME = Code("NEW_VOLUME", COREAD_SCHEME, "Volume of new or enlarged FLAIR lesions")
GONE_VOLUME = Code("GONE_VOLUME", COREAD_SCHEME, "Volume of vanished or smaller FLAIR lesions")
NEW_COUNT = Code("NEW_COUNT", COREAD_SCHEME, "Number of candidates for new lesions")
COUNT = Code("1", "UCUM", "no units")
MM, ML = Code("mm", "UCUM", "millimeter"), Code("ml", "UCUM", "milliliter")
DAYS, PERCENT = Code("d", "UCUM", "day"), Code("%", "UCUM", "percent")
