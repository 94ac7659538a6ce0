"""Images from undersampled raw MR data, and what was kept."""
