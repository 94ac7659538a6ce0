"""Change, side, size, place, acuteness: what stands around a finding; and what outranks what."""

import math

import pytest

from coread.domain.findings import Presence
from coread.reports import Agreement, Change, Side, Status, compare_with_reader, label_report, weak_labels
from coread.reports.marks import marked
from coread.reports.phrases import corrected, one_slip_apart
from coread.reports.records import Label


def only(text: str, finding: str) -> Label:
    found = label_report(text).label(finding)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "finding", "change"),
    [
        ("New right effusion.", "pleural_effusion", Change.NEW),
        ("Effusion has increased.", "pleural_effusion", Change.INCREASED),
        ("Worsening edema.", "edema", Change.INCREASED),
        ("Stable cardiomegaly.", "cardiomegaly", Change.UNCHANGED),
        ("No significant change in the effusion.", "pleural_effusion", Change.UNCHANGED),
        ("Improved edema.", "edema", Change.DECREASED),
        ("Pneumothorax has resolved.", "pneumothorax", Change.RESOLVED),
        ("Interval resolution of edema.", "edema", Change.RESOLVED),
        ("Effusion, smaller than before.", "pleural_effusion", Change.DECREASED),
        ("Small effusion.", "pleural_effusion", None),
    ],
)
def test_change_is_told(text: str, finding: str, change: Change | None) -> None:
    assert only(text, finding).change is change


@pytest.mark.parametrize(
    ("text", "finding", "side"),
    [
        ("Left pleural effusion.", "pleural_effusion", Side.LEFT),
        ("Effusion on the right.", "pleural_effusion", Side.RIGHT),
        ("Bilateral effusions.", "pleural_effusion", Side.BILATERAL),
        ("Right and left effusions.", "pleural_effusion", Side.BILATERAL),
        ("Left effusion and right pneumothorax.", "pneumothorax", Side.RIGHT),
        ("Left effusion and right pneumothorax.", "pleural_effusion", Side.LEFT),
        ("Consolidation in the left lower lobe.", "consolidation", Side.LEFT),
        ("RLL pneumonia.", "pneumonia", Side.RIGHT),
        ("Bibasilar atelectasis.", "atelectasis", Side.BILATERAL),
        ("Cardiomegaly.", "cardiomegaly", None),
    ],
)
def test_side_is_told(text: str, finding: str, side: Side | None) -> None:
    assert only(text, finding).side is side


@pytest.mark.parametrize(
    ("text", "size", "previous"),
    [
        ("8 mm nodule.", 8, None),
        ("8-mm nodule in the right lung.", 8, None),
        ("Nodule measuring 1.2 cm.", 12, None),
        ("Nodule measuring 1.2 x 0.9 cm.", 12, None),
        ("Nodule measures 9 x 14 mm.", 14, None),
        ("Nodules: 3 mm, 5 mm and 7 mm.", 7, None),
        ("Nodules, the largest measuring 11 millimeters.", 11, None),
        ("Multiple nodules. The largest measures 0.8 cm.", 8, None),
        ("Nodule now measures 9 mm, previously 6 mm.", 9, 6),
        ("Nodule 4-6 mm.", 6, None),
        ("Nodule without measurement.", None, None),
        ("ET tube 4 cm above the carina. Nodule.", None, None),
        ("FINDINGS: 5 mm nodule. IMPRESSION: Nodule.", 5, None),
    ],
)
def test_size_of_a_nodule_in_mm(text: str, size: float | None, previous: float | None) -> None:
    found = only(text, "lung_nodule")
    assert (found.size_mm, found.previous_size_mm) == (size, previous)


def test_level_and_acuteness_of_an_embolism() -> None:
    found = only("Acute segmental pulmonary emboli in the right lower lobe.", "pulmonary_embolism")
    assert found.acuity == "acute"
    assert "segmental" in found.site
    assert only("Chronic pulmonary embolus.", "pulmonary_embolism").acuity == "chronic"


def test_the_vessel_of_an_occlusion() -> None:
    found = only("Occlusion of the left M1 segment.", "large_vessel_occlusion")
    assert (found.side, found.status) == (Side.LEFT, Status.PRESENT)


def test_a_partial_absence_in_the_impression_outranks_nothing() -> None:
    assert only("FINDINGS: Left effusion. IMPRESSION: No large effusion.", "pleural_effusion").status is Status.PRESENT
    assert only("FINDINGS: Left effusion. IMPRESSION: No effusion.", "pleural_effusion").status is Status.ABSENT


def test_weak_labels_carry_how_they_were_said() -> None:
    weak = weak_labels("Lungs are clear. No effusion. Possible fracture. No intracranial hemorrhage.")
    assert (weak.values["lung_opacity"], weak.uncertainty["lung_opacity"]) == (0.0, 0.5)
    assert (weak.values["pleural_effusion"], weak.uncertainty["pleural_effusion"]) == (0.0, 0.0)
    assert math.isnan(weak.values["fracture"])
    assert weak.uncertainty["fracture"] == 1.0
    assert weak.values["subdural_hemorrhage"] == 0.0
    assert math.isnan(weak.values["pneumothorax"])
    assert weak_labels("Possible fracture.", uncertain_as=1.0).values["fracture"] == 1.0
    assert not weak_labels("").assessed


def test_only_a_plain_yes_against_a_plain_no_is_discordant() -> None:
    report = label_report("No pneumothorax. Possible effusion. Mild cardiomegaly. RLL consolidation.")
    reader = {
        "pneumothorax": Presence.PRESENT,
        "effusion": Presence.PRESENT,
        "cardiomegaly": Presence.PRESENT,
        "opacity": Presence.PRESENT,
        "nodule_mass": Presence.ABSENT,
        "atelectasis": Presence.NOT_ASSESSED,
    }
    found = {c.key: c.agreement for c in compare_with_reader(report, reader)}
    assert found == {
        "pneumothorax": Agreement.DISCORDANT,
        "effusion": Agreement.UNASSESSABLE,
        "cardiomegaly": Agreement.CONCORDANT,
        "opacity": Agreement.CONCORDANT,
        "nodule_mass": Agreement.UNASSESSABLE,
        "atelectasis": Agreement.UNASSESSABLE,
    }
    silent = compare_with_reader(label_report(""), {"pneumothorax": Presence.ABSENT})
    assert silent[0].agreement is Agreement.UNASSESSABLE


def test_marks_stand_where_the_words_are() -> None:
    text = "No effusion. Hydropneumothorax."
    assert marked(text, label_report(text)) == (
        "No [effusion]{-pleural_effusion}. [Hydropneumothorax]{+pneumothorax +pleural_effusion}."
    )


@pytest.mark.parametrize("word", ["pneumothroax", "pneumothorx", "pneumothoraxx", "pneumothprax"])
def test_one_slip_is_forgiven(word: str) -> None:
    assert corrected(word) == "pneumothorax"


@pytest.mark.parametrize("word", ["confusion", "perfusion", "infusion", "diffusion", "qneumothorax", "hemithorax"])
def test_other_words_stay_what_they_are(word: str) -> None:
    assert corrected(word) == word


def test_slips() -> None:
    assert one_slip_apart("edema", "eedma") is True
    assert not one_slip_apart("edema", "eddaa")
    assert not one_slip_apart("abcd", "ab")
