"""Compressed sensing and radial transforms beside BART, PyWavelets and finufft.

python -m bench.mr_sparse [--rounds N]       (two threads for ours and for BART)

A simulated slice of 320 x 320 with 8 coils, random lines at 4x. Turns alternate; medians count, as seconds on the
clock and as seconds of processor. BART's time includes its start and its files, as a caller has it; on a machine that
does other work, the seconds of processor are the fairer of the two. Agreement is the root mean square of the difference
over that of BART's image.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tests.imaging.mr.bart import Bart
from tests.imaging.mr.drawn_slices import difference, drawn_slice

from coread.imaging.mr.grappa import grappa
from coread.imaging.mr.masks import MaskKind, MaskPlan, sampling_mask
from coread.imaging.mr.nufft import convolved, planned, toeplitz_spectrum
from coread.imaging.mr.radial import golden_angles, spokes_at
from coread.imaging.mr.total_variation import tv
from coread.imaging.mr.wavelet import backward, forward, l1_wavelet

SIDE, WEIGHT, ITERATIONS, THREADS = 320, 0.01, 30, 2


def main() -> None:
    parser = argparse.ArgumentParser(description="compressed sensing beside BART")
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print(f"load {os.getloadavg()[0]:.1f}, {THREADS} threads")
    with tempfile.TemporaryDirectory() as folder:
        program = shutil.which("bart")
        if program is None:
            print("  bart is not installed (Debian package bart): not compared", file=sys.stderr)
        # of BART; ours divides coils among its own threads. Threads of BART that wait sleep, so that other work on
        # the machine does not make it many times slower.
        os.environ.update({"OMP_NUM_THREADS": str(THREADS), "OMP_WAIT_POLICY": "passive"})
        sparse(Bart(program, Path(folder)) if program else None, rounds)
    wavelets(rounds)
    radial(rounds)


def sparse(bart: Bart | None, rounds: int) -> None:
    drawn = drawn_slice(coils=8, shape=(SIDE, SIDE), every=1)
    mask = sampling_mask(MaskPlan(MaskKind.RANDOM, 4, 0.08), (SIDE, SIDE), 3)
    samples, maps = drawn.samples * mask, drawn.maps
    tasks: dict[str, Callable[[], Any]] = {
        "coread l1-wavelet": lambda: l1_wavelet(samples, mask, maps, WEIGHT, ITERATIONS, workers=THREADS),
        "coread tv": lambda: tv(samples, mask, maps, WEIGHT, workers=THREADS),
        "coread grappa 2x": lambda: grappa(drawn.samples * regular(), regular()),
    }
    if bart is not None:
        inputs = [samples[:, None], maps[:, None]]
        steps = ("-S", "-i", str(ITERATIONS))
        tasks["BART l1-wavelet"] = lambda: bart("pics", *steps, "-R", f"W:3:0:{WEIGHT}", inputs=inputs)[0]
        tasks["BART tv, 100 CG"] = lambda: bart("pics", "-S", "-i", "100", "-R", f"T:3:0:{WEIGHT}", inputs=inputs)[0]
    found = {name: task() for name, task in tasks.items()}
    for name, image in found.items():
        if image.ndim == 2:
            print(f"  {name:18s} error against the truth {difference(image, drawn.image):.4f}")
    taken = timed(tasks, rounds)
    tell(taken)
    if bart is not None:
        for kind in ("l1-wavelet",):
            ratio = [b / a for a, b in zip(taken[f"coread {kind}"], taken[f"BART {kind}"], strict=True)]
            print(
                f"  {kind}, {ITERATIONS} iterations: BART takes {ratio[0]:.1f} times (processor {ratio[1]:.1f} times)"
            )
        same = bart("pics", "-S", "-n", "-i", "60", "-R", f"W:3:0:{WEIGHT}", inputs=inputs)[0]
        ours = l1_wavelet(samples, mask, maps, WEIGHT, 60, spin=False, tolerance=0, workers=THREADS)
        print(f"  l1-wavelet without spinning, 60 iterations: difference {100 * difference(ours, same):.2f} %")


def regular() -> np.ndarray[Any, np.dtype[np.bool_]]:
    mask = np.zeros((SIDE, SIDE), dtype=bool)
    mask[::2] = True
    mask[SIDE // 2 - 12 : SIDE // 2 + 12] = True
    return mask


def wavelets(rounds: int) -> None:
    random = np.random.default_rng(0)
    image = (random.normal(size=(SIDE, SIDE)) + 1j * random.normal(size=(SIDE, SIDE))).astype(np.complex64)
    tasks: dict[str, Callable[[], Any]] = {"coread wavelet, there and back": lambda: backward(forward(image, 5))}
    try:
        import pywt
    except ImportError:
        print("  PyWavelets is not installed: not compared", file=sys.stderr)
    else:
        mode = "periodization"
        tasks["PyWavelets"] = lambda: pywt.waverec2(pywt.wavedec2(image, "db2", mode=mode, level=5), "db2", mode=mode)
    tell(timed(tasks, 10 * rounds))


def radial(rounds: int) -> None:
    spokes = spokes_at(golden_angles(200), SIDE)
    random = np.random.default_rng(0)
    images = (random.normal(size=(8, SIDE, SIDE)) + 1j * random.normal(size=(8, SIDE, SIDE))).astype(np.complex64)
    plan = planned(spokes, (SIDE, SIDE))
    spectrum = toeplitz_spectrum(spokes, None, (SIDE, SIDE))
    tasks: dict[str, Callable[[], Any]] = {
        "coread plan, 200 spokes": lambda: planned(spokes, (SIDE, SIDE)),
        "coread forward, 8 coils": lambda: plan.forward(images),
        "coread Toeplitz, 8 coils": lambda: [convolved(image, spectrum) for image in images],
    }
    try:
        import finufft
    except ImportError:
        print("  finufft is not installed: not compared", file=sys.stderr)
    else:
        turns = (spokes.reshape(-1, 2) * (2 * np.pi / SIDE)).astype(np.float32)

        def theirs() -> Any:
            return finufft.nufft2d2(turns[:, 0].copy(), turns[:, 1].copy(), images, eps=1e-4, isign=-1, nthreads=1)

        tasks["finufft, 8 coils"] = theirs
        print(f"  forward against finufft / N: {difference(plan.forward(images), theirs() / SIDE):.1e}")
    tell(timed(tasks, rounds))


def timed(tasks: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, tuple[float, float]]:
    """Return medians of seconds on the clock and of the processor, of this process and of programs that it ran."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            clock, work = time.perf_counter(), processor()
            task()
            taken[name].append((time.perf_counter() - clock, processor() - work))
    return {
        name: (statistics.median(one[0] for one in all_), statistics.median(one[1] for one in all_))
        for name, all_ in taken.items()
    }


def processor() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def tell(taken: Mapping[str, tuple[float, float]]) -> None:
    for name, (clock, work) in taken.items():
        print(f"  {name:32s} {1000 * clock:9.1f} ms, processor {1000 * work:9.1f} ms")


if __name__ == "__main__":
    main()
