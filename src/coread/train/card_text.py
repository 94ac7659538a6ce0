"""Cards of trained readers are written by ``models.card_text``; its name here is the one that recipes know."""

from coread.models.card_text import card_toml

__all__ = ["card_toml"]
