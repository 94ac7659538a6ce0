"""What can be wrong with a model package or its run.

Misconfigured
|-- DamagedPackage    a file is missing, extra, changed, a link, or too large: the package is never run
|-- BadCalibration    calibration.json does not say how to turn a logit into a probability
|-- UnloadableGraph   the inference engine cannot load a graph of a sound package
|-- BrokenLineage     the record of a step is missing, changed, or does not fit its files
`-- GoldenMismatch    this machine does not reproduce the golden cases of the package
Failed
`-- InferenceFailed   the engine raised while running a graph
"""

from coread.domain.errors import Failed, Misconfigured


class DamagedPackage(Misconfigured):
    """The bytes of a package are not the bytes that were locked."""


class BadCalibration(Misconfigured):
    """The calibration of a package cannot be used."""


class UnloadableGraph(Misconfigured):
    """An inference engine refused to load a graph."""


class BrokenLineage(Misconfigured):
    """A record of the way from images to a locked reader cannot be trusted."""


class GoldenMismatch(Misconfigured):
    """Golden cases are missing or give other numbers on this machine."""


class InferenceFailed(Failed):
    """A graph could not be run over these arrays."""
