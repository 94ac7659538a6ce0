"""Whole chest CT: nodules found, outlined, measured, graded and compared with an earlier scan (research use)."""
