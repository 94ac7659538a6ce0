"""Decides: is the study settled, which readers apply to which images, and why not. Sees reader cards only."""
