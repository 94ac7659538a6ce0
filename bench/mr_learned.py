"""The learned MR reconstruction beside others: ``python -m bench.mr_learned PART --data FOLDER``.

``quality``: patients that nothing was learnt from, simulated acquisitions (8 coils, signal to noise 40), by method,
mask and source. ``lesions``: small lesions put in before sampling. ``real``: a real undersampled slice by samples that
were kept back. ``coils``: other numbers of them. ``time``: seconds a slice. ``spread``: whether the spread over mirrors
follows the error. ``fat``: fat at another phase than water. ``transforms``: Fourier transforms inside ONNX graphs. Each
part is kept in the reader's network_measurements.json. ``--model FOLDER`` measures graphs that are not installed,
``--baseline`` the U-Net.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.reading import Arrays
from coread.imaging.mr.combine import root_sum_of_squares
from coread.imaging.mr.espirit import espirit_maps
from coread.imaging.mr.fourier import to_image, to_samples
from coread.imaging.mr.masks import MaskKind, MaskPlan, sampling_mask
from coread.imaging.mr.metrics import Quality, psnr, quality
from coread.imaging.mr.sense import cg_sense
from coread.imaging.mr.simulate import Scanner, fat_phase, simulated
from coread.imaging.mr.wavelet import l1_wavelet
from coread.models.graphs import load_graph
from coread.models.lineage import sha256_of
from coread.readers import mr_reconstruction
from coread.readers.mr_reconstruction.cohort import MS, SIEMENS, TUMOUR, MagnitudeSlice, kept_apart
from coread.readers.mr_reconstruction.learned import LINES, POINTS, estimate, reconstruct, reconstruct_with_maps
from coread.statistics.intervals import Resampling, bootstrap

FOLDER = Path(mr_reconstruction.__file__).parent
MEASUREMENTS = FOLDER / "network_measurements.json"
SCANNER = Scanner(coils=8, signal_to_noise=40)
PLANS = tuple(
    MaskPlan(kind, speed)
    for kind, speed in (
        (MaskKind.EQUISPACED, 4), (MaskKind.EQUISPACED, 8), (MaskKind.RANDOM, 4), (MaskKind.RANDOM, 8),
        (MaskKind.POISSON, 4), (MaskKind.POISSON, 8),
    )
)  # fmt: skip
SENSE_WEIGHT = 0.005
EVERY = {MS: 16, SIEMENS: 5, TUMOUR: 27}
"""Of so many slices of a source one is taken: chosen before anything was measured, by time at hand."""
FEWEST_PATIENTS = 5
REAL = Path("mr_kspace") / "cartesian_8ch_180x230.npy"
CLASSICAL = ("zero-filled", "CG-SENSE", "l1-wavelet")
SEED = 20261201
Complex = NDArray[np.complex64]
Image = NDArray[np.float32]
Method = Callable[[Complex, NDArray[np.bool_]], Complex | Image]


class Graphs:
    """The graphs of a folder, with the interface of a session."""

    digest, runtime = "", "onnxruntime"
    parameters: Mapping[str, Any] = {}

    def __init__(self, folder: Path, engine: str = "onnxruntime", threads: int = 1) -> None:
        self._graphs = {
            name: load_graph(engine, (folder / f"{name}.onnx").read_bytes(), threads) for name in (LINES, POINTS)
        }

    def run(self, graph: str, inputs: Arrays) -> dict[str, Any]:
        """Run one graph."""
        return dict(self._graphs[graph].run(dict(inputs)))

    def calibrate(self, key: str, logit: float) -> float:
        """Nothing here is a probability."""
        raise NotImplementedError(key, logit)


@dataclass(frozen=True, slots=True)
class Setting:
    """Where data and networks lie."""

    data: Path
    model: Path
    baseline: Path | None
    rows: Path | None = None
    only: tuple[str, ...] = ()


def methods(setting: Setting) -> dict[str, Method]:
    """Return the methods that are compared, by name; the classical ones with their default settings."""
    session = Graphs(setting.model)
    found: dict[str, Method] = {
        "zero-filled": lambda samples, mask: root_sum_of_squares(to_image(samples)),  # noqa: ARG005
        "CG-SENSE": lambda samples, mask: cg_sense(samples, mask, espirit_maps(samples, mask), weight=SENSE_WEIGHT),
        "l1-wavelet": lambda samples, mask: l1_wavelet(samples, mask, espirit_maps(samples, mask)),
    }
    if setting.baseline is not None:
        found["U-Net"] = baseline(setting.baseline)
    found["learned"] = lambda samples, mask: reconstruct(session, samples, mask)
    return {name: method for name, method in found.items() if not setting.only or name in setting.only}


def baseline(folder: Path) -> Method:
    """Return the U-Net on zero-filled magnitudes."""
    import torch

    from coread.imaging.mr.learned_inputs import MOST_LINES, scale_of, tapered_block
    from coread.train.mr.baseline import MagnitudeNetwork
    from coread.train.mr.fitting import WEIGHTS, read_weights

    network = MagnitudeNetwork().eval()
    network.load_state_dict(read_weights(folder / WEIGHTS))

    def corrected(samples: Complex, mask: NDArray[np.bool_]) -> Image:
        block = tapered_block(samples, mask, (MOST_LINES, MOST_LINES))
        if block is None:
            raise ValueError("no calibration block")
        scale = scale_of(block, (mask.shape[0], mask.shape[1]))
        given = torch.from_numpy(root_sum_of_squares(to_image(samples)) / scale)[None, None].float()
        with torch.inference_mode():
            return np.asarray(network.corrected(given)[0, 0].numpy() * scale, dtype=np.float32)

    return corrected


def chosen(data: Path) -> list[MagnitudeSlice]:
    """Return the slices that are measured: every so manieth of each source that is held out."""
    slices = kept_apart(data)
    return [
        item
        for source, every in EVERY.items()
        for item in [one for one in slices if one.source == source][every // 2 :: every]
    ]


def measure_quality(setting: Setting) -> dict[str, Any]:
    """Return the figures of every method, mask and source, with intervals over patients where there are enough."""
    slices, compared = chosen(setting.data), methods(setting)
    known = _known(setting.rows)
    rows: list[dict[str, Any]] = []
    for number, item in enumerate(slices):
        made = simulated(item.image, SCANNER, [SEED, number])
        for plan in PLANS:
            mask = sampling_mask(plan, (item.image.shape[0], item.image.shape[1]), [SEED, number, 1])
            place = {"slice": number, "source": item.source, "patient": item.patient, "volume": item.volume}
            for name, method in compared.items():
                about = place | {"mask": plan.kind.value, "acceleration": plan.acceleration, "method": name}
                figures = known.get(_key(about)) if name in CLASSICAL else None
                if figures is None:
                    figures = about | asdict(quality(item.image, np.abs(method(made.samples * mask, mask))))
                rows.append(figures)
        say(f"{number + 1} of {len(slices)} slices")
        if setting.rows is not None:
            setting.rows.write_text(json.dumps(rows), encoding="utf-8")
    return {"scanner": asdict(SCANNER), "slices": len(slices), "groups": summaries(rows)}


def _known(path: Path | None) -> dict[tuple[Any, ...], dict[str, Any]]:
    """Return figures that an earlier run kept: those of classical methods do not change with the network."""
    if path is None or not path.is_file():
        return {}
    return {_key(row): row for row in json.loads(path.read_text(encoding="utf-8"))}


def _key(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("slice", "volume", "mask", "acceleration", "method"))


def summaries(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return means of slices by method, mask, acceleration and source, and over all sources."""
    keys = dict.fromkeys((row["mask"], row["acceleration"], row["method"]) for row in rows)
    sources = [*dict.fromkeys(row["source"] for row in rows), "all"]
    groups = []
    for mask, speed, method in keys:
        for source in sources:
            own = [
                row
                for row in rows
                if (row["mask"], row["acceleration"], row["method"]) == (mask, speed, method)
                and source in (row["source"], "all")
            ]
            patients = np.array([row["patient"] for row in own])
            about = {"mask": mask, "acceleration": speed, "method": method, "source": source}
            counts = {"slices": len(own), "patients": len(set(patients))}
            figures = {name: interval(np.array([row[name] for row in own]), patients) for name in Quality.__slots__}
            groups.append(about | counts | figures)
    return groups


