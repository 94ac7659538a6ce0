"""What does a picture show: body part and examination, for captures whose header does not say (research use)."""
