"""What follows exactly from a corrected number is counted again, and nothing else is."""

from dataclasses import replace

import pytest

from coread.app.corrections import FINDINGS_STAND, number_changed
from coread.app.deriving import DERIVED, derived
from coread.domain.codes import CHEST, COREAD_SCHEME, Code
from coread.domain.findings import Finding, Measurement, Presence, TrackingId
from coread.domain.results import Curve, ReadResult

ML, MM, PERCENT, MG = (Code(unit, "UCUM", unit) for unit in ("ml", "mm", "%", "mg/cm3"))
HEART, L1, L2 = Code("87878005", "SCT", "LV"), Code("66794005", "SCT", "L1"), Code("14293000", "SCT", "L2")
INTRACRANIAL, BRAIN = Code("128319008", "SCT", "Intracranial"), Code("12738006", "SCT", "Brain")
GREY, WHITE = Code("389081007", "SCT", "Grey"), Code("389080008", "SCT", "White")


def number(code: str, value: float, unit: Code = ML, site: Code | None = None, lesion: str = "") -> Measurement:
    tracking = TrackingId(lesion, f"1.2.{lesion}") if lesion else None
    return Measurement(Code(code, COREAD_SCHEME, code), value, unit, 1.0, site=site, tracking=tracking)


def heart(ejected: float = 60.0) -> tuple[Measurement, ...]:
    rows = (("18026-5", 150.0, ML), ("18148-7", 60.0, ML), ("90096001", 90.0, ML), ("8811-2", ejected, PERCENT))
    return tuple(number(code, value, unit, HEART) for code, value, unit in rows)


def values(result: ReadResult) -> list[float]:
    return [one.value for one in result.measurements]


def test_stroke_volume_and_ejection_fraction_follow_from_a_corrected_volume() -> None:
    curve = Curve("volume", "time", "ms", "volume", "ml", ((0.0, 1.0), (1.0, 2.0)))
    finding = Finding("reduced", CHEST, Presence.ABSENT)
    change = number_changed(ReadResult((finding,), heart(), curves=(curve,)), 0, 100.0)
    assert values(change.result) == [100.0, 60.0, 40.0, 40.0]
    assert [one.method for one in change.result.measurements] == [None, None, DERIVED, DERIVED]
    assert change.result.measurements[3].uncertainty is None
    assert change.result.notes == (
        "Derived from corrected values: 8811-2, LV, 90096001, LV",
        "Not counted anew from the corrected 18026-5, LV: curve volume",
        FINDINGS_STAND,
    )
    assert (change.before, change.after) == (
        "150 \u00b1 1 ml, 8811-2, LV 60 %, 90096001, LV 90 ml", "100 ml, 8811-2, LV 40 %, 90096001, LV 40 ml"
    )  # fmt: skip
    again = number_changed(change.result, 1, 50.0)
    assert values(again.result) == [100.0, 50.0, 50.0, 50.0]
    assert again.result.notes[:3] == change.result.notes, "nothing is said twice"


def test_what_did_not_follow_before_is_named_and_not_replaced() -> None:
    change = number_changed(ReadResult((), heart(57.0)), 0, 100.0)
    assert values(change.result) == [100.0, 60.0, 40.0, 57.0]
    assert "Not counted anew from the corrected 18026-5, LV: 8811-2, LV" in change.result.notes


def test_what_a_person_set_is_not_counted_over() -> None:
    own = number_changed(ReadResult((), heart()), 3, 35.0)
    assert values(own.result) == [150.0, 60.0, 90.0, 35.0]
    assert own.result.notes == ()
    later = number_changed(own.result, 1, 50.0)
    assert values(later.result) == [150.0, 50.0, 100.0, 35.0]
    nothing = number_changed(ReadResult((), heart()), 0, 0.0)
    assert nothing.result.measurements[3].value == 60.0


def test_sums_are_those_of_all_lesions_or_stay() -> None:
    lesions = (number("118565006", 10.0, lesion="1"), number("118565006", 5.0, lesion="2"),
               number("103339001", 30.0, MM, lesion="1"))  # fmt: skip
    whole = number("SUM_VOLUMES", 15.0)
    change = number("VOLUME_CHANGE", 12.0, PERCENT, lesion="1")
    other = number("VOLUME_CHANGE", 3.0, PERCENT, lesion="2")
    corrected = number_changed(ReadResult((), (*lesions, whole, change, other)), 0, 8.0)
    assert values(corrected.result) == [8.0, 5.0, 30.0, 13.0, 12.0, 3.0]
    assert "Not counted anew from the corrected 118565006: VOLUME_CHANGE" in corrected.result.notes
    part = number_changed(ReadResult((), (*lesions, replace(whole, value=10.0))), 0, 8.0)
    assert values(part.result)[3] == 10.0
    assert "Not counted anew from the corrected 118565006: SUM_VOLUMES" in part.result.notes


def test_what_follows_from_something_derived_is_counted_too() -> None:
    head = (
        number("118565006", 1500.0, site=INTRACRANIAL), number("118565006", 1200.0, site=BRAIN),
        number("118565006", 700.0, site=GREY), number("118565006", 500.0, site=WHITE),
        number("SHARE_OF_HEAD", 80.0, PERCENT, BRAIN),
    )  # fmt: skip
    assert values(number_changed(ReadResult((), head), 2, 550.0).result) == [1500.0, 1050.0, 550.0, 500.0, 70.0]


@pytest.mark.parametrize(("other", "mean"), [(110.0, 95.0), (None, 110.0)])
def test_a_mean_of_two_vertebrae_follows_where_both_are_there(other: float | None, mean: float) -> None:
    before = (number("BMD_TRABECULAR", 120.0, MG, L1), number("BMD_TRABECULAR", 100.0, MG, L2),
              number("BMD_L1_L2", 110.0, MG))  # fmt: skip
    second = None if other is None else before[1]
    found = derived(before, (replace(before[0], value=90.0), second, before[2]))
    assert found.measurements[-1].value == mean
    assert [one.name() for one in found.outdated] == ([] if other is not None else ["BMD_L1_L2"])
