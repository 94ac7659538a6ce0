"""Networks that reconstruct MR images from undersampled k-space, learnt from simulated or undersampled acquisitions."""
