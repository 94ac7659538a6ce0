"""Coread: a second reader for radiology (research use; not a medical device)."""

__version__ = "0.1.0"
