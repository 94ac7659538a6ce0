"""Colonoscopy frames: outlines polyps, in stored frames and live on a video stream (research use)."""
