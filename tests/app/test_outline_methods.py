"""Which method outlines a lesion in a box: as asked, or the one that was measured better; the result says which."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coread.app import outline_methods
from coread.app.outline_methods import Method, MethodRefused, Outlined, outlined_by
from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.domain.reasons import ReasonCode
from coread.imaging.errors import NothingSegmented
from coread.imaging.prompts import BoxPrompt, PointPrompt
from coread.readers.registry import InstalledReader, inspect_reader, load_box_reader
from coread.readers.tumor_volume import outlined as network_outlined
from tests.route.studies import header

FOLDER = Path(network_outlined.__file__).parent
READER = inspect_reader("coread.readers.tumor_volume", FOLDER)
BOX = BoxPrompt((57.0, 57.0, 57.0), (123.0, 123.0, 123.0))


def scan(lesion_hu: float = 120.0, noise: float = 3.0, part: str = "THIGH") -> Volume:
    """Draw a ball of 30 mm radius about (90, 90, 90), LPS mm, in a limb of muscle."""
    matrix = np.array([[0.0, 0.0, 4.0, 0.0], [0.0, 4.0, 0.0, 0.0], [4.0, 0.0, 0.0, 0.0]])
    z, y, x = np.indices((46, 46, 46)) * 4.0 - 90.0
    values = np.where(z**2 + y**2 + x**2 < 30**2, lesion_hu, np.where(y**2 + x**2 < 75**2, 55.0, -1000.0))
    values += np.random.default_rng(3).normal(0, noise, values.shape)
    geometry = Geometry((46, 46, 46), affine_of(matrix), "1.2")
    one = replace(header(1, modality="CT", view_position=""), sop_class_uid="1.2.840.10008.5.1.4.1.1.2")
    heads = tuple(replace(one, body_part_examined=part, sop_instance_uid=f"1.2.{n}") for n in range(46))
    return Volume(values.astype(np.float32), Quantity.HOUNSFIELD, geometry, heads)


def outline(method: Method, volume: Volume, box: BoxPrompt = BOX, *readers: InstalledReader) -> Outlined:
    return outlined_by(method, volume, box, readers or (READER,))


def test_the_network_outlines_where_it_is_asked_for_and_its_package_is_named() -> None:
    found = outline(Method.NETWORK, scan())
    assert found.method is Method.NETWORK
    assert found.package_digest == READER.package_digest
    assert found.made_by == f"tumor_volume {READER.card.version}"
    assert found.certainty is not None
    assert found.clearness is None
    assert found.mask[22, 22, 22]
    assert any(READER.package_digest[:12] in note for note in found.notes)


def test_auto_calculates_where_the_lesion_stands_out_and_says_by_which_numbers() -> None:
    found = outline(Method.AUTO, scan())
    assert found.method is Method.CLASSICAL
    assert found.clearness is not None
    assert found.clearness >= 0.7
    measured = json.loads((READER.model_folder / "parameters.json").read_text(encoding="utf-8"))["box"]["clear"]
    told = f"{measured['network']:.2f} by the network, {measured['calculated']:.2f} calculated"
    assert told in found.notes[-1]


def test_auto_asks_the_network_where_the_lesion_does_not_stand_out() -> None:
    found = outline(Method.AUTO, scan(lesion_hu=52.0, noise=12.0))
    assert found.method is Method.NETWORK
    assert "0.77 by the network, 0.73 calculated" in found.notes[-1]


SMALL = BoxPrompt((75.0, 75.0, 75.0), (105.0, 105.0, 105.0))


@pytest.mark.parametrize(
    ("volume", "box", "code"),
    [
        (scan(part="ABDOMEN"), BOX, ReasonCode.WRONG_BODY_PART),
        (scan(), SMALL, ReasonCode.BAD_PROMPT),
        (replace(scan(), quantity=Quantity.ARBITRARY), BOX, ReasonCode.PIXEL_MEANING),
    ],
)
def test_outside_what_it_learnt_from_the_network_refuses_and_auto_falls_back_and_says_so(
    volume: Volume, box: BoxPrompt, code: ReasonCode
) -> None:
    with pytest.raises(MethodRefused) as refused:
        outline(Method.NETWORK, volume, box)
    assert refused.value.reason.code is code
    found = outline(Method.AUTO, volume, box)
    assert found.method is Method.CLASSICAL
    assert found.notes[-1].startswith("the network was not asked")
    assert refused.value.reason.detail in found.notes[-1]


def test_a_point_is_calculated_and_is_no_prompt_for_a_network() -> None:
    point = PointPrompt((90.0, 90.0, 90.0))
    assert outlined_by(Method.AUTO, scan(), point, (READER,)).method is Method.CLASSICAL
    with pytest.raises(MethodRefused, match="takes a box"):
        outlined_by(Method.NETWORK, scan(), point, (READER,))


def test_without_a_reader_that_has_a_network_auto_calculates() -> None:
    found = outlined_by(Method.AUTO, scan(), BOX, ())
    assert found.method is Method.CLASSICAL
    assert "no installed reader has a network for boxes" in found.notes[-1]


def test_the_network_stands_in_where_nothing_can_be_calculated(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise NothingSegmented("all values around the place are equal")

    monkeypatch.setattr(outline_methods, "segment_lesion", refuse)
    found = outline(Method.AUTO, scan())
    assert found.method is Method.NETWORK
    assert "the calculated method outlined nothing" in found.notes[-1]


def test_a_network_with_nothing_inside_is_refused_and_auto_keeps_what_was_calculated(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("coread.readers.tumor_volume.boxed.tumor_in_box", lambda *_: None)
    volume = scan(lesion_hu=52.0, noise=12.0)
    with pytest.raises(MethodRefused, match="has nothing in the box"):
        outline(Method.NETWORK, volume)
    found = outline(Method.AUTO, volume)
    assert found.method is Method.CLASSICAL
    assert "the network outlined nothing" in found.notes[-1]


def test_a_reader_without_a_box_mode_offers_none() -> None:
    other = FOLDER.parent / "lung_nodule"
    assert load_box_reader(inspect_reader("coread.readers.lung_nodule", other)) is None
