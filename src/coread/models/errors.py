"""What can be wrong with a model package or its run.

Misconfigured
|-- DamagedPackage    a file is missing, extra, changed, a link, or too large: the package is never run
|-- BadCalibration    calibration.json does not say how to turn a logit into a probability
|-- UnloadableGraph   the inference engine cannot load a graph of a sound package
|-- BrokenLineage     the record of a step is missing, changed, or does not fit its files
|-- GoldenMismatch    this machine does not reproduce the golden cases of the package
|-- BadSignature      signature.json or a key cannot be used, or the signature does not fit the package
|-- UntrustedPackage  nobody whom this site trusts has signed the package, or the signature has expired
|-- NotValidated      there is no validation record for exactly these bytes, or its criteria were not met
|-- NoSuchVersion     this site has no installed version of that name
|-- BrokenJournal     the journal of switches was changed by hand or cannot be read
|-- BadPredictions    predictions.parquet cannot be calibrated
|-- BadLimits         the file of acceptance limits cannot be read
`-- BadImport         what should become a package is not what it was said to be
Failed
|-- InferenceFailed   the engine raised while running a graph
`-- ProcessFailed     an outside program did not give what it should
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


class BadSignature(Misconfigured):
    """A key or a signature cannot be used, or the signature is not over this package."""


class UntrustedPackage(Misconfigured):
    """No signature that this site trusts covers the package."""


class NotValidated(Misconfigured):
    """Nothing proves how these very bytes perform."""


class NoSuchVersion(Misconfigured):
    """No installed version answers to that name."""


class BrokenJournal(Misconfigured):
    """The journal of switches cannot be trusted."""


class BadPredictions(Misconfigured):
    """Predictions are missing, damaged or of one class only."""


class BadLimits(Misconfigured):
    """Acceptance limits cannot be read."""


class BadImport(Misconfigured):
    """A file or folder cannot become a package."""


class ProcessFailed(Failed):
    """An outside program failed, took too long, or wrote nothing that can be used."""
