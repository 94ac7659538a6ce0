"""Errors of the train room.

TrainError                     base of this room
|-- DataMissing (Misconfigured)  a file or column of a data set is not there, or holds what it must not hold
|   |-- BadTarget                a target is outside its list, or as many as there are images it is not
|   |-- CorruptImage             an image cannot be decoded
|   `-- BadTable                 a table of labels is unreadable, or a cell holds what it must not hold
|-- DatasetExists (Misconfigured) the folder for a result already holds one
|-- MissingExtra (Misconfigured) a library of an extra is not installed
|-- Leak (Misconfigured)         one patient or one image stands in two parts of a split
|-- OneClass (Misconfigured)     a part holds one class only: nothing can be learned or measured
|-- BadPlan (Misconfigured)      a recipe or a plan asks for what cannot be done
|-- CannotWrite (Failed)         a folder cannot be read or written, such as on a full disk
|-- NotFinite (Failed)           the loss is no number any more
|-- OutOfMemory (Failed)         a step does not fit into memory
`-- ExportDiffers (Failed)       the exported graph does not compute what the trained network computes
"""

import errno

from coread.domain.errors import CoreadError, Failed, Misconfigured

_OF_THE_MACHINE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def is_of_the_machine(problem: BaseException) -> bool:
    """Say whether memory, disk or handles ran out: that is never an image's fault, and must not leave one out."""
    return isinstance(problem, MemoryError) or (isinstance(problem, OSError) and problem.errno in _OF_THE_MACHINE)


class TrainError(CoreadError):
    """Base of the errors of this room."""


class DataMissing(TrainError, Misconfigured):
    """A data set is incomplete or holds a value that the reader of its index does not know."""


class BadTarget(DataMissing):
    """A target has the wrong length or a value that its head does not know."""


class CorruptImage(DataMissing):
    """An image that the index names cannot be decoded."""


class BadTable(DataMissing):
    """A table of labels cannot be read or holds an unknown value; the message names file, line and column."""


class DatasetExists(TrainError, Misconfigured):
    """A data set is already there: finished ones are never changed."""


class MissingExtra(TrainError, Misconfigured):
    """A library that this step needs is not installed; the message names the extra."""


class Leak(TrainError, Misconfigured):
    """A patient or an image stands in two parts of a split: every number measured on it would be false."""


class OneClass(TrainError, Misconfigured):
    """A part of the data holds one class only."""


class BadPlan(TrainError, Misconfigured):
    """A recipe, a network plan or a fit plan asks for what cannot be done."""


class CannotWrite(TrainError, Failed):
    """The machine does not let us read or write a folder; what was finished before is untouched."""


class NotFinite(TrainError, Failed):
    """The loss became infinite or no number: nothing that follows would mean anything."""


class OutOfMemory(TrainError, Failed):
    """A step does not fit into memory; the message names what to turn."""


class ExportDiffers(TrainError, Failed):
    """The exported graph and the trained network give different numbers for the same input."""
