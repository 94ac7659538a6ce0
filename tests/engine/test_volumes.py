"""Which volumes of a series a reader is given, and what is said of the others."""

from dataclasses import replace
from pathlib import Path

import pytest
from pydicom.dataset import Dataset

from coread.domain.cards import ReaderCard
from coread.domain.images import Volume
from coread.domain.reasons import ReasonCode
from coread.domain.results import Refusal
from coread.engine.limits import estimated_bytes
from coread.engine.loading import Loaded, load_inputs
from coread.engine.priors import FoundPriors, PriorSources, load_priors
from coread.phantoms.ct import with_orientation
from coread.readers.card_file import read_card
from tests.engine.inputs import study_of
from tests.imaging.made_series import SMALL, mr_slices, saved, slices
from tests.models.tiny_reader import CARD


@pytest.fixture
def card(tmp_path: Path) -> ReaderCard:
    (tmp_path / "card.toml").write_text(CARD)
    made = read_card(tmp_path / "card.toml")
    return replace(made, input=replace(made.input, presentation="volume"))


def loaded(card: ReaderCard, folder: Path, datasets: list[Dataset], **contract: str) -> Loaded | Refusal:
    located = saved(folder / "series", datasets)
    study, sources = study_of([path for path, _ in located])
    return load_inputs(replace(card, input=replace(card.input, **contract)), study, sources)  # type: ignore[arg-type]


def volumes_of(ending: Loaded | Refusal) -> tuple[Volume, ...]:
    assert isinstance(ending, Loaded), ending
    return ending.inputs.volumes


def refusal_of(ending: Loaded | Refusal) -> ReasonCode:
    assert isinstance(ending, Refusal)
    return ending.reason.code


def two_phases() -> list[Dataset]:
    made = []
    for phase in (1, 2):

        def edit(dataset: Dataset, _: int, phase: int = phase) -> None:
            dataset.TemporalPositionIdentifier = str(phase)

        made += mr_slices(edit, copy=str(phase))
    return made


def test_the_stack_is_read_and_the_localizer_is_named(card: ReaderCard, tmp_path: Path) -> None:
    def scout(dataset: Dataset, _: int) -> None:
        dataset.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    ending = loaded(card, tmp_path, slices() + slices(edit=scout, copy="scout")[:1])
    (volume,) = volumes_of(ending)
    assert volume.voxels.shape == (7, 12, 10)
    assert isinstance(ending, Loaded)
    ((reference, reason),) = ending.skipped
    assert reason.code is ReasonCode.LOCALIZER
    assert reference.sop_instance_uid not in {header.sop_instance_uid for header in volume.headers}


def test_a_small_other_plane_is_skipped_and_named_image_by_image(card: ReaderCard, tmp_path: Path) -> None:
    ending = loaded(card, tmp_path, slices() + _same_frame(slices(replace(with_orientation(SMALL, 40), slices=3))))
    (volume,) = volumes_of(ending)
    assert len(volume.voxels) == 7
    assert isinstance(ending, Loaded)
    assert [reason.code for _, reason in ending.skipped] == [ReasonCode.SEVERAL_VOLUMES] * 3


def test_a_piece_of_the_same_scan_with_another_matrix_is_never_left_out(card: ReaderCard, tmp_path: Path) -> None:
    piece = _same_frame(slices(replace(SMALL, slices=2, columns=14)))
    for number, dataset in enumerate(piece):
        dataset.ImagePositionPatient = [*slices()[0].ImagePositionPatient[:2], 500 + 4 * number]
        dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID}.7"
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    ending = loaded(card, tmp_path, slices() + piece)
    assert refusal_of(ending) is ReasonCode.SEVERAL_VOLUMES
    assert isinstance(ending, Refusal)
    assert "2 slices of the same plane" in ending.reason.text()


def test_phases_are_refused_by_a_reader_of_one_volume_and_given_to_a_reader_of_all(
    card: ReaderCard, tmp_path: Path
) -> None:
    ending = loaded(card, tmp_path / "one", two_phases())
    assert refusal_of(ending) is ReasonCode.SEVERAL_VOLUMES
    assert isinstance(ending, Refusal)
    assert "2 that differ in temporal position" in ending.reason.text()
    assert len(ending.skipped) == 14
    both = volumes_of(loaded(card, tmp_path / "all", two_phases(), volumes="all"))
    assert [dict(volume.key)["temporal_position"] for volume in both] == ["1", "2"]


def test_a_broken_stack_never_hides_behind_a_smaller_whole_one(card: ReaderCard, tmp_path: Path) -> None:
    broken = slices(replace(SMALL, missing=(3,)))
    other = _same_frame(slices(replace(with_orientation(SMALL, 40), slices=5)))
    assert refusal_of(loaded(card, tmp_path / "one", broken + other)) is ReasonCode.MISSING_SLICE
    assert refusal_of(loaded(card, tmp_path / "all", broken + other, volumes="all")) is ReasonCode.MISSING_SLICE


