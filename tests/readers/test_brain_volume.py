"""Brain volumes and their change: what can be known is measured, and the rest is said not to be."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bench.brain_volume import FOLDER, PAIRS, Graphs, measured_words, pair_row, together_rows
from numpy.typing import NDArray

from coread.domain.findings import Presence
from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.domain.reading import Arrays, Prepared, ReaderInputs
from coread.engine.samples import study_of
from coread.readers.brain_volume.cohort import fitted_box
from coread.readers.brain_volume.comparing import scaled_change
from coread.readers.brain_volume.drawn_heads import drawn_head
from coread.readers.brain_volume.drawn_labels import CSF, FINE_SHAPE, GREY_MATTER, WHITE_MATTER, with_distance
from coread.readers.brain_volume.examined import cut_by_field
from coread.readers.brain_volume.head import covering_grid, first_middle, found_head, upright_grid
from coread.readers.brain_volume.hippocampi import Hippocampus, cooled
from coread.readers.brain_volume.lesions import Lesions
from coread.readers.brain_volume.mixture import fitted
from coread.readers.brain_volume.outputs import HEAD_SHAPE, TISSUE
from coread.readers.brain_volume.reader import lesions_beside, reader
from coread.readers.brain_volume.reference import expected_loss, standing
from coread.readers.brain_volume.report import Seen, lesions_reported
from coread.readers.card_file import read_card
from tests.route.studies import header


@dataclass(frozen=True)
class Session:
    """A tissue network that sees a ball of white matter in every image."""

    parameters: Mapping[str, Any] = field(default_factory=dict)
    radius: float = 16.0
    digest: str = "0" * 64
    runtime: str = "none"

    def run(self, graph: str, inputs: Arrays) -> dict[str, NDArray[Any]]:
        assert graph == TISSUE
        assert inputs["image"].shape == (1, 1, *HEAD_SHAPE)
        up, back, side = (np.arange(n) - (n - 1) / 2 for n in HEAD_SHAPE)
        away = np.sqrt(up[:, None, None] ** 2 + back[None, :, None] ** 2 + side[None, None, :] ** 2)
        logits = np.zeros((1, 6, *HEAD_SHAPE), dtype=np.float32)
        logits[0, 3] = np.where(away < self.radius, 8, -8)
        logits[0, 0] = 4
        return {TISSUE: logits}

    def calibrate(self, key: str, logit: float) -> float:
        raise AssertionError(f"no curve of {key} at {logit}")


def head_volume() -> Volume:
    """Draw a bright ball of 80 mm radius about (5, -10, 20), LPS mm, on a grid of 5 mm."""
    geometry = upright_grid(np.array([0.0, 0.0, 0.0]), (44, 50, 46), 5.0, "1.2.3")
    places = geometry.to_patient(np.argwhere(np.ones(geometry.shape)))
    away = np.linalg.norm(places - np.array([5.0, -10.0, 20.0]), axis=1).reshape(geometry.shape)
    return Volume(np.where(away < 80, 500, 5).astype(np.float32), Quantity.ARBITRARY, geometry, ())


def test_the_middle_of_a_head_is_found_from_its_outline() -> None:
    middle = first_middle(head_volume())
    assert middle is not None
    assert np.linalg.norm(middle[:2] - np.array([5.0, -10.0])) < 6
    assert abs(middle[2] - 20) < 20


def test_air_alone_is_no_head() -> None:
    geometry = upright_grid(np.zeros(3), (30, 30, 30), 6.0, "1.2.3")
    quiet = np.random.default_rng(1).random((30, 30, 30), dtype=np.float32)
    volume = Volume(quiet, Quantity.ARBITRARY, geometry, ())
    assert found_head(Session(radius=3.0), volume) is None


def test_a_covering_grid_is_the_same_whichever_way_the_axes_run() -> None:
    geometry = head_volume().geometry
    matrix = geometry.matrix()[:3]
    last = np.array(geometry.shape) - 1
    turned = np.column_stack([-matrix[:, :3], matrix[:, 3] + matrix[:, :3] @ last])
    other = Geometry(geometry.shape, affine_of(turned), geometry.frame_of_reference_uid)
    assert np.allclose(covering_grid(geometry, 6.0).matrix(), covering_grid(other, 6.0).matrix())


def test_a_histogram_gives_back_its_tissues() -> None:
    random = np.random.default_rng(3)
    counts = {100.0: 15_000, 500.0: 40_000, 700.0: 45_000}
    pure = np.concatenate([random.normal(mean, 20, count) for mean, count in counts.items()])
    share = random.random(20_000)
    mixed = 100 + share * 400 + random.normal(0, 20, 20_000)
    found = fitted(np.concatenate([pure, mixed]).astype(np.float32), np.array([130.0, 470.0, 690.0]))
    values = np.concatenate([pure, mixed]).astype(np.float32)
    amounts = [float(found.share(tissue, values).sum()) for tissue in range(3)]
    assert amounts[0] == pytest.approx(15_000 + 10_000, rel=0.04)
    assert amounts[1] == pytest.approx(40_000 + 10_000, rel=0.04)
    assert amounts[2] == pytest.approx(45_000, rel=0.04)
    assert found.separation() > 5


def test_shares_of_a_voxel_sum_to_one() -> None:
    found = fitted(np.random.default_rng(4).normal(400, 150, 5000).astype(np.float32), np.array([100.0, 400.0, 700.0]))
    assert np.allclose(found.shares.sum(axis=0), 1)


def test_a_field_that_cuts_the_brain_is_noticed() -> None:
    volume = head_volume()
    inside = volume.voxels > 100
    assert not cut_by_field(inside, volume)
    inside[0, 20:40, 20:40] = True
    assert cut_by_field(inside, volume)


@pytest.mark.parametrize(("cut", "presence"), [(False, Presence.ABSENT), (True, Presence.INDETERMINATE)])
def test_no_lesion_is_absent_where_the_field_cuts_the_brain(*, cut: bool, presence: Presence) -> None:
    volume = head_volume()
    nothing = np.zeros(volume.voxels.shape, dtype=bool)
    session = Session({"volume_error_95": {"intracranial": 0.1, "lesions": 0.1}})
    seen = Seen(volume, session, read_card(FOLDER / "card.toml"))
    said = lesions_reported(seen, Lesions(nothing, 0, 0.0, 1200.0, ~nothing, cut), ())
    (finding,) = [item for item in said.findings if item.presence is not Presence.NOT_ASSESSED]
    assert finding.presence is presence
    assert any("cuts the brain" in note for note in said.notes) is cut


def flat_head(spoil: float = 0.0) -> Volume:
    geometry = upright_grid(np.zeros(3), (24, 48, 48), 4.0, "1.2.3")
    values = np.arange(24 * 48 * 48, dtype=np.float32).reshape(geometry.shape)
    values[0, 0, 0] += spoil
    return Volume(values, Quantity.ARBITRARY, geometry, ())


def test_the_flair_of_a_study_is_prepared_beside_its_t1() -> None:
    subject = reader(read_card(FOLDER / "card.toml"))
    study = study_of([header(1)])
    prepared = subject.prepare(ReaderInputs(study, volumes=(flat_head(),), companions=(flat_head(1.0),)))
    assert isinstance(prepared, Prepared)
    assert prepared.arrays["now"][0, 0, 0, 0] + 1 == prepared.arrays["flair"][0, 0, 0, 0]
    alone = subject.prepare(ReaderInputs(study, volumes=(flat_head(),)))
    assert isinstance(alone, Prepared)
    assert set(alone.arrays) == {"now"}


def test_a_companion_that_does_not_fit_is_named_and_the_t1_is_read() -> None:
    subject = reader(read_card(FOLDER / "card.toml"))
    inputs = ReaderInputs(study_of([header(1)]), volumes=(flat_head(),), companions=(flat_head(np.nan),))
    prepared = subject.prepare(inputs)
    assert isinstance(prepared, Prepared)
    assert set(prepared.arrays) == {"now"}
    (note,) = prepared.context.notes
    assert note.startswith("FLAIR volume not read")


def test_a_companion_without_a_head_gives_no_lesions_and_says_so() -> None:
    subject = reader(read_card(FOLDER / "card.toml"))
    inputs = ReaderInputs(study_of([header(1)]), volumes=(flat_head(),), companions=(flat_head(),))
    prepared = subject.prepare(inputs)
    assert isinstance(prepared, Prepared)
    assert lesions_beside(prepared.context, {}) == (None, ("FLAIR volume not read: no head was recognised in it",))


def test_published_rates_are_those_of_the_source_and_end_with_it() -> None:
    assert expected_loss(55) == (0.30, 0.77)
    assert expected_loss(50) == pytest.approx((0.225, 0.645))
    assert expected_loss(30) is None
    assert "above the 95th percentile" in standing(45, 0.6)
    assert "below the mean" in standing(75, 0.1)
    assert "no reference" in standing(85, 0.5)


def test_a_scale_of_both_dates_is_a_change_of_its_sixth_power() -> None:
    assert scaled_change(0.998) == pytest.approx(100 * (0.998**6 - 1))


def test_a_crop_is_cut_and_padded_about_its_middle() -> None:
    values = np.arange(5)[:, None] * np.ones((1, 3))
    assert fitted_box(values, (3, 5), edge=False)[:, 1].tolist() == [1, 2, 3]
    assert fitted_box(values, (3, 5), edge=False)[:, 0].tolist() == [0, 0, 0]
    assert fitted_box(values, (7, 3), edge=True)[:, 0].tolist() == [0, 0, 1, 2, 3, 4, 4]


def test_a_drawn_head_keeps_its_tissues() -> None:
    middle = (np.array(FINE_SHAPE) - 1) / 2
    away = np.linalg.norm((np.indices(FINE_SHAPE).T - middle).T, axis=0)
    tissue = np.zeros(FINE_SHAPE, dtype=np.uint8)
    for label, radius in ((CSF, 38), (GREY_MATTER, 35), (WHITE_MATTER, 28)):
        tissue[away < radius] = label
    drawn = drawn_head(with_distance(tissue, with_face=False), np.random.default_rng(5))
    again = drawn_head(with_distance(tissue, with_face=False), np.random.default_rng(5))
    assert drawn.image.shape == drawn.tissue.shape == HEAD_SHAPE
    assert set(np.unique(drawn.tissue)) == {0, CSF, GREY_MATTER, WHITE_MATTER}
    assert np.array_equal(drawn.image, again.image)


def test_the_card_says_what_was_measured() -> None:
    document = json.loads((FOLDER / "measurements.json").read_text(encoding="utf-8"))
    assert read_card(FOLDER / "card.toml").validation == measured_words(document)
    parameters = json.loads((Path(FOLDER) / "model" / "parameters.json").read_text(encoding="utf-8"))
    assert parameters["change"]["error_95_percent"] == document["summary"]["change"]["error_95"]


@pytest.mark.slow
def test_a_study_with_t1_and_flair_reads_as_it_was_measured() -> None:
    row = next(together_rows(FOLDER))
    kept = json.loads((FOLDER / "measurements.json").read_text(encoding="utf-8"))["together"][0]
    assert row == pytest.approx(kept, abs=0.05)


@pytest.mark.slow
def test_a_phantom_reads_as_it_was_measured() -> None:
    row = pair_row(Graphs(FOLDER / "model"), PAIRS[2])
    kept = json.loads((FOLDER / "measurements.json").read_text(encoding="utf-8"))["pairs"][2]
    assert row["error_points"] == pytest.approx(kept["error_points"], abs=0.02)
    assert abs(row["error_points"]) <= 0.2


def test_a_hippocampus_says_how_likely_each_voxel_belongs_to_it_and_nothing_far_away() -> None:
    grid = upright_grid(np.zeros(3), (16, 16, 16), 1.0, "1.2.3")
    parts = np.zeros((16, 16, 16), dtype=np.uint8)
    parts[6:10, 6:10, 6:8], parts[6:10, 6:10, 8:10] = 1, 2
    share = np.full(parts.shape, 0.2, dtype=np.float32)
    share[parts > 0] = 0.9
    one = Hippocampus("left", parts, share, grid, "")
    same = one.probability(grid, 1.0)
    assert same[8, 8, 8] == pytest.approx(0.9, abs=1e-5)
    assert same[8, 8, 11] == pytest.approx(0.2, abs=1e-5)
    assert same[8, 8, 14] == 0.0
    cooler = one.probability(grid, 2.0)
    assert cooler[8, 8, 8] == pytest.approx(1 / (1 + (1 / 9) ** 0.5), abs=1e-5)
    assert 0.2 < cooler[8, 8, 11] < 0.5
    half = one.probability(upright_grid(np.array([0.0, 0.0, 0.25]), (30, 30, 30), 0.5, "1.2.3"), 1.0)
    assert half.min() >= 0
    assert half.max() <= 0.9 + 1e-5


def test_the_temperature_of_the_hippocampi_is_the_measured_one_and_makes_shares_truer() -> None:
    found = json.loads((Path(FOLDER) / "measurements.json").read_text(encoding="utf-8"))["hippocampus"]["probability"]
    parameters = json.loads((Path(FOLDER) / "model" / "parameters.json").read_text(encoding="utf-8"))
    assert parameters["hippocampus_temperature"] == found["temperature"]
    assert found["calibration_error"] < found["calibration_error_without_temperature"]
    assert cooled(np.array([0.0, 0.5, 1.0]), 2.0) == pytest.approx([0.001, 0.5, 0.999], abs=1e-3)
