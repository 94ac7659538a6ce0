"""MR reconstruction beside SigPy and BART: time of a slice, agreement, memory of a 3D acquisition.

python -m bench.mr_reconstruction [--rounds N] [--slice FILE.npy] [--full] [--planes N]     (two threads for each)

Speed: ESPIRiT and CG-SENSE of a simulated slice of 320 x 320 with 8 coils, every fourth line and 24 in the middle, 30
iterations, the same kernel, threshold, crop and weight for all. Each program runs in a process of its own with two
threads; turns alternate, medians count. BART's time includes its start and its files, as a caller has it.
Agreement: root mean square of the difference to BART over that of BART's result, step by step on the same input; with
--slice also on a real slice (coils, a, b), e.g. ../shared/data/mr_kspace/cartesian_8ch_180x230.npy.
Memory: a 3D acquisition with 16 coils as a memory map, compressed to 8 virtual coils, plane by plane; 64 partitions of
160 x 160, or with --full 256 of 320 x 320 (3.4 GB); --planes takes only so many places of the readout.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tests.imaging.mr.bart import Bart
from tests.imaging.mr.drawn_slices import difference, drawn_slice, ellipses

from coread.imaging.mr.coil_compression import compressed, compression_matrix, geometrically_compressed
from coread.imaging.mr.combine import zero_filled
from coread.imaging.mr.espirit import EspiritOptions, espirit_maps
from coread.imaging.mr.fourier import to_samples
from coread.imaging.mr.masks import MaskKind, MaskPlan, sampling_mask
from coread.imaging.mr.partial_fourier import Reach, homodyne
from coread.imaging.mr.planes import reconstructed_planes
from coread.imaging.mr.sense import cg_sense
from coread.imaging.mr.simulate import Scanner, simulated
from coread.imaging.mr.whitening import whitened

Complex = NDArray[np.complex64]
WEIGHT, ITERATIONS, THRESHOLD, CROP = 0.001, 30, 0.001, 0.8
THREADS = 2
ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description="MR reconstruction beside SigPy and BART")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--slice", type=Path, help="real k-space (coils, a, b) to compare with BART on")
    parser.add_argument("--full", action="store_true", help="the large 3D acquisition")
    parser.add_argument("--planes", type=int, help="reconstruct only so many places along the readout")
    parser.add_argument("--only", choices=["speed", "agreement", "memory"])
    parser.add_argument("--child", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if "OMP_NUM_THREADS" not in os.environ:  # small products in several threads of BLAS only wait for one another
        os.execve(sys.executable, [sys.executable, *sys.argv], environment(1))
    if given.child:
        CHILDREN[given.child[0]](*given.child[1:])
        return
    print(f"load {os.getloadavg()[0]:.1f}, {THREADS} threads")
    parts = {
        "speed": lambda: speed(given.rounds),
        "agreement": lambda: agreement(given.slice),
        "memory": lambda: memory(given.full, given.planes),
    }
    for name, part in parts.items():
        if given.only in (None, name):
            part()


def environment(threads: int) -> dict[str, str]:
    """Return the environment of a program: no forced kernels of OpenBLAS, the stated number of its threads."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OPENBLAS_", "OMP_", "MKL_"))}
    return kept | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(ROOT)}


class Runner:
    """A program that reconstructs whenever it is told to, and says how long that took."""

    def __init__(self, name: str, folder: Path, threads: int) -> None:
        command = [sys.executable, str(Path(__file__).resolve()), "--child", name, str(folder)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment(threads)
        )

    def seconds(self) -> tuple[float, float]:
        """Return the seconds of maps and of the image."""
        if self._process.stdin is None or self._process.stdout is None:
            raise RuntimeError("the program has no pipes")
        self._process.stdin.write("again\n")
        self._process.stdin.flush()
        maps, image = self._process.stdout.readline().split()
        return float(maps), float(image)

    def end(self) -> None:
        self._process.communicate()


