"""Runs one work item: loads the locked model, checks input, infers, checks output, returns result and provenance."""
