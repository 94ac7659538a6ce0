"""The names and codes of what is measured (PS3.16 CID 3833, 12200, 12202; values checked with pydicom's dictionary)."""

from coread.domain.codes import Code

EJECTION_FRACTION = Code("8811-2", "LN", "Left ventricular ejection fraction by MR")
END_DIASTOLIC = Code("18026-5", "LN", "Left Ventricular End Diastolic Volume")
END_SYSTOLIC = Code("18148-7", "LN", "Left Ventricular End Systolic Volume")
STROKE = Code("90096001", "SCT", "Stroke Volume")
VENTRICLE = Code("87878005", "SCT", "Left ventricle")
ROI_CATEGORY = Code("91723000", "SCT", "Anatomical Structure")
PERCENT = Code("%", "UCUM", "percent")
ML = Code("ml", "UCUM", "milliliter")
