"""DCMTK's storescp on a free port, writing what it receives into a folder."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers.orthanc import ProgramMissing
from tests.peers.ports import free_port, wait_for_port


@dataclass(frozen=True, slots=True)
class StoreScp:
    """Where a running storescp can be reached and where it writes."""

    port: int
    folder: Path
    ae_title: str = "STORESCP"
    host: str = "127.0.0.1"

    def files(self) -> list[Path]:
        """Return the received files."""
        return sorted(path for path in self.folder.rglob("*") if path.is_file() and path.name != "log")


@contextmanager
def running_storescp(options: Sequence[str] = ("+xa", "+B")) -> Iterator[StoreScp]:
    """Run storescp until the block ends; the default options accept every syntax and write bit-preserving.

    ``--refuse`` refuses every association; ``+xi`` accepts only Implicit VR Little Endian.
    """
    program = shutil.which("storescp")
    if program is None:
        raise ProgramMissing("storescp is not installed (Debian: dcmtk)")
    with tempfile.TemporaryDirectory(prefix="storescp-") as temporary:
        folder, port = Path(temporary), free_port()
        with (folder / "log").open("wb") as log:
            command = [program, *options, "-od", str(folder), "-aet", "STORESCP", str(port)]
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            wait_for_port(port)
            yield StoreScp(port, folder)
        finally:
            process.kill()
            process.wait(timeout=5)
