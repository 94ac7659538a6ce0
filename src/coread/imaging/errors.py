"""Why an object cannot be used: every refusal of this room carries a coded reason.

Refused (domain)
`-- ImagingRefused
    |-- NotDicom, Truncated, BadHeader, MissingUid, BadUid       the object cannot be indexed
    |   `-- HeadTooShort (of Truncated)                          the bytes in hand end before the header does
    |-- UnknownSyntax, PixelsUnread, NoPixels, ImageTooLarge     the pixels cannot be decoded
    |-- PixelMeaning, PixelsConstant, PixelsNotFinite            the pixels cannot be interpreted
    |-- MissingSlice, SamePosition, TooFewImages, MixedGeometry  the series is not one regular grid
    |   `-- UnevenGaps (of MissingSlice)                         no whole number of slices would fill the gaps
    |-- Localizer, SeveralVolumes                                the images are not the one volume that is asked for
    |-- NotAligned                                               two scans do not lie over one another
    |-- BadPrompt, NothingSegmented                              a lesion cannot be outlined from what was pointed at
    |-- BadSamples, NoCalibration                                raw MR samples cannot become an image
    |-- NotRawData, RawTooLarge, RawObjectTooLarge               a file of raw samples cannot be opened or wrapped
    `-- MixedEncodings, WrongTrajectory, TooFewCoils, CorruptLines, MotionSuspected    raw samples cannot be trusted
"""

from typing import ClassVar

from coread.domain.errors import Refused
from coread.domain.reasons import Reason, ReasonCode


class ImagingRefused(Refused):
    """An object or series is unsuitable; ``reason`` is what is recorded and shown."""

    code: ClassVar[ReasonCode] = ReasonCode.BAD_HEADER

    def __init__(self, detail: str) -> None:
        self.reason = Reason(self.code, detail)
        super().__init__(self.reason.text())


class NotDicom(ImagingRefused):
    """The bytes are not a DICOM object."""

    code = ReasonCode.NOT_DICOM


class Truncated(ImagingRefused):
    """The object ends before it says it does."""

    code = ReasonCode.TRUNCATED


class HeadTooShort(Truncated):
    """The bytes in hand end before the header does; scan the whole file instead."""


class BadHeader(ImagingRefused):
    """The header contradicts itself or the encoding rules (PS3.5 section 7)."""

    code = ReasonCode.BAD_HEADER


class MissingUid(ImagingRefused):
    """A Study, Series, SOP Instance or SOP Class UID is absent or empty."""

    code = ReasonCode.MISSING_UID


class BadUid(ImagingRefused):
    """A unique identifier holds more than digits and dots, or more than 64 characters (PS3.5 section 9)."""

    code = ReasonCode.BAD_UID


class UnknownSyntax(ImagingRefused):
    """The pixels are in a transfer syntax that no decoder here knows."""

    code = ReasonCode.UNKNOWN_SYNTAX


class PixelsUnread(ImagingRefused):
    """The pixels do not decode."""

    code = ReasonCode.PIXELS_UNREAD


class NoPixels(ImagingRefused):
    """The object has no pixel data, or a matrix of zero size."""

    code = ReasonCode.NO_PIXELS


class ImageTooLarge(ImagingRefused):
    """The matrix is larger than the memory limit; nothing was allocated."""

    code = ReasonCode.IMAGE_TOO_LARGE


class PixelMeaning(ImagingRefused):
    """What the pixel values mean is not stated or contradictory."""

    code = ReasonCode.PIXEL_MEANING


class PixelsConstant(ImagingRefused):
    """Every pixel that is not padding has the same value."""

    code = ReasonCode.PIXELS_CONSTANT


class PixelsNotFinite(ImagingRefused):
    """Pixels are not finite numbers."""

    code = ReasonCode.PIXELS_NOT_FINITE


class MissingSlice(ImagingRefused):
    """A slice of the stack is missing."""

    code = ReasonCode.MISSING_SLICE


class UnevenGaps(MissingSlice):
    """The distances between slices differ, and not as if some were missing."""

    code = ReasonCode.UNEVEN_GAPS


class SamePosition(ImagingRefused):
    """Two slices lie at the same position."""

    code = ReasonCode.SAME_POSITION


class TooFewImages(ImagingRefused):
    """Fewer images than a volume needs."""

    code = ReasonCode.TOO_FEW_IMAGES


class MixedGeometry(ImagingRefused):
    """The slices do not share orientation, matrix, spacing or frame of reference."""

    code = ReasonCode.MIXED_GEOMETRY


class Localizer(ImagingRefused):
    """A scout image that was planned on; no part of a volume."""

    code = ReasonCode.LOCALIZER


class SeveralVolumes(ImagingRefused):
    """The series holds several volumes and nothing says which one is meant."""

    code = ReasonCode.SEVERAL_VOLUMES


class NotAligned(ImagingRefused):
    """Two scans of a patient could not be registered well enough to compare places."""

    code = ReasonCode.NOT_ALIGNED


class BadPrompt(ImagingRefused):
    """A point, line or box that cannot be meant: not finite, without size, outside the volume."""

    code = ReasonCode.BAD_PROMPT


class NothingSegmented(ImagingRefused):
    """Nothing at the place that was pointed at stands out from what is around it."""

    code = ReasonCode.INDETERMINATE


class BadSamples(ImagingRefused):
    """Raw samples that are not finite, all zero, or do not fit their mask, coil maps or trajectory."""

    code = ReasonCode.BAD_SAMPLES


class NoCalibration(ImagingRefused):
    """The middle of k-space is not sampled densely enough to learn coil sensitivities or kernels from."""

    code = ReasonCode.NO_CALIBRATION


class NotRawData(ImagingRefused):
    """The file holds no raw MR samples in a form that is read."""

    code = ReasonCode.NOT_RAW_DATA


class RawTooLarge(ImagingRefused):
    """The samples need more room than the limit; nothing was allocated."""

    code = ReasonCode.OUT_OF_MEMORY


class RawObjectTooLarge(ImagingRefused):
    """The file does not fit one element of a DICOM object (PS3.5 7.1.1: less than 4 GiB)."""

    code = ReasonCode.TOO_LARGE


class MixedEncodings(ImagingRefused):
    """Lines of the image belong to several encodings, or differ in length or number of coils."""

    code = ReasonCode.MIXED_ENCODINGS


class WrongTrajectory(ImagingRefused):
    """The way through k-space is missing, has another length than the samples, or is one that is not read (EPI)."""

    code = ReasonCode.WRONG_TRAJECTORY


class TooFewCoils(ImagingRefused):
    """Fewer coils received a signal than the reconstruction needs."""

    code = ReasonCode.TOO_FEW_COILS


class CorruptLines(ImagingRefused):
    """More lines are corrupt (not finite, spikes) than can be left out."""

    code = ReasonCode.CORRUPT_LINES


class MotionSuspected(ImagingRefused):
    """Lines that were sampled more than once disagree by more than noise explains."""

    code = ReasonCode.MOTION
