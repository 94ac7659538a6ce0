"""Digital reference objects with exactly known truth, for the demo, tests and canaries. All say SYNTHETIC."""
