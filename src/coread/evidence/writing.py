"""What all objects of one result share: names, UIDs, series numbers, time, and the attributes of section 6.2.

UIDs come from (input digest, package digest, kind, index) and ``LAYOUT``. Work done twice, a retry after
a crash, therefore gives the same UIDs; its time stamps may differ, but the second try is stored only when
the first never was (the store keeps the first object of a UID). A change in what is written raises
``LAYOUT``, so that changed content gets new UIDs.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from pydicom.dataset import Dataset
from pydicom.uid import UID

from coread.domain.cards import ReaderCard
from coread.domain.findings import Finding, ImageReference, Measurement, Region, TrackingId
from coread.domain.identifiers import derived_uid
from coread.domain.kspace import RAW_DATA_STORAGE
from coread.domain.results import Provenance, ReadResult
from coread.domain.work import EvidenceKind
from coread.evidence.errors import NotBuilt
from coread.evidence.revision import Revision
from coread.evidence.sources import OPTIONAL, CopiedHeader, SourceImage

LAYOUT = "2"
"""Raised whenever the same result would be written differently."""

MANUFACTURER = "Coread (research use)"
RESEARCH_USE = "RESEARCH USE ONLY - not a medical device"
IMPLEMENTATION_CLASS_UID = UID(derived_uid("coread", "implementation", "evidence"))
IMPLEMENTATION_VERSION = "COREAD_EVIDENCE"
_ORDER = tuple(EvidenceKind)
_FIRST_SERIES_NUMBER = 9000


@dataclass(frozen=True, slots=True, eq=False)
class Writing:
    """One result on its way into objects."""

    result: ReadResult
    provenance: Provenance
    card: ReaderCard
    images: tuple[SourceImage, ...]
    copied: CopiedHeader
    notes: tuple[str, ...] = ()
    """What had to be left out, and why; said in the report and on the page."""
    revision: Revision | None = None
    """Of a result that a person has corrected."""
    derived: tuple[SourceImage, ...] = ()
    """Headers and planes of the images that the result computed: siblings that other objects may refer to."""

    @property
    def study_instance_uid(self) -> str:
        """The study of the source images, and of every object."""
        return self.images[0].header.study_instance_uid

    @property
    def pictured(self) -> tuple[SourceImage, ...]:
        """The images that the result speaks of: those that were read and those that it computed, no raw data."""
        read = (image for image in self.images if image.header.sop_class_uid != RAW_DATA_STORAGE)
        return (*read, *self.derived)

    @property
    def model(self) -> str:
        """Reader name and version, as people see it."""
        return f"{self.card.name} {self.provenance.reader_version}"

    def uid(self, *parts: str) -> str:
        """Return the UID that stands for these parts of this result, the same each time."""
        digests = (self.provenance.input_digest, self.provenance.package_digest)
        # A study that is read again gives the same digests, and its corrections count from 2 again.
        corrected_at = self.provenance.started_at.isoformat()
        version = () if self.revision is None else (f"version {self.revision.number}", corrected_at)
        return derived_uid("coread-evidence", LAYOUT, *digests, self.card.reader_id, *version, *parts)

    def series_uid(self, kind: EvidenceKind, index: int = 1) -> str:
        """Return the Series Instance UID of one kind of object, or of the ``index``-th where each has its own."""
        return self.uid("series", kind.value, *([str(index)] if index > 1 else []))

    def sop_uid(self, kind: EvidenceKind, index: int = 1) -> str:
        """Return the SOP Instance UID of the ``index``-th object of a kind."""
        return self.uid("instance", kind.value, str(index))

    def series_number(self, kind: EvidenceKind) -> int:
        """Return a high series number of its own: 9000 + ten for each reader + one for each kind."""
        slot = hashlib.sha256(self.card.reader_id.encode()).digest()[0] % 90
        return _FIRST_SERIES_NUMBER + 10 * slot + 1 + _ORDER.index(kind)

    def at(self) -> datetime:
        """Return when the reading finished, in the time zone of the study.

        The zone is the source's Timezone Offset From UTC, else this machine's: the attribute speaks for
        all dates and times of the object (PS3.3 C.12.1.1.8), also for those copied from the source.
        """
        finished = self.provenance.finished_at
        zone = self.copied.timezone
        if not zone:
            return finished.astimezone()
        minutes = int(zone[1:3]) * 60 + int(zone[3:5])
        return finished.astimezone(timezone(timedelta(minutes=-minutes if zone[0] == "-" else minutes)))

    def image(self, reference: ImageReference) -> SourceImage:
        """Return the source image that a finding points at; raises NotBuilt for a stranger."""
        for image in (*self.images, *self.derived):
            if image.header.sop_instance_uid == reference.sop_instance_uid:
                return image
        raise NotBuilt(f"image {reference.sop_instance_uid} is named by the result and is not among its sources")

    def tracking(self, finding: Finding, index: int) -> TrackingId:
        """Return the finding's own tracking identifier, or the one it is given on paper."""
        return finding.tracking or TrackingId(
            f"{self.card.reader_id} {finding.key} {index + 1}", self.uid("finding", finding.key, str(index))
        )

    def measurement_tracking(self, measurement: Measurement, index: int) -> TrackingId:
        """Return the measurement's own tracking identifier, or the one it is given on paper."""
        return measurement.tracking or TrackingId(
            f"{self.card.reader_id} measurement {index + 1}", self.uid("measurement", str(index))
        )

    def measured(self, region: Region) -> tuple[Measurement, ...]:
        """Return the measurements that were taken of a region (they share its Tracking UID)."""
        return tuple(
            m for m in self.result.measurements if m.tracking is not None and m.tracking.uid == region.tracking.uid
        )


