"""Segmenting a volume: our sliding window and export of labels beside MONAI's inferer and nnU-Net's default export.

python -m bench.segmentation [ROUNDS]       (two threads for all; default 3 rounds, turns alternate, medians)

Sliding window: MONAI's UNet (16 to 256 channels, 4.8 million weights, untrained) over 192 x 192 x 144 voxels in windows
of 96 x 96 x 96, overlap 0.25, 18 windows: MONAI's inferer with eager PyTorch; ours with ONNX Runtime and OpenVINO.
Export: scores of 10 and of 60 classes, 80 x 128 x 128, to labels of 160 x 256 x 256: each class by skimage's resize,
then the largest (nnU-Net's default without separate treatment of the slice axis); ours, streamed.
"""

import io
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from monai.inferers.utils import sliding_window_inference
from monai.networks.nets.unet import UNet
from numpy.typing import NDArray
from skimage.transform import resize as untyped_resize

from coread.imaging.class_export import half_pixel_places, labels_from
from coread.imaging.sliding import Sliding, score_slabs
from coread.models.graphs import load_graph

THREADS = 2
resize: Any = untyped_resize
VOLUME, WINDOW, OVERLAP = (192, 192, 144), (96, 96, 96), 0.25
SCORES, LABELS = (80, 128, 128), (160, 256, 256)


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    torch.set_num_threads(THREADS)
    print(f"load {os.getloadavg()[0]:.1f}")
    windows(rounds)
    for classes in (10, 60):
        export(classes, rounds)


def windows(rounds: int) -> None:
    """Compare whole volumes, scores and all."""
    torch.manual_seed(0)
    network: Any = UNet(3, 1, 3, (16, 32, 64, 128, 256), (2, 2, 2, 2), num_res_units=2).eval()
    values = np.random.default_rng(0).normal(0, 1, VOLUME).astype(np.float32)
    tensor = torch.from_numpy(values)[None, None]
    graph = as_onnx(network)

    def by_monai() -> NDArray[np.float32]:
        with torch.inference_mode():
            scores: Any = sliding_window_inference(tensor, WINDOW, 1, network, OVERLAP)
        return np.asarray(scores[0], dtype=np.float32)

    def by_engine(name: str) -> Callable[[], NDArray[np.float32]]:
        engine = load_graph(name, graph, THREADS)

        def read() -> NDArray[np.float32]:
            slabs = score_slabs(
                values,
                Sliding(WINDOW, OVERLAP),
                lambda one: np.asarray(engine.run({"image": one[None, None]})["scores"][0]),
            )
            return np.concatenate(list(slabs), axis=1)

        return read

    tasks = {
        "MONAI, eager": by_monai,
        "coread, ONNX Runtime": by_engine("onnxruntime"),
        "coread, OpenVINO": by_engine("openvino"),
    }
    found = {name: task() for name, task in tasks.items()}
    for name, scores in found.items():
        print(f"  {name:22s} largest difference of scores {np.abs(scores - found['MONAI, eager']).max():.1e}")
    tell("sliding window", timed(tasks, rounds))


def export(classes: int, rounds: int) -> None:
    """Compare labels and the time that they take."""
    scores = smooth_scores(classes)
    at = [half_pixel_places(*pair) for pair in zip(LABELS, SCORES, strict=True)]

    def by_class() -> NDArray[np.uint16]:
        whole = np.stack([resize(one, LABELS, order=1, mode="edge", anti_aliasing=False) for one in scores])
        return np.asarray(whole.argmax(axis=0), dtype=np.uint16)

    def streamed() -> NDArray[np.uint16]:
        return labels_from((scores[:, k : k + 1] for k in range(SCORES[0])), (at[0], at[1], at[2]))

    tasks: dict[str, Callable[[], Any]] = {"skimage, each class": by_class, "coread, streamed": streamed}
    theirs, ours = by_class(), streamed()
    dice = [
        2 * ((theirs == k) & (ours == k)).sum() / max((theirs == k).sum() + (ours == k).sum(), 1)
        for k in np.unique(theirs)
    ]
    print(f"  {classes} classes: smallest Dice of a class {min(dice):.5f}")
    tell(f"export of {classes} classes", timed(tasks, rounds))


def smooth_scores(classes: int) -> NDArray[np.float32]:
    """Return scores (classes, *SCORES) as of a segmentation: a background and blobs that are high in one place each."""
    generator = np.random.default_rng(0)
    grid = np.stack(np.meshgrid(*[np.arange(side, dtype=np.float32) for side in SCORES], indexing="ij"))
    scores = generator.normal(0, 0.5, (classes, *SCORES)).astype(np.float32)
    scores[0] += 6.0
    for number in range(1, classes):
        center = generator.uniform(0.15, 0.85, 3) * SCORES
        radius = generator.uniform(4, 14)
        distance = np.sqrt(((grid - center.reshape(3, 1, 1, 1).astype(np.float32)) ** 2).sum(axis=0))
        scores[number] += np.clip(6.0 + (radius - distance), -8.0, 14.0)
    return scores


def as_onnx(network: torch.nn.Module) -> bytes:
    held: Any = io.BytesIO()
    torch.onnx.export(
        network, (torch.zeros(1, 1, *WINDOW),), held, input_names=["image"], output_names=["scores"], dynamo=False
    )
    return bytes(held.getvalue())


def timed(tasks: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    clock: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            began = time.perf_counter()
            task()
            clock[name].append(time.perf_counter() - began)
    return {name: statistics.median(seconds) for name, seconds in clock.items()}


def tell(title: str, seconds: Mapping[str, float]) -> None:
    first = next(iter(seconds.values()))
    for name, taken in seconds.items():
        print(
            f"  {title}: {name:22s} {taken:7.2f} s, {first / taken:5.2f} times as fast, {taken / first:.2f} of the time"
        )


if __name__ == "__main__":
    main()
