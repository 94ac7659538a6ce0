"""Applies the profile to a data set, at every depth, and looks once more for the patient in whatever was kept."""

import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from pydicom import DataElement, Dataset, Sequence
from pydicom.dataset import FileMetaDataset
from pydicom.multival import MultiValue

from coread.imaging.deidentification.identity import Pseudonymizer, capped_age, clean_words, is_uid, shifted
from coread.imaging.deidentification.rules import METHODS, Action, Option, action_of, safe_private, safe_words

_TEXTS = frozenset({"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UR", "UT", "DA", "DT", "AS"})
_SHORTEST = 3
"""Parts of a name or number shorter than this are too frequent to be looked for."""
_SHORTEST_IN_CODES = 5
_DUMMIES: Mapping[str, object] = {
    "AE": "REMOVED", "AS": "000Y", "AT": 0, "CS": "REMOVED", "DA": "19000101", "DS": "0", "DT": "19000101000000",
    "FD": 0.0, "FL": 0.0, "IS": "0", "LO": "REMOVED", "LT": "REMOVED", "OB": b"\0\0", "OD": b"\0" * 8, "OF": b"\0" * 4,
    "OL": b"\0" * 4, "OV": b"\0" * 8, "OW": b"\0\0", "PN": "REMOVED", "SH": "REMOVED", "SL": 0, "SS": 0,
    "ST": "REMOVED", "SV": 0, "TM": "000000",
    "UC": "REMOVED", "UL": 0, "UN": b"\0\0", "UR": "urn:removed", "US": 0, "UT": "REMOVED",
    "UV": 0,
}  # fmt: skip
_IDENTIFYING = (
    "PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "OtherPatientIDs", "OtherPatientNames",
    "PatientBirthName", "PatientMotherBirthName", "PatientAddress", "PatientTelephoneNumbers", "MedicalRecordLocator",
    "AccessionNumber", "StudyID", "ReferringPhysicianName", "PerformingPhysicianName", "OperatorsName",
    "NameOfPhysiciansReadingStudy", "RequestingPhysician", "InstitutionName", "InstitutionAddress",
    "MilitaryRank", "InsurancePlanIdentification", "ResponsiblePerson",
)  # fmt: skip
"""Whose values must not be left anywhere."""
_DESCRIBING = frozenset(
    {
        "PatientSex", "PatientAge", "EthnicGroup", "Allergies", "MedicalAlerts", "SmokingStatus", "PatientSexNeutered",
        "PatientSpeciesDescription", "PatientBreedDescription", "AdditionalPatientHistory", "TypeOfPatientID",
    }
)  # fmt: skip
"""Of the patient, but shared with many others: not looked for."""
_LIKE_A_UID = re.compile(r"\d+(?:\.\d+){3,}")
_DAYS_OF_LAST_RESORT = "no patient identifier"


@dataclass(frozen=True, slots=True)
class Profile:
    """The chosen options and the key; the same profile gives the same pseudonyms."""

    pseudonyms: Pseudonymizer
    options: frozenset[Option] = frozenset()

    @property
    def methods(self) -> tuple[tuple[str, str], ...]:
        """Return (code, meaning) of what is applied."""
        return tuple(method for option, method in METHODS.items() if option is None or option in self.options)


