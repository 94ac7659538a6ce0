"""From the fitted members to a locked, measured reader: calibration, thresholds, package, validation, pages."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coread.readers.chest_xray.cohort import COHORT, GATE_SETS, SET, Cohort, cohort_rows
from coread.readers.chest_xray.outputs import FINDINGS, INPUT, SIDE
from coread.readers.chest_xray.report import CrossFitted
from coread.readers.chest_xray.words import CARD, OUTPUT_PLANS, page_with
from coread.readers.classifying.packaging import Answers, Release, release
from coread.train.export import export_onnx, fold_and_round, worst_difference
from coread.train.network import FindingNetwork, MirrorEnsemble
from coread.train.own_weights import given_to_lite, require_trained

OUTPUT_NAMES = ("logits", "maps", "gate", "view")
GOLDEN_CASES = 3
_TAPS = 5


def write_graph(members: Sequence[FindingNetwork], path: Path) -> str:
    """Write the mean of the members over image and mirror image, weights stored small; proved equal to torch.

    Raises BadPlan when a layer still holds weights of another project, ExportDiffers when the graph computes otherwise.
    """
    for member in members:
        require_trained(member.backbone.encoder.state_dict(), given_to_lite(_TAPS))
    network = MirrorEnsemble([fold_and_round(member) for member in members])
    images = golden_images()
    export_onnx(network, {INPUT: images[:1]}, path, output_names=OUTPUT_NAMES)
    worst = worst_difference(network, path, {INPUT: images})
    return f"{path.stat().st_size} bytes, off torch by at most {worst:.1e}"


def release_reader(
    data: Path, out: Path, members: Sequence[FindingNetwork], cohort: Cohort, found: CrossFitted,
    refused: Sequence[tuple[str, str]],
) -> Path:  # fmt: skip
    """Export, lock, measure on the held-out patients, write card, validation, training and page; return the folder.

    ``refused`` (group, file) are held-out images that are no adult's chest.
    """
    logits = found.said.logits.astype(np.float64)
    learnt_from = [folder for name in (SET, *GATE_SETS) if (folder := data / name).is_dir()]
    work = Release(
        code=Path(__file__).parent, card=CARD, outputs=OUTPUT_PLANS,
        answers={key: Answers(logits[:, k], found.truth[:, k], found.patients) for k, key in enumerate(FINDINGS)},
        write_graph=lambda path: write_graph(members, path), golden=golden_images(),
        cohort=COHORT | {"root": str(data.resolve())}, rows=cohort_rows(cohort, refused), page=page_with(found.facts),
        learnt_from=learnt_from,
        facts={"members": len(members), **found.facts}, more_curves={"view": found.view, "gate": found.gate},
    )  # fmt: skip
    return release(work, out)


def golden_images() -> NDArray[np.float32]:
    """Draw chests for the golden cases; no patient; (cases, 1, side, side)."""
    return np.stack([golden_image(seed) for seed in range(GOLDEN_CASES)])[:, np.newaxis]


def golden_image(seed: int) -> NDArray[np.float32]:
    """Draw two dark lungs beside a bright middle, (side, side) in [0, 1]."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    image = 0.75 - 0.15 * rows
    for middle in (0.3, 0.7):
        shift = random.uniform(-0.03, 0.03, 2)
        lung = ((columns - middle - shift[0]) / 0.17) ** 2 + ((rows - 0.45 - shift[1]) / 0.33) ** 2
        image -= 0.45 / (1 + np.exp(20 * (lung - 1)))
    row, column = random.uniform(0.3, 0.6, 2)
    image += 0.2 * np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / 0.004)
    return np.asarray(np.rint(np.clip(image, 0, 1) * 255) / 255, dtype=np.float32)