def offset_text(at: datetime) -> str:
    """Return Timezone Offset From UTC, ``+HHMM``."""
    text = at.strftime("%z")[:5]
    return "+0000" if text in ("", "-0000") else text


def series_description(writing: Writing, what: str) -> str:
    """Return a Series Description that begins with the model's name and says "AI" (at most 64 characters)."""
    tail = f" AI {what}" if writing.revision is None else f" AI {what} {writing.revision.words()}"
    return writing.model[: 64 - len(tail)].strip() + tail


def stamp(dataset: Dataset, writing: Writing, kind: EvidenceKind, *, what: str, index: int = 1) -> None:
    """Write the attributes that every object carries (patient, study, series, equipment, SOP common)."""
    for keyword, value in writing.copied.attributes:
        if value or keyword not in OPTIONAL:
            setattr(dataset, keyword, value)
        elif keyword in dataset:
            delattr(dataset, keyword)
    dataset.StudyInstanceUID = writing.study_instance_uid
    dataset.SeriesInstanceUID = writing.series_uid(kind)
    dataset.SOPInstanceUID = writing.sop_uid(kind, index)
    dataset.SeriesNumber = writing.series_number(kind)
    dataset.InstanceNumber = index
    dataset.SeriesDescription = series_description(writing, what)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    _stamp_time(dataset, writing.at())
    _stamp_equipment(dataset, writing)
    dataset.ContentQualification = "RESEARCH"


def _stamp_time(dataset: Dataset, at: datetime) -> None:
    day, clock = at.strftime("%Y%m%d"), at.strftime("%H%M%S")
    dataset.TimezoneOffsetFromUTC = offset_text(at)
    for keyword in ("InstanceCreation", "Series", "Content"):
        setattr(dataset, f"{keyword}Date", day)
        setattr(dataset, f"{keyword}Time", clock)


def _stamp_equipment(dataset: Dataset, writing: Writing) -> None:
    from coread.evidence.concepts import PROCESSING_EQUIPMENT, code_item

    identity = {
        "Manufacturer": MANUFACTURER,
        "ManufacturerModelName": writing.model[:64],
        "DeviceSerialNumber": writing.provenance.package_digest[:16],
        "SoftwareVersions": [f"coread {writing.provenance.coread_version}"[:64], writing.provenance.runtime[:64]],
    }
    contributor = Dataset()
    contributor.PurposeOfReferenceCodeSequence = [code_item(PROCESSING_EQUIPMENT)]
    contributor.ContributionDescription = f"AI reading by {writing.model}"[:1024]
    contributor.ContributionDateTime = writing.at().strftime("%Y%m%d%H%M%S") + offset_text(writing.at())
    for keyword, value in identity.items():
        setattr(dataset, keyword, value)
        setattr(contributor, keyword, value)
    dataset.ContributingEquipmentSequence = [contributor]


def part10(dataset: Dataset) -> bytes:
    """Encode an object as a Part 10 file, Explicit VR Little Endian, the same bytes each time."""
    from io import BytesIO

    from pydicom.dataset import FileMetaDataset
    from pydicom.filewriter import dcmwrite
    from pydicom.uid import ExplicitVRLittleEndian

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = IMPLEMENTATION_CLASS_UID
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION
    dataset.file_meta = meta
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
