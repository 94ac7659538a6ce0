"""Training and inference of one network, ours beside the plain way, in one run: ratios count, not seconds.

Training step: ``coread.train.fit`` against a plain PyTorch loop with MONAI's transforms over the same network, images,
batch and optimizer; both include loading and random changes. Inference: ONNX Runtime through ``coread.models`` against
eager PyTorch, and the same graph with float16 weights, with int8 weights, in float16, and quantised (static QDQ), each
with what it changes. Images are generated.
"""

import argparse
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from numpy.typing import NDArray

from coread.models.graphs import load_graph
from coread.statistics.roc import auc
from coread.train.arrays import ArraySet
from coread.train.batches import BatchRows
from coread.train.exporting import export
from coread.train.fit import FitPlan, Fitted, fit
from coread.train.networks import NetworkPlan, build_network
from coread.train.tasks import MultiClass

CLASSES = ("round", "square")
HEAD = MultiClass("type", CLASSES, balance=False)
WARM = 3
Images = NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=128)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=24)
    parser.add_argument("--kind", default="residual", help="a kind of coread.train.networks")
    parser.add_argument("--threads", type=int, default=1)
    chosen = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(chosen.threads)
    data = shapes(chosen.steps * chosen.batch, chosen.side)
    plan = FitPlan(
        epochs=1, batch=chosen.batch, learning_rate=2e-3, average_decay=0.0, accelerator="cpu",
        network=NetworkPlan(kind=chosen.kind, dropout=0.0),
    )  # fmt: skip
    print(f"{chosen.kind}, {chosen.side} px, batch {chosen.batch}, {chosen.threads} threads; medians")
    with tempfile.TemporaryDirectory() as folder:
        training(data, plan, Path(folder))
        inference(data, plan, Path(folder), chosen.threads)


def training(data: ArraySet, plan: FitPlan, folder: Path) -> None:
    """Alternate the two sides, so that both meet the same machine."""
    ours: list[float] = []
    plain: list[float] = []
    between: list[float] = []
    loads = loading_times()
    for number in range(2):
        clock = Clock()
        fit(data, [HEAD], plan, folder / f"round{number}", watchers=[clock])
        ours += clock.steps()
        between += clock.between()
        plain += plain_steps(data, plan)
    bare = bare_steps(data, plan)
    a, b, c = (statistics.median(times) * 1000 for times in (ours, plain, bare))
    print(f"training step   ours {a:8.1f} ms   PyTorch + MONAI {b:8.1f} ms   ratio {b / a:5.2f}")
    print(f"                network alone {c:8.1f} ms: {100 * c / a:.0f} % of our step, {100 * c / b:.0f} % of theirs")
    load, gap = (statistics.median(times) * 1000 for times in (loads, between))
    share, around = 100 * load / a, 100 * gap / a
    print(f"loading         {share:.2f} % of our step; {around:.2f} % with Lightning's loop around it")


def loading_times() -> list[float]:
    """Return a list that fills with the time of every batch that is read from now on."""
    times: list[float] = []
    read = BatchRows.__getitem__

    def timed(self: BatchRows, place: Any) -> dict[str, Any]:
        began = time.perf_counter()
        batch = read(self, place)
        times.append(time.perf_counter() - began)
        return batch

    BatchRows.__getitem__ = timed  # type: ignore[method-assign]
    return times


class Clock(Callback):
    """Notes when each batch begins and ends."""

    def __init__(self) -> None:
        self.began: list[float] = []
        self.ended: list[float] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.began.append(time.perf_counter())

    def on_train_batch_end(self, *_: Any) -> None:
        self.ended.append(time.perf_counter())

    def steps(self) -> list[float]:
        return [b - a for a, b in zip(self.ended[WARM:-1], self.ended[WARM + 1 :], strict=True)]

    def between(self) -> list[float]:
        return [b - a for a, b in zip(self.ended[WARM:-1], self.began[WARM + 1 :], strict=True)]


def plain_steps(data: ArraySet, plan: FitPlan) -> list[float]:
    """The loop that MONAI's tutorials teach: per-image transforms in a data set, a DataLoader, a step."""
    from monai import transforms
    from monai.data import DataLoader, Dataset

    changes = transforms.Compose(
        [
            transforms.ScaleIntensityRange(0, 255, 0, 1),
            transforms.RandFlip(0.5, spatial_axis=1),
            transforms.RandAffine(1.0, rotate_range=0.17, shear_range=0.05, translate_range=6, scale_range=0.12),
            transforms.RandAdjustContrast(1.0, (0.8, 1.25)),
            transforms.RandGaussianSharpen(prob=0.3),
            transforms.RandGaussianNoise(1.0, std=0.02),
            transforms.RandCoarseDropout(1, spatial_size=plan.batch, prob=0.15),
        ]
    )
    images = np.asarray(data.images)
    labels = np.asarray(data.targets[HEAD.name])
    rows = [{"image": image, "label": int(label)} for image, label in zip(images, labels, strict=True)]
    loader: Any = DataLoader(
        Dataset(rows, lambda row: (changes(row["image"]), row["label"])), batch_size=plan.batch, shuffle=True
    )
    return list(timed_loop(plan, data, ((torch.as_tensor(image), label) for image, label in loader)))


