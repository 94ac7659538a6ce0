"""Turns a result into standard objects and proves them before they leave."""
