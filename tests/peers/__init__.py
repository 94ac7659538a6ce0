"""Real peers for tests, demo and bench: Orthanc as the hospital PACS, storescp, scripted peers. No pytest here."""
