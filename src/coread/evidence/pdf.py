"""The summary page as an Encapsulated PDF (PS3.3 A.45.1), for archives and report viewers that take documents."""

from pydicom.dataset import Dataset

from coread.domain.codes import Code
from coread.domain.work import EvidenceKind
from coread.evidence.concepts import code_item
from coread.evidence.page import Page
from coread.evidence.page_pdf import pdf_of
from coread.evidence.summary import source_items
from coread.evidence.writing import RESEARCH_USE, Writing, stamp

SOP_CLASS_UID = "1.2.840.10008.5.1.4.1.1.104.1"
_TITLE = Code("126000", "DCM", "Imaging Measurement Report")


def build_pdf(writing: Writing, page: Page) -> Dataset:
    """Encapsulate a drawn page."""
    title = f"{writing.model}. {RESEARCH_USE}"
    document = pdf_of(page, title=title, at=writing.at())
    dataset = Dataset()
    dataset.SOPClassUID = SOP_CLASS_UID
    dataset.Modality = "DOC"
    dataset.ConversionType = "WSD"
    dataset.BurnedInAnnotation = "YES"
    dataset.RecognizableVisualFeatures = "NO"
    dataset.SourceInstanceSequence = source_items(writing)
    dataset.DocumentTitle = title
    dataset.ConceptNameCodeSequence = [code_item(_TITLE)]
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    stamp(dataset, writing, EvidenceKind.PDF, what="summary document")
    dataset.AcquisitionDateTime = None
    dataset.EncapsulatedDocument = document + b"\0" * (len(document) % 2)
    dataset.EncapsulatedDocumentLength = len(document)
    return dataset
