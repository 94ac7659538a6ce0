"""Errors of the train room.

TrainError                     base of this room
|-- DataMissing (Misconfigured)  a file or column of a data set is not there, or holds what it must not hold
|-- Leak (Misconfigured)         one patient or one image stands in two parts of a split
|-- NotFinite (Failed)           the loss is no number any more
`-- ExportDiffers (Failed)       the exported graph does not compute what the trained network computes
"""

from coread.domain.errors import CoreadError, Failed, Misconfigured


class TrainError(CoreadError):
    """Base of the errors of this room."""


class DataMissing(TrainError, Misconfigured):
    """A data set is incomplete or holds a value that the reader of its index does not know."""


class Leak(TrainError, Misconfigured):
    """A patient or an image stands in two parts of a split: every number measured on it would be false."""


class NotFinite(TrainError, Failed):
    """The loss became infinite or no number: nothing that follows would mean anything."""


class ExportDiffers(TrainError, Failed):
    """The exported graph and the trained network give different numbers for the same input."""
