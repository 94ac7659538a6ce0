"""The codes and words of the result."""

from coread.domain.codes import COREAD_SCHEME, Code

NO_UNITS = Code("1", "UCUM", "no units")
PERCENT = Code("%", "UCUM", "percent")
COILS = Code("{coils}", "UCUM", "coils")

OUTSIDE_KEY = "outside_validated"
OPERATING_POINT = "ranges"
ACCELERATION = Code("MR_ACCELERATION", COREAD_SCHEME, "Acceleration (samples of the grid over samples taken)")
USED_COILS = Code("MR_COILS", COREAD_SCHEME, "Receive coils used")
SIGNAL_TO_NOISE = Code("MR_SNR", COREAD_SCHEME, "Signal to noise of one sample of the fully sampled image")
RESIDUAL = Code("MR_RESIDUAL", COREAD_SCHEME, "Difference of prediction from measured samples, times the noise")
HELD_OUT = Code("MR_HELD_OUT", COREAD_SCHEME, "Difference of prediction from left-out lines, times the noise")
SPREAD = Code("MR_SPREAD", COREAD_SCHEME, "Uncertainty over the object, of its mean signal")
WEAKEST = Code("MR_WEAKEST", COREAD_SCHEME, "Weakest test lesion, contrast recovered")
RECOVERED = Code("MR_RECOVERED", COREAD_SCHEME, "Test lesions, mean contrast recovered")
ELSEWHERE = Code("MR_ELSEWHERE", COREAD_SCHEME, "Largest change far from test lesions")
CONTRADICTED = Code("MR_CONTRADICTED", COREAD_SCHEME, "Largest structure that samples contradict, of a test lesion")
UNCERTAINTY = Code("MR_UNCERTAINTY", COREAD_SCHEME, "Standard error of the reconstruction, by leaving lines out")
