"""Measurements: ratios to peers in one run. ``make bench`` runs them all; nothing here is a test."""
