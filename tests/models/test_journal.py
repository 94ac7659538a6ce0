"""The journal against a model of it: whatever is switched and taken back, the active version is the top of a stack."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from coread.models.journal import BUILT_IN, Journal, Switch

READERS = st.sampled_from(["one", "two"])
MOVES = st.lists(st.tuples(READERS, st.sampled_from(["a", "b", "c", "undo"])), max_size=14)


def change(reader_id: str, action: str, before: str, after: str) -> Switch:
    return Switch("", "tests", action, reader_id, before, after, "", "", "", "")


@given(MOVES)
@settings(max_examples=15)
def test_switches_and_rollbacks_are_a_stack_for_each_reader(moves: list[tuple[str, str]]) -> None:
    stacks: dict[str, list[str]] = {"one": [BUILT_IN], "two": [BUILT_IN]}
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder))
        stamps = [journal.stamp()]
        for reader_id, move in moves:
            stack = stacks[reader_id]
            if move == "undo" and len(stack) == 1:
                assert journal.undo_of(reader_id) == ()
                continue
            before = stack[-1]
            if move == "undo":
                stack.pop()
                assert journal.undo_of(reader_id)[0] == stack[-1]
                journal.append(change(reader_id, "rollback", before, stack[-1]))
            else:
                stack.append(move)
                journal.append(change(reader_id, "switch", before, move))
            assert journal.active()[reader_id] == stack[-1]
            assert journal.undo_of(reader_id) == tuple(reversed(stack[:-1]))
            assert journal.stamp() != stamps[-1]
            stamps.append(journal.stamp())
        entries = journal.entries()
        assert [item.digest for item in entries[:-1]] == [item.previous for item in entries[1:]]
        assert journal.active() == {
            name: stack[-1] for name, stack in stacks.items() if any(e.reader_id == name for e in entries)
        }
