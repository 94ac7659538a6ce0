"""The codes of our documents (PS3.16) and the step between our ``Code`` and a coded sequence item."""

from pydicom.dataset import Dataset

from coread.domain.codes import ABSENT, COREAD_SCHEME, INDETERMINATE, NOT_ASSESSED, PRESENT, Code
from coread.domain.findings import Presence

PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")
OF_INTEREST = Code("113000", "DCM", "Of Interest")
CERTAINTY = Code("111012", "DCM", "Certainty of Finding")
OPERATING_POINT_DESCRIPTION = Code("111081", "DCM", "CAD Operating Point Description")
PRESENCE = Code("705057003", "SCT", "Presence")
LATERALITY = Code("272741003", "SCT", "Laterality")
UNCERTAINTY = Code("371884006", "SCT", "+/-, range of measurement uncertainty")
YES = Code("373066001", "SCT", "Yes")
NO = Code("373067005", "SCT", "No")
COMMENT = Code("121106", "DCM", "Comment")
SOURCE = Code("260753009", "SCT", "Source")
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
PERCENT = Code("%", "UCUM", "Percent")

OUTPUT_KEY = Code("OUTPUT_KEY", COREAD_SCHEME, "Output of the reader")
OPERATING_POINT = Code("OPERATING_POINT", COREAD_SCHEME, "Operating point")
THRESHOLD = Code("THRESHOLD", COREAD_SCHEME, "Threshold of the operating point")
ATTENTION = Code("ATTENTION", COREAD_SCHEME, "Needs attention before its turn")
MARK_OF = Code("MARK_OF", COREAD_SCHEME, "Mark of the finding with this tracking UID")

PRESENCE_CODES: dict[Presence, Code] = {
    Presence.PRESENT: PRESENT,
    Presence.ABSENT: ABSENT,
    Presence.INDETERMINATE: INDETERMINATE,
    Presence.NOT_ASSESSED: NOT_ASSESSED,
}

PROCEDURES: dict[str, Code] = {
    "CR": Code("43468-8", "LN", "XR unspecified body region"),
    "DX": Code("43468-8", "LN", "XR unspecified body region"),
    "CT": Code("25045-6", "LN", "CT unspecified body region"),
    "MR": Code("25056-3", "LN", "MRI unspecified body region"),
}
"""Procedure reported by modality (CID 100) when the source names none."""
ANY_PROCEDURE = Code("363679005", "SCT", "Imaging procedure")


def code_item(code: Code) -> Dataset:
    """Return the sequence item of a code (PS3.3 section 8.8 basic code sequence)."""
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme
    item.CodeMeaning = code.meaning
    return item


def code_of(item: Dataset) -> Code:
    """Return the code of a sequence item."""
    return Code(str(item.CodeValue), str(item.CodingSchemeDesignator), str(item.CodeMeaning))


def coding_schemes() -> list[Dataset]:
    """Return Coding Scheme Identification Sequence items for our private scheme (PS3.3 C.12.1.1.4)."""
    item = Dataset()
    item.CodingSchemeDesignator = COREAD_SCHEME
    item.CodingSchemeName = "Coread private codes"
    item.CodingSchemeResponsibleOrganization = "The Coread developers"
    return [item]
