"""A small patch of a lung CT around a candidate: is it a nodule (research use)."""
