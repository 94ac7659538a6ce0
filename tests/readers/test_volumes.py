"""The gate that readers of volumes share: number of slices, size, meaning and content of the voxels."""

from dataclasses import replace

import numpy as np
import pytest

from coread.domain.cards import InputContract
from coread.domain.geometry import Geometry, affine_of
from coread.domain.images import Quantity, Volume
from coread.domain.reasons import ReasonCode
from coread.readers.volumes import reason_against
from tests.readers.reading import header

CONTRACT = InputContract(
    modalities=("CT",), sop_class_uids=(), body_parts=("HEAD",), views=(), min_age_years=18, max_age_years=None,
    min_rows=8, min_columns=8, max_pixels=256, min_images=3, max_images=6, presentation="volume",
)  # fmt: skip


def volume(slices: int = 4, rows: int = 10, columns: int = 12, **more: str) -> Volume:
    voxels = np.arange(slices * rows * columns, dtype=np.float32).reshape(slices, rows, columns)
    words = {"modality": "CT", "body_part_examined": "HEAD"} | more
    headers = tuple(header(number, rows, columns, **words) for number in range(1, slices + 1))
    geometry = Geometry((slices, rows, columns), affine_of(np.eye(4)[[2, 1, 0]]), "1.2.3.9")
    return Volume(voxels, Quantity.HOUNSFIELD, geometry, headers)


def test_a_volume_that_fits_is_not_refused() -> None:
    assert reason_against(CONTRACT, volume(), Quantity.HOUNSFIELD) is None
    assert reason_against(CONTRACT, replace(volume(), headers=()), Quantity.HOUNSFIELD) is None


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (volume(modality="MR"), ReasonCode.WRONG_MODALITY),
        (volume(body_part_examined="CHEST"), ReasonCode.WRONG_BODY_PART),
        (volume(patient_age="017Y"), ReasonCode.WRONG_AGE),
        (volume(slices=2), ReasonCode.TOO_FEW_IMAGES),
        (volume(slices=7), ReasonCode.IMAGE_TOO_LARGE),
        (volume(rows=7), ReasonCode.IMAGE_TOO_SMALL),
        (volume(columns=7), ReasonCode.IMAGE_TOO_SMALL),
        (volume(rows=17, columns=16), ReasonCode.IMAGE_TOO_LARGE),
        (replace(volume(), quantity=Quantity.ARBITRARY), ReasonCode.PIXEL_MEANING),
        (replace(volume(), voxels=np.full((4, 10, 12), np.inf, dtype=np.float32)), ReasonCode.PIXELS_NOT_FINITE),
        (replace(volume(), voxels=np.full((4, 10, 12), 7, dtype=np.float32)), ReasonCode.PIXELS_CONSTANT),
    ],
)
def test_what_the_card_excludes_is_refused(given: Volume, code: ReasonCode) -> None:
    reason = reason_against(CONTRACT, given, Quantity.HOUNSFIELD)
    assert reason is not None
    assert reason.code is code
