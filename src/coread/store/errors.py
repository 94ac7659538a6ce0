"""What can go wrong in the store, under the roots of ``coread.domain.errors``."""

from coread.domain.errors import Failed, Misconfigured, Refused


class StoreFailed(Failed):
    """The index or the folder did not do what it should."""


class StoreBusy(StoreFailed):
    """The index stayed locked longer than a writer waits; nothing was changed, the call can be repeated."""


class LeaseLost(StoreFailed):
    """The work item or delivery belongs to another owner by now, or was superseded; nothing was changed."""


class DamagedFile(StoreFailed):
    """A file of the store is missing or does not hold what the index says."""


class NoSuchRecord(Refused):
    """The study, work item, user or delivery that was named is not in the index."""


class AlreadyExists(Refused):
    """A record of that name is there already."""


class CorrectedMeanwhile(Refused):
    """Somebody else has corrected the same result since it was shown; nothing was changed."""


class UnsafePath(Refused):
    """A path would leave the store's folder."""


class StoreMisconfigured(Misconfigured):
    """The folder or the database cannot be used as configured; the message says how to mend it."""
