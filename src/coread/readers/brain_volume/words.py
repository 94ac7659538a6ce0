"""The names and codes of what is measured."""

from coread.domain.codes import COREAD_SCHEME, Code

LOSS, LESIONS = "brain_loss", "white_matter_lesions"
BRAIN = Code("12738006", "SCT", "Brain")
INTRACRANIAL = Code("128319008", "SCT", "Intracranial structure")
GREY_MATTER = Code("389081007", "SCT", "Gray Matter")
WHITE_MATTER = Code("389080008", "SCT", "White Matter")
FLUID = Code("65216001", "SCT", "Cerebrospinal Fluid")
VENTRICLES = Code("35764002", "SCT", "Brain ventricle")
HIPPOCAMPUS = Code("5366008", "SCT", "Hippocampus")
LESION = Code("110702", "DCM", "White Matter T2 Hyperintensity")
ANATOMY = Code("91723000", "SCT", "Anatomical Structure")
ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
VOLUME = Code("118565006", "SCT", "Volume")
HIPPOCAMPAL_VOLUMES = {
    "right": Code("HIPPOCAMPUS_R", COREAD_SCHEME, "Volume of the right hippocampus"),
    "left": Code("HIPPOCAMPUS_L", COREAD_SCHEME, "Volume of the left hippocampus"),
}
SHARE_OF_HEAD = Code("SHARE_OF_HEAD", COREAD_SCHEME, "Share of the intracranial volume")
BRAIN_CHANGE = Code("BRAIN_CHANGE", COREAD_SCHEME, "Change of brain volume since the earlier study")
BRAIN_CHANGE_YEAR = Code("BRAIN_CHANGE_Y", COREAD_SCHEME, "Change of brain volume per year")
VENTRICLE_CHANGE = Code("VENTR_CHANGE", COREAD_SCHEME, "Change of ventricular volume since the earlier study")
LESION_COUNT = Code("LESION_COUNT", COREAD_SCHEME, "Number of white-matter lesions")
ML, PERCENT = Code("ml", "UCUM", "milliliter"), Code("%", "UCUM", "percent")
PERCENT_YEAR = Code("%/a", "UCUM", "percent per year")
COUNT = Code("1", "UCUM", "no units")
