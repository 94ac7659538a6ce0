"""How fast the DICOMweb server is, beside Orthanc's DICOMweb plug-in: ratios of one run, medians.

    python bench/web.py [--rounds 5] [--images 300] [--json]

STOW-RS of a CT study (512 x 512, 16 bit), QIDO-RS over the studies that are there, WADO-RS of metadata, single objects
and the whole study. Both servers run on loopback with their files on the same disk; the rounds alternate between them.
"""

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))
JSON = "application/dicom+json"
DICOM = 'multipart/related; type="application/dicom"'
GOALS = {"stow": 2.5, "study metadata": 10.0}


@dataclass(frozen=True, slots=True)
class Web:
    """A DICOMweb service."""

    name: str
    port: int
    root: str
    process_id: int

    def cpu_seconds(self) -> float:
        """Return the processor time that the server has used so far."""
        import psutil

        times = psutil.Process(self.process_id).cpu_times()
        return float(times.user + times.system)

    def call(self, method: str, path: str, *, accept: str = JSON, body: bytes = b"", content_type: str = "") -> bytes:
        """Send one request on a connection of its own and return the body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=300)
        try:
            return self.on(connection, method, path, accept=accept, body=body, content_type=content_type)
        finally:
            connection.close()

    def on(self, connection: http.client.HTTPConnection, method: str, path: str, *, accept: str = JSON,
           body: bytes = b"", content_type: str = "") -> bytes:  # fmt: skip
        """Send one request on an open connection."""
        headers = {"Accept": accept} | ({"Content-Type": content_type} if content_type else {})
        connection.request(method, self.root + path, body=body or None, headers=headers)
        answer = connection.getresponse()
        data = answer.read()
        if answer.status not in (200, 202, 204):
            raise RuntimeError(f"{self.name} answered {answer.status} to {method} {path}: {data[:200]!r}")
        return data


@contextmanager
def coread_server(folder: Path) -> Iterator[Web]:
    """Run our server under uvicorn in a process of its own."""
    from tests.peers.ports import free_port, wait_for_port

    port = free_port()
    with (folder / "web.log").open("wb") as log:
        command = [sys.executable, str(REPOSITORY / "bench" / "web_server.py"), str(folder / "store"), str(port)]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        wait_for_port(port)
        yield Web("coread", port, "/dicomweb", process.pid)
    finally:
        process.terminate()
        process.wait(timeout=20)


def ct_study(study: str, count: int, side: int = 512) -> list[bytes]:
    """Return the slices of a study with UIDs of its own."""
    import numpy as np
    from tests.receive.making import ct_slice, part10

    noise = np.random.default_rng(20).integers(0, 4096, (side, side), dtype=np.uint16)
    slices = []
    for number in range(1, count + 1):
        data = ct_slice(number, side=side, study=study)
        data.PixelData = np.roll(noise, number, axis=0).tobytes()
        slices.append(part10(data))
    return slices


def multipart(objects: list[bytes]) -> tuple[bytes, str]:
    """Return a STOW-RS body and its Content-Type."""
    boundary = uuid.uuid4().hex
    head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body = b"".join(head + item + b"\r\n" for item in objects) + f"--{boundary}--\r\n".encode()
    return body, f"{DICOM}; boundary={boundary}"


Cost = tuple[float, float]
"""Seconds on the clock, and seconds of the server's processor time."""


def timed(web: Web, action: Callable[[], object], *, times: int = 1) -> Cost:
    """Return what an action costs, as the mean of so many in a row."""
    cpu, began = web.cpu_seconds(), time.perf_counter()
    for _ in range(times):
        action()
    return (time.perf_counter() - began) / times, (web.cpu_seconds() - cpu) / times


def bodies(objects: list[bytes], per_request: int) -> list[tuple[bytes, str]]:
    """Return the STOW-RS requests of a study: made before the clock runs, because the client's work is not ours."""
    return [multipart(objects[start : start + per_request]) for start in range(0, len(objects), per_request)]


def store_study(web: Web, requests: list[tuple[bytes, str]]) -> None:
    """STOW a study over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=300)
    for body, kind in requests:
        web.on(connection, "POST", "/studies", body=body, content_type=kind)
    connection.close()


def fetch_objects(web: Web, paths: list[str]) -> None:
    """Retrieve objects one by one over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", web.port, timeout=300)
    for path in paths:
        web.on(connection, "GET", path, accept=DICOM)
    connection.close()


