"""What happens to an object when it is received once, twice, differently, late or by mistake."""

import hashlib
from pathlib import Path

import pytest

from coread.domain.reasons import Reason, ReasonCode
from coread.domain.study import InstanceHeader, Origin, ReceiveStatus, SettledReason, StudyState
from coread.store import StagedFile, Store
from coread.store.errors import UnsafePath
from tests.store.examples import evidence, header, positive, ready_work, receive, staged

OWN = Origin("own", "chest_xray")


def events(store: Store, uid: str) -> list[str]:
    return [entry.event for entry in store.history(uid)]


def test_an_object_is_stored_with_its_header_bytes_and_origin(store: Store) -> None:
    item = staged(store, header(), b"the bytes")
    (receipt,) = store.add_files([item])
    assert receipt.status is ReceiveStatus.STORED
    (instance,) = store.instances([item.header.sop_instance_uid])
    assert instance.header == item.header
    assert instance.origin == item.origin
    assert store.path_of(instance.path).read_bytes() == b"the bytes"
    assert instance.sha256 == hashlib.sha256(b"the bytes").hexdigest()
    assert list(store.staging_folder().iterdir()) == []


def test_a_second_copy_is_counted_and_not_stored(store: Store) -> None:
    store.add_files([staged(store, header())])
    (receipt,) = store.add_files([staged(store, header())])
    assert receipt.status is ReceiveStatus.DUPLICATE
    study = store.study(header().study_instance_uid)
    assert study is not None
    assert (study.instance_count, study.series_count) == (1, 1)
    assert list(store.staging_folder().iterdir()) == []
    assert "receive.duplicate" in events(store, study.study_instance_uid)


def test_two_copies_in_one_batch_are_one(store: Store) -> None:
    receipts = store.add_files([staged(store, header()), staged(store, header())])
    assert [receipt.status for receipt in receipts] == [ReceiveStatus.STORED, ReceiveStatus.DUPLICATE]
    assert len(store.instances(study_uid=header().study_instance_uid)) == 1


def test_other_bytes_under_the_same_uid_are_kept_aside_and_never_overwrite(store: Store) -> None:
    store.add_files([staged(store, header(), b"first")])
    (receipt,) = store.add_files([staged(store, header(), b"second")])
    assert receipt.status is ReceiveStatus.CONFLICT
    (instance,) = store.instances([header().sop_instance_uid])
    assert store.path_of(instance.path).read_bytes() == b"first"
    (conflict,) = store.conflicts(header().study_instance_uid)
    assert store.path_of(conflict.path).read_bytes() == b"second"
    assert store.study_flags(header().study_instance_uid) == ("conflicts",)


def test_the_same_contradiction_twice_is_kept_once(store: Store) -> None:
    store.add_files([staged(store, header(), b"first")])
    for _ in range(2):
        store.add_files([staged(store, header(), b"second")])
    assert len(store.conflicts(header().study_instance_uid)) == 1


def test_a_second_patient_in_a_study_is_kept_aside_and_flagged(store: Store) -> None:
    uid = receive(store)
    (receipt,) = store.add_files([staged(store, header(sop="other", patient_id="P2"))])
    assert receipt.status is ReceiveStatus.CONFLICT
    assert "two patients" in receipt.detail
    study = store.study(uid)
    assert study is not None
    assert (study.patient_id, study.instance_count) == ("P1", 2)
    assert set(store.study_flags(uid)) == {"two_patients", "conflicts"}
    assert store.worklist().items[0].flags == ("two_patients", "conflicts")
    assert store.conflicts(uid)[0].reason == ReasonCode.TWO_PATIENTS.value


def test_a_corrected_spelling_of_the_name_is_no_second_patient(store: Store) -> None:
    receive(store)
    (receipt,) = store.add_files([staged(store, header(sop="other", patient_name="DOE^JANE^^"))])
    assert receipt.status is ReceiveStatus.STORED


def test_a_late_image_opens_a_settled_study_again(store: Store) -> None:
    uid = receive(store)
    assert store.settle(uid, SettledReason.SILENCE).generation == 1
    assert store.unsettled_studies() == ()
    store.add_files([staged(store, header(sop="late"))])
    study = store.study(uid)
    assert study is not None
    assert (study.state, study.generation, study.settled_reason) == (StudyState.RECEIVING, 1, None)
    assert "receive.reopened" in events(store, uid)
    assert store.settle(uid, SettledReason.SILENCE).generation == 2


def test_a_duplicate_does_not_open_a_settled_study(store: Store) -> None:
    store.add_files([staged(store, header())])
    uid = header().study_instance_uid
    store.settle(uid, SettledReason.SILENCE)
    store.add_files([staged(store, header())])
    assert store.unsettled_studies() == ()


def test_our_own_evidence_is_found_but_neither_counted_nor_settling(store: Store) -> None:
    item = ready_work(store)
    before = store.study(item.study_instance_uid)
    store.finish_work(item.work_id, "worker", positive(), [evidence()])
    assert store.study(item.study_instance_uid) == before
    assert len(store.instances(study_uid=item.study_instance_uid)) == 3
    full = store.study(item.study_instance_uid, with_instances=True)
    assert full is not None
    assert sum(len(series.instances) for series in full.series) == 2