def test_gaps_are_resampled_only_for_a_card_that_says_so(card: ReaderCard, tmp_path: Path) -> None:
    made = slices(replace(SMALL, missing=(3,)))
    assert refusal_of(loaded(card, tmp_path / "refuse", made)) is ReasonCode.MISSING_SLICE
    (volume,) = volumes_of(loaded(card, tmp_path / "resample", made, gaps="resample"))
    assert volume.voxels.shape[0] == 7
    assert "interpolated" in volume.changes[0]


def with_companion(first: list[Dataset], second: list[Dataset]) -> list[Dataset]:
    for number, (name, part) in enumerate((("Sag T1", first), ("Ax FLAIR", second)), start=1):
        for dataset in part:
            dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3", f"1.2.3.{number}"
            dataset.SeriesDescription = name
            dataset.SOPInstanceUID = f"{dataset.SOPInstanceUID}.{number}"
            dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return [*second, *first]


COMPANION = {"series_words": ("T1",), "companion_series_words": ("flair",)}


def test_a_companion_is_given_apart_from_the_volume_that_is_read(card: ReaderCard, tmp_path: Path) -> None:
    made = with_companion(slices(), slices(replace(SMALL, slices=5)))
    ending = loaded(card, tmp_path, made, **COMPANION)  # type: ignore[arg-type]
    assert isinstance(ending, Loaded)
    assert [len(volume.voxels) for volume in ending.inputs.volumes] == [7]
    assert [len(volume.voxels) for volume in ending.inputs.companions] == [5]
    assert ending.skipped == ()


def test_a_broken_companion_is_named_and_stops_nothing(card: ReaderCard, tmp_path: Path) -> None:
    made = with_companion(slices(), slices(replace(SMALL, missing=(3,))))
    ending = loaded(card, tmp_path, made, **COMPANION)  # type: ignore[arg-type]
    assert len(volumes_of(ending)) == 1
    assert isinstance(ending, Loaded)
    assert ending.inputs.companions == ()
    assert [reason.code for _, reason in ending.skipped] == [ReasonCode.MISSING_SLICE] * 6


def test_a_companion_that_memory_has_no_room_for_is_left_out(
    card: ReaderCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coread.engine.limits.KEPT_BYTES_PER_PIXEL", (card.resources.memory_mb << 20) / 1.5 / 840)
    made = with_companion(slices(), slices())
    ending = loaded(card, tmp_path, made, **COMPANION)  # type: ignore[arg-type]
    assert isinstance(ending, Loaded)
    assert ending.inputs.companions == ()
    assert {reason.code for _, reason in ending.skipped} == {ReasonCode.OUT_OF_MEMORY}


def test_memory_of_a_multi_frame_object_counts_one_decoded_frame(tmp_path: Path) -> None:
    (_, header), *_ = saved(tmp_path, slices()[:1])
    whole = replace(header, number_of_frames=100)
    assert estimated_bytes([whole]) == 120 * (100 * 5 + 16)


def _same_frame(made: list[Dataset]) -> list[Dataset]:
    for dataset in made:
        dataset.FrameOfReferenceUID = slices()[0].FrameOfReferenceUID
        dataset.SeriesInstanceUID = slices()[0].SeriesInstanceUID
        dataset.StudyInstanceUID = slices()[0].StudyInstanceUID
    return made


def test_an_earlier_study_that_is_too_large_is_left_out_and_the_current_one_is_read(
    card: ReaderCard, tmp_path: Path
) -> None:
    located = saved(tmp_path / "series", slices())
    study, sources = study_of([path for path, _ in located])
    small = replace(card, input=replace(card.input, max_priors=1), resources=replace(card.resources, memory_mb=0))
    found = load_priors(small, FoundPriors((PriorSources(study, tuple(sources)),)))
    assert found.priors == ()
    assert "not used" in found.notes[0]


def test_earlier_studies_that_do_not_fit_beside_the_current_one_are_left_out(
    card: ReaderCard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each fits by itself: together they would end the reading where memory runs out."""
    located = saved(tmp_path / "series", slices())
    study, sources = study_of([path for path, _ in located])
    headers = [header for _, header in sources]
    two = replace(card, input=replace(card.input, max_priors=2))
    found = FoundPriors((PriorSources(study, tuple(sources)),) * 2)
    assert len(load_priors(two, found, headers).priors) == 2
    monkeypatch.setattr("coread.engine.limits.KEPT_BYTES_PER_PIXEL", (two.resources.memory_mb << 20) / 2.5 / 840)
    said = load_priors(two, found, headers)
    assert len(said.priors) == 1
    assert "not used" in said.notes[-1]
