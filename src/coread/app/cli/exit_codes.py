"""The exit codes of every command; the reference page is made from this table."""

from enum import IntEnum


class ExitCode(IntEnum):
    """Stable numbers that scripts may rely on."""

    OK = 0
    """Done."""
    FAILED = 1
    """Something broke that should have worked."""
    USAGE = 2
    """The command line is wrong."""
    NOT_FOUND = 3
    """No study, file, user or reader answers to that name."""
    NOT_ANALYSED = 4
    """Nothing was read: every study was refused or declined, each with its reason."""
    MISCONFIGURED = 5
    """Settings, a card, a package or a certificate are wrong; the message says how to mend it."""
    UNREACHABLE = 6
    """A peer or the server does not answer."""
    INCOMPLETE = 7
    """Part of the work was done and part was not; the answer lists both."""
    NOT_MET = 8
    """Everything was done, and what was found does not meet the criteria that were set before."""
    INTERRUPTED = 130
    """Stopped by the user."""
