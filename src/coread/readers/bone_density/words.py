"""The names and codes of what is measured."""

from coread.domain.codes import COREAD_SCHEME, Code

LOW, FRACTURE = "low_bone_density", "vertebral_fracture"
SITES = {
    "T12": Code("23215003", "SCT", "T12 vertebra"),
    "L1": Code("66794005", "SCT", "L1 vertebra"),
    "L2": Code("14293000", "SCT", "L2 vertebra"),
    "L3": Code("36470004", "SCT", "L3 vertebra"),
    "L4": Code("11994002", "SCT", "L4 vertebra"),
    "L5": Code("49668003", "SCT", "L5 vertebra"),
}
SPINE = Code("421060004", "SCT", "Spine")
ATTENUATION = Code("112031", "DCM", "Attenuation Coefficient")
MEAN, DEVIATION = Code("373098007", "SCT", "Mean"), Code("386136009", "SCT", "Standard Deviation")
HOUNSFIELD = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
DENSITY = Code("BMD_TRABECULAR", COREAD_SCHEME, "Trabecular bone mineral density")
DENSITY_L1_L2 = Code("BMD_L1_L2", COREAD_SCHEME, "Trabecular bone mineral density, mean of L1 and L2")
MG_CM3 = Code("mg/cm3", "UCUM", "mg/cm^3")
HEIGHTS = (
    Code("HEIGHT_ANTERIOR", COREAD_SCHEME, "Vertebral body height in front"),
    Code("HEIGHT_MIDDLE", COREAD_SCHEME, "Vertebral body height in the middle"),
    Code("HEIGHT_POSTERIOR", COREAD_SCHEME, "Vertebral body height behind"),
)
MM = Code("mm", "UCUM", "millimeter")
ROI_CATEGORY = Code("91723000", "SCT", "Anatomical Structure")
"""PS3.16 CID 7150."""
