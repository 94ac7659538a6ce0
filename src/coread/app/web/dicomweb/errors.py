"""What a DICOMweb request can be refused with; each is one HTTP status (PS3.18 section 8.5).

Refused
`-- DicomwebRefused
    |-- BadRequest        400  a UID, attribute, range or frame number that cannot be meant
    |-- NoSuchResource    404  the study, series, instance, frame or element is not here
    |-- NotAcceptable     406  none of the accepted media types can be made from what is stored
    |-- Conflict          409  no object of the request was stored
    |-- UnsupportedMedia  415  the body is not of a type that is understood
    `-- NoRoom            503  the disk is nearly full
"""

from coread.domain.errors import Refused


class DicomwebRefused(Refused):
    """Base; ``status`` is the HTTP status that is answered."""

    status = 400


class BadRequest(DicomwebRefused):
    """The request cannot be meant."""


class NoSuchResource(DicomwebRefused):
    """What was asked for is not here."""

    status = 404


class NotAcceptable(DicomwebRefused):
    """None of the accepted media types can be made from what is stored."""

    status = 406


class Conflict(DicomwebRefused):
    """No object of the request was stored."""

    status = 409


class UnsupportedMedia(DicomwebRefused):
    """The body is not of a type that is understood."""

    status = 415


class NoRoom(DicomwebRefused):
    """The disk is nearly full; try again later."""

    status = 503
