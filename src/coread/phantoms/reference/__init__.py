"""Digital reference objects: continuous anatomy of exactly known quantities, sampled onto the grid of a series."""
