"""Breast ultrasound: is there a lesion, and does it look malignant (research use)."""
