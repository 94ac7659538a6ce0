"""A network that runs in an outside program at arm's length (nnU-Net, TotalSegmentator): NIfTI in, label map out.

``process.json`` in the package names the command; no shell is involved. The program itself is not in the package, so
the site must allow it by its path, its version is asked at every opening, and the golden cases go through it.
"""

import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from coread.domain.reading import Arrays
from coread.imaging.nifti import UnreadableNifti, on_grid, read_nifti, write_nifti
from coread.models.errors import ProcessFailed, UnloadableGraph

SCHEMA = 1
GRAPH = "process"
_SHORT = 120.0
_LAST_WORDS = 300


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """How the program is called. ``{input}`` and ``{output}`` in the command stand for the two files."""

    command: tuple[str, ...]
    version_command: tuple[str, ...]
    version: str
    """What the version command must say, somewhere in its answer."""
    timeout_seconds: float = 900.0
    input_name: str = "image.nii.gz"
    output_name: str = "labels.nii.gz"

    def __post_init__(self) -> None:
        joined = " ".join(self.command)
        if not self.command or "{input}" not in joined or "{output}" not in joined:
            raise UnloadableGraph("process.json: the command must hold {input} and {output}.")
        if not self.version_command or not self.version or self.timeout_seconds <= 0:
            raise UnloadableGraph("process.json needs version_command, version and a timeout above 0.")
        if any(Path(name).name != name or not name for name in (self.input_name, self.output_name)):
            raise UnloadableGraph("process.json: file names must not lead anywhere.")


def process_from_json(document: bytes | str) -> ProcessPlan:
    """Read process.json; raises UnloadableGraph when it is none."""
    try:
        body = json.loads(document)
        if body.pop("schema") != SCHEMA:
            raise UnloadableGraph(f"process.json must have schema {SCHEMA}.")
        for name in ("command", "version_command"):
            body[name] = tuple(str(word) for word in body[name])
        return ProcessPlan(**body)
    except (ValueError, KeyError, TypeError, AttributeError) as problem:
        raise UnloadableGraph(f"process.json: {type(problem).__name__}: {problem}.") from problem


def process_to_json(plan: ProcessPlan) -> str:
    """Write process.json."""
    return json.dumps({"schema": SCHEMA} | asdict(plan), indent=2, sort_keys=True) + "\n"


class ProcessGraph:
    """The outside program as a graph: takes ``volume`` and ``affine``, gives ``labels`` on the same grid."""

    def __init__(self, plan: ProcessPlan, allowed: Sequence[Path]) -> None:
        self._plan = plan
        self._program = _allowed_program(plan.command[0], allowed)
        checker = _allowed_program(plan.version_command[0], allowed)
        said = _run((checker, *plan.version_command[1:]), _SHORT, Path.cwd())
        if plan.version not in said:
            raise UnloadableGraph(
                f"{self._program} is not version {plan.version}: it says {said.strip()[:_LAST_WORDS]!r}. The package "
                "was validated with that version; install it, or validate this one."
            )
        self.name = f"process {Path(self._program).name} {plan.version}"

    def run(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Write the volume, call the program, read the labels; raises ProcessFailed."""
        affine = np.asarray(inputs["affine"], dtype=np.float64)
        volume = np.asarray(inputs["volume"], dtype=np.float32)
        with tempfile.TemporaryDirectory(prefix="coread-process-") as name:
            folder = Path(name)
            given, wanted = folder / self._plan.input_name, folder / self._plan.output_name
            write_nifti(given, volume, affine)
            words = [
                word.replace("{input}", str(given)).replace("{output}", str(wanted)) for word in self._plan.command[1:]
            ]
            said = _run((self._program, *words), self._plan.timeout_seconds, folder)
            if not wanted.is_file():
                raise ProcessFailed(f"{self._program} ended well but wrote no {wanted.name}: {_last(said)}")
            try:
                labels, where = read_nifti(wanted)
                turned = on_grid(labels, where, affine)
            except UnreadableNifti as problem:
                raise ProcessFailed(f"{self._program}: {problem}") from problem
        if turned.shape != volume.shape:
            raise ProcessFailed(f"{self._program} gave labels of shape {turned.shape} for {volume.shape}")
        if not np.array_equal(turned, np.rint(turned)):
            raise ProcessFailed(f"{self._program} gave values that are no labels")
        return {"labels": turned.astype(np.int32)}


def _allowed_program(name: str, allowed: Sequence[Path]) -> str:
    found = shutil.which(name)
    if found is None:
        raise UnloadableGraph(f"program {name!r} is not installed here. Install it, or remove the package.")
    if Path(found).resolve() not in {path.resolve() for path in allowed}:
        raise UnloadableGraph(
            f"program {found} is not allowed at this site. Check it, then add its path to the setting allowed_programs."
        )
    return found


def _run(command: Sequence[str], seconds: float, folder: Path) -> str:
    """Run a program without a shell, in a session of its own that is ended as a whole when it takes too long."""
    try:
        process = subprocess.Popen(
            list(command),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
    except OSError as problem:
        raise ProcessFailed(f"{command[0]} cannot be started: {problem.strerror}") from problem
    with process:
        try:
            said, _ = process.communicate(timeout=seconds)
        except BaseException as problem:
            os.killpg(process.pid, signal.SIGKILL)  # not waited for yet, so the number is still its own
            if isinstance(problem, subprocess.TimeoutExpired):
                raise ProcessFailed(f"{command[0]} took longer than {seconds:g} s and was ended") from problem
            raise
    if process.returncode != 0:
        raise ProcessFailed(f"{command[0]} ended with status {process.returncode}: {_last(said)}")
    return said


def _last(said: str) -> str:
    return said.strip()[-_LAST_WORDS:] or "it said nothing"
