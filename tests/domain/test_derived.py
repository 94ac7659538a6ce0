"""Computed images know the objects that they will be written as, before they are written."""

from dataclasses import replace

import numpy as np
import pytest

from coread.domain.codec import decode, encode
from coread.domain.codes import Code
from coread.domain.derived import MR_IMAGE_STORAGE, DerivedImages, Picture, derived_series_uid
from coread.domain.errors import InvalidRecord
from coread.domain.findings import ImageReference, Measurement
from coread.domain.geometry import Geometry
from coread.domain.results import ReadResult

GRID = Geometry((2, 3, 4), ((0.0, 0.0, 1.0, 5.0), (0.0, 1.0, 0.0, 6.0), (4.0, 0.0, 0.0, 7.0)), "1.2.3")
SERIES = derived_series_uid("a" * 64, "b" * 64, "1")
IMAGES = DerivedImages(
    label="Reconstruction, research use",
    voxels=np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    geometry=GRID,
    sources=(ImageReference("1.2.840.10008.5.1.4.1.1.66", "1.9", "1.8"),),
    derivation="by hand",
    series_instance_uid=SERIES,
)


def test_the_objects_of_a_series_are_named_by_package_and_input_alone() -> None:
    first, second = IMAGES.references()
    assert first.series_instance_uid == second.series_instance_uid == SERIES
    assert first.sop_class_uid == MR_IMAGE_STORAGE
    assert first.sop_instance_uid != second.sop_instance_uid
    assert replace(IMAGES, label="another", voxels=IMAGES.voxels + 1).references() == (first, second)
    other = replace(IMAGES, series_instance_uid=derived_series_uid("c" * 64, "b" * 64, "1"))
    assert {one.sop_instance_uid for one in other.references()}.isdisjoint({first.sop_instance_uid})


def test_frames_over_time_share_a_series_and_no_object() -> None:
    frames = [replace(IMAGES, position=number, positions=3) for number in (1, 2, 3)]
    named = [reference.sop_instance_uid for frame in frames for reference in frame.references()]
    assert len(set(named)) == 6
    assert [frame.instance_number(k) for frame in frames for k in range(2)] == [1, 2, 3, 4, 5, 6]


def test_computed_images_and_pictures_come_out_of_the_store_as_they_went_in() -> None:
    measured = Measurement(Code("1", "99COREAD", "One"), 1.0, Code("1", "UCUM", "no units"))
    picture = Picture("zero-filled", np.eye(3, dtype=np.float32), 1.0, 2.0)
    stored = encode(ReadResult((), (measured,), images=(IMAGES,), pictures=(picture,)))
    back = decode(ReadResult, stored.document, stored.arrays)
    assert np.array_equal(back.images[0].voxels, IMAGES.voxels)
    assert back.images[0].references() == IMAGES.references()
    assert np.array_equal(back.pictures[0].pixels, picture.pixels)
    assert encode(back).document == stored.document


def test_records_that_cannot_be_written_cannot_be_made() -> None:
    with pytest.raises(InvalidRecord, match="no series"):
        replace(IMAGES, series_instance_uid="")
    with pytest.raises(InvalidRecord, match="position 4 of 3"):
        replace(IMAGES, position=4, positions=3)
    with pytest.raises(InvalidRecord, match="no magnitudes"):
        replace(IMAGES, voxels=-IMAGES.voxels)
    with pytest.raises(InvalidRecord, match="no source"):
        replace(IMAGES, sources=())
    with pytest.raises(InvalidRecord, match=r"in \[0, 1\]"):
        Picture("too bright", np.full((2, 2), 1.5, np.float32))