def speed(rounds: int) -> None:
    made = drawn_slice(coils=8, shape=(320, 320), every=4, middle=24)
    truth = np.abs(made.image)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        np.save(folder / "samples.npy", made.samples)
        np.save(folder / "mask.npy", made.mask)
        # Coread divides columns among its own threads, so a second pool of threads inside BLAS would only wait.
        runners = {"coread": Runner("coread", folder, 1), "SigPy": Runner("sigpy", folder, THREADS)}
        if found := bart_program(folder):
            del found
            runners["BART"] = Runner("bart", folder, THREADS)
        taken: dict[str, list[tuple[float, float]]] = {program: [] for program in runners}
        for number in range(rounds + 1):
            for program, runner in runners.items():
                seconds = runner.seconds()
                if number:  # the first turn loads libraries and fills caches
                    taken[program].append(seconds)
        for runner in runners.values():
            runner.end()
        medians = {
            program: [statistics.median(parts) for parts in zip(*all_, strict=True)] for program, all_ in taken.items()
        }
        ours = sum(medians["coread"])
        print(f"  a slice of 320 x 320, 8 coils, {ITERATIONS} iterations, weight {WEIGHT}, medians of {rounds}")
        for program, (maps, image) in medians.items():
            error = difference(np.abs(np.load(folder / f"{program.lower()}.npy")), truth)
            print(
                f"  {program:8s} maps {maps:6.3f} s, image {image:6.3f} s, together {maps + image:6.3f} s"
                f" ({(maps + image) / ours:5.1f} times coread's), error against the truth {error:.4f}"
            )


def told(
    folder: str, reconstruct: Callable[[Complex, NDArray[np.bool_]], tuple[float, float, Complex]], name: str
) -> None:
    """Reconstruct at every line that comes in; keep the last image."""
    samples, mask = np.load(Path(folder) / "samples.npy"), np.load(Path(folder) / "mask.npy")
    image = np.zeros(mask.shape, dtype=np.complex64)
    for _ in sys.stdin:
        maps_seconds, image_seconds, image = reconstruct(samples, mask)
        print(maps_seconds, image_seconds, flush=True)
    np.save(Path(folder) / f"{name}.npy", image)


def child_coread(folder: str) -> None:
    options = EspiritOptions(threshold=THRESHOLD, crop=CROP)

    def reconstruct(samples: Complex, mask: NDArray[np.bool_]) -> tuple[float, float, Complex]:
        began = time.perf_counter()
        maps = espirit_maps(samples, mask, options, workers=THREADS)
        middle = time.perf_counter()
        image = cg_sense(samples, mask, maps, weight=WEIGHT, iterations=ITERATIONS, workers=THREADS)
        return middle - began, time.perf_counter() - middle, image

    told(folder, reconstruct, "coread")


def child_sigpy(folder: str) -> None:
    import sigpy.mri.app as untyped_apps

    apps: Any = untyped_apps

    def reconstruct(samples: Complex, _mask: NDArray[np.bool_]) -> tuple[float, float, Complex]:
        began = time.perf_counter()
        calibration = apps.EspiritCalib(samples, thresh=THRESHOLD**0.5, crop=CROP, show_pbar=False)
        maps = calibration.run()
        middle = time.perf_counter()
        image = apps.SenseRecon(samples, maps, lamda=WEIGHT, max_iter=ITERATIONS, show_pbar=False).run()
        return middle - began, time.perf_counter() - middle, np.asarray(image, dtype=np.complex64)

    told(folder, reconstruct, "sigpy")


def child_bart(folder: str) -> None:
    place = Path(folder)
    program = bart_program(place)

    def reconstruct(samples: Complex, _mask: NDArray[np.bool_]) -> tuple[float, float, Complex]:
        if program is None:
            raise SystemExit("bart is not installed")
        began = time.perf_counter()
        maps = program("ecalib", "-m1", "-r24", "-k6", "-t", str(THRESHOLD), "-c", str(CROP), inputs=[samples[:, None]])
        middle = time.perf_counter()
        words = ("pics", "-S", "-l2", "-r", str(WEIGHT), "-i", str(ITERATIONS))
        image = program(*words, inputs=[samples[:, None], maps[0][:, None]])[0]
        return middle - began, time.perf_counter() - middle, image

    told(folder, reconstruct, "bart")


