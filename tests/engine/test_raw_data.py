"""What a reader of raw data is given, what is skipped and why, and what its answer may point at."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from coread.domain.cards import ReaderCard
from coread.domain.codes import Code
from coread.domain.derived import DerivedImages, derived_series_uid
from coread.domain.findings import Measurement
from coread.domain.kspace import RAW_DATA_STORAGE
from coread.domain.maps import ParameterMap
from coread.domain.reasons import ReasonCode
from coread.domain.results import ReadResult, Refusal
from coread.engine.checks import check_ending
from coread.engine.errors import ContractBroken
from coread.engine.loading import Loaded, load_inputs, reference_to
from coread.engine.samples import study_of
from coread.readers.card_file import read_card
from tests.engine.kspaces import acquisition, raw_file
from tests.models.tiny_reader import CARD

NO_UNITS = Code("1", "UCUM", "no units")
RESIDUAL = Measurement(Code("RESIDUAL", "99COREAD", "Residual"), 0.1, NO_UNITS)


@pytest.fixture
def card(tmp_path: Path) -> ReaderCard:
    (tmp_path / "card.toml").write_text(CARD)
    made = read_card(tmp_path / "card.toml")
    contract = replace(
        made.input, modalities=("MR",), sop_class_uids=(RAW_DATA_STORAGE,), body_parts=(), views=(), min_rows=16,
        min_columns=16, max_pixels=64 * 64, min_images=1, max_images=8, presentation="kspace", min_coils=2,
    )  # fmt: skip
    return replace(made, input=contract, outputs=())


def test_every_acquisition_of_the_study_is_given_with_its_header(card: ReaderCard, tmp_path: Path) -> None:
    first, second = acquisition(seed=1), acquisition(seed=2, coils=3)
    sources = [raw_file(tmp_path / f"{n}.dcm", kspace) for n, kspace in enumerate((first, second))]
    loaded = load_inputs(card, study_of([header for _, header in sources]), sources)
    assert isinstance(loaded, Loaded)
    assert loaded.skipped == ()
    by_coils = {kspace.coils: kspace for kspace in loaded.inputs.kspaces}
    for given in (first, second):
        assert np.array_equal(by_coils[given.coils].samples, given.samples)
    heads = loaded.inputs.kspace_headers
    assert {head.sop_instance_uid for head in heads} == {header.sop_instance_uid for _, header in sources}
    assert heads[0].modality == "MR"
    assert heads[0].rows is None


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"min_coils": 8}, ReasonCode.TOO_FEW_COILS),
        ({"min_images": 3}, ReasonCode.TOO_FEW_IMAGES),
        ({"max_images": 1}, ReasonCode.IMAGE_TOO_LARGE),
        ({"min_rows": 64}, ReasonCode.IMAGE_TOO_SMALL),
        ({"max_pixels": 1000}, ReasonCode.IMAGE_TOO_LARGE),
    ],
)
def test_what_does_not_fit_the_card_is_refused_when_it_is_opened(
    card: ReaderCard, tmp_path: Path, changes: dict[str, int], code: ReasonCode
) -> None:
    path, header = raw_file(tmp_path / "raw.dcm", acquisition())
    contract = replace(card.input, **changes)  # type: ignore[arg-type]
    refused = load_inputs(replace(card, input=contract), study_of([header]), [(path, header)])
    assert isinstance(refused, Refusal)
    assert refused.reason.code is code
    assert refused.skipped == ((reference_to(header), refused.reason),)


def test_a_strangers_raw_data_are_skipped_beside_ours_and_refused_alone(card: ReaderCard, tmp_path: Path) -> None:
    ours = raw_file(tmp_path / "ours.dcm", acquisition())
    other = dcmread(raw_file(tmp_path / "other.dcm", acquisition(seed=9))[0])
    del other[0x7FE10010]  # the private creator: now these bytes mean nothing to us
    other.save_as(tmp_path / "other.dcm")
    from coread.imaging.header import scan_header

    stranger = (tmp_path / "other.dcm", scan_header(tmp_path / "other.dcm"))
    loaded = load_inputs(card, study_of([ours[1]]), [stranger, ours])
    assert isinstance(loaded, Loaded)
    assert len(loaded.inputs.kspaces) == 1
    assert [reason.code for _, reason in loaded.skipped] == [ReasonCode.NOT_RAW_DATA]
    alone = load_inputs(card, study_of([stranger[1]]), [stranger])
    assert isinstance(alone, Refusal)
    assert alone.reason.code is ReasonCode.NOT_RAW_DATA


def test_samples_beyond_the_cards_memory_are_refused_before_they_are_read(card: ReaderCard, tmp_path: Path) -> None:
    path, header = raw_file(tmp_path / "raw.dcm", acquisition(coils=16, slices=16, side=48))
    wide = replace(card, input=replace(card.input, max_images=99), resources=replace(card.resources, memory_mb=1))
    refused = load_inputs(wide, study_of([header]), [(path, header)])
    assert isinstance(refused, Refusal)
    assert refused.reason.code is ReasonCode.OUT_OF_MEMORY


def test_a_damaged_object_is_refused(card: ReaderCard, tmp_path: Path) -> None:
    path, header = raw_file(tmp_path / "raw.dcm", acquisition())
    whole = bytearray(path.read_bytes())
    whole[-300] ^= 1
    path.write_bytes(bytes(whole))
    refused = load_inputs(card, study_of([header]), [(path, header)])
    assert isinstance(refused, Refusal)
    assert refused.reason.code is ReasonCode.BAD_HEADER


def test_an_answer_points_at_what_it_computed_and_stands_on_what_was_given(card: ReaderCard, tmp_path: Path) -> None:
    kspace = acquisition()
    _, header = raw_file(tmp_path / "raw.dcm", kspace)
    images = DerivedImages(
        label="Reconstruction, research use",
        voxels=np.ones(kspace.geometry.shape, np.float32),
        geometry=kspace.geometry,
        sources=(reference_to(header),),
        derivation="by hand",
        series_instance_uid=derived_series_uid("a" * 64, "b" * 64),
    )
    code = Code("SPREAD", "99COREAD", "Spread")
    spread = ParameterMap("Spread", code, NO_UNITS, images.voxels, images.references(), images.geometry)
    measured = replace(RESIDUAL, images=images.references()[:1])
    check_ending(card, ReadResult((), (measured,), maps=(spread,), images=(images,)), [header])
    for wrong, words in (
        (ReadResult((), (measured,), maps=(spread,)), "not given"),
        (ReadResult((), (replace(RESIDUAL, images=(reference_to(header),)),), images=(images,)), "not given"),
        (ReadResult((), (RESIDUAL,), images=(images, images)), "the same name"),
        (
            ReadResult((), (RESIDUAL,), images=(replace(images, series_instance_uid=header.series_instance_uid),)),
            "a series that was given",
        ),
        (
            ReadResult(
                (),
                (RESIDUAL,),
                images=(replace(images, sources=(replace(reference_to(header), sop_instance_uid="1.9"),)),),
            ),
            "not given",
        ),
    ):
        with pytest.raises(ContractBroken, match=words):
            check_ending(card, wrong, [header])
