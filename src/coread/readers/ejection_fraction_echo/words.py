"""The names and codes of what is measured (PS3.16 CID 12202, 12227, 12300; checked with pydicom's dictionary)."""

from coread.domain.codes import Code

EJECTION_FRACTION = Code("18043-0", "LN", "Left Ventricular Ejection Fraction by US")
END_DIASTOLIC = Code("18026-5", "LN", "Left Ventricular End Diastolic Volume")
END_SYSTOLIC = Code("18148-7", "LN", "Left Ventricular End Systolic Volume")
STROKE = Code("90096001", "SCT", "Stroke Volume")
BIPLANE = Code("125207", "DCM", "Method of Disks, Biplane")
SINGLE_PLANE = Code("125208", "DCM", "Method of Disks, Single Plane")
VENTRICLE = Code("87878005", "SCT", "Left ventricle")
PERCENT = Code("%", "UCUM", "percent")
ML = Code("ml", "UCUM", "milliliter")
