"""The code of readers that are a plan in their package: no behaviour of its own, no card."""
