"""One reading ends as a result, a refusal or a failure: with provenance, without patient data, never as silence."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from coread.domain.codec import decode, encode
from coread.domain.findings import Box
from coread.domain.identifiers import digest_of
from coread.domain.reading import ModelSession, Reader
from coread.domain.reasons import ReasonCode
from coread.domain.results import Failure, Outcome, Reading, ReadResult, Refusal
from coread.engine.run import run_reader
from coread.models.session import open_session
from coread.readers.registry import InstalledReader, load_reader
from tests.engine.inputs import NOW, radiograph, square_at, study_of, tiny_installed
from tests.models.tiny_reader import CARD, READER

Build = Callable[..., InstalledReader]


@pytest.fixture
def build(packages: Path) -> Build:
    def make(**changes: str) -> InstalledReader:
        return tiny_installed(packages / "tiny_reader", **changes)

    return make


@pytest.fixture
def open_tiny(build: Build) -> tuple[InstalledReader, ModelSession, Reader]:
    installed = build()
    return installed, open_session(installed.model_folder, installed.card_path), load_reader(installed)


def read(installed: InstalledReader, *paths: Path) -> Reading:
    session = open_session(installed.model_folder, installed.card_path)
    study, sources = study_of(paths)
    return run_reader(installed, session, load_reader(installed), study, sources, NOW)


def failure(reading: Reading) -> Failure:
    assert isinstance(reading.ending, Failure)
    assert reading.outcome() is Outcome.FAILED
    return reading.ending


def refusal(reading: Reading) -> ReasonCode:
    assert isinstance(reading.ending, Refusal), reading.ending
    assert reading.outcome() is Outcome.NOT_ANALYSED
    return reading.ending.reason.code


def test_a_bright_square_is_found_where_it_is(build: Build, tmp_path: Path) -> None:
    reading = read(build(), radiograph(tmp_path / "a.dcm", square_at(64, 160)))
    assert reading.outcome() is Outcome.POSITIVE
    assert isinstance(reading.ending, ReadResult)
    (box,) = reading.ending.findings[0].locations
    assert isinstance(box, Box)
    assert 160 <= box.column_min < box.column_max <= 176
    assert 64 <= box.row_min < box.row_max <= 80


def test_a_plain_image_is_negative_and_not_silent(build: Build, tmp_path: Path) -> None:
    reading = read(build(), radiograph(tmp_path / "a.dcm", square_at(0, 0, side=0)))
    assert reading.outcome() is Outcome.NEGATIVE


def test_provenance_names_every_byte_and_stage(build: Build, tmp_path: Path) -> None:
    installed = build()
    path = radiograph(tmp_path / "a.dcm", square_at(64, 160))
    study, _ = study_of([path])
    provenance = read(installed, path).provenance
    assert provenance.package_digest == installed.package_digest
    assert provenance.input_digest == digest_of([study.series[0].instances[0].sha256])
    assert provenance.runtime.startswith("onnxruntime")
    assert [name for name, _ in provenance.stage_seconds] == [
        "verify",
        "load",
        "prepare",
        "infer",
        "interpret",
        "check",
    ]
    assert provenance.finished_at > provenance.started_at == NOW


def test_a_reading_survives_the_store(build: Build, tmp_path: Path) -> None:
    reading = read(build(), radiograph(tmp_path / "a.dcm", square_at(64, 160)))
    stored = encode(reading)
    again = encode(decode(Reading, stored.document, stored.arrays))
    assert json.loads(again.document) == json.loads(stored.document)


@pytest.mark.parametrize(
    ("pixels", "attributes", "code"),
    [
        (np.full((256, 256), 7), {}, ReasonCode.PIXELS_CONSTANT),
        (np.arange(16 * 16).reshape(16, 16), {}, ReasonCode.IMAGE_TOO_SMALL),
        (np.ones((8, 8)), {"Rows": 60000, "Columns": 60000}, ReasonCode.OUT_OF_MEMORY),
        (np.ones((8, 8)), {"Rows": 0}, ReasonCode.NO_PIXELS),
    ],
)
def test_unsuitable_pixels_are_refused_with_their_reason(
    build: Build, tmp_path: Path, pixels: NDArray[np.int64], attributes: dict[str, object], code: ReasonCode
) -> None:
    path = radiograph(tmp_path / "a.dcm", pixels.astype(np.uint16), **attributes)  # type: ignore[arg-type]
    assert refusal(read(build(), path)) is code


def test_a_truncated_image_is_refused(open_tiny: tuple[InstalledReader, ModelSession, Reader], tmp_path: Path) -> None:
    path = radiograph(tmp_path / "a.dcm", square_at(64, 160))
    study, sources = study_of([path])
    path.write_bytes(path.read_bytes()[:-1000])
    reading = run_reader(*open_tiny, replace(study, series=()), sources, NOW)
    assert isinstance(reading.ending, Refusal)
    assert reading.ending.skipped


def test_an_image_that_changed_on_the_disk_is_not_read(build: Build, tmp_path: Path) -> None:
    path = radiograph(tmp_path / "a.dcm", square_at(64, 160))
    study, sources = study_of([path])
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    installed = build()
    session = open_session(installed.model_folder, installed.card_path)
    reading = run_reader(installed, session, load_reader(installed), study, sources, NOW)
    assert failure(reading).kind == "InputChanged"


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=8), st.floats(0, 1))
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_damaged_files_end_as_something_and_never_raise(
    open_tiny: tuple[InstalledReader, ModelSession, Reader], tmp_path: Path, hits: list[tuple[float, int]], kept: float
) -> None:
    whole = radiograph(tmp_path / "a.dcm", square_at(64, 160))
    _, ((_, header),) = study_of([whole])
    data = bytearray(whole.read_bytes())
    for place, value in hits:
        # Half of the hits go into the header, where they hurt most.
        data[int(place * (len(data) - 1)) if place > 0.5 else int(place * 1600)] = value
    damaged = tmp_path / "damaged.dcm"
    damaged.write_bytes(data[: max(1, int(kept * 2 * len(data)))])
    installed, session, reader = open_tiny
    bare = replace(study_of([whole])[0], series=())
    reading = run_reader(installed, session, reader, bare, [(damaged, header)], NOW)
    assert reading.outcome() in Outcome
    encode(reading)


def test_one_bad_image_of_two_is_skipped_and_named(build: Build, tmp_path: Path) -> None:
    good = radiograph(tmp_path / "a.dcm", square_at(64, 160), 1)
    flat = radiograph(tmp_path / "b.dcm", np.full((256, 256), 9, dtype=np.uint16), 2)
    reading = read(build(), good, flat)
    assert isinstance(reading.ending, ReadResult)
    ((reference, reason),) = reading.ending.skipped
    assert reference.sop_instance_uid.endswith(".2")
    assert reason.code is ReasonCode.PIXELS_CONSTANT


def test_more_images_than_the_card_allows_are_listed_as_skipped(build: Build, tmp_path: Path) -> None:
    paths = [radiograph(tmp_path / f"{n}.dcm", square_at(64, 160), n) for n in range(1, 7)]
    reading = read(build(), *paths)
    assert isinstance(reading.ending, ReadResult)
    assert [reason.code for _, reason in reading.ending.skipped] == [ReasonCode.TOO_LARGE] * 2


def test_a_missing_file_is_a_failure_with_a_hint(build: Build, tmp_path: Path) -> None:
    path = radiograph(tmp_path / "a.dcm", square_at(64, 160))
    study, sources = study_of([path])
    path.unlink()
    installed = build()
    session = open_session(installed.model_folder, installed.card_path)
    reading = run_reader(installed, session, load_reader(installed), study, sources, NOW)
    assert failure(reading).hint


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("return ReadResult((finding,))", "raise ValueError(inputs)", "NameError"),
        ("return ReadResult((finding,))", "raise ValueError(str(image.header))", "ValueError"),
        ("return ReadResult((finding,))", "return ReadResult((finding, finding))", "ContractBroken"),
        ("return ReadResult((finding,))", "return ReadResult(())", "InvalidRecord"),
        ("return ReadResult((finding,))", "return None", "ContractBroken"),
        ('"square", spec.concept', '"circle", spec.concept', "ContractBroken"),
        ("point.threshold,", "0.9,", "ContractBroken"),
        ("point.name, images", '"other", images', "ContractBroken"),
        ("urgent=present and spec.urgent", "urgent=False", "ContractBroken"),
        ("Presence.PRESENT if present", "Presence.ABSENT if present", "ContractBroken"),
        ("row, column = int(row), int(column)", "pass", "ContractBroken"),
        ("(column + 1) * width,", "(column + 999) * width,", "ContractBroken"),
        ("header.sop_instance_uid,", '"1.2.3",', "ContractBroken"),
        ('"logit"][0, 0]', '"logit"][0, 0] * np.nan', "BadCalibration"),
        ("astype(np.float32)", "astype(np.float32) * np.float32(np.nan)", "OutputNotFinite"),
        ('session.run("network"', 'session.run("other"', "InferenceFailed"),
    ],
)
def test_a_reader_that_breaks_the_contract_fails_and_says_nothing_of_the_patient(
    build: Build, tmp_path: Path, old: str, new: str, kind: str
) -> None:
    assert old in READER
    path = radiograph(tmp_path / "a.dcm", square_at(64, 160))
    ended = failure(read(build(code=READER.replace(old, new, 1)), path))
    assert ended.kind == kind
    assert ended.hint
    assert not any(word in ended.message for word in ("SECRET-77", "Muster", "Anna", "19700101"))


def test_our_own_messages_lose_the_words_of_the_patient(build: Build, tmp_path: Path) -> None:
    code = READER.replace(
        "return ReadResult((finding,))",
        "from coread.domain.errors import Failed\n"
        "        raise Failed(f'no {image.header.patient_name} SECRET-77 here')",
    )
    ended = failure(read(build(code=code), radiograph(tmp_path / "a.dcm", square_at(64, 160))))
    assert ended.message == "no [patient] [patient] here"


def test_memory_that_runs_out_is_a_coded_refusal(build: Build, tmp_path: Path) -> None:
    code = READER.replace("return ReadResult((finding,))", "raise MemoryError")
    path = radiograph(tmp_path / "a.dcm", square_at(64, 160))
    assert refusal(read(build(code=code), path)) is ReasonCode.OUT_OF_MEMORY


def test_memory_that_runs_out_in_simpleitk_is_a_coded_refusal_too(build: Build, tmp_path: Path) -> None:
    """It says so in a plain runtime error."""
    path = radiograph(tmp_path / "a.dcm", square_at(64, 160))
    greedy = "import SimpleITK as sitk; sitk.Image([60_000, 60_000, 60_000], sitk.sitkFloat32)"
    said = read(build(code=READER.replace("return ReadResult((finding,))", greedy)), path)
    assert refusal(said) is ReasonCode.OUT_OF_MEMORY


def test_a_large_image_is_refused_before_it_is_decoded(build: Build, tmp_path: Path) -> None:
    card = CARD.replace("memory_mb = 512", "memory_mb = 1")
    path = radiograph(tmp_path / "a.dcm", square_at(64, 160, shape=(512, 512)))
    assert refusal(read(build(card=card), path)) is ReasonCode.OUT_OF_MEMORY
