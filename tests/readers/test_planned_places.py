"""Maps of a planned network become boxes and regions on the image: hand-made maps with known places."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coread import readers
from coread.domain.cards import OperatingPoint, OutputSpec
from coread.domain.codes import Code
from coread.domain.findings import Box, ImageReference, Presence
from coread.imaging.plan import (
    BOXES,
    DENSE_BOXES,
    MASK,
    OUTLINE,
    BadPlan,
    PlanarPlan,
    PlannedOutput,
    PlannedRegion,
    VolumePlan,
    plan_to_json,
)
from coread.models.calibration import sigmoid
from coread.readers.card_file import read_card
from coread.readers.planned.places import Place, boxed, mask_of, outlined
from coread.readers.planned.reader import PLAN_FILE, planned_reader

POINT = OperatingPoint("balanced", 0.5, "drawn", None, None, "nothing")
SPEC = OutputSpec("lesion", "Lesion", Code("52988006", "SCT", "Lesion"), None, True, None, (POINT,), "balanced")
COLD = -8.0


class Sigmoids:
    """A session that calibrates by the plain sigmoid."""

    digest = "0" * 64
    runtime = "none"
    parameters: Mapping[str, Any] = {}

    def run(self, graph: str, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:  # noqa: ARG002
        raise AssertionError("places run no graph")

    def calibrate(self, key: str, logit: float) -> float:  # noqa: ARG002
        return sigmoid(logit)


def planned(form: str, index: int = 0) -> tuple[PlanarPlan, PlannedOutput]:
    item = PlannedOutput("lesion", "maps", index, form)
    return PlanarPlan((item,), 64, 64), item


def reference(number: int = 1) -> ImageReference:
    return ImageReference("1.2", f"1.3.{number}", "1.4")


def object_maps(classes: int, kind: int, cell: tuple[int, int], size: tuple[float, float]) -> NDArray[np.float64]:
    """Maps (classes + 4, 16, 16): a hot cell and its neighbours, all with the box of ``size`` (cells across, down)
    that is centred in the cell."""
    maps = np.zeros((classes + 4, 16, 16))
    maps[:classes] = COLD
    maps[kind, max(cell[0] - 1, 0) : cell[0] + 2, max(cell[1] - 1, 0) : cell[1] + 2] = 2.9
    maps[kind, cell[0], cell[1]] = 3.0
    maps[-4], maps[-3] = np.log(size[0]), np.log(size[1])
    maps[-2] = cell[1] + 0.5 - np.arange(16)
    maps[-1] = cell[0] + 0.5 - np.arange(16)[:, None]
    return maps


@pytest.mark.parametrize("form", [BOXES, DENSE_BOXES])
def test_a_box_is_found_where_the_heat_is_in_pixels_of_the_image(form: str) -> None:
    plan, item = planned(form, 1)
    place = Place(reference(), (128, 256), object_maps(2, 1, (4, 10), (4.0, 2.0)))
    (finding,) = boxed(Sigmoids(), plan, item, SPEC, [place])
    assert finding.presence is Presence.PRESENT
    assert finding.urgent
    assert finding.probability == pytest.approx(sigmoid(3.0), abs=1e-3)
    (box,) = finding.locations
    assert isinstance(box, Box)
    # 16 cells over 128 rows and 256 columns: a cell is 8 by 16 pixels, the centre lies at cell (4.5, 10.5).
    assert (box.column_min, box.column_max) == pytest.approx((10.5 * 16 - 32, 10.5 * 16 + 32), abs=0.5)
    assert (box.row_min, box.row_max) == pytest.approx((4.5 * 8 - 8, 4.5 * 8 + 8), abs=0.5)


def test_the_heat_of_another_class_is_not_this_output() -> None:
    plan, item = planned(BOXES, 0)
    (finding,) = boxed(Sigmoids(), plan, item, SPEC, [Place(reference(), (64, 64), object_maps(2, 1, (4, 4), (2, 2)))])
    assert finding.presence is Presence.ABSENT
    assert finding.probability == pytest.approx(sigmoid(COLD), abs=1e-6)
    assert finding.locations == ()


def test_every_box_is_a_finding_the_surest_first_and_tracked_apart() -> None:
    plan, item = planned(BOXES)
    maps = object_maps(1, 0, (3, 3), (2, 2))
    maps[0, 12, 12] = 1.0
    maps[-2:, 12, 12] = 0.5
    found = boxed(Sigmoids(), plan, item, SPEC, [Place(reference(k), (64, 64), maps) for k in (1, 2)])
    assert [round(item.probability or 0, 3) for item in found] == [0.953, 0.953, 0.731, 0.731]
    assert len({item.tracking.uid for item in found if item.tracking is not None}) == 4


def test_a_box_beyond_the_border_is_cut_and_one_without_an_inside_keeps_the_call_without_a_place() -> None:
    plan, item = planned(BOXES)
    (finding,) = boxed(Sigmoids(), plan, item, SPEC, [Place(reference(), (64, 64), object_maps(1, 0, (0, 15), (9, 9)))])
    (box,) = finding.locations
    assert isinstance(box, Box)
    assert (box.row_min, box.column_max) == (0.0, 64.0)
    maps = object_maps(1, 0, (8, 8), (2, 2))
    maps[-2:] = 400.0
    (lost,) = boxed(Sigmoids(), plan, item, SPEC, [Place(reference(), (64, 64), maps)])
    assert (lost.presence, lost.locations) == (Presence.PRESENT, ())


@pytest.mark.parametrize(("channels", "index"), [(1, 0), (3, 0), (3, 1)])
def test_a_region_lies_on_the_grid_of_the_image(channels: int, index: int) -> None:
    _, item = planned(MASK, index)
    maps = np.full((channels, 64, 64), -6.0)
    maps[0 if channels == 1 else index + 1, 16:32, 8:24] = 6.0
    if channels > 1:
        maps[0, 40:, :] = 0.0
    place = Place(reference(), (128, 192), maps)
    finding, (region,) = outlined(Sigmoids(), item, SPEC, [place])
    wanted = np.zeros((128, 192), dtype=bool)
    wanted[32:64, 24:72] = True
    overlap = (region.mask & wanted).sum() / (region.mask | wanted).sum()
    assert overlap > 0.9
    assert finding.presence is Presence.PRESENT
    assert finding.probability == pytest.approx(sigmoid(6.0))


def test_without_a_calibration_what_has_a_region_is_present_and_no_probability_is_said() -> None:
    _, item = planned(OUTLINE)
    dark = Place(reference(), (64, 64), np.full((1, 64, 64), -1.0))
    finding, regions = outlined(Sigmoids(), item, SPEC, [dark])
    assert (finding.presence, finding.probability, regions) == (Presence.ABSENT, None, ())
    bright = Place(reference(2), (64, 64), np.full((1, 64, 64), 1.0))
    finding, regions = outlined(Sigmoids(), item, SPEC, [dark, bright])
    assert (finding.presence, finding.probability, len(regions)) == (Presence.PRESENT, None, 1)
    assert finding.images == (bright.reference,)


def test_an_image_called_absent_has_no_region_even_where_some_pixels_are_hot() -> None:
    _, item = planned(MASK)
    spec = OutputSpec(
        "lesion", "Lesion", SPEC.concept, None, False, None,
        (OperatingPoint("specific", 0.9999, "drawn", None, None, "nothing"),), "specific",
    )  # fmt: skip
    maps = np.full((1, 64, 64), -6.0)
    maps[0, :20, :20] = 2.0
    finding, regions = outlined(Sigmoids(), item, spec, [Place(reference(), (64, 64), maps)])
    assert (finding.presence, regions) == (Presence.ABSENT, ())


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 50))
def test_any_maps_give_boxes_and_regions_inside_any_image(rows: int, columns: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    plan, item = planned(BOXES)
    place = Place(reference(), (rows, columns), random.normal(0, 4, (5, 8, 8)))
    for finding in boxed(Sigmoids(), plan, item, SPEC, [place]):
        for box in finding.locations:
            assert isinstance(box, Box)
            assert box.column_max <= columns + 1e-3
            assert box.row_max <= rows + 1e-3
    assert mask_of(planned(MASK)[1], place).shape == (rows, columns)


def test_a_plan_reads_one_volume_so_its_card_may_not_ask_for_all(tmp_path: Path) -> None:
    shipped = read_card(Path(readers.__file__).parent / "lung_nodule_segmentation/card.toml")
    regions = tuple(PlannedRegion(output.key, number) for number, output in enumerate(shipped.outputs, start=1))
    (tmp_path / PLAN_FILE).write_text(plan_to_json(VolumePlan(regions)))
    one = replace(shipped, input=replace(shipped.input, presentation="volume"))
    assert planned_reader(one, tmp_path).card is one
    with pytest.raises(BadPlan, match="one volume"):
        planned_reader(replace(one, input=replace(one.input, volumes="all")), tmp_path)