def test_our_own_evidence_that_comes_back_is_a_duplicate_even_re_encoded(store: Store) -> None:
    item = ready_work(store)
    (record,) = store.finish_work(item.work_id, "worker", positive(), [evidence()])
    head = header(sop="x", sop_instance_uid=record.sop_instance_uid, series_instance_uid=record.series_instance_uid)
    (receipt,) = store.add_files([staged(store, head, b"re-encoded")])
    assert receipt.status is ReceiveStatus.DUPLICATE
    assert store.unsettled_studies() == ()


def test_high_priority_marks_the_study(store: Store) -> None:
    uid = receive(store, requested_procedure_priority="STAT")
    study = store.study(uid)
    assert study is not None
    assert study.stat


def test_series_and_modalities_grow_with_the_images(store: Store) -> None:
    uid = receive(store)
    store.add_files([staged(store, header(sop="ct", series_instance_uid="1.2.77", modality="CT", series_number=2))])
    study = store.study(uid, with_series=True)
    assert study is not None
    assert (study.modalities, study.series_count, study.instance_count) == (("CT", "DX"), 2, 3)
    assert [series.instance_count for series in study.series] == [2, 1]


def test_open_associations_count_as_activity(store: Store) -> None:
    store.association_opened("a1", "SCANNER", "127.0.0.1")
    receive(store)
    (growing,) = store.unsettled_activity()
    assert (growing.open_associations, growing.last_association_closed_at) == (1, None)
    store.association_closed("a1")
    (growing,) = store.unsettled_activity()
    assert growing.open_associations == 0
    assert growing.last_association_closed_at is not None


def test_refused_bytes_go_to_quarantine_with_their_reason(store: Store) -> None:
    path = store.staging_folder() / "bad.part"
    path.write_bytes(b"no DICOM")
    kept = store.quarantine(path, Reason(ReasonCode.NOT_DICOM), Origin("folder"))
    assert kept.read_bytes() == b"no DICOM"
    assert not path.exists()
    assert kept.is_relative_to(store.folder / "quarantine")
    assert events(store, "") == ["receive.refused"]


def test_acknowledged_files_are_indexed_after_a_crash(store: Store) -> None:
    items = {staged(store, header(sop=f"image {k}"), b"%d" % k).path: header(sop=f"image {k}") for k in range(3)}
    (store.staging_folder() / "half.part").write_bytes(b"never acknowledged")
    assert store.recover_staging(lambda path: items[path]) == 3
    assert store.recover_staging(lambda path: items[path]) == 0
    assert len(store.instances(study_uid=header().study_instance_uid)) == 3
    assert [path.name for path in store.staging_folder().iterdir()] == ["half.part"]


def test_a_crash_between_commit_and_clean_up_doubles_nothing(store: Store) -> None:
    item = staged(store, header(), b"bytes")
    store.add_files([item])
    item.path.write_bytes(b"bytes")
    assert store.recover_staging(lambda _: header()) == 0
    assert len(store.instances(study_uid=header().study_instance_uid)) == 1
    assert not item.path.exists()


def test_bytes_that_a_crash_left_in_the_final_place_are_replaced_not_indexed(store: Store) -> None:
    item = staged(store, header(), b"second attempt")
    (kept,) = [item]
    first = store.add_files([kept])
    (instance,) = store.instances([header().sop_instance_uid])
    assert first[0].status is ReceiveStatus.STORED
    other = header("study two")
    stray = store.path_of(instance.path.replace(Path(instance.path).name, "stray.dcm"))
    stray.write_bytes(b"stray")
    store.add_files([staged(store, other, b"true bytes")])
    (found,) = store.instances([other.sop_instance_uid])
    assert store.path_of(found.path).read_bytes() == b"true bytes"


@pytest.mark.parametrize("hostile", ["../../etc/passwd", "/etc/passwd", "a/../../b", "", "..\\up", "nul\0"])
def test_no_path_leaves_the_folder(store: Store, hostile: str) -> None:
    with pytest.raises(UnsafePath):
        store.path_of(hostile)


def test_a_hostile_uid_is_only_a_name(store: Store) -> None:
    head = InstanceHeader("../../x", "/etc", "..\\..\\y", "1.2", "1.2")
    store.add_files([staged(store, head)])
    (instance,) = store.instances(["..\\..\\y"])
    assert store.path_of(instance.path).resolve().is_relative_to(store.folder.resolve())


def test_an_empty_batch_does_nothing(store: Store) -> None:
    before = store.change_token()
    assert store.add_files([]) == []
    assert store.change_token() == before


def test_a_batch_whose_file_is_gone_changes_nothing(store: Store) -> None:
    good, gone = staged(store, header(sop="good")), staged(store, header(sop="gone"))
    gone.path.unlink()
    with pytest.raises(FileNotFoundError):
        store.add_files([good, gone])
    assert store.study(good.header.study_instance_uid) is None
    assert good.path.exists()
    assert isinstance(good, StagedFile)