def interval(values: NDArray[np.float64], patients: NDArray[np.str_]) -> dict[str, float]:
    """Return the mean, with a 95 % interval by bootstrap over patients where there are at least five."""
    mean = {"mean": round(float(values.mean()), 5)}
    if len(set(patients)) < FEWEST_PATIENTS:
        return mean
    found = bootstrap(lambda at: float(values[at].mean()), patients, plan=Resampling(repeats=500))
    return mean | {"low": round(found.low, 5), "high": round(found.high, 5)}


def measure_lesions(setting: Setting) -> dict[str, Any]:
    """Put a small lesion into each slice before sampling; say how much of it is found, and what appears elsewhere.

    Found: the difference of the reconstructions with and without it, inside, as a share of what was put in. Elsewhere:
    the largest absolute difference at least 6 voxels away from it, as a share of its amplitude; the noise is the same.
    """
    compared = methods(setting)
    rows: list[dict[str, Any]] = []
    for number, item in enumerate(chosen(setting.data)[::2]):
        spot, inside, away = lesion_in(item.image, np.random.default_rng([SEED, number, 2]))
        made = simulated(item.image, SCANNER, [SEED, number])
        put = np.asarray(item.image * spot, dtype=np.float32)
        second = made.samples + to_samples(np.asarray(made.maps * (made.image * spot), dtype=np.complex64))
        for plan in (PLANS[0], PLANS[1], PLANS[4], PLANS[5]):
            mask = sampling_mask(plan, (item.image.shape[0], item.image.shape[1]), [SEED, number, 1])
            for name, method in compared.items():
                change = np.abs(method(second * mask, mask)) - np.abs(method(made.samples * mask, mask))
                row: dict[str, Any] = {"patient": item.patient, "method": name}
                row |= {"mask": plan.kind.value, "acceleration": plan.acceleration}
                row["found"] = float(change[inside].mean() / put[inside].mean())
                row["elsewhere"] = float(np.abs(change[away]).max() / np.abs(put).max())
                rows.append(row)
        say(f"{number + 1} lesions")
    keys = dict.fromkeys((row["mask"], row["acceleration"], row["method"]) for row in rows)
    groups = []
    for key in keys:
        own = [row for row in rows if (row["mask"], row["acceleration"], row["method"]) == key]
        patients = np.array([row["patient"] for row in own])
        about = dict(zip(("mask", "acceleration", "method"), key, strict=True)) | {"lesions": len(own)}
        figures = {name: interval(np.array([row[name] for row in own]), patients) for name in ("found", "elsewhere")}
        lost = sum(row["found"] < 0.5 for row in own)
        groups.append(about | figures | {"least_found": round(min(row["found"] for row in own), 3), "below_half": lost})
    return {"groups": groups}


