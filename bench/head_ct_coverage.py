"""How often heads are taken for cut off: ``python -m bench.head_ct_coverage --data FOLDER``.

``FOLDER`` is that of all data sets. Whole heads: every patient of the head CT set, the real head of the GE scanner, and
generated heads. Cut heads: the patients again without their uppermost slices, and from a level inside the brain on. The
set gives the slices of some patients as a circle that begins within the body: before the base stands the vertex. They
are put in the order of the body first, by the largest step up in area after three slices that get smaller.
"""

import argparse
import json
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.reasons import Reason
from coread.imaging.header import scan_header
from coread.imaging.series import Choices, Gaps, load, open_series
from coread.readers.head_ct_hemorrhage.axial import axial_slices
from coread.readers.head_ct_hemorrhage.cohort import SET, patient_slices, read_rows
from coread.readers.head_ct_hemorrhage.coverage import coverage_of_areas
from coread.readers.head_ct_hemorrhage.on_phantoms import REPORTED, drawn
from coread.readers.head_ct_hemorrhage.outputs import SIDE
from coread.readers.head_ct_hemorrhage.preprocess import head_contour, head_slices, slices_with_brain, windowed
from coread.readers.head_ct_hemorrhage.reader import LEAST_BRAIN_SLICES

GE = "dicom/dcm_ge_head_tilt_gaps.zip"
LEVELS = (0.85, 0.9, 0.95, 0.98)
MOST_OFF = 8

Profile = tuple[NDArray[np.float64], NDArray[np.bool_]]
"""Area of the outer contour and whether brain is seen, slice by slice from the feet."""


def profile(windows: NDArray[np.float32]) -> Profile | None:
    """Return the profile of windowed slices (S, rows, columns); ``None`` where no head or too little brain is seen."""
    head = head_slices(windows, SIDE)
    if head is None:
        return None
    brain = slices_with_brain(head.slices)
    areas = np.array([head_contour(one).mean() for one in head.slices])
    return (areas, brain) if brain.sum() >= LEAST_BRAIN_SLICES else None


def in_order(found: Profile) -> Profile:
    """Return the slices in the order of the body."""
    areas, brain = found
    steps = np.diff(np.r_[areas, areas[0]])
    ends = [k for k in range(len(areas)) if all(areas[k - j] < areas[k - 1 - j] for j in range(3))]
    last = max(ends, key=lambda k: steps[k], default=len(areas) - 1)
    return np.roll(areas, -(last + 1)), np.roll(brain, -(last + 1))


def ge_head(data: Path) -> NDArray[np.float32]:
    """Return the windowed slices of the real head with a tilted gantry and uneven gaps."""
    with tempfile.TemporaryDirectory() as name:
        with zipfile.ZipFile(data / GE) as archive:
            archive.extractall(name)
        sources = [(path, scan_header(path)) for path in sorted(Path(name).rglob("*")) if path.is_file()]
        choices = Choices(gaps=Gaps.RESAMPLE)
        volumes = [load(stack, choices) for stack in open_series(sources, choices).volumes()]
    slices = axial_slices(max(volumes, key=lambda one: len(one.voxels)))
    if isinstance(slices, Reason):
        raise SystemExit(slices.text())
    return windowed(slices.hu)


def phantoms(folder: Path) -> Iterator[NDArray[np.float32]]:
    """Yield the windowed slices of the generated heads."""
    for case in REPORTED:
        hu = drawn(case, folder / f"{case.setup.seed}.npz")
        if hu is not None:
            yield windowed(hu)


def told(profiles: Sequence[Profile]) -> dict[str, int]:
    """Return how many heads there are and how many of them are taken for cut off."""
    found = [coverage_of_areas(*one) for one in profiles if one[1].sum() >= LEAST_BRAIN_SLICES]
    return {"heads": len(found), "at_the_top": sum(not one.top for one in found),
            "at_the_bottom": sum(not one.bottom for one in found)}  # fmt: skip


def begun_at(one: Profile, level: float) -> Profile:
    """Return the slices from the first one on that is as wide as a share of the widest through brain."""
    areas, brain = one
    start = int(np.flatnonzero(areas >= level * areas[brain].max())[0])
    return areas[start:], brain[start:]


def main() -> None:
    """Print what was found as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "head_ct_coverage")
    wanted = parser.parse_args()
    given = [
        found
        for _, slices in patient_slices(wanted.data, read_rows(wanted.data / SET))
        if (found := profile(slices)) is not None
    ]
    whole = [in_order(one) for one in given]
    ge = profile(ge_head(wanted.data))
    generated = [found for slices in phantoms(wanted.work) if (found := profile(slices)) is not None]
    document: dict[str, Any] = {
        "patients, in the order of the body": told(whole),
        "patients, as the set gives them": told(given),
        "GE head": told([ge] if ge is not None else []),
        "generated heads": told(generated),
    }
    for off in range(1, MOST_OFF + 1):
        document[f"patients without the {off} uppermost slices"] = told([(a[:-off], b[:-off]) for a, b in whole])
    for level in LEVELS:
        document[f"patients from {level:.0%} of the widest slice on"] = told([begun_at(one, level) for one in whole])
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
