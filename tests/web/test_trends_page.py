"""The case page draws what was measured on several dates of one patient, and only of that patient."""

from dataclasses import replace

from coread.domain.codes import Code
from coread.domain.findings import Measurement, TrackingId
from coread.phantoms.chest import ChestRecipe, chest_radiograph
from coread.phantoms.dx import Identity
from coread.store import Store
from coread.store.files import arrays_path
from tests.web import world
from tests.web.conftest import Site

VOLUME, ML = Code("118565006", "SCT", "Volume"), Code("ml", "UCUM", "milliliter")


def measured(store: Store, number: int, date: str, value: float, patient_id: str = "SYN-F") -> str:
    identity = Identity(
        patient_name="SYNTHETIC^FOLLOWED", patient_id=patient_id, patient_birth_date="19580304", patient_sex="F",
        accession_number=f"F{number}", study_date=date, study_description="SYNTHETIC", uid_seed=f"follow-{number}",
    )  # fmt: skip
    recipe = ChestRecipe(seed=number, findings=(), rows=256, identity=identity)
    dataset = chest_radiograph(recipe).dataset
    uid = world.send(store, dataset)
    world.settle(store, uid)
    said = world.result(world.reference(store, uid), {"pneumothorax": 0.9}, (256, int(dataset.Columns)))
    lesion = Measurement(VOLUME, value, ML, 1.0, tracking=TrackingId("Liver lesion", "1.2.3"))
    world.finish(store, replace(said, measurements=(lesion,)), evidence=False)
    return uid


def test_two_dates_make_a_plot_and_one_makes_none(ward: Site) -> None:
    first = measured(ward.store, 91, "20260102", 12.0)
    client = ward.logged_in("radiologist")
    assert "Over time" not in client.get(f"/case/{first}").text
    measured(ward.store, 92, "20260103", 99.0, patient_id="SOMEBODY")
    second = measured(ward.store, 93, "20260402", 23.5)
    for uid in (first, second):
        text = client.get(f"/case/{uid}").text
        assert "Liver lesion: Volume" in text
        assert "2026-01-02 12 ± 1; 2026-04-02 23.5 ± 1" in text
        assert "2026-01-03" not in text


def test_a_damaged_result_of_another_date_does_not_close_the_page_and_numbers_are_loaded_once(ward: Site) -> None:
    first, second = measured(ward.store, 94, "20260102", 12.0), measured(ward.store, 95, "20260402", 23.5)
    (work,) = ward.store.work_items(first)
    kept = ward.store.path_of(arrays_path(first, work.work_id))
    aside = kept.rename(kept.with_suffix(".aside"))
    client = ward.logged_in("radiologist")
    assert "Over time" not in client.get(f"/case/{second}").text
    aside.rename(kept)
    assert "12 ± 1; 2026-04-02 23.5 ± 1" in client.get(f"/case/{second}").text
    kept.unlink()
    assert "12 ± 1; 2026-04-02 23.5 ± 1" in client.get(f"/case/{second}").text
