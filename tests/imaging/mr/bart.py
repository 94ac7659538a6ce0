"""BART at arm's length: arrays go in and come out as cfl files, results are compared with ours.

A numpy array is written with its axes reversed: (coils, 1, a, b) becomes BART's dimensions (b, a, 1, coils).
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Complex = NDArray[np.complex64]


class Bart:
    """One folder of cfl files and the program."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder, self._count = program, folder, 0

    def __call__(self, *words: str, inputs: Sequence[NDArray[Any]], outputs: int = 1) -> list[Complex]:
        """Run ``bart WORDS INPUTS OUTPUTS``; the outputs come back with axes of length 1 removed."""
        names = [self._written(values) for values in inputs]
        results = [self._name() for _ in range(outputs)]
        ran = subprocess.run(
            [self._program, *words, *names, *results], capture_output=True, text=True, timeout=120, check=False
        )
        assert ran.returncode == 0, f"bart {' '.join(words)}: {ran.stdout}{ran.stderr}"
        return [read_cfl(Path(name)) for name in results]

    def _name(self) -> str:
        self._count += 1
        return str(self._folder / f"array{self._count}")

    def _written(self, values: NDArray[Any]) -> str:
        name = self._name()
        write_cfl(Path(name), values)
        return name


def write_cfl(path: Path, values: NDArray[Any]) -> None:
    """Write PATH.hdr and PATH.cfl: dimensions as text, complex64 with the first dimension fastest."""
    sizes = " ".join(str(size) for size in values.shape[::-1])
    path.with_suffix(".hdr").write_text(f"# Dimensions\n{sizes}\n", encoding="ascii")
    np.ascontiguousarray(values, dtype=np.complex64).tofile(path.with_suffix(".cfl"))


def read_cfl(path: Path) -> Complex:
    """Read what ``write_cfl`` or BART wrote, without axes of length 1."""
    sizes = [int(word) for word in path.with_suffix(".hdr").read_text(encoding="ascii").splitlines()[1].split()]
    return np.fromfile(path.with_suffix(".cfl"), dtype=np.complex64).reshape(sizes[::-1]).squeeze()
