"""De-identification by PS3.15 annex E: the Basic Application Level Confidentiality Profile and some of its options."""
