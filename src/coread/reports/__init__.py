"""Radiologists' report text to finding labels, by rules that stand in data files."""
