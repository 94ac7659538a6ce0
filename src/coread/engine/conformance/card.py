"""Checks of what a reader says about itself, and of its locked package."""

import re
import shutil
import tempfile
from pathlib import Path

from coread.domain.cards import OutputSpec
from coread.domain.codes import COREAD_SCHEME, Code
from coread.engine.conformance.subject import Subject, require
from coread.engine.sessions import prove_golden
from coread.models.errors import DamagedPackage
from coread.models.package import MANIFEST, verify_package

_FORMS = {
    "DCM": re.compile(r"\d{6}"),
    "RADLEX": re.compile(r"RID\d+"),
    "UCUM": re.compile(r"\S+"),
    "LN": re.compile(r"\d{1,7}-\d"),
    "FMA": re.compile(r"\d+"),
    COREAD_SCHEME: re.compile(r"[A-Z0-9_]+"),
}


def card_is_complete(subject: Subject) -> str:
    """Say for whom it is, for whom not, what it learnt from, how it was measured, where it ends."""
    card = subject.installed.card
    require(card.research_use, "the card must say research_use = true")
    require(bool(card.training_data), "training_data is empty: name the data that the network learnt from")
    require(bool(card.limits), "limits is empty: every reader has some")
    require(bool(card.input.modalities), "input.modalities is empty: no reader reads every modality")
    require((subject.installed.folder / "README.md").is_file(), "README.md, the page for clinicians, is missing")
    measured = [point for output in card.outputs for point in output.operating_points]
    return f"{len(card.outputs)} outputs, {len(measured)} operating points"


def codes_are_well_formed(subject: Subject) -> str:
    """Check every concept and site: a known scheme, a value of its form, and the check digit of SNOMED CT."""
    codes = [code for output in subject.installed.card.outputs for code in codes_of(output)]
    for code in codes:
        if code.scheme == "SCT":
            require(is_snomed_identifier(code.value), f"{code.value} ({code.meaning}) is no SNOMED CT identifier")
            continue
        form = _FORMS.get(code.scheme)
        require(form is not None or code.scheme.startswith("99"), f"coding scheme {code.scheme} is not known here")
        require(form is None or form.fullmatch(code.value) is not None, f"{code.value} is no code of {code.scheme}")
    return f"{len(codes)} codes"


def codes_of(output: OutputSpec) -> tuple[Code, ...]:
    """Return the codes of one output."""
    return (output.concept,) if output.site is None else (output.concept, output.site)


def is_snomed_identifier(value: str) -> bool:
    """Say whether 6 to 18 digits end in their Verhoeff check digit (SNOMED CT release file specification, SCTID)."""
    if not (value.isdecimal() and 6 <= len(value) <= 18 and value[0] != "0"):
        return False
    check = 0
    for place, digit in enumerate(reversed(value)):
        check = _dihedral(check, _permuted(int(digit), place))
    return check == 0


def damage_is_refused(subject: Subject) -> str:
    """Flip one bit in a copy of each file of the package: verification must name it."""
    installed = subject.installed
    names = [*verify_package(installed.model_folder, installed.card_path).names(), MANIFEST]
    with tempfile.TemporaryDirectory() as folder:
        copy, card = Path(folder) / "model", Path(folder) / "card.toml"
        shutil.copytree(installed.model_folder, copy)
        shutil.copy(installed.card_path, card)
        for path in (*(copy / name for name in names), card):
            whole = path.read_bytes()
            require(bool(whole), f"{path.name} is empty")
            path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
            require(_is_refused(copy, card), f"a flipped bit in {path.name} went unnoticed")
            path.write_bytes(whole)
        verify_package(copy, card)
    return f"{len(names) + 1} files"


def golden_cases_reproduce(subject: Subject) -> str:
    """Replay the stored cases in this session."""
    report = prove_golden(subject.session, subject.installed, subject.reader)
    report.require()
    return f"{report.cases} cases, largest difference {report.worst_difference:.2g}"


def _is_refused(folder: Path, card: Path) -> bool:
    try:
        verify_package(folder, card)
    except DamagedPackage:
        return True
    return False


def _dihedral(a: int, b: int) -> int:
    """Multiply in the dihedral group of order 10."""
    if a < 5:
        return (a + b) % 5 if b < 5 else 5 + (a + b - 5) % 5
    return 5 + (a - b) % 5 if b < 5 else (a - b) % 5


def _permuted(digit: int, place: int) -> int:
    """Apply Verhoeff's permutation ``place`` times."""
    cycle = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)
    for _ in range(place % 8):
        digit = cycle[digit]
    return digit
