"""The fast way of writing a wrapped picture gives the bytes that pydicom gives."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coread.phantoms.picture import SOP_CLASSES, Picture, Subject, Wrapping, wrapped_picture
from coread.phantoms.picture_file import picture_file

GREY = np.arange(35, dtype=np.uint8).reshape(5, 7)
COLOUR = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)


def by_pydicom(picture: Picture, subject: Subject, wrapping: Wrapping, number: int) -> bytes:
    stream = io.BytesIO()
    wrapped_picture(picture, subject, wrapping, number=number).save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@pytest.mark.parametrize("modality", sorted(SOP_CLASSES))
@pytest.mark.parametrize("pixels", [GREY, GREY.astype(np.uint16) * 900, GREY.astype(np.int16) - 9, COLOUR])
@pytest.mark.parametrize("lossy", [False, True])
def test_every_kind_of_picture_has_the_same_bytes(modality: str, pixels: np.ndarray, lossy: bool) -> None:
    picture = Picture(pixels, lossy)
    subject = Subject("Ärzte-7", "case 1", "seed", "F", 61.5, "PA", "L", "Köln", "Alpha 3")
    wrapping = Wrapping(modality, body_part="CHEST", spacing_mm=0.35, manufacturer="Maker")
    assert picture_file(picture, subject, wrapping, number=3) == by_pydicom(picture, subject, wrapping, 3)


def test_slices_of_a_stack_have_the_same_bytes() -> None:
    picture, subject = Picture(GREY), Subject("p", "c", "s")
    wrapping = Wrapping("CT", spacing_mm=0.7, slice_mm=2.5)
    assert picture_file(picture, subject, wrapping, number=2) == by_pydicom(picture, subject, wrapping, 2)


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\\\0", exclude_categories=["C"]), min_size=1, max_size=20),
    st.sampled_from(["F", "M", "O", ""]),
    st.one_of(st.none(), st.floats(0, 120)),
    st.sampled_from(["PA", "AP", "", "LL"]),
)
def test_what_a_table_says_of_a_case_is_written_alike(name: str, sex: str, age: float | None, view: str) -> None:
    subject = Subject(name.strip() or "x", name.strip() or "x", name, sex, age, view)
    wrapping = Wrapping("DX", body_part="CHEST")
    assert picture_file(Picture(GREY), subject, wrapping) == by_pydicom(Picture(GREY), subject, wrapping, 1)
