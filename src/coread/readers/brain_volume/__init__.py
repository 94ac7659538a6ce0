"""Volumes of the brain and its parts from T1 (and FLAIR), and what was lost between two dates."""
