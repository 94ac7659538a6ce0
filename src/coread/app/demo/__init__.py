"""A whole small hospital on this machine: a PACS, a virtual scanner, Coread, and a check of what came out."""
