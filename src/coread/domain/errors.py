"""The root of every exception that Coread raises on purpose.

CoreadError
|-- InvalidRecord    a value breaks a rule of its own record (a bug or a bad input; never stored)
|-- Refused          an input is unsuitable: normal, expected, recorded with a coded reason
|-- Failed           a bug or the machine: recorded as the outcome "failed"
`-- Misconfigured    settings, cards or packages are wrong: stop at start-up, say how to mend it
"""


class CoreadError(Exception):
    """Base of all errors of this package; the message says what happened and what to do."""


class InvalidRecord(CoreadError, ValueError):
    """A record was built with a value that its own rules forbid."""


class Refused(CoreadError):
    """An input is unsuitable. Rooms subclass this and attach a coded reason."""


class Failed(CoreadError):
    """Something that should have worked did not (bug, machine, peer)."""


class Misconfigured(CoreadError):
    """Settings, a reader card or a model package are wrong."""
