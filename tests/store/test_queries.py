"""QIDO-RS matching (PS3.4 C.2.2.2)."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coread.store import InstanceQuery, SeriesQuery, Store, StoreSettings, StudyQuery
from tests.store.examples import header, receive, staged

NAMES = ("Doe^Jane", "DOE^JOHN", "Müller^Änne", "Yamada^Tarou=山田^太郎", "O_Neil^%", "Smith^A[b]*")


def fill(store: Store) -> None:
    for number, name in enumerate(NAMES):
        modality = "CT" if number % 2 else "DX"
        receive(
            store,
            f"s{number}",
            images=1,
            patient_name=name,
            patient_id=f"P{number}",
            study_date=f"2026010{number + 1}",
            study_time=f"0{number}3000",
            accession_number="Aa" if number else "AA",
            modality=modality,
        )


def found(store: Store, **query: object) -> list[str]:
    return [study.patient_id for study in store.find_studies(StudyQuery(**query)).items]  # type: ignore[arg-type]


@pytest.fixture
def filled(store: Store) -> Store:
    fill(store)
    return store


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["P5", "P4", "P3", "P2", "P1", "P0"]),
        ({"patient_name": "doe^j*"}, ["P1", "P0"]),
        ({"patient_name": "DOE^JANE^"}, ["P0"]),
        ({"patient_name": "müller*"}, ["P2"]),
        ({"patient_name": "yamada^tarou"}, ["P3"]),
        ({"patient_name": "*太郎"}, ["P3"]),
        ({"patient_name": "d?e^j*n*"}, ["P1", "P0"]),
        ({"patient_name": "o_neil^%"}, ["P4"]),
        ({"patient_name": "o_*"}, ["P4"]),
        ({"patient_name": "*"}, ["P5", "P4", "P3", "P2", "P1", "P0"]),
        ({"patient_id": "P3"}, ["P3"]),
        ({"patient_id": "p3"}, []),
        ({"patient_id": "P?"}, ["P5", "P4", "P3", "P2", "P1", "P0"]),
        ({"accession_number": "AA"}, ["P0"]),
        ({"accession_number": "A*"}, ["P5", "P4", "P3", "P2", "P1", "P0"]),
        ({"accession_number": "*A"}, ["P0"]),
        ({"study_date": "20260102"}, ["P1"]),
        ({"study_date": "20260102-20260103"}, ["P2", "P1"]),
        ({"study_date": "20260105-"}, ["P5", "P4"]),
        ({"study_date": "-20260102"}, ["P1", "P0"]),
        ({"study_time": "0230-0330"}, ["P3", "P2"]),
        ({"modalities_in_study": ("CT",)}, ["P5", "P3", "P1"]),
        ({"modalities_in_study": ("CT",), "study_date": "20260103-"}, ["P5", "P3"]),
        ({"modalities_in_study": ("CT", "DX"), "patient_id": "P1"}, ["P1"]),
        ({"modalities_in_study": ("MR",)}, []),
        ({"limit": 2, "offset": 1}, ["P4", "P3"]),
    ],
)
def test_studies_match_as_the_standard_says(shared_store: Store, query: dict[str, object], expected: list[str]) -> None:
    assert found(shared_store, **query) == expected


def test_postgresql_and_sqlite_answer_alike(filled: Store) -> None:
    assert found(filled, patient_name="doe^j*") == ["P1", "P0"]
    assert found(filled, patient_name="*太郎") == ["P3"]
    assert found(filled, patient_name="o_neil^%") == ["P4"]
    assert found(filled, patient_id="p3") == []
    assert found(filled, accession_number="*A") == ["P0"]
    assert found(filled, study_date="20260102-20260103") == ["P2", "P1"]
    assert found(filled, modalities_in_study=("CT",)) == ["P5", "P3", "P1"]
    assert found(filled, modalities_in_study=("CT", "DX"), patient_name="D*") == ["P1", "P0"]
    assert filled.find_studies(StudyQuery(limit=5)).more
    assert not filled.find_studies(StudyQuery(limit=6)).more
    uids = (header("s1").study_instance_uid, header("s4").study_instance_uid, "1.2.3")
    assert found(filled, study_instance_uids=uids) == ["P4", "P1"]


def test_series_and_instances_match(store: Store) -> None:
    uid = receive(store, "a", images=3)
    receive(store, "b", images=1)
    store.add_files([staged(store, header("a", "ct", series_instance_uid="1.9", modality="CT", series_number=5))])
    assert [series.modality for series in store.find_series(SeriesQuery(uid)).items] == ["DX", "CT"]
    assert [item.series_instance_uid for item in store.find_series(SeriesQuery(series_number=5)).items] == ["1.9"]
    assert len(store.find_series(SeriesQuery(modality="D*")).items) == 2
    assert len(store.find_instances(InstanceQuery(uid)).items) == 4
    assert len(store.find_instances(InstanceQuery(uid, instance_number=2)).items) == 1
    page = store.find_instances(InstanceQuery(series_instance_uid=header("a").series_instance_uid, limit=2))
    assert (len(page.items), page.more) == (2, True)
    wanted = InstanceQuery(sop_instance_uids=(header("a", "ct").sop_instance_uid,))
    assert len(store.find_instances(wanted).items) == 1


@pytest.fixture(scope="module")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store.open(StoreSettings(tmp_path_factory.mktemp("match"), durable=False), migrate=True)
    fill(store)
    return store


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pattern=st.text(st.sampled_from("doejan^m?*_%ü[]b\\=太"), min_size=1, max_size=8))
def test_wildcards_mean_the_same_as_in_a_shell(shared_store: Store, pattern: str) -> None:
    wanted = pattern.casefold().rstrip("^= ")
    shell = wanted.replace("[", "[[]")
    expected = set()
    for number, name in enumerate(NAMES):
        stored = name.casefold().rstrip("^= ")
        if not wanted or fnmatchcase(stored, shell) or fnmatchcase(stored, f"{shell}=*"):
            expected.add(f"P{number}")
    assert set(found(shared_store, patient_name=pattern)) == expected
