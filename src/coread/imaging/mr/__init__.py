"""MR physics: from raw samples to images. Pure functions over arrays."""