def lesion_in(
    image: Image, random: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """Return a spot 5 to 9 voxels wide, 30 % brighter or darker, as a relative change; its inside; and what is away."""
    rows, columns = np.indices(image.shape)
    near_centre = np.hypot(rows - image.shape[0] / 2, columns - image.shape[1] / 2) < 50
    centre = random.choice(np.argwhere((image > 0.3 * np.percentile(image, 98)) & near_centre))
    radius = float(random.uniform(2.5, 4.5))
    distance = np.hypot(rows - centre[0], columns - centre[1])
    spot = np.exp(-((distance / radius) ** 4)) * 0.3 * random.choice((-1.0, 1.0))
    return np.asarray(spot, dtype=np.float32), distance < 0.7 * radius, distance > radius + 6


def measure_real(setting: Setting) -> dict[str, Any]:
    """Keep back a tenth of the samples of a real slice, outside the calibration block, and see who predicts them.

    There is no reference of this slice. The error is that of the samples kept back, as a share of their norm: noise is
    part of it for every method. Coils are predicted with the maps that a method used: ESPIRiT's, or its own.
    """
    samples = np.load(setting.data / REAL)
    mask = np.abs(samples).sum(axis=0) > 0
    session = Graphs(setting.model)
    radius = np.hypot(*(np.indices(mask.shape) - np.array(mask.shape)[:, None, None] // 2))
    found: dict[str, list[float]] = {"CG-SENSE": [], "l1-wavelet": [], "learned": []}
    for fold in range(5):
        held = mask & (np.random.default_rng([SEED, fold]).random(mask.shape) < 0.1) & (radius > 16)
        kept = mask & ~held
        given = np.where(kept, samples, 0).astype(np.complex64)
        maps, learned = espirit_maps(given, kept), reconstruct_with_maps(session, given, kept)
        coils = {
            "CG-SENSE": maps * cg_sense(given, kept, maps, weight=SENSE_WEIGHT),
            "l1-wavelet": maps * l1_wavelet(given, kept, maps),
            "learned": learned.maps * learned.image,
        }
        for name, images in coils.items():
            error = (to_samples(np.asarray(images, dtype=np.complex64)) - samples)[:, held]
            found[name].append(float(np.linalg.norm(error) / np.linalg.norm(samples[:, held])))
    return {"folds": 5, "error_of_samples_kept_back": {name: mean_of_folds(each) for name, each in found.items()}}


def mean_of_folds(values: Sequence[float]) -> dict[str, float]:
    """Return mean and standard deviation over the folds."""
    return {"mean": round(float(np.mean(values)), 4), "sd": round(float(np.std(values, ddof=1)), 4)}


def measure_coils(setting: Setting) -> dict[str, Any]:
    """Return PSNR by the number of coils, equispaced 4x: the network was taught on 4 to 8."""
    compared = {name: one for name, one in methods(setting).items() if name in ("l1-wavelet", "learned")}
    slices, rows = chosen(setting.data)[::8], []
    for coils in (2, 4, 8, 16, 32):
        found: dict[str, list[float]] = {name: [] for name in compared}
        for number, item in enumerate(slices):
            made = simulated(item.image, replace(SCANNER, coils=coils), [SEED, number])
            mask = sampling_mask(PLANS[0], (item.image.shape[0], item.image.shape[1]), [SEED, number, 1])
            for name, method in compared.items():
                found[name].append(psnr(item.image, np.abs(method(made.samples * mask, mask))))
        psnrs = {name: round(float(np.mean(values)), 2) for name, values in found.items()}
        rows.append({"coils": coils, "slices": len(slices)} | psnrs)
    return {"psnr": rows}


def measure_fat(setting: Setting) -> dict[str, Any]:
    """Return PSNR where fat has another phase than water; every third of the slices of ``quality``."""
    compared = {name: one for name, one in methods(setting).items() if name in ("l1-wavelet", "learned")}
    found: dict[str, list[float]] = {}
    slices = chosen(setting.data)[::3]
    for number, item in enumerate(slices):
        made = simulated(item.image, SCANNER, [SEED, number])
        image = np.asarray(made.image * fat_phase(item.image, np.random.default_rng([SEED, number, 3])))
        samples = made.samples + to_samples(np.asarray(made.maps * (image - made.image), dtype=np.complex64))
        for plan in PLANS:
            mask = sampling_mask(plan, (item.image.shape[0], item.image.shape[1]), [SEED, number, 1])
            for name, method in compared.items():
                score = psnr(np.abs(image), np.abs(method(samples * mask, mask)))
                found.setdefault(f"{plan.kind.value} {plan.acceleration:g}x {name}", []).append(score)
    return {"slices": len(slices), "psnr": {name: round(float(np.mean(each)), 2) for name, each in found.items()}}


def measure_time(setting: Setting) -> dict[str, Any]:
    """Return seconds a slice of 8 coils, 320 x 320, at 4x, with two threads, in both engines; median of 5."""
    random = np.random.default_rng(SEED)
    image = np.pad(random.random((200, 200), dtype=np.float32), 60)
    made = simulated(image, SCANNER, 1)
    found: dict[str, float] = {}
    for engine in ("onnxruntime", "openvino"):
        session = Graphs(setting.model, engine, threads=2)
        for kind in (MaskKind.EQUISPACED, MaskKind.POISSON):
            mask = sampling_mask(MaskPlan(kind, 4), (320, 320), 1)
            taken = []
            for _ in range(6):
                began = time.perf_counter()
                reconstruct(session, made.samples * mask, mask)
                taken.append(time.perf_counter() - began)
            found[f"{engine} {kind.value}"] = round(float(np.median(taken[1:])), 3)
    return {"seconds": found, "load": round(os.getloadavg()[0], 1), "cores": os.cpu_count()}


def measure_spread(setting: Setting) -> dict[str, Any]:
    """Say how the spread over mirrored acquisitions goes with the error: rank correlation over 8 x 8 blocks."""
    from scipy.stats import spearmanr

    session, found = Graphs(setting.model), []
    for number, item in enumerate(chosen(setting.data)[::3]):
        made = simulated(item.image, SCANNER, [SEED, number])
        mask = sampling_mask(PLANS[1], (item.image.shape[0], item.image.shape[1]), [SEED, number, 1])
        both = estimate(session, made.samples * mask, mask)
        error = np.abs(np.abs(both.image) - item.image)
        found.append(float(spearmanr(blocks(both.spread), blocks(error)).statistic))
    return {"slices": len(found), "rank_correlation": round(float(np.mean(found)), 3)}


def blocks(values: Image) -> NDArray[np.float64]:
    """Return the means of 8 x 8 blocks."""
    height, width = (size // 8 * 8 for size in values.shape)
    return np.asarray(values[:height, :width].reshape(height // 8, 8, width // 8, 8).mean(axis=(1, 3))).ravel()


def measure_transforms(_: Setting) -> dict[str, Any]:
    """Return milliseconds of a 2D transform of 8 coils inside a graph, and its largest relative error, two threads."""
    from onnx import TensorProto, helper

    def dft(opset: int) -> bytes:
        if opset < 20:
            nodes = [
                helper.make_node("DFT", [one], [two], axis=axis) for one, two, axis in (("x", "t", 2), ("t", "y", 1))
            ]
            constants = []
        else:
            constants = [helper.make_tensor(f"axis{axis}", TensorProto.INT64, [], [axis]) for axis in (1, 2)]
            nodes = [
                helper.make_node("DFT", ["x", "", "axis2"], ["t"]),
                helper.make_node("DFT", ["t", "", "axis1"], ["y"]),
            ]
        values = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["coils", "a", "b", 2])
        graph = helper.make_graph(
            nodes, "g", [values], [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], constants
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
        return bytes(model.SerializeToString())

    found: dict[str, Any] = {}
    for shape in ((8, 320, 320), (8, 230, 180)):
        values = np.random.default_rng(1).standard_normal((*shape, 2)).astype(np.float32)
        wanted = np.fft.fft2(values[..., 0] + 1j * values[..., 1])
        for engine in ("onnxruntime", "openvino"):
            for opset in (17, 20):
                graph = load_graph(engine, dft(opset), 2)
                graph.run({"x": values})
                began = time.perf_counter()
                got = graph.run({"x": values})["y"]
                milliseconds = round(1000 * (time.perf_counter() - began), 1)
                error = float(np.abs(got[..., 0] + 1j * got[..., 1] - wanted).max() / np.abs(wanted).max())
                found[f"DFT opset {opset} {engine} {shape}"] = {"ms": milliseconds, "error": error}
        found[f"matrices onnxruntime {shape}"] = by_matrices(values, wanted)
    return {"transforms": found}


def by_matrices(values: NDArray[np.float32], wanted: NDArray[np.complex128]) -> dict[str, float]:
    """Return the same of products with the real matrices of both axes."""
    from onnx import TensorProto, helper

    def real(size: int) -> NDArray[np.float32]:
        one = np.exp(-2j * np.pi * (np.outer(np.arange(size), np.arange(size)) % size) / size)
        return np.block([[one.real, -one.imag], [one.imag, one.real]]).astype(np.float32)

    coils, first, second = values.shape[:3]
    names = {"left": ("m", "m"), "x": ("coils", "m", "b"), "right": ("n", "n")}
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in names.items()]
    nodes = [
        helper.make_node("MatMul", ["left", "x"], ["t"]),  # (coils, 2 a, b)
        helper.make_node("Reshape", ["t", "split"], ["s"]),  # (coils, 2, a, b)
        helper.make_node("Transpose", ["s"], ["u"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["u", "joined"], ["v"]),  # (coils, a, 2 b)
        helper.make_node("MatMul", ["v", "right"], ["y"]),
    ]
    shapes = [
        helper.make_tensor("split", TensorProto.INT64, [4], [coils, 2, first, second]),
        helper.make_tensor("joined", TensorProto.INT64, [3], [coils, first, 2 * second]),
    ]
    graph = helper.make_graph(nodes, "g", inputs, [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)], shapes)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    loaded = load_graph("onnxruntime", model.SerializeToString(), 2)
    stacked = np.concatenate((values[..., 0], values[..., 1]), axis=1)
    given = {"left": real(first), "x": stacked, "right": np.ascontiguousarray(real(second).T)}
    loaded.run(given)
    began = time.perf_counter()
    got = loaded.run(given)["y"]
    milliseconds = round(1000 * (time.perf_counter() - began), 1)
    error = np.abs(got[..., :second] + 1j * got[..., second:] - wanted).max() / np.abs(wanted).max()
    return {"ms": milliseconds, "error": float(error)}


def table(document: Mapping[str, Any]) -> str:
    """Return the table of the quality."""
    lines = [f"{'mask':11}{'R':>3} {'source':22}{'method':12}{'n/pat':>8}{'NMSE':>9}{'PSNR':>21}{'SSIM':>8}{'HFEN':>8}"]
    for one in document["groups"]:
        psnr = f"{one['psnr']['mean']:.2f}"
        if "low" in one["psnr"]:
            psnr += f" [{one['psnr']['low']:.1f}, {one['psnr']['high']:.1f}]"
        lines.append(
            f"{one['mask']:11}{one['acceleration']:>3} {one['source']:22}{one['method']:12}"
            f"{one['slices']:>4}/{one['patients']:<3}{one['nmse']['mean']:>9.4f}{psnr:>21}"
            f"{one['ssim']['mean']:>8.3f}{one['hfen']['mean']:>8.3f}"
        )
    return "\n".join(lines)


def say(words: str) -> None:
    """Print a line at once."""
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


PARTS: dict[str, Callable[[Setting], dict[str, Any]]] = {
    "quality": measure_quality,
    "lesions": measure_lesions,
    "real": measure_real,
    "coils": measure_coils,
    "time": measure_time,
    "spread": measure_spread,
    "fat": measure_fat,
    "transforms": measure_transforms,
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=tuple(PARTS))
    parser.add_argument("--data", type=Path, required=True, help="folder that holds the data sets")
    parser.add_argument("--model", type=Path, default=FOLDER / "model", help="folder with lines.onnx and points.onnx")
    parser.add_argument("--baseline", type=Path, help="folder of the fit of the U-Net")
    parser.add_argument("--keep", type=Path, default=MEASUREMENTS, help="JSON file that keeps what was measured")
    parser.add_argument("--rows", type=Path, help="JSON file of single figures: those of classical methods are used")
    parser.add_argument("--only", nargs="+", default=[], help="methods to measure, by name")
    chosen_ = parser.parse_args()
    setting = Setting(chosen_.data, chosen_.model, chosen_.baseline, chosen_.rows, tuple(chosen_.only))
    found = PARTS[chosen_.part](setting)
    digests = {name: sha256_of(setting.model / f"{name}.onnx") for name in (LINES, POINTS)}
    kept = json.loads(chosen_.keep.read_text(encoding="utf-8")) if chosen_.keep.is_file() else {}
    if kept.get("graphs_sha256") != digests:
        kept = {}  # of other networks
    command = f"python -m bench.mr_learned {chosen_.part} --data DATA" + " --baseline FIT" * (
        setting.baseline is not None
    )
    kept |= {"graphs_sha256": digests, "network_sha256": digests[LINES], chosen_.part: found | {"command": command}}
    chosen_.keep.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")
    say(table(found) if chosen_.part == "quality" else json.dumps(found, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
