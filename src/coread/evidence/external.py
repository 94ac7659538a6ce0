"""An outside validator of the site's choice, for those who want one in the product: dicom3tools' ``dciodvfy``."""

import subprocess
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from coread.domain.work import EncodedObject
from coread.evidence.errors import EvidenceError, NotProven

_SECONDS = 20.0


def prove_externally(objects: Sequence[EncodedObject], program: Path) -> str:
    """Run the program on each object; raises NotProven when it prints an error, returns what was run.

    The program gets one file name and reports problems on lines that begin with ``Error``.
    """
    with TemporaryDirectory(prefix="coread-proof-") as folder:
        for number, item in enumerate(objects, start=1):
            file = Path(folder) / f"{number}.dcm"
            file.write_bytes(item.data)
            errors = [line for line in _answer(program, file) if line.lstrip().startswith("Error")]
            if errors:
                raise NotProven(f"{program.name} on {item.kind.value}: {'; '.join(errors[:5])}")
    return f"{program.name} 0 errors"


def _answer(program: Path, file: Path) -> list[str]:
    try:
        done = subprocess.run(
            [str(program), str(file)], capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise EvidenceError(f"external validator {program} did not run: {problem}") from problem
    return (done.stdout + done.stderr).splitlines()
