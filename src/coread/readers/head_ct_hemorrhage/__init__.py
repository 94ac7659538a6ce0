"""Intracranial haemorrhage on non-contrast head CT: triage of the worklist."""
