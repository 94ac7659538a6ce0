"""Removing old studies, bringing them back, and what must never be removed; and the disk's limits."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from coread.domain.study import SettledReason
from coread.domain.work import DeliveryState
from coread.store import DiskLevel, Store, StoreMisconfigured, StoreSettings
from coread.store.database import utc_now
from coread.store.errors import NoSuchRecord
from tests.store.examples import PACS, evidence, header, positive, ready_work, receive, staged


def later(days: float) -> datetime:
    return utc_now() + timedelta(days=days)


@pytest.fixture
def keeping(settings: StoreSettings) -> StoreSettings:
    return replace(settings, retention_days=30, trash_days=7)


def finished(store: Store, name: str) -> str:
    item = ready_work(store, name)
    store.finish_work(item.work_id, "worker", positive(), [evidence(name)], [PACS])
    delivery = store.claim_delivery("pacs", "d", 60)
    assert delivery is not None
    store.delivery_sent(delivery.delivery_id)
    return item.study_instance_uid


def test_an_old_finished_study_goes_to_the_trash_and_can_come_back(keeping: StoreSettings) -> None:
    with Store.open(keeping) as store:
        uid = finished(store, "a")
        assert store.apply_retention(later(29)).trashed == ()
        assert store.apply_retention(later(31)).trashed == (uid,)
        assert store.study(uid) is None
        assert store.worklist().items == ()
        store.restore_trash(uid)
        assert store.study(uid) is not None
        for instance in store.instances(study_uid=uid):
            assert store.path_of(instance.path).is_file()
        with pytest.raises(NoSuchRecord):
            store.restore_trash(uid)


def test_the_trash_is_emptied_in_time_and_the_history_stays(keeping: StoreSettings) -> None:
    with Store.open(keeping) as store:
        uid = finished(store, "a")
        kept = finished(store, "b")
        store.apply_retention(later(31))
        store.restore_trash(kept)
        assert store.apply_retention(later(33)).purged == ()
        report = store.apply_retention(later(31 + 8))
        assert report.purged == (uid,)
        assert [path for path in store.folder.rglob("*.dcm") if "trash" in path.parts and uid in str(path)] == []
        assert [entry.event for entry in store.history(uid)][-1] == "retention.purged"
        assert store.instances(study_uid=uid) == ()


def test_unfinished_work_and_undelivered_results_are_never_removed(keeping: StoreSettings) -> None:
    with Store.open(keeping) as store:
        receive(store, "growing")
        waiting = ready_work(store, "waiting")
        item = ready_work(store, "unsent")
        store.finish_work(item.work_id, "worker", positive(), [evidence()], [PACS])
        delivery = store.claim_delivery("pacs", "d", 60)
        assert delivery is not None
        store.delivery_dead(delivery.delivery_id, "unreachable")
        report = store.apply_retention(later(400))
        assert (report.trashed, report.kept_unfinished) == ((), 3)
        assert store.deliveries(state=DeliveryState.DEAD) != ()
        assert store.study(waiting.study_instance_uid) is not None


def test_a_new_image_brings_a_study_back_from_the_trash(keeping: StoreSettings) -> None:
    with Store.open(keeping) as store:
        uid = receive(store, "a")
        store.settle(uid, SettledReason.SILENCE)
        assert store.apply_retention(later(31)).trashed == (uid,)
        store.add_files([staged(store, header("a", "late"))])
        study = store.study(uid)
        assert study is not None
        assert study.instance_count == 3
        assert all(store.path_of(item.path).is_file() for item in store.instances(study_uid=uid))


def test_nothing_is_removed_without_a_limit(store: Store) -> None:
    finished(store, "a")
    assert store.apply_retention(later(10_000)).trashed == ()


@pytest.mark.parametrize(("free", "level"), [(200, DiskLevel.OK), (90, DiskLevel.WARN), (40, DiskLevel.REFUSE)])
def test_the_disk_has_two_limits(tmp_path: Path, free: int, level: DiskLevel) -> None:
    settings = StoreSettings(tmp_path, durable=False, disk_usage=lambda _: (1000, free))
    with Store.open(settings, migrate=True) as store:
        state = store.disk_state()
    assert (state.level, state.free_bytes, state.free_fraction) == (level, free, free / 1000)


def test_limits_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreMisconfigured):
        StoreSettings(tmp_path, warn_free_fraction=0.05, refuse_free_fraction=0.1)
    with pytest.raises(StoreMisconfigured):
        StoreSettings(tmp_path, retention_days=0)