def bare_steps(data: ArraySet, plan: FitPlan) -> list[float]:
    images = torch.rand(plan.batch, data.channels, *data.shape)
    labels = torch.zeros(plan.batch, dtype=torch.int64)
    return list(timed_loop(plan, data, ((images, labels) for _ in range(len(data) // plan.batch))))


def timed_loop(plan: FitPlan, data: ArraySet, batches: Iterator[tuple[Any, Any]]) -> Iterator[float]:
    network = build_network(plan.network.for_data(data.channels, data.shape, 0), [HEAD]).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay)
    before = time.perf_counter()
    for number, (images, labels) in enumerate(batches):
        optimizer.zero_grad()
        output = network(images.float().contiguous(memory_format=torch.channels_last))[HEAD.name]
        loss = torch.nn.functional.cross_entropy(output, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), plan.clip)
        optimizer.step()
        now = time.perf_counter()
        if number >= WARM:
            yield now - before
        before = now


def inference(data: ArraySet, plan: FitPlan, folder: Path, threads: int) -> None:
    fitted = fit(data, [HEAD], replace(plan, epochs=4, seed=1), folder / "shipped")
    images = np.asarray(data.images[:96], dtype=np.float32) / 255
    truth = np.asarray(data.targets[HEAD.name])[: len(images)] == 1
    paths = variants(fitted, folder, images)
    graphs = {name: load_graph("onnxruntime", path.read_bytes(), threads) for name, path in paths.items()}
    wanted = fitted.predict(images)[HEAD.name]
    for batch in (1, 8):
        part = images[:batch]
        tensor = torch.from_numpy(part)
        with torch.inference_mode():
            eager = median_ms(lambda tensor=tensor: fitted.network(tensor))  # type: ignore[misc]
        print(f"inference, batch {batch}: eager PyTorch {eager:7.2f} ms")
        for name, graph in graphs.items():
            taken = median_ms(lambda graph=graph, part=part: graph.run({"image": part}))  # type: ignore[misc]
            print(f"   ONNX Runtime {name:14s} {taken:7.2f} ms   ratio {eager / taken:5.2f}")
    print(f"what each variant changes, over {len(images)} images it learned from:")
    for name, graph in graphs.items():
        found = np.concatenate([graph.run({"image": images[i : i + 8]})[HEAD.name] for i in range(0, len(images), 8)])
        change = np.abs(found - wanted).max()
        flipped = int(((found[:, 1] > found[:, 0]) != (wanted[:, 1] > wanted[:, 0])).sum())
        area = auc(truth, found[:, 1] - found[:, 0]) - auc(truth, wanted[:, 1] - wanted[:, 0])
        size = paths[name].stat().st_size / 1e6
        print(
            f"   {name:14s} {size:6.2f} MB   logit {change:.5f}   answers {flipped} of {len(images)}   AUC {area:+.4f}"
        )


def variants(fitted: Fitted, folder: Path, images: Images) -> dict[str, Path]:
    paths = {
        name: folder / f"{name}.onnx" for name in ("float32", "weights half", "weights int8", "float16", "QDQ int8")
    }
    export(fitted, paths["float32"])
    export(fitted, paths["weights half"], storage="float16")
    export(fitted, paths["weights int8"], storage="int8")
    half(paths["float32"], paths["float16"])
    quantised(paths["float32"], paths["QDQ int8"], images)
    return paths


def half(source: Path, target: Path) -> None:
    """Compute in float16; inputs and outputs stay float32."""
    from onnx import load, save
    from onnxruntime.transformers.float16 import convert_float_to_float16

    save(convert_float_to_float16(load(str(source)), keep_io_types=True), str(target))


def quantised(source: Path, target: Path, images: Images) -> None:
    """Static quantisation: int8 weights per channel, int8 activations with ranges from 32 images."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.rest = iter([{"image": images[i : i + 1]} for i in range(32)])

        def get_next(self) -> Any:
            return next(self.rest, None)

    ready = source.with_suffix(".ready.onnx")
    quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
    quantize_static(
        str(ready), str(target), Reader(), quant_format=QuantFormat.QDQ, per_channel=True,
        weight_type=QuantType.QInt8, activation_type=QuantType.QUInt8,
    )  # fmt: skip


def median_ms(work: Callable[[], object], rounds: int = 25) -> float:
    times = []
    for _ in range(rounds + WARM):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times[WARM:])


def shapes(count: int, side: int) -> ArraySet:
    """Generated pictures of a bright disc or square."""
    random = np.random.default_rng(0)
    images = (random.random((count, 1, side, side)) * 120).astype(np.uint8)
    kinds = random.integers(0, 2, count)
    rows, columns = np.mgrid[0:side, 0:side]
    for i, kind in enumerate(kinds):
        half_side = random.integers(side // 8, side // 4)
        x, y = random.integers(half_side, side - half_side, 2)
        if kind:
            inside = (abs(columns - x) < half_side) & (abs(rows - y) < half_side)
        else:
            inside = (columns - x) ** 2 + (rows - y) ** 2 < half_side**2
        images[i][:, inside] = 190
    names = [str(i) for i in range(count)]
    return ArraySet(images, {HEAD.name: kinds.astype(np.int64)}, names, names)


if __name__ == "__main__":
    main()
