"""Which presentation contexts a set of files needs, spread over as few associations as possible. Pure planning."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from coread.deliver.association import MAX_CONTEXTS, ProposedContext

IMPLICIT_LITTLE = "1.2.840.10008.1.2"
EXPLICIT_LITTLE = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
EXPLICIT_BIG = "1.2.840.10008.1.2.2"
UNCOMPRESSED = (EXPLICIT_LITTLE, IMPLICIT_LITTLE, DEFLATED, EXPLICIT_BIG)
"""Syntaxes whose pixels are plain: one can be written as another without loss."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One file to send, as its file meta information describes it."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


def proposed_contexts(files: Sequence[Outgoing]) -> tuple[ProposedContext, ...]:
    """Return the contexts for these files: each pair as stored first, then plain syntaxes to fall back on.

    Each syntax has a context of its own, so that the peer's choice cannot hide that it takes ours as well.
    """
    kinds = dict.fromkeys((file.sop_class_uid, file.transfer_syntax_uid) for file in files)
    wanted = dict.fromkeys(ProposedContext(sop_class, (syntax,)) for sop_class, syntax in kinds)
    for sop_class, syntax in kinds:
        if syntax in UNCOMPRESSED:
            wanted[ProposedContext(sop_class, (EXPLICIT_LITTLE,))] = None
            wanted[ProposedContext(sop_class, (IMPLICIT_LITTLE,))] = None
    return tuple(wanted)


def batches(files: Sequence[Outgoing]) -> tuple[tuple[Outgoing, ...], ...]:
    """Split files into groups that each fit one association's 128 presentation contexts (PS3.8 section 9.3.2.2)."""
    kinds: dict[tuple[str, str], list[Outgoing]] = {}
    for file in files:
        kinds.setdefault((file.sop_class_uid, file.transfer_syntax_uid), []).append(file)
    groups: list[list[Outgoing]] = [[]]
    representatives: list[Outgoing] = []
    alone: list[tuple[Outgoing, ...]] = []
    for (_, syntax), members in kinds.items():
        if not _is_registered(syntax):
            # pynetdicom cannot choose between contexts when one of them has a syntax that it does not know.
            alone.append(tuple(members))
            continue
        if representatives and len(proposed_contexts([*representatives, members[0]])) > MAX_CONTEXTS:
            groups.append([])
            representatives = []
        representatives.append(members[0])
        groups[-1].extend(members)
    return (*(tuple(group) for group in groups if group), *alone)


def _is_registered(transfer_syntax_uid: str) -> bool:
    """Say whether PS3.6 annex A lists this transfer syntax."""
    from pydicom.uid import UID

    uid = UID(transfer_syntax_uid)
    return not uid.is_private and uid.is_transfer_syntax


def dealt(files: Sequence[Outgoing], hands: int) -> tuple[tuple[Outgoing, ...], ...]:
    """Deal files out in turn to so many associations; fewer when there are fewer files."""
    count = max(1, min(hands, len(files)))
    return tuple(tuple(files[start::count]) for start in range(count))
