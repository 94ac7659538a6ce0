"""How the package of MR reconstruction is locked: ``python -m bench.mr_reader``. Needs the extra ``train``.

The golden case is the reader's own arithmetic on a small simulated acquisition. Graphs, where there are some, lie in
``model`` already; the ranges that a network was taught on stand in ``model/parameters.json`` under ``taught``.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.reading import Prepared
from coread.imaging.mr.masks import MaskKind, MaskPlan, sampling_mask
from coread.imaging.mr.simulate import Scanner, simulated
from coread.models.golden import save_golden_case
from coread.models.package import lock_package
from coread.models.session import open_session
from coread.readers import mr_reconstruction as package
from coread.readers.card_file import CARD_FILE, read_card
from coread.readers.mr_reconstruction.reader import reader
from coread.train.reader_folder import lock_whole

FOLDER = Path(package.__file__).parent
SIDE = 48


def golden_arrays() -> dict[str, NDArray[Any]]:
    """Return a prepared acquisition of one plane with four coils: a disc with two spots, every other line."""
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    disc = (np.hypot(x, y) < 0.8).astype(np.float32) * 100
    disc += 60 * (np.hypot(x - 0.3, y) < 0.15) + 30 * (np.hypot(x + 0.2, y - 0.3) < 0.2)
    found = simulated(disc, Scanner(coils=4), 7)
    mask = sampling_mask(MaskPlan(MaskKind.EQUISPACED, 2.0, 0.25), (SIDE, SIDE), 7)
    return {
        "samples_0": (found.samples * mask)[np.newaxis].astype(np.complex64),
        "mask_0": mask[np.newaxis],
        "noise_0": np.array([found.noise_deviation * np.sqrt(2), 1.0]),
        "frames_0": np.ones(1, dtype=np.int64),
        "outside_0": np.zeros(1, dtype=np.int64),
    }


def lock(folder: Path = FOLDER, learnt_from: Sequence[Path] = ()) -> str:
    """Write the golden case and lock the package; returns its digest. ``learnt_from`` are the folders of the data."""
    card, model = read_card(folder / CARD_FILE), folder / "model"
    lock_package(model, folder / CARD_FILE)
    session = open_session(model, folder / CARD_FILE, engine="onnxruntime")
    arrays = golden_arrays()
    save_golden_case(model, "acquisition", arrays, reader(card).infer(session, Prepared(arrays)), graph="reader")
    return lock_whole(folder, card, code=FOLDER, learnt_from=learnt_from)


def main() -> None:
    """Run from the shell."""
    print(lock())


if __name__ == "__main__":
    main()
