"""Frontal chest radiographs of adults: six findings, each with the place (research use)."""
