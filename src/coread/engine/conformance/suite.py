"""One suite for every reader, with no test written by its author. ``coread readers --check`` and our tests run it.

A check returns one line about what it saw, or raises: NotConformant when the reader breaks the contract,
NotApplicable when this reader gives nothing to check.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from coread.domain.errors import CoreadError, Failed
from coread.domain.reading import ModelSession, Reader, ReaderInputs
from coread.engine.conformance import card, inputs, results
from coread.engine.conformance.subject import NotApplicable, Subject
from coread.engine.samples import sample_inputs
from coread.engine.sessions import SessionSettings
from coread.readers.registry import InstalledReader, load_reader


class CheckStatus(StrEnum):
    """How a check ended."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """The end of one check."""

    name: str
    status: CheckStatus
    detail: str
    seconds: float


Check = Callable[[Subject], str]

CHECKS: tuple[tuple[str, Check], ...] = (
    ("the card is complete", card.card_is_complete),
    ("every code is well formed", card.codes_are_well_formed),
    ("a flipped byte in any file is refused", card.damage_is_refused),
    ("golden cases reproduce on this machine", card.golden_cases_reproduce),
    ("a fitting image is read", results.a_fitting_image_is_read),
    ("findings are the outputs that the card declares", results.findings_are_declared),
    ("reading twice gives the same", results.reading_is_deterministic),
    ("the input is not changed", results.input_is_unchanged),
    ("a result comes out of the store as it went in", results.results_survive_storage),
    ("a mirrored image gives a mirrored result", results.mirrored_in_mirrored_out),
    ("the order of the images does not matter", results.order_does_not_matter),
    ("a wrong modality is refused", inputs.wrong_modality_is_refused),
    ("pixels that are not numbers are refused", inputs.not_a_number_is_refused),
    ("constant pixels are refused", inputs.constant_pixels_are_refused),
    ("too small an image, or too few slices, are refused", inputs.small_images_are_refused),
    ("pixels of another meaning are refused", inputs.other_quantity_is_refused),
    ("no image at all is refused", inputs.no_image_is_refused),
    ("the reader stays within its time and memory", results.stays_within_resources),
)


def check_reader(installed: InstalledReader, samples: Sequence[ReaderInputs] | None = None) -> tuple[CheckOutcome, ...]:
    """Run every check over one reader; ``samples`` are inputs that it should read (generated when not given)."""
    began = time.perf_counter()
    try:
        session: ModelSession = SessionSettings().open(installed)
        reader: Reader = load_reader(installed)
        given = tuple(sample_inputs(installed.card) if samples is None else samples)
    except CoreadError as problem:
        return (CheckOutcome("the reader opens", CheckStatus.FAILED, str(problem), time.perf_counter() - began),)
    subject = Subject(installed, session, reader, given)
    opened = CheckOutcome("the reader opens", CheckStatus.PASSED, session.runtime, time.perf_counter() - began)
    return (opened, *(run_check(name, check, subject) for name, check in CHECKS))


def run_check(name: str, check: Check, subject: Subject) -> CheckOutcome:
    """Run one check; whatever it raises becomes its outcome."""
    began = time.perf_counter()
    try:
        status, detail = CheckStatus.PASSED, check(subject)
    except NotApplicable as reason:
        status, detail = CheckStatus.NOT_APPLICABLE, str(reason)
    except Failed as problem:
        status, detail = CheckStatus.FAILED, str(problem)
    except Exception as problem:  # noqa: BLE001 - the edge of one check: its outcome is what is reported
        status, detail = CheckStatus.FAILED, f"{type(problem).__name__}: {problem}"
    return CheckOutcome(name, status, detail, time.perf_counter() - began)
