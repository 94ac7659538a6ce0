"""What can go wrong around report texts.

CoreadError
|-- Misconfigured
|   `-- BadRules         a rule file of this room does not hold together
|-- Refused
|   `-- UnreadableReport a file holds no report text that can be read
"""

from coread.domain.errors import Misconfigured, Refused


class BadRules(Misconfigured):
    """A rule file is wrong; the message names the file and the rule."""


class UnreadableReport(Refused):
    """A file holds no report text that can be read; the message says why and what would do."""
