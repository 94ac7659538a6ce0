"""Errors of the validate room.

ValidationError                  base of this room
|-- BadCohort (Misconfigured)      cohort.toml or cohort.csv cannot be used; the message names file, row and column
|-- CohortChanged (Misconfigured)  a frozen cohort is not what it was when it was frozen
|-- BadCriteria (Misconfigured)    the file of acceptance criteria cannot be used
|-- OtherRun (Misconfigured)       the folder for the results holds a run of something else
|-- BadRun (Misconfigured)         a folder named as a finished run is none
|-- BadReaderStudy (Misconfigured) a file of reader scores cannot be analysed
|-- NoSuchReader (Misconfigured)   neither an installed reader nor a reader's folder answers to that name
|-- CardDiffers (Misconfigured)    a card or its package is not what the validation record measured
|-- MissingExtra (Misconfigured)   a package of the extra ``validate`` is not installed
`-- RunFailed (Failed)             the run itself broke; finished cases are kept
"""

from coread.domain.errors import CoreadError, Failed, Misconfigured


class ValidationError(CoreadError):
    """Base of the errors of this room."""


class BadCohort(ValidationError, Misconfigured):
    """A cohort's description or table cannot be used."""


class CohortChanged(ValidationError, Misconfigured):
    """The bytes of a frozen cohort are not those that were frozen: what is measured on it would be something else."""


class BadCriteria(ValidationError, Misconfigured):
    """Acceptance criteria name an output, metric or bound that does not exist."""


class OtherRun(ValidationError, Misconfigured):
    """The folder for the results belongs to a run of another reader, cohort or set of criteria."""


class BadRun(ValidationError, Misconfigured):
    """A folder that should hold a finished validation does not."""


class BadReaderStudy(ValidationError, Misconfigured):
    """A file of readers' scores cannot be analysed; the message says why."""


class NoSuchReader(ValidationError, Misconfigured):
    """No installed reader and no reader's folder has that name."""


class CardDiffers(ValidationError, Misconfigured):
    """A card states numbers that its validation record does not hold, or for another package."""


class MissingExtra(ValidationError, Misconfigured):
    """The extra ``validate`` is not installed."""

    def __init__(self, package: str) -> None:
        super().__init__(
            f"{package} is not installed, but measuring needs it: pip install 'coread[validate]' (or coread[train])."
        )


class RunFailed(ValidationError, Failed):
    """The run stopped; start it again with the same folder and it goes on where it was."""
