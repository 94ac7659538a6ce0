"""What can be wrong with an installed reader.

Misconfigured
|-- BadCard         card.toml is missing, unreadable, or breaks the rules of a reader card
`-- BrokenReader    the reader's code cannot be loaded or does not fit its card
"""

from coread.domain.errors import Misconfigured


class BadCard(Misconfigured):
    """A card.toml cannot be used; the message names the file, the key and how to mend it."""


class BrokenReader(Misconfigured):
    """A reader's folder or module cannot be used."""
