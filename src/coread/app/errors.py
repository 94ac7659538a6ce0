"""What the front door can complain about.

AppError
|-- CannotCorrect  a correction that cannot be meant or cannot be written (Refused)
|-- BadSettings    the settings file or an environment variable is wrong (Misconfigured)
|-- IncompleteRetrieval  an archive named objects that it did not deliver (Failed)
|-- MissingExtra   a library that this command needs is not installed (Misconfigured)
|-- NothingFound   no study, reader or file answers to that name
|-- VideoRefused   a film or capture device cannot be read, or the reader reads no video (Misconfigured)
`-- ViewerRefused  the viewer could not be fetched, or is not the one that we know (Misconfigured)
"""

from coread.domain.errors import CoreadError, Failed, Misconfigured, Refused


class AppError(CoreadError):
    """Base of the front door's errors."""


class BadSettings(AppError, Misconfigured):
    """The settings file or an environment variable is wrong."""


class IncompleteRetrieval(AppError, Failed):
    """The archive named objects that it did not deliver."""


class NothingFound(AppError):
    """No study, reader or file answers to that name."""


class MissingExtra(AppError, Misconfigured):
    """A library that this command needs is not installed; the message names the extra."""


class VideoRefused(AppError, Misconfigured):
    """A film or capture device cannot be read, or the reader reads no video."""


class ViewerRefused(AppError, Misconfigured):
    """The viewer could not be fetched, or is not byte for byte the one that we know."""


class CannotCorrect(AppError, Refused):
    """A correction that cannot be meant or cannot be written; nothing was changed."""