def bart_program(folder: Path) -> Bart | None:
    import shutil

    found = shutil.which("bart")
    if found is None:
        print("  bart is not installed (Debian package bart): not compared", file=sys.stderr)
        return None
    (folder / "bart").mkdir(exist_ok=True)
    return Bart(found, folder / "bart")


def agreement(real: Path | None) -> None:
    with tempfile.TemporaryDirectory() as name:
        bart = bart_program(Path(name))
        if bart is None:
            return
        print("  difference to BART's result, as a part of it")
        made = drawn_slice(coils=8, shape=(320, 320), every=4, middle=24)
        of_a_slice(bart, "simulated lines", made.samples, made.mask, made.inside)
        points = sampling_mask(MaskPlan(MaskKind.POISSON, 6.0, 0.08), (320, 320), 3)
        whole = simulated(ellipses((320, 320)), Scanner(coils=8, signal_to_noise=100), 7)
        of_a_slice(bart, "simulated points", whole.samples * points, points, made.inside)
        of_coils(bart, whole.samples)
        truth = whole.image
        reach = Reach(0, 200)
        half = to_samples(truth)
        half[reach.stop :] = 0
        theirs = bart("homodyne", "-C", "1", str(reach.stop / 320), inputs=[half])[0]
        tell("homodyne, 5/8 (magnitude)", difference(np.abs(homodyne(half, reach)), np.abs(theirs)))
        if real is not None:
            samples = np.asarray(np.load(real), dtype=np.complex64)
            of_a_slice(bart, "real slice", samples, np.abs(samples).sum(axis=0) > 0, None)


def of_a_slice(
    bart: Bart, title: str, samples: Complex, mask: NDArray[np.bool_], inside: NDArray[np.bool_] | None
) -> None:
    theirs = bart("ecalib", "-m1", "-r24", inputs=[samples[:, None]])[0]
    ours = espirit_maps(samples, mask)
    seen = np.asarray((np.abs(theirs).sum(axis=0) > 0) & (np.abs(ours).sum(axis=0) > 0))
    seen = seen if inside is None else seen & inside
    turn = np.vdot(ours[:, seen], theirs[:, seen])
    tell(f"{title}: maps", difference(ours[:, seen] * (turn / abs(turn)), theirs[:, seen]))
    inputs = [samples[:, None], theirs[:, None]]
    image = bart("pics", "-S", "-l2", "-r", str(WEIGHT), "-i", "100", inputs=inputs)[0]
    same = cg_sense(samples, mask, theirs, weight=WEIGHT, iterations=100)
    turn = np.vdot(same, image)  # of opposite sign where a side is no multiple of 4
    tell(f"{title}: image, BART's maps", difference(same * (turn / abs(turn)), image))
    own = cg_sense(samples, mask, ours, weight=WEIGHT, iterations=100)
    tell(f"{title}: magnitude, own maps", difference(np.abs(own), np.abs(image)))


def of_coils(bart: Bart, samples: Complex) -> None:
    for kind, compress in (("-S", compressed), ("-G", geometrically_compressed)):
        theirs = bart("cc", "-p4", "-A", kind, inputs=[samples[:, None]])[0]
        tell(
            f"cc {kind} to 4 coils (root of squares)",
            difference(zero_filled(compress(samples, 4)), zero_filled(theirs)),
        )
    random = np.random.default_rng(1)
    mixing = np.eye(8) + 0.3 * random.normal(size=(8, 8))
    noise = (mixing @ (random.normal(size=(8, 4000)) + 1j * random.normal(size=(8, 4000)))).astype(np.complex64)
    theirs = bart("whiten", inputs=[samples[:, None], noise[:, None, None]])[0]
    tell("whiten", difference(whitened(samples, noise), theirs))


def tell(what: str, value: float) -> None:
    print(f"  {what:42s} {100 * value:8.4f} %")


@dataclass(frozen=True)
class Acquisition:
    """Sizes of a 3D acquisition."""

    coils: int
    partitions: int
    lines: int
    readout: int

    @property
    def shape(self) -> tuple[int, int, int, int]:
        return self.coils, self.partitions, self.lines, self.readout


