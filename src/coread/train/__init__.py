"""Offline: datasets, patient-level splits, fitting, export. The only room with torch."""