@dataclass(slots=True)
class Findings:
    """What was left in one object, for the report on the risk that remains."""

    kept_text: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(keyword, value) of text that was kept or cleaned: somebody should look at it."""
    swept: Counter[str] = field(default_factory=Counter)
    """Keywords of attributes in which the patient was found though the profile would keep them; they were emptied."""
    retained: Counter[str] = field(default_factory=Counter)
    """Keywords of attributes that were kept because of an option."""


def deidentify(dataset: Dataset, profile: Profile) -> tuple[Dataset, Findings]:
    """Return a de-identified copy with new file meta information; the data set that was given is not changed."""
    identifiers = identifiers_of(dataset)
    patient, issuer = str(dataset.get("PatientID", "") or ""), str(dataset.get("IssuerOfPatientID", "") or "")
    who = patient or str(dataset.get("StudyInstanceUID", _DAYS_OF_LAST_RESORT))
    findings = Findings()
    days = profile.pseudonyms.days(who, issuer)
    worker = _Worker(profile, identifiers, uids_of(dataset, profile.pseudonyms), days, findings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # wrong values of the source are replaced or kept, not judged here
        made = worker.cleaned(dataset)
        made.PatientID = profile.pseudonyms.patient(who, issuer)
        made.PatientName = made.PatientID
        _state_methods(made, profile)
        made.file_meta = _meta(dataset, made)
    return made, findings


def identifiers_of(dataset: Dataset) -> frozenset[str]:
    """Return the words and numbers that name the patient, the people around and the examination, in lower case.

    Names and numbers count in their parts too; other text about the patient only as a whole.
    """
    found: set[str] = set()
    for element in _everywhere(dataset):
        named = element.keyword in _IDENTIFYING
        about = element.tag.group == 0x0010 and element.VR in _TEXTS and element.keyword not in _DESCRIBING
        for text in _parts(element.value) if named or about else ():
            folded = text.casefold().strip()
            found.add(folded)
            if element.keyword == "PatientBirthDate" and len(folded) == 8:
                year, month, day = folded[:4], folded[4:6], folded[6:]
                found |= {
                    f"{year}-{month}-{day}",
                    f"{day}.{month}.{year}",
                    f"{month}/{day}/{year}",
                    f"{day}/{month}/{year}",
                }
            if named:
                found.update(re.split(r"[\^=,\s]+", folded))
    return frozenset(word for word in found if len(word) >= _SHORTEST)


def uids_of(dataset: Dataset, pseudonyms: Pseudonymizer) -> frozenset[str]:
    """Return the UIDs that get a replacement: the original ones must not be left in any text."""
    values = {
        text
        for element in _everywhere(dataset)
        if element.VR == "UI" and action_of(int(element.tag), "UI", frozenset()) is not Action.KEEP
        for text in _parts(element.value)
    }
    return frozenset(text for text in values if pseudonyms.uid(text) != text)


def _everywhere(dataset: Dataset) -> Iterator[DataElement]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for element in dataset:
            if element.VR == "SQ":
                for item in element.value:
                    yield from _everywhere(item)
            else:
                yield element


@dataclass(frozen=True, slots=True)
class _Worker:
    profile: Profile
    identifiers: frozenset[str]
    uids: frozenset[str]
    days: int
    findings: Findings

    def cleaned(self, dataset: Dataset) -> Dataset:
        """Return a copy of one level, and of all levels below it."""
        made = Dataset()
        kept_blocks = self._safe_blocks(dataset)
        for element in dataset:
            if element.tag.is_private:
                if self._is_safe_private(dataset, element, kept_blocks):
                    made.add(DataElement(element.tag, element.VR, element.value))
                    self.findings.retained["private elements"] += 1
                continue
            if element.tag.group <= 0x0002 or element.tag.element == 0:
                continue
            self._apply(element, made)
        return made

    def _apply(self, element: DataElement, made: Dataset) -> None:
        action = action_of(int(element.tag), element.VR, self.profile.options)
        if action is Action.REMOVE:
            return
        if element.VR == "SQ":
            items = [] if action in (Action.EMPTY, Action.DUMMY) else [self.cleaned(item) for item in element.value]
            made.add(DataElement(element.tag, "SQ", Sequence(items)))
            return
        value = self._value(element, action)
        if action in (Action.KEEP, Action.CLEAN) and element.VR in _TEXTS:
            value = self._swept(element.keyword, value, element.VR)
        copied = DataElement(element.tag, element.VR, value)
        copied.is_undefined_length = element.is_undefined_length
        made.add(copied)

    def _value(self, element: DataElement, action: Action) -> object:
        value: object = element.value
        if action is Action.EMPTY:
            return None
        if action is Action.DUMMY:
            return _DUMMIES[element.VR] if element.VR != "UI" else self._uids(value)
        if action is Action.UID:
            return self._uids(value) if element.VR == "UI" else _DUMMIES.get(element.VR)
        if action is Action.SHIFT:
            self.findings.retained[element.keyword] += 1
            return value if element.VR == "TM" else _each(value, lambda text: shifted(text, self.days))
        if action is Action.CLEAN:
            self.findings.retained[element.keyword] += 1
            return _each(value, lambda text: clean_words(text, safe_words(), self.identifiers))
        if element.VR == "UI":  # a kind of thing; what does not even look like a UID could be anything
            return _each(value, lambda text: text if not text or is_uid(text) else self.profile.pseudonyms.uid(text))
        if element.keyword == "PatientAge":
            value = _each(value, capped_age)
        return value

    def _uids(self, value: object) -> object:
        return _each(value, self.profile.pseudonyms.uid)

    def _swept(self, keyword: str, value: object, vr: str) -> object:
        """Empty a value in which the patient stands; note the text that stays."""
        for text in _parts(value):
            if self._names_somebody(text, vr):
                self.findings.swept[keyword] += 1
                return None
            if text and vr in ("LO", "LT", "SH", "ST", "UC", "UT", "PN"):
                self.findings.kept_text[keyword, text[:200]] += 1
        return value

    def _names_somebody(self, text: str, vr: str) -> bool:
        """Look for the identifiers; in codes only for long ones or as the whole value, in dates for whole ones."""
        folded = text.casefold().strip()
        if folded in self.identifiers or self._holds_a_uid(text):
            return True
        shortest = {"DA": 99, "DT": 8, "AS": 99, "CS": _SHORTEST_IN_CODES, "AE": _SHORTEST_IN_CODES}.get(vr, _SHORTEST)
        return any(len(word) >= shortest and word in folded for word in self.identifiers)

    def _holds_a_uid(self, text: str) -> bool:
        """Look for original UIDs, also with something appended (``UID.1``)."""
        for found in _LIKE_A_UID.findall(text):
            parts = found.split(".")
            if any(".".join(parts[:count]) in self.uids for count in range(1, len(parts) + 1)):
                return True
        return False

    def _safe_blocks(self, dataset: Dataset) -> dict[tuple[int, int], str]:
        if Option.SAFE_PRIVATE not in self.profile.options:
            return {}
        creators = {name for name, _, _ in safe_private()}
        return {
            (element.tag.group, element.tag.element): str(element.value).strip()
            for element in dataset
            if element.tag.is_private_creator and str(element.value).strip() in creators
        }

    def _is_safe_private(self, dataset: Dataset, element: DataElement, blocks: Mapping[tuple[int, int], str]) -> bool:
        group, number = element.tag.group, element.tag.element
        if element.tag.is_private_creator:
            owned = (other for other in dataset if other.tag.group == group and other.tag.element >> 8 == number)
            return (group, number) in blocks and any(self._is_safe_private(dataset, other, blocks) for other in owned)
        return (blocks.get((group, number >> 8), ""), group, number & 0xFF) in safe_private()


def _is_many(value: object) -> bool:
    return isinstance(value, list | MultiValue)


def _each(value: object, change: Callable[[str], str]) -> object:
    """Apply a change to a text or to each of several."""
    return [change(part) for part in _parts(value)] if _is_many(value) else change(str(value or ""))


def _parts(value: object) -> list[str]:
    return [str(part) for part in value] if isinstance(value, Iterable) and _is_many(value) else [str(value or "")]


def _state_methods(dataset: Dataset, profile: Profile) -> None:
    """Say that and how it was done (PS3.3 section C.7.1.1; PS3.15 section E.1.1 step 6)."""
    dataset.PatientIdentityRemoved = "YES"
    dataset.DeidentificationMethod = [meaning for _, meaning in profile.methods]
    items = []
    for code, meaning in profile.methods:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code, "DCM", meaning
        items.append(item)
    dataset.DeidentificationMethodCodeSequence = Sequence(items)
    dates = "MODIFIED" if Option.DATES in profile.options else "REMOVED"
    dataset.LongitudinalTemporalInformationModified = dates


def _meta(source: Dataset, made: Dataset) -> FileMetaDataset:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = made.SOPClassUID
    meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    meta.TransferSyntaxUID = source.file_meta.TransferSyntaxUID
    return meta
