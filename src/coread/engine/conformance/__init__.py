"""The conformance suite for readers; outside readers run it with ``check_reader`` or ``coread readers --check``."""

from coread.engine.conformance.subject import NotApplicable, NotConformant, Subject
from coread.engine.conformance.suite import CHECKS, CheckOutcome, CheckStatus, check_reader, run_check

__all__ = [
    "CHECKS",
    "CheckOutcome",
    "CheckStatus",
    "NotApplicable",
    "NotConformant",
    "Subject",
    "check_reader",
    "run_check",
]
