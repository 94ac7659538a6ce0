"""Who says what about whom inside a sentence: negation, hedges, hypotheses and history, each with its reach.

A small machine walks over the events from left to right. A cue before a finding reaches forward to the end of its
clause; a cue after it reaches back over the list that ends there. A comma or "and" ends a reach when a statement
follows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from coread.reports.lexicon import FindingRule
from coread.reports.phrases import Event
from coread.reports.records import Change, Status

MODIFIERS = frozenset(
    {"side", "place", "severity", "narrow", "acuity", "region", "either", "measuring", "previous", "nothing", "verb"}
    | {"increased", "decreased", "new", "unchanged", "complement"}
)
"""Events that may stand between a cue and what it is about."""
_BETWEEN_ALTERNATIVES = MODIFIERS | {"or", "and", "uncertain_before"}
_TARGETS = frozenset({"finding", "subject", "state"})
_CHANGES = frozenset({"increased", "decreased", "new", "unchanged"})
_PAIRS = (
    ("negation_before", "negation_after"),
    ("resolved_before", "resolved_after"),
    ("removed_before", "removed_after"),
    ("uncertain_before", "uncertain_after"),
    ("uncertain_before_verb", "uncertain_after"),
    ("negation_before", "resolved_after"),
)
_HEDGES = frozenset({"uncertain_before", "uncertain_before_verb"})
_UNDOING = frozenset(
    {"without", "free of", "free from", "lack of", "absence of", "clear of", "devoid of", "negative for"}
)
_CONDITIONS = ("if", "should", "unless", "until", "in case of", "in the event of")


@dataclass(slots=True)
class Assertion:
    """A finding or a state as the sentence asserts it; ``status`` None means that it is not asserted."""

    event: Event
    status: Status | None
    negated: bool = False
    hedged: bool = False
    narrowed: bool = False
    change: Change | None = None


@dataclass(slots=True)
class _Machine:
    """What reaches over the word that is read."""

    events: Sequence[Event]
    number: int = 0
    negation: str = ""
    negated_something: bool = False
    cue: Event | None = None
    closed: bool = False
    """A verb has stood after what was negated: a list would have ended before it."""
    hedged: bool = False
    hypothetical: Event | None = None
    historical: bool = False
    family: bool = False
    clause: int = 0
    """Number of the first event of the clause."""
    asserted: list[Assertion] = field(default_factory=list)
    states: list[Assertion] = field(default_factory=list)


def assertions(events: Sequence[Event]) -> tuple[list[Assertion], list[Assertion]]:
    """Return the findings and the states of a sentence (events as chosen) with what is said of them."""
    machine = _Machine(events)
    for number, event in enumerate(events):
        machine.number = number
        step = _STEPS.get(event.kind)
        if step is not None:
            step(machine, event)
    _headings(machine)
    _hedge_alternatives(machine)
    _hedge_versus(machine)
    return machine.asserted, machine.states


def choose(events: Sequence[Event]) -> list[Event]:
    """Drop one of two readings of a phrase that is a cue both before and after what it is about."""
    chosen: list[Event] = []
    number = 0
    while number < len(events):
        end = number + 1
        while end < len(events) and events[end].first == events[number].first:
            end += 1
        if end == number + 1:
            chosen.append(events[number])
        else:
            chosen += _chosen_of(events[number:end], events[end:])
        number = end
    return chosen


def _chosen_of(same: Sequence[Event], following: Sequence[Event]) -> list[Event]:
    """Choose among the meanings of one phrase by what follows it."""
    kinds = {event.kind for event in same}
    dropped: set[str] = set()
    for before, after in _PAIRS:
        if before in kinds and after in kinds:
            dropped.add(after if _target_follows(following) else before)
    if "uncertain_after" in kinds and _HEDGES & kinds & dropped and not _clause_ends(same[0], following):
        dropped.add("uncertain_after")
    if "state" in kinds and "uncertain_before" in kinds and _finding_follows(following):
        dropped.add("state")
    return [event for event in same if event.kind not in dropped]


def _clause_ends(event: Event, following: Sequence[Event]) -> bool:
    """Whether nothing more is said: "likely" in "nodule, likely benign" hedges no nodule."""
    return bool(following) and following[0].first == event.last and following[0].kind in ("end", "and", "or", "stop")


def _target_follows(following: Sequence[Event]) -> bool:
    event = next((event for event in following if event.kind not in MODIFIERS), None)
    return event is not None and event.kind in _TARGETS


def _finding_follows(following: Sequence[Event]) -> bool:
    event = next((event for event in following if event.kind not in MODIFIERS), None)
    return event is not None and event.kind == "finding"


def _finding(machine: _Machine, event: Event) -> None:
    rule: FindingRule = event.payload
    if machine.family or (machine.hypothetical is not None) or (machine.historical and not rule.lasting):
        return
    negated = bool(machine.negation) and (machine.negation != "removed" or rule.lasting)
    made = Assertion(event, rule.status, negated, machine.hedged)
    if negated:
        machine.negated_something = True
        made.status = Status.ABSENT
        made.narrowed = _narrowed(machine, event)
        made.change = Change.RESOLVED if machine.negation == "resolved" else None
    elif machine.hedged and rule.status is Status.PRESENT:
        made.status = Status.UNCERTAIN
    if rule.only_negated and rule.keys == ("no_finding",):
        made.status = Status.PRESENT if negated else None
    elif rule.only_negated and not negated:
        made.status = None
    machine.asserted.append(made)


def _narrowed(machine: _Machine, event: Event) -> bool:
    """Whether "large", "acute", ... stands before this item of the list."""
    start = machine.cue.last if machine.cue is not None else 0
    for other in reversed(machine.events):
        if start <= other.first < event.first:
            if other.kind in ("and", "or"):
                return False
            if other.kind == "narrow":
                return True
    return False


def _state(machine: _Machine, event: Event) -> None:
    dropped = machine.family or machine.historical or machine.hypothetical is not None
    status = None if dropped else Status.PRESENT
    machine.states.append(Assertion(event, status, machine.negation in ("negation", "resolved"), machine.hedged))
    if machine.negation:
        machine.negated_something = True


def _negate(machine: _Machine, event: Event) -> None:
    near = machine.cue is not None and event.first - machine.cue.last <= 1
    machine.historical = False
    if machine.negation == "negation" and not machine.negated_something and near and event.word in _UNDOING:
        machine.negation = ""
        return
    _begin(machine, "negation", event)


def _begin(machine: _Machine, negation: str, event: Event) -> None:
    machine.negation, machine.cue = negation, event
    machine.negated_something = machine.closed = False
    if machine.hypothetical is not None and machine.hypothetical.word not in _CONDITIONS:
        machine.hypothetical = None


def _resolve(machine: _Machine, event: Event) -> None:
    if machine.negation == "negation" and not machine.negated_something:
        machine.negation = ""
        return
    _begin(machine, "resolved", event)


def _remove(machine: _Machine, event: Event) -> None:
    _begin(machine, "removed", event)


def _hedge(machine: _Machine, event: Event) -> None:
    if machine.negation:
        previous = machine.events[machine.number - 1] if machine.number else None
        listed = previous is not None and previous.kind == "and" and previous.last == event.first
        if not (machine.negated_something and listed):
            return
        machine.negation = ""
    machine.hedged = True


def _hedge_statement(machine: _Machine, _event: Event) -> None:
    machine.negation = ""
    machine.hedged = True


def _stop(machine: _Machine, _event: Event) -> None:
    machine.negation, machine.hedged, machine.historical = "", False, False
    machine.hypothetical = None
    machine.clause = machine.number


def _separate(machine: _Machine, event: Event) -> None:
    comma = event.word == ","
    statement = _statement_follows(machine)
    if machine.closed and not _or_stands_next(machine):
        machine.negation = ""
    if machine.negation and (statement or (comma and machine.cue is not None and machine.cue.word == "not")):
        machine.negation = ""
    if comma and not _or_ahead(machine):
        machine.hedged = False
        machine.historical = False
    if comma and machine.hypothetical is not None and (statement or machine.hypothetical.word.startswith(_CONDITIONS)):
        machine.hypothetical = None


def _or_stands_next(machine: _Machine) -> bool:
    following = machine.events[machine.number + 1 : machine.number + 2]
    return bool(following) and following[0].kind == "or"


def _close(machine: _Machine, _event: Event) -> None:
    machine.closed = machine.negated_something


def _statement_follows(machine: _Machine) -> bool:
    """Whether what stands after a comma or "and" is said anew, not one more item of the list before."""
    listed = _or_ahead(machine)
    changed = False
    for event in machine.events[machine.number + 1 :]:
        if event.kind in ("uncertain_before", "uncertain_before_verb", "stop", "negation_before"):
            return True
        if event.kind in _CHANGES or event.kind == "severity":
            changed = True
        elif event.kind == "finding":
            return not listed and (changed or (event.payload.lasting and machine.negation != "removed"))
        elif event.kind in ("subject", "state"):
            return not listed
        elif event.kind in ("and", "or") and changed:
            continue
        elif event.kind in ("and", "or"):
            return False
    return False


def _or_ahead(machine: _Machine) -> bool:
    for event in machine.events[machine.number + 1 :]:
        if event.kind == "or":
            return True
        if event.kind in ("stop", "verb", "negation_before"):
            return False
    return False


def _suppose(machine: _Machine, event: Event) -> None:
    machine.hypothetical = event


def _remember(machine: _Machine, _event: Event) -> None:
    machine.historical = True


def _relate(machine: _Machine, _event: Event) -> None:
    machine.family = True


def _affirm(machine: _Machine, _event: Event) -> None:
    machine.negation = ""


def _negate_back(machine: _Machine, event: Event) -> None:
    _back(machine, event, "negation")


def _resolve_back(machine: _Machine, event: Event) -> None:
    _back(machine, event, "resolved")


def _remove_back(machine: _Machine, event: Event) -> None:
    _back(machine, event, "removed")


def _back(machine: _Machine, event: Event, negation: str) -> None:
    chain = _chain(machine, event, across_complements=negation == "resolved")
    if negation == "negation" and any(e.word.startswith("tip") for e in machine.events):
        chain = [made for made in chain if not made.event.payload.lasting]  # its tip is not seen, but it is there
    if negation == "removed":
        chain = [made for made in chain if made.event.payload.lasting]
    if not chain:
        if not _something_before(machine):
            _begin(machine, negation, event)
        return
    for made in chain:
        if made.status in (Status.PRESENT, Status.UNCERTAIN):
            made.status, made.negated = Status.ABSENT, True
            if negation == "resolved":
                made.change = Change.RESOLVED


def _hedge_back(machine: _Machine, event: Event) -> None:
    for made in _chain(machine, event, across_complements=False):
        if made.status is Status.PRESENT:
            made.status, made.hedged = Status.UNCERTAIN, True


def _unsettle(machine: _Machine, event: Event) -> None:
    """ "Absence of pneumothorax cannot be confirmed" settles nothing either way."""
    for made in _chain(machine, event, across_complements=False):
        if made.status is not None:
            made.status, made.hedged = Status.UNCERTAIN, True


def _something_before(machine: _Machine) -> bool:
    start = machine.events[machine.clause].first if machine.events else 0
    return any(made.event.first >= start for made in machine.asserted)


def _chain(machine: _Machine, cue: Event, *, across_complements: bool) -> list[Assertion]:
    """The list of findings that ends before a cue, the nearest first."""
    start = machine.events[machine.clause].first if machine.events else 0
    chain: list[Assertion] = []
    for made in reversed(machine.asserted):
        if made.event.first < start or made.event.last > cue.first:
            break
        if chain and not _linked(machine, made.event, chain[-1].event, across_complements, listed=len(chain) > 1):
            break
        chain.append(made)
    return chain


def _linked(machine: _Machine, left: Event, right: Event, across_complements: bool, *, listed: bool) -> bool:
    """Whether two findings are items of one list: "and", "or" between them and nothing that makes a statement."""
    if left.first == right.first:
        return True
    linked = False
    for event in machine.events:
        if event.first < left.last or event.last > right.first:
            continue
        if event.kind == "complement":
            linked = linked or across_complements
        elif event.kind in ("or", "and"):
            linked = linked or listed or event.word != ","
        elif event.kind not in MODIFIERS or event.kind == "verb":
            return False
    return linked


def _headings(machine: _Machine) -> None:
    """ "PNEUMOTHORAX: No pneumothorax": a finding before a colon is a heading where a denial follows."""
    colons = [event for event in machine.events if event.kind == "colon"]
    for made in machine.asserted if colons else ():
        if not any(colon.first == made.event.last for colon in colons) or made.status is not Status.PRESENT:
            continue
        if any(event.kind == "negation_before" and event.first >= made.event.last for event in machine.events):
            later = any(other.event.first > made.event.first for other in machine.asserted)
            made.status = None if later else Status.ABSENT


def _hedge_alternatives(machine: _Machine) -> None:
    """ "A or B" leaves both open, unless both are denied."""
    for left, right in zip(machine.asserted, machine.asserted[1:], strict=False):
        between = [e for e in machine.events if left.event.last <= e.first and e.last <= right.event.first]
        if not any(e.kind == "or" for e in between):
            continue
        if any(e.kind == "verb" or e.kind not in _BETWEEN_ALTERNATIVES for e in between):
            continue
        for made in (left, right):
            if made.status is Status.PRESENT and not made.event.payload.lasting:
                made.status, made.hedged = Status.UNCERTAIN, True


def _hedge_versus(machine: _Machine) -> None:
    """ "A versus artifact" leaves A open, whether or not what it is weighed against is a finding."""
    for versus in (e for e in machine.events if e.kind == "or" and e.word in ("versus", "vs")):
        for made in machine.asserted:
            low, high = (
                (made.event.last, versus.first) if made.event.first < versus.first else (versus.last, made.event.first)
            )
            near = high - low <= _NEAR and not any(
                e.kind not in MODIFIERS for e in machine.events if low <= e.first and e.last <= high
            )
            if near and made.status is Status.PRESENT:
                made.status, made.hedged = Status.UNCERTAIN, True


_NEAR = 6
_STEPS: dict[str, Callable[[_Machine, Event], None]] = {
    "finding": _finding,
    "state": _state,
    "negation_before": _negate,
    "negation_after": _negate_back,
    "resolved_before": _resolve,
    "resolved_after": _resolve_back,
    "removed_before": _remove,
    "removed_after": _remove_back,
    "uncertain_before": _hedge,
    "uncertain_before_verb": _hedge_statement,
    "uncertain_after": _hedge_back,
    "unsettled_after": _unsettle,
    "hypothetical": _suppose,
    "historical": _remember,
    "family": _relate,
    "affirm": _affirm,
    "stop": _stop,
    "and": _separate,
    "verb": _close,
}
