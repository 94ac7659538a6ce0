"""What the front door can complain about.

AppError
|-- BadSettings    the settings file or an environment variable is wrong (Misconfigured)
`-- NothingFound   no study, reader or file answers to that name
"""

from coread.domain.errors import CoreadError, Misconfigured


class AppError(CoreadError):
    """Base of the front door's errors."""


class BadSettings(AppError, Misconfigured):
    """The settings file or an environment variable is wrong."""


class NothingFound(AppError):
    """No study, reader or file answers to that name."""
