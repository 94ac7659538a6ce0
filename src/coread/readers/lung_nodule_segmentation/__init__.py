"""Crops of lung CT slices around a nodule: the nodule's outline and area (research use)."""
