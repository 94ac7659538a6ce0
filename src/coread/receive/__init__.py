"""The way in: C-STORE SCP, STOW-RS, watched folder. Checks, de-duplicates, hands to the store."""
