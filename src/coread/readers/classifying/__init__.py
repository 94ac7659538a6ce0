"""What recipes of readers that name whole images share: cross-fitting, calibration, release, the clinicians' page."""