def instance_paths(web: Web, study: str, limit: int) -> list[str]:
    """Return the paths of some objects of a study."""
    found = json.loads(web.call("GET", f"/studies/{study}/instances?limit={limit}"))
    names = [(item["0020000E"]["Value"][0], item["00080018"]["Value"][0]) for item in found]
    return [f"/studies/{study}/series/{series}/instances/{sop}" for series, sop in names]


def measure(servers: list[Web], rounds: int, images: int) -> dict[str, dict[str, list[Cost]]]:
    """Return what each task costs on each server, one value per round."""
    costs: dict[str, dict[str, list[Cost]]] = {}
    for number in range(rounds):
        study = f"2.25.{uuid.uuid4().int}"
        objects = ct_study(study, images)
        for web in servers if number % 2 == 0 else servers[::-1]:
            for task, cost in one_round(web, study, objects):
                costs.setdefault(task, {}).setdefault(web.name, []).append(cost)
    return costs


def one_round(web: Web, study: str, objects: list[bytes]) -> Iterator[tuple[str, Cost]]:
    """Yield (task, cost) of one server, with a study that it has not seen."""
    requests = bodies(objects, 25)
    yield "stow", timed(web, lambda: store_study(web, requests))
    yield "first study metadata", timed(web, lambda: web.call("GET", f"/studies/{study}/metadata"))
    yield "study metadata", timed(web, lambda: web.call("GET", f"/studies/{study}/metadata"), times=5)
    yield "retrieve study", timed(web, lambda: web.call("GET", f"/studies/{study}", accept=DICOM), times=2)
    paths = instance_paths(web, study, 100)
    yield "retrieve 100 objects", timed(web, lambda: fetch_objects(web, paths))
    yield "instance metadata", timed(web, lambda: web.call("GET", paths[0] + "/metadata"), times=20)
    yield "search studies", timed(web, lambda: web.call("GET", "/studies?limit=100"), times=20)
    yield "search series", timed(web, lambda: web.call("GET", f"/studies/{study}/series"), times=20)
    yield "search instances", timed(web, lambda: web.call("GET", f"/studies/{study}/instances"), times=5)


def table(costs: dict[str, dict[str, list[Cost]]]) -> list[dict[str, object]]:
    """Return one row per task: medians in milliseconds and how many times faster we are."""
    rows: list[dict[str, object]] = []
    for task, values in costs.items():
        row: dict[str, object] = {"task": task, "goal": GOALS.get(task)}
        for kind, index in (("clock", 0), ("cpu", 1)):
            ours, theirs = (statistics.median(cost[index] for cost in values[name]) for name in ("coread", "orthanc"))
            row |= {f"coread_{kind}_ms": round(ours * 1e3, 1), f"orthanc_{kind}_ms": round(theirs * 1e3, 1)}
            row[f"{kind}_ratio"] = round(theirs / ours, 2) if ours else None
        rows.append(row)
    return rows


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    from tests.peers.orthanc import running_orthanc

    with (
        tempfile.TemporaryDirectory(prefix="bench-web-") as temporary,
        coread_server(Path(temporary)) as ours,
        running_orthanc() as pacs,
    ):
        servers = [ours, Web("orthanc", pacs.http_port, "/dicom-web", pacs.process.pid)]
        rows = table(measure(servers, options.rounds, options.images))
    if options.json:
        print(json.dumps({"rounds": options.rounds, "images": options.images, "rows": rows}))
        return
    print(f"{options.images} CT slices, {options.rounds} rounds, medians in ms; a ratio above 1: Coread is faster")
    print(f"{'':22} {'coread':>8} {'orthanc':>8} {'ratio':>6}  {'coread':>8} {'orthanc':>8} {'ratio':>6}")
    print(f"{'':22} {'clock':>8} {'clock':>8} {'':>6}  {'cpu':>8} {'cpu':>8}")
    for row in rows:
        columns = "  ".join(
            f"{row[f'coread_{kind}_ms']:>8} {row[f'orthanc_{kind}_ms']:>8} {row[f'{kind}_ratio']!s:>6}"
            for kind in ("clock", "cpu")
        )
        goal = f"  goal {row['goal']}" if row["goal"] else ""
        print(f"{row['task']:22} {columns}{goal}")


if __name__ == "__main__":
    main()
