"""The chest reader on generated chests: what it refuses, what it says, and that a mirrored image is mirrored."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coread.domain.codes import LEFT, RIGHT, Code
from coread.domain.findings import Box, Presence
from coread.domain.images import PlanarImage, Quantity
from coread.domain.reading import Arrays, Prepared, ReaderInputs
from coread.domain.reasons import ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.domain.study import InstanceHeader, Study, StudyState
from coread.imaging.header import scan_header
from coread.imaging.planar import load_planar
from coread.models.session import PackageSession, open_session
from coread.phantoms.chest import ChestRecipe, chest_radiograph
from coread.readers.chest_xray.outputs import FINDINGS
from coread.readers.chest_xray.places import frame_heat, interpolated, place_of
from coread.readers.chest_xray.preprocess import Window, display_of_bytes, network_image
from coread.readers.chest_xray.reader import ChestReader, reader
from coread.readers.planar import age_years
from coread.readers.registry import InstalledReader, installed_readers

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
STUDY = Study(
    study_instance_uid="2.25.1",
    patient_id="P",
    issuer_of_patient_id="",
    patient_name="",
    patient_birth_date="",
    patient_sex="",
    accession_number="",
    study_id="",
    study_date="",
    study_time="",
    study_description="",
    referring_physician_name="",
    modalities=("DX",),
    series_count=1,
    instance_count=1,
    state=StudyState.SETTLED,
    settled_reason=None,
    generation=1,
    first_received_at=MOMENT,
    last_received_at=MOMENT,
    settled_at=MOMENT,
)


class FixedSession:
    """Answers with made-up outputs, so that a test says what the network says."""

    digest = "0" * 64
    runtime = "none"
    parameters: ClassVar[dict[str, float]] = {}

    def run(self, graph: str, inputs: Arrays) -> dict[str, NDArray[np.float32]]:
        raise NotImplementedError

    def calibrate(self, key: str, logit: float) -> float:
        del key
        return float(1 / (1 + np.exp(-logit)))


@pytest.fixture(scope="module")
def installed() -> InstalledReader:
    return next(item for item in installed_readers() if item.card.reader_id == "chest_xray")


@pytest.fixture(scope="module")
def chest(installed: InstalledReader) -> ChestReader:
    return reader(installed.card)


@pytest.fixture(scope="module")
def session(installed: InstalledReader) -> PackageSession:
    return open_session(installed.model_folder, installed.card_path, engine="onnxruntime")


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> PlanarImage:
    path = tmp_path_factory.mktemp("phantom") / "chest.dcm"
    phantom = chest_radiograph(ChestRecipe(seed=4, findings=("effusion", "cardiomegaly"), side="R", size=0.9, rows=512))
    phantom.dataset.save_as(path, enforce_file_format=True)
    return load_planar(path, scan_header(path))


def _read(chest: ChestReader, session: PackageSession, *images: PlanarImage) -> ReadResult | Refusal:
    prepared = chest.prepare(ReaderInputs(STUDY, images))
    if isinstance(prepared, Refusal):
        return prepared
    return chest.interpret(session, prepared, chest.infer(session, prepared))


def _named(image: PlanarImage, uid: str) -> PlanarImage:
    return replace(image, header=replace(image.header, sop_instance_uid=uid))


def _outputs(**logits: float) -> dict[str, NDArray[np.float32]]:
    maps = np.full((1, len(FINDINGS), 12, 12), 0.01, dtype=np.float32)
    maps[0, :, 8:10, 1:3] = 0.9
    values = np.array([[logits.get(key, -9.0) for key in FINDINGS]], dtype=np.float32)
    gate = np.array([[9.0, 0.0, 0.0, 0.0, 0.0]], dtype=np.float32)
    return {"logits": values, "maps": maps, "gate": gate, "view": np.array([[-3.0]], dtype=np.float32)}


def test_every_output_of_the_card_is_reported(chest: ChestReader, session: PackageSession, image: PlanarImage) -> None:
    result = _read(chest, session, image)
    assert isinstance(result, ReadResult)
    assert [finding.key for finding in result.findings] == [output.key for output in chest.card.outputs]
    assert len(result.notes) == 1
    for finding in result.findings:
        assert (finding.presence is Presence.PRESENT) == bool(finding.locations) == bool(finding.heat_maps)


def test_a_mirrored_image_gives_the_same_probabilities_and_mirrored_boxes(
    chest: ChestReader, session: PackageSession, image: PlanarImage
) -> None:
    one = _read(chest, session, image)
    other = _read(chest, session, replace(image, pixels=np.ascontiguousarray(image.pixels[:, ::-1]), valid=None))
    assert isinstance(one, ReadResult)
    assert isinstance(other, ReadResult)
    width = image.pixels.shape[1]
    for straight, mirrored in zip(one.findings, other.findings, strict=True):
        assert straight.probability == pytest.approx(mirrored.probability, abs=1e-3)
        for box, flipped in zip(straight.locations, mirrored.locations, strict=True):
            assert isinstance(box, Box)
            assert isinstance(flipped, Box)
            assert (box.column_min, box.column_max) == pytest.approx(
                (width - flipped.column_max, width - flipped.column_min), abs=width / 48
            )


def test_several_images_are_read_one_by_one(chest: ChestReader, session: PackageSession, image: PlanarImage) -> None:
    bad = _named(replace(image, header=replace(image.header, view_position="LATERAL")), "2.25.8")
    alone, together = _read(chest, session, image), _read(chest, session, image, _named(image, "2.25.7"), bad)
    assert isinstance(alone, ReadResult)
    assert isinstance(together, ReadResult)
    assert [reason.code for _, reason in together.skipped] == [ReasonCode.WRONG_VIEW]
    for one, many in zip(alone.findings, together.findings, strict=True):
        assert many.probability == pytest.approx(one.probability, abs=1e-4)
        assert len(many.images) == 2


def test_the_input_is_not_changed_and_the_answer_is_the_same_twice(
    chest: ChestReader, session: PackageSession, image: PlanarImage
) -> None:
    before = image.pixels.copy()
    one, other = _read(chest, session, image), _read(chest, session, image)
    assert np.array_equal(before, image.pixels)
    assert isinstance(one, ReadResult)
    assert isinstance(other, ReadResult)
    assert [finding.tracking for finding in one.findings] == [finding.tracking for finding in other.findings]
    assert [finding.probability for finding in one.findings] == [finding.probability for finding in other.findings]


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ({"modality": "CT"}, ReasonCode.WRONG_MODALITY),
        ({"sop_class_uid": "1.2.840.10008.5.1.4.1.1.2"}, ReasonCode.WRONG_SOP_CLASS),
        ({"body_part_examined": "HAND"}, ReasonCode.WRONG_BODY_PART),
        ({"view_position": "LL"}, ReasonCode.WRONG_VIEW),
        ({"patient_age": "004Y"}, ReasonCode.WRONG_AGE),
        ({"patient_age": "", "patient_birth_date": "20200101", "study_date": "20260101"}, ReasonCode.WRONG_AGE),
    ],
)
def test_a_header_that_breaks_the_card_is_refused(
    chest: ChestReader, session: PackageSession, image: PlanarImage, header: dict[str, str], code: ReasonCode
) -> None:
    refused = _read(chest, session, replace(image, header=replace(image.header, **header)))  # type: ignore[arg-type]
    assert isinstance(refused, Refusal)
    assert refused.reason.code is code
    assert len(refused.skipped) == 1


def test_pixels_without_a_picture_are_refused(chest: ChestReader, session: PackageSession, image: PlanarImage) -> None:
    holes = image.pixels.copy()
    holes[3, 3] = np.nan
    cases = {
        ReasonCode.PIXELS_CONSTANT: replace(image, pixels=np.full((512, 512), 0.5, dtype=np.float32), valid=None),
        ReasonCode.PIXELS_NOT_FINITE: replace(image, pixels=holes),
        ReasonCode.PIXEL_MEANING: replace(image, quantity=Quantity.ARBITRARY),
        ReasonCode.IMAGE_TOO_SMALL: replace(image, pixels=image.pixels[:100, :100], valid=None),
    }
    for code, case in cases.items():
        refused = _read(chest, session, case)
        assert isinstance(refused, Refusal)
        assert refused.reason.code is code
    nothing = _read(chest, session)
    assert isinstance(nothing, Refusal)
    assert nothing.reason.code is ReasonCode.NO_ELIGIBLE


def test_a_negative_and_a_picture_of_stripes_do_not_pass_the_gate(
    chest: ChestReader, session: PackageSession, image: PlanarImage
) -> None:
    negative = _read(chest, session, replace(image, pixels=np.float32(1) - image.pixels))
    assert isinstance(negative, Refusal)
    stripes = np.tile(np.linspace(0, 1, 512, dtype=np.float32), (512, 1))
    refused = _read(chest, session, replace(image, pixels=stripes, valid=None))
    assert isinstance(refused, Refusal)


def test_the_side_comes_from_the_box(chest: ChestReader, image: PlanarImage) -> None:
    prepared = chest.prepare(ReaderInputs(STUDY, (image,)))
    assert isinstance(prepared, Prepared)
    outputs = _outputs(effusion=4.0, cardiomegaly=4.0)
    result = chest.interpret(FixedSession(), prepared, outputs)
    assert isinstance(result, ReadResult)
    found = {finding.key: finding for finding in result.findings}
    assert found["effusion"].laterality == RIGHT
    assert found["cardiomegaly"].laterality is None
    assert found["pneumothorax"].presence is Presence.ABSENT
    outputs["maps"] = outputs["maps"][..., ::-1].copy()
    mirrored = chest.interpret(FixedSession(), prepared, outputs)
    assert isinstance(mirrored, ReadResult)
    assert mirrored.findings[1].laterality == LEFT
    assert any("PA" in note for note in result.notes)


@pytest.mark.parametrize(
    ("orientation", "side"),
    [((), RIGHT), (("L", "F"), RIGHT), (("LF", "F"), RIGHT), (("R", "F"), None), (("A", "F"), None)],
)
def test_no_side_is_said_of_an_image_that_is_shown_another_way(
    chest: ChestReader, image: PlanarImage, orientation: tuple[str, ...], side: Code | None
) -> None:
    turned = replace(image, header=replace(image.header, patient_orientation=orientation))
    prepared = chest.prepare(ReaderInputs(STUDY, (turned,)))
    assert isinstance(prepared, Prepared)
    result = chest.interpret(FixedSession(), prepared, _outputs(effusion=4.0))
    assert isinstance(result, ReadResult)
    assert result.findings[1].laterality == side
    assert result.findings[1].locations


def test_padding_is_cut_and_boxes_come_back_to_the_whole_frame() -> None:
    pixels = np.zeros((400, 600), dtype=np.float32)
    pixels[50:350, 100:500] = np.random.default_rng(0).random((300, 400), dtype=np.float32)
    valid = pixels > 0
    square, window = network_image(pixels, valid, 64)
    assert square.shape == (64, 64)
    assert window == Window(50, 350, 100, 500)
    assert square.mean() == pytest.approx(pixels[50:350, 100:500].mean(), abs=1e-3)
    cells = np.zeros((12, 12), dtype=np.float32)
    cells[6, 3] = 1.0
    place = place_of(cells, window)
    assert 50 <= place.row_min < place.row_max <= 350
    assert place.column_min <= 100 + 3.5 / 12 * 400 <= place.column_max
    heat = frame_heat(cells, window, (400, 600))
    assert heat.shape == (48, 48)
    assert heat[:5].max() == 0
    assert heat.max() > 0.5


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1000))
def test_a_mirrored_map_gives_the_mirrored_box(seed: int) -> None:
    cells = np.random.default_rng(seed).random((12, 12)).astype(np.float32)
    window = Window(0, 100, 0, 200)
    one, other = place_of(cells, window), place_of(cells[:, ::-1], window)
    assert (one.column_min, one.column_max) == pytest.approx((200 - other.column_max, 200 - other.column_min))
    assert (one.row_min, one.row_max) == pytest.approx((other.row_min, other.row_max))


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 15), st.integers(1, 15))
def test_interpolating_at_the_cell_centres_gives_the_cells(rows: int, columns: int) -> None:
    cells = np.random.default_rng(rows * 20 + columns).random((rows, columns)).astype(np.float32)
    found = interpolated(cells, (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns)
    assert np.allclose(found, cells, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "years"), [("045Y", 45.0), ("006M", 0.5), ("052W", 0.9966), ("365D", 0.9993), ("", None), ("45", None)]
)
def test_ages_are_read_in_every_unit(text: str, years: float | None) -> None:
    found = age_years(InstanceHeader("1", "2", "3", "4", "5", patient_age=text))
    assert found == (None if years is None else pytest.approx(years, abs=1e-3))


@pytest.mark.shared
def test_a_real_radiograph_is_read(shared_data: Path, chest: ChestReader, session: PackageSession) -> None:
    import io
    import zipfile

    from PIL import Image

    with zipfile.ZipFile(shared_data / "cxr_nih" / "images.zip") as archive:
        name = sorted(archive.namelist())[0]
        pixels = display_of_bytes(np.asarray(Image.open(io.BytesIO(archive.read(name))).convert("L"), dtype=np.uint8))
    header = InstanceHeader(
        "1.2", "1.3", "1.4", chest.card.input.sop_class_uids[1], "1.2.840.10008.1.2.1", modality="DX"
    )
    result = _read(chest, session, PlanarImage(pixels, Quantity.DISPLAY, header))
    assert isinstance(result, ReadResult)
