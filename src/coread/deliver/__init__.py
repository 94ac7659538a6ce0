"""The way out: C-STORE and STOW-RS to destinations, each with its own queue, retries and dead letters."""
