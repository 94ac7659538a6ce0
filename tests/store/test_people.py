"""Accounts, logins, keys, the audit trail and the outbox."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, update

from coread.domain.errors import InvalidRecord
from coread.domain.work import DeliveryState, VerdictKind
from coread.store import Store, StoreFailed, StoreSettings, schema
from coread.store.database import Database, utc_now
from coread.store.errors import AlreadyExists, NoSuchRecord
from tests.store.examples import PACS, evidence, positive, ready_work


def test_accounts_are_made_once_changed_and_disabled(store: Store) -> None:
    store.add_user("ann", "hash", "radiologist")
    with pytest.raises(AlreadyExists):
        store.add_user("ann", "other", "auditor")
    store.set_password("ann", "new")
    store.set_role("ann", "administrator")
    store.disable_user("ann")
    (user,) = store.users()
    assert (user.password_hash, user.role, user.disabled) == ("new", "administrator", True)
    store.disable_user("ann", disabled=False)
    found = store.user("ann")
    assert found is not None
    assert not found.disabled
    with pytest.raises(NoSuchRecord):
        store.set_password("bob", "x")


def test_a_login_ends_with_its_time_or_on_request(store: Store) -> None:
    store.create_session("h1", "ann", utc_now() + timedelta(hours=1), "127.0.0.1")
    store.create_session("h2", "ann", utc_now() - timedelta(seconds=1))
    found = store.session("h1")
    assert found is not None
    assert found.user == "ann"
    assert store.session("h2") is None
    store.delete_session("h1")
    assert store.session("h1") is None
    store.create_session("h3", "ann", utc_now() + timedelta(hours=1))
    assert store.delete_sessions_of("ann") >= 1


def test_a_key_for_programs_stands_for_its_active_user(store: Store) -> None:
    store.add_user("ann", "hash", "radiologist")
    token = store.create_api_token("t1", "ann", "script")
    store.create_api_token("t2", "ann", "old", utc_now() - timedelta(days=1))
    found = store.user_of_api_token("t1")
    assert found is not None
    assert found.name == "ann"
    assert store.user_of_api_token("t2") is None
    store.disable_user("ann")
    assert store.user_of_api_token("t1") is None
    assert store.delete_api_token(token.token_id)
    assert not store.delete_api_token(token.token_id)
    assert [item.label for item in store.api_tokens("ann")] == ["old"]


def test_the_audit_trail_shows_the_newest_first(store: Store) -> None:
    for number in range(3):
        store.audit("ann", "study.opened", f"1.2.{number}", "127.0.0.1", "worklist")
    assert [entry.target for entry in store.audit_entries(2)] == ["1.2.2", "1.2.1"]
    assert [entry.target for entry in store.audit_entries(2, 2)] == ["1.2.0"]


@pytest.mark.parametrize("table", schema.APPEND_ONLY)
def test_the_database_itself_refuses_to_rewrite_the_past(store: Store, settings: StoreSettings, table: str) -> None:
    store.audit("ann", "study.opened")
    store.add_history("1.2", "test.note")
    database = Database(settings)
    target = schema.metadata.tables[table]
    for statement in (update(target).values(detail="forged"), delete(target)):
        with pytest.raises(StoreFailed) as caught:
            database.write(lambda tx, statement=statement: tx.run(statement))  # type: ignore[misc]
        assert "append-only" in str(caught.value.__cause__)
    database.close()


def test_verdicts_stand_beside_the_result(store: Store) -> None:
    item = ready_work(store)
    store.finish_work(item.work_id, "worker", positive())
    given = store.add_verdict(item.work_id, "pneumothorax", VerdictKind.REJECT, "ann", comment="skin fold")
    assert store.verdicts(item.study_instance_uid) == (given,)
    entry = store.history(item.study_instance_uid)[-1]
    assert (entry.event, entry.actor, entry.work_id) == ("people.verdict", "ann", item.work_id)
    with pytest.raises(NoSuchRecord):
        store.add_verdict(10**6, "x", VerdictKind.ACCEPT, "ann")


def queued(store: Store) -> int:
    item = ready_work(store)
    store.finish_work(item.work_id, "worker", positive(), [evidence()], [PACS])
    (delivery,) = store.deliveries(destination="pacs", state=DeliveryState.QUEUED)
    return delivery.delivery_id


def test_an_object_is_sent_retried_and_committed(store: Store) -> None:
    key = queued(store)
    assert store.claim_delivery("elsewhere", "d", 60) is None
    taken = store.claim_delivery("pacs", "d", 60)
    assert taken is not None
    assert (taken.delivery_id, taken.state, taken.attempts) == (key, DeliveryState.SENDING, 1)
    assert store.claim_delivery("pacs", "d", 60) is None
    store.delivery_retry(key, "refused", utc_now() + timedelta(hours=1))
    assert store.claim_delivery("pacs", "d", 60) is None
    (waiting,) = store.deliveries(study_uid=None, destination="pacs")
    assert (waiting.state, waiting.last_error) == (DeliveryState.QUEUED, "refused")


def test_commitment_confirms_or_sends_again(store: Store) -> None:
    key = queued(store)
    store.claim_delivery("pacs", "d", 60)
    store.delivery_sent(key)
    store.delivery_sent(key)
    store.delivery_commit_failed(key, "not kept")
    assert store.claim_delivery("pacs", "d", 60) is not None
    store.delivery_sent(key)
    store.delivery_committed(key)
    store.delivery_committed(key)
    assert store.delivery_counts() == {"pacs": {DeliveryState.COMMITTED: 1}}
    with pytest.raises(InvalidRecord):
        store.delivery_dead(key, "too late")


def test_a_dead_letter_is_sent_again_when_asked_for(store: Store) -> None:
    key = queued(store)
    store.claim_delivery("pacs", "d", 60)
    store.delivery_dead(key, "no route")
    store.requeue_delivery(key, "ann")
    delivery = store.delivery(key)
    assert delivery is not None
    assert (delivery.state, delivery.attempts) == (DeliveryState.QUEUED, 0)
    with pytest.raises(NoSuchRecord):
        store.requeue_delivery(10**6, "ann")


def test_what_a_dead_deliverer_held_is_sent_by_another(store: Store) -> None:
    key = queued(store)
    assert store.claim_delivery("pacs", "dead", -1) is not None
    again = store.claim_delivery("pacs", "alive", 60)
    assert again is not None
    assert (again.delivery_id, again.attempts) == (key, 2)