def memory(full: bool, planes: int | None) -> None:
    size = Acquisition(16, 256, 320, 320) if full else Acquisition(16, 64, 160, 160)
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "samples.cfl"
        write_acquisition(Path(name), size)
        gigabytes = path.stat().st_size / 1e9
        words = [str(number) for number in (*size.shape, planes or size.readout)]
        command = [sys.executable, str(Path(__file__).resolve()), "--child", "planes", name, *words]
        ran = subprocess.run(command, env=environment(1), capture_output=True, text=True, check=True)
        seconds, peak, error = (float(word) for word in ran.stdout.split())
        print(
            f"  3D {size.partitions} x {size.lines} x {size.readout}, {size.coils} coils ({gigabytes:.2f} GB),"
            f" {planes or size.readout} planes: {seconds:.0f} s, at most {peak:.2f} GB resident,"
            f" error against the truth {error:.4f}"
        )


def write_acquisition(folder: Path, size: Acquisition) -> None:
    """Write samples of an object that is one slice at varying brightness along the readout, six times undersampled."""
    made = simulated(ellipses((size.partitions, size.lines)), Scanner(coils=size.coils, signal_to_noise=100), 7)
    mask = sampling_mask(MaskPlan(MaskKind.POISSON, 6.0, 0.125), (size.partitions, size.lines), 3)
    spectrum = to_samples(brightness(size.readout).astype(np.complex64), axes=(-1,))
    np.save(folder / "mask.npy", mask)
    np.save(folder / "truth.npy", np.abs(made.image))
    mapped = np.memmap(folder / "samples.cfl", np.complex64, "w+", shape=size.shape)
    for coil in range(size.coils):
        mapped[coil] = (made.samples[coil] * mask)[..., np.newaxis] * spectrum
    mapped.flush()


def brightness(readout: int) -> NDArray[np.float32]:
    places = np.linspace(-1, 1, readout)
    return np.asarray(np.where(np.abs(places) < 0.9, 1.2 + np.cos(3 * places), 0), dtype=np.float32)


def child_planes(folder: str, *sizes: str) -> None:
    *shape, planes = (int(word) for word in sizes)
    mask, truth = np.load(Path(folder) / "mask.npy"), np.load(Path(folder) / "truth.npy")
    mapped = np.memmap(Path(folder) / "samples.cfl", np.complex64, "r", shape=tuple(shape))
    readout = shape[-1]
    middle = np.asarray(mapped[:, shape[1] // 2 - 8 : shape[1] // 2 + 8, shape[2] // 2 - 8 : shape[2] // 2 + 8])
    combinations = compression_matrix(middle, 8)
    places = range(readout // 2 - planes // 2, readout // 2 - planes // 2 + planes)

    def method(samples: Complex, taken: NDArray[np.bool_]) -> Complex:
        fewer = np.asarray(np.tensordot(combinations, samples, axes=1), dtype=np.complex64)
        if np.linalg.norm(fewer) < 1e-3 * np.linalg.norm(middle):
            return np.zeros(taken.shape, dtype=np.complex64)  # beyond the object
        return cg_sense(fewer, taken, espirit_maps(fewer, taken), weight=WEIGHT, iterations=ITERATIONS)

    began = time.perf_counter()
    volume = reconstructed_planes(mapped, mask, method, scratch=Path(folder), places=places, workers=THREADS)
    seconds = time.perf_counter() - began
    expected = truth[..., np.newaxis] * brightness(readout)[places.start : places.stop]
    print(seconds, peak_gigabytes(), difference(np.abs(volume), expected))


def peak_gigabytes() -> float:
    """Return the most memory that this program had resident; ru_maxrss would count the program that started it."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) * 1024 / 1e9


CHILDREN: dict[str, Callable[..., None]] = {
    "coread": child_coread, "sigpy": child_sigpy, "bart": child_bart, "planes": child_planes,
}  # fmt: skip


if __name__ == "__main__":
    main()
