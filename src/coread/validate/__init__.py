"""Offline: run a locked reader over a frozen cohort through the engine's own code; the release gate."""
