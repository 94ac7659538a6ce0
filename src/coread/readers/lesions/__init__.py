"""What the recipes of readers that mark or outline lesions share."""
