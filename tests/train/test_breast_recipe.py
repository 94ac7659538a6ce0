"""The second member of the breast ultrasound recipe never sees the first fold, and every image once."""

import numpy as np

from coread.readers.breast_ultrasound.cohort import MARKED
from coread.readers.breast_ultrasound.recipe import rows_of_second


def test_the_second_member_sees_each_image_outside_the_first_fold_once() -> None:
    keys = ["a", "b", "c", "d", "a" + MARKED, "d" + MARKED]
    folds = np.array([0, 1, 2, 1, 0, 1])
    assert rows_of_second(keys, folds).tolist() == [1, 2, 5]
