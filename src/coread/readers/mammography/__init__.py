"""Mammograms: suspicious area with a box, and breast density (research use)."""
