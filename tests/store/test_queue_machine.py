"""The work queue under every order of events: nothing is lost, nothing is done twice, only table moves happen."""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from coread.domain.states import WORK_MOVES
from coread.domain.study import SettledReason
from coread.domain.work import Priority, WorkState
from coread.store import Store, StoreSettings
from coread.store.errors import LeaseLost
from tests.store.examples import PACS, accepted, evidence, header, negative, positive, receive, staged

OWNERS = st.sampled_from(("ann", "bob"))


class WorkQueue(RuleBasedStateMachine):
    """Workers claim, beat, finish, die and fall silent; studies grow late."""

    claims = Bundle("claims")

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.store = Store.open(StoreSettings(Path(self.folder.name), durable=False), migrate=True)
        self.states: dict[int, WorkState] = {}
        self.finished: set[int] = set()
        self.studies: dict[str, int] = {}

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @rule(name=st.sampled_from("abc"))
    def a_study_arrives_or_grows(self, name: str) -> None:
        count = self.studies.get(name, 0) + 1
        self.studies[name] = count
        if count == 1:
            uid = receive(self.store, name)
        else:
            self.store.add_files([staged(self.store, header(name, f"late {count}"))])
            uid = header(name).study_instance_uid
        generation = self.store.settle(uid, SettledReason.SILENCE).generation
        self.store.record_decisions([accepted(uid, generation)], Priority.MEDIUM)

    @rule(target=claims, owner=OWNERS)
    def claim(self, owner: str) -> Any:
        item = self.store.claim_work(owner, 60)
        if item is not None:
            assert self.states.get(item.work_id, WorkState.SCHEDULED) is WorkState.SCHEDULED
            assert item.work_id not in self.finished
        return (owner, item)

    @rule(claimed=consumes(claims), good=st.booleans())
    def finish(self, claimed: Any, good: bool) -> None:
        owner, item = claimed
        if item is None:
            return
        reading = positive() if good else negative()
        made = [evidence(f"{item.study_instance_uid} {item.generation}")]
        try:
            self.store.finish_work(item.work_id, owner, reading, made, [PACS])
        except LeaseLost:
            assert self.store.work_item(item.work_id) is not None
            return
        self.finished.add(item.work_id)

    @rule(claimed=claims)
    def beat(self, claimed: Any) -> None:
        owner, item = claimed
        if item is not None:
            held = self.states[item.work_id] is WorkState.IN_PROGRESS
            assert self.store.heartbeat(item.work_id, owner, 60) in ({True, False} if held else {False})

    @rule(claimed=claims)
    def fall_silent(self, claimed: Any) -> None:
        owner, item = claimed
        if item is not None:
            self.store.heartbeat(item.work_id, owner, -1)
            self.store.release_expired()

    @rule(owner=OWNERS)
    def die(self, owner: str) -> None:
        self.store.release_owner(owner, "killed")

    @invariant()
    def every_item_moves_by_the_table_and_ends_once(self) -> None:
        for name in self.studies:
            uid = header(name).study_instance_uid
            items = self.store.work_items(uid)
            assert len(items) == self.studies[name]
            assert sum(item.state in (WorkState.SCHEDULED, WorkState.IN_PROGRESS) for item in items) <= 1
            for item in items:
                before = self.states.get(item.work_id, WorkState.SCHEDULED)
                assert before == item.state or reachable(before, item.state)
                self.states[item.work_id] = item.state
                assert (self.store.reading(item.work_id) is not None) == (item.state is WorkState.COMPLETED)
            assert len(self.store.evidence(uid)) == len(self.store.deliveries(study_uid=uid))


def reachable(before: WorkState, after: WorkState) -> bool:
    """Say whether one or two listed moves lead there: a step may release and end an item at once."""
    middle = {state for state in WorkState if (before, state) in WORK_MOVES}
    return (before, after) in WORK_MOVES or any((state, after) in WORK_MOVES for state in middle)


TestWorkQueue = WorkQueue.TestCase
TestWorkQueue.settings = settings(max_examples=8, stateful_step_count=15, deadline=None)
