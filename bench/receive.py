"""How fast objects come in, beside Orthanc, DCMTK's storescp and a pynetdicom handler: ratios of one run.

    python bench/receive.py [--quick 3] [--json]

Sends generated CT slices (512 x 512, 16 bit) with DCMTK's storescu over loopback over 1 and 4 associations, with
TCP_NODELAY and as shipped (Nagle on; set on both sides for DCMTK and Orthanc). Every timed run has a fresh server and
folder and a small warm-up of its own.
Only the loopback interface exists while it runs (a network namespace), because some peers listen everywhere.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
NAMESPACE_MARK = "COREAD_BENCH_NAMESPACE"
SIDE = 512
GOALS = (
    ("coread indexed / Orthanc", "coread", "orthanc", "nodelay", 4.0),
    ("coread indexed / pynetdicom", "coread", "pynetdicom", "nodelay", 3.0),
    ("coread indexed / storescp", "coread", "storescp", "nodelay", 0.9),
    ("coread durable / Orthanc", "coread-durable", "orthanc", "nodelay", 3.0),
    ("coread indexed, 2 processes / Orthanc", "coread-2", "orthanc", "nodelay", 4.0),
    ("coread indexed, 2 processes / pynetdicom", "coread-2", "pynetdicom", "nodelay", 3.0),
    ("coread indexed, 2 processes / storescp", "coread-2", "storescp", "nodelay", 0.9),
    ("coread durable, 2 processes / Orthanc", "coread-2-durable", "orthanc", "nodelay", 3.0),
)
NAGLE_GOAL = ("coread indexed / Orthanc, Nagle, 1 association", "coread", "orthanc", "nagle", 25.0)


@dataclass(frozen=True, slots=True)
class Server:
    """A running receiver."""

    port: int
    process: subprocess.Popen[str]
    folder: Path


Starter = Callable[[Path, int], subprocess.Popen[str]]


def make_slices(folder: Path, count: int, study: str) -> list[Path]:
    """Write CT slices that are the same in every run."""
    import numpy as np

    sys.path.insert(0, str(REPOSITORY))
    from tests.receive.making import ct_slice, part10

    noise = np.random.default_rng(20).integers(0, 4096, (SIDE, SIDE), dtype=np.uint16)
    folder.mkdir(parents=True)
    paths = []
    for number in range(1, count + 1):
        data = ct_slice(number, side=SIDE, study=study)
        data.PixelData = np.roll(noise, number, axis=0).tobytes()
        path = folder / f"{number:05d}.dcm"
        path.write_bytes(part10(data))
        paths.append(path)
    return paths


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _spawn(command: list[str], folder: Path, **options: object) -> subprocess.Popen[str]:
    with (folder / "log").open("w") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, text=True, **options)  # type: ignore[call-overload,no-any-return]


def start_coread(durable: bool, processes: int = 1) -> Starter:
    """Coread as `python -m coread.receive` runs it, with its SQLite index; several processes share the port."""

    def start(folder: Path, port: int) -> subprocess.Popen[str]:
        from coread.receive.processes import ChildSettings, to_json
        from coread.receive.settings import ReceiveSettings
        from coread.store import Store, StoreSettings

        Store.open(StoreSettings(folder / "store"), migrate=True).close()
        receive = ReceiveSettings(port=port, durable=durable, processes=processes)
        settings = to_json(ChildSettings(receive, folder / "store"))
        given = folder / "settings.json"
        given.write_text(settings)
        if processes > 1:
            return _spawn([sys.executable, __file__, "--serve-coread", str(given)], folder)
        with given.open() as stream:
            return _spawn([sys.executable, "-m", "coread.receive"], folder, stdin=stream)

    return start


def serve_coread(given: Path) -> None:
    """Run the receiver processes of Coread until told to stop."""
    from coread.receive.processes import ReceiverProcess, from_json

    done = threading.Event()
    signal.signal(signal.SIGTERM, lambda _number, _frame: done.set())
    settings = from_json(given.read_text())
    children = [ReceiverProcess(settings) for _ in range(settings.receive.processes)]
    (given.parent / "ready").touch()
    done.wait()
    for child in children:
        child.stop()


def start_orthanc(folder: Path, port: int) -> subprocess.Popen[str]:
    """Orthanc as Debian ships it: SQLite index, everything else at its default."""
    settings = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "DicomPort": port,
        "HttpPort": free_port(),
        "RemoteAccessAllowed": False,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    return _spawn(["/usr/sbin/Orthanc", str(folder / "orthanc.json")], folder)


def start_storescp(folder: Path, port: int) -> subprocess.Popen[str]:
    """DCMTK's storescp, written bit by bit (+B), one process per association; no index."""
    (folder / "out").mkdir()
    return _spawn(["storescp", "--fork", "+B", "-od", str(folder / "out"), "+xa", str(port)], folder)


def start_pynetdicom(folder: Path, port: int) -> subprocess.Popen[str]:
    """The fastest documented pynetdicom handler: encoded bytes to a file, 128 KiB PDUs; no index."""
    return _spawn([sys.executable, __file__, "--serve-pynetdicom", str(port), str(folder)], folder)


def serve_pynetdicom(port: int, folder: Path) -> None:
    """Run until killed."""
    from pynetdicom import AE, AllStoragePresentationContexts, evt

    def keep(event: "evt.Event") -> int:
        path = folder / f"{event.request.AffectedSOPInstanceUID}.dcm"
        path.write_bytes(event.encoded_dataset())
        return 0

    entity = AE("PYNETDICOM")
    entity.maximum_pdu_size = 131072
    entity.supported_contexts = AllStoragePresentationContexts
    entity.add_supported_context("1.2.840.10008.1.1")
    entity.start_server(("127.0.0.1", port), evt_handlers=[(evt.EVT_C_STORE, keep)])


STARTERS: dict[str, Starter] = {
    "coread": start_coread(durable=False),
    "coread-durable": start_coread(durable=True),
    "coread-2": start_coread(durable=False, processes=2),
    "coread-2-durable": start_coread(durable=True, processes=2),
    "orthanc": start_orthanc,
    "storescp": start_storescp,
    "pynetdicom": start_pynetdicom,
}


@contextmanager
def running(name: str, *, nodelay: bool) -> Iterator[Server]:
    """Start a receiver in a folder of its own and remove both afterwards."""
    folder = Path(tempfile.mkdtemp(prefix=f"bench-{name}-"))
    port = free_port()
    with nagle(off=nodelay):
        process = STARTERS[name](folder, port)
    try:
        _wait_for(port, process, folder, mark="ready" if name.startswith("coread-2") else "")
        yield Server(port, process, folder)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def nagle(*, off: bool) -> Iterator[None]:
    """Switch Nagle's algorithm off, or leave it as shipped, in the DCMTK programs that are started inside."""
    os.environ.pop("TCP_NODELAY", None)
    if off:
        os.environ["TCP_NODELAY"] = "1"
    try:
        yield
    finally:
        os.environ.pop("TCP_NODELAY", None)


def _wait_for(port: int, process: subprocess.Popen[str], folder: Path, *, mark: str = "") -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        with socket.socket() as probe:
            if (folder / mark).exists() and probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError(f"server did not start: {(folder / 'log').read_text()[-2000:]}")


def send(port: int, folders: list[Path], *, nodelay: bool) -> float:
    """Send all folders at once, one association each; return the seconds until all are acknowledged."""
    started = time.perf_counter()
    with nagle(off=nodelay):
        senders = [
            subprocess.Popen(
                ["storescu", "-aec", "ANY-SCP", "+sd", "127.0.0.1", str(port), str(folder)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for folder in folders
        ]
    problems = [sender.communicate(timeout=300)[1] for sender in senders]
    elapsed = time.perf_counter() - started
    if any(sender.returncode for sender in senders):
        raise RuntimeError(f"sender failed: {problems}")
    return elapsed


def index_lag(server: Server, count: int) -> float:
    """Return the seconds until the index of Coread holds all objects."""
    started = time.perf_counter()
    with sqlite3.connect(f"file:{server.folder / 'store' / 'index.sqlite3'}?mode=ro", uri=True) as database:
        while time.perf_counter() - started < 30:
            (found,) = database.execute("select count(*) from instances").fetchone()
            if found == count:
                return time.perf_counter() - started
            time.sleep(0.005)
    raise RuntimeError("the index never held all objects")


@dataclass(frozen=True, slots=True)
class Material:
    """What is sent: a warm-up study, and the measured study cut for 1 and 4 associations."""

    warm_up: Path
    parts: dict[tuple[str, int], list[Path]]
    counts: dict[str, int]


def prepare(folder: Path, count: int, nagle_count: int) -> Material:
    """Write all files that will be sent."""
    make_slices(folder / "warm", 12, "1.2.826.0.1.3680043.10.2")
    paths = make_slices(folder / "all", count, "1.2.826.0.1.3680043.10.3")
    parts: dict[tuple[str, int], list[Path]] = {}
    for mode, size in (("nodelay", count), ("nagle", nagle_count)):
        for associations in (1, 4):
            folders = [folder / f"{mode}-{associations}-{index}" for index in range(associations)]
            for index, part in enumerate(folders):
                part.mkdir()
                for path in paths[:size][index::associations]:
                    (part / path.name).hardlink_to(path)
            parts[mode, associations] = folders
    return Material(folder / "warm", parts, {"nodelay": count, "nagle": nagle_count})


def cpu_seconds(process: subprocess.Popen[str]) -> float:
    """Return the processor time of a server with all its processes: it hardly depends on what else runs here."""
    import psutil

    total = 0.0
    root = psutil.Process(process.pid)
    for one in [root, *root.children(recursive=True)]:
        try:
            times = one.cpu_times()
        except psutil.NoSuchProcess:
            continue  # it has just ended: its parent counts it
        total += times.user + times.system + times.children_user + times.children_system
    return total


def measure(material: Material, name: str, mode: str, associations: int) -> tuple[float, float, float]:
    """Return (instances per second, server's CPU ms per instance, seconds of index lag or -1 without index)."""
    with running(name, nodelay=mode == "nodelay") as server:
        send(server.port, [material.warm_up], nodelay=mode == "nodelay")
        time.sleep(0.2)
        count = material.counts[mode]
        before = cpu_seconds(server.process)
        seconds = send(server.port, material.parts[mode, associations], nodelay=mode == "nodelay")
        lag = index_lag(server, count + 12) if name.startswith("coread") else -1.0
        time.sleep(0.05)
        return count / seconds, (cpu_seconds(server.process) - before) / count * 1000, lag


def run(arguments: argparse.Namespace) -> dict[str, object]:
    """Measure all cells in turns and return medians and ratios."""
    folder = Path(tempfile.mkdtemp(prefix="bench-slices-"))
    cells = [(mode, count) for mode in arguments.modes.split(",") for count in (1, 4)]
    names = arguments.receivers.split(",")
    rates: dict[tuple[str, str, int], list[float]] = {}
    cpu: dict[tuple[str, str, int], list[float]] = {}
    lags: list[float] = []
    try:
        material = prepare(folder, arguments.count, min(arguments.nagle_count, arguments.count))
        for turn in range(arguments.quick + 1):
            for mode, associations in cells:
                for name in names:
                    rate, cost, lag = measure(material, name, mode, associations)
                    if turn == 0:
                        continue  # the first turn warms files, programs and the machine
                    rates.setdefault((name, mode, associations), []).append(rate)
                    cpu.setdefault((name, mode, associations), []).append(cost)
                    lags.extend([lag] if lag >= 0 else [])
                    load = os.getloadavg()[0]
                    print(f"{turn} {name:15} {mode:8} {associations} {rate:8.1f}/s load {load:.1f}", file=sys.stderr)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    medians = {key: statistics.median(values) for key, values in rates.items()}
    return {
        "instances_per_second": {" ".join(map(str, key)): round(value, 1) for key, value in medians.items()},
        "all": {" ".join(map(str, key)): [round(value, 1) for value in values] for key, values in rates.items()},
        "cpu_ms_per_instance": {
            " ".join(map(str, key)): round(statistics.median(values), 2) for key, values in cpu.items()
        },
        "ratios": _ratios(medians),
        "index_lag_seconds": {"median": round(statistics.median(lags), 3), "max": round(max(lags), 3)} if lags else {},
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "turns": arguments.quick,
        "cores": os.cpu_count(),
    }


def _ratios(medians: dict[tuple[str, str, int], float]) -> list[dict[str, object]]:
    ratios: list[dict[str, object]] = []
    wanted = [(*goal, count) for goal in GOALS for count in (1, 4)] + [(*NAGLE_GOAL, 1)]
    for text, ours, theirs, mode, goal, count in wanted:
        if (ours, mode, count) in medians and (theirs, mode, count) in medians:
            ratio = medians[ours, mode, count] / medians[theirs, mode, count]
            met = ratio >= goal
            ratios.append({"what": text, "associations": count, "ratio": round(ratio, 2), "goal": goal, "met": met})
    return ratios


def show(result: dict[str, object]) -> None:
    """Print the table for people."""
    rates, cpu = result["instances_per_second"], result["cpu_ms_per_instance"]
    ratios = result["ratios"]
    if not isinstance(rates, dict) or not isinstance(cpu, dict) or not isinstance(ratios, list):
        raise TypeError("not a result of run()")
    print(f"{'receiver, sender, associations':40} instances/s   server CPU ms/instance")
    for key, value in rates.items():
        print(f"{key:40} {value:10.1f} {cpu[key]:14.2f}")
    print()
    for row in ratios:
        mark = "met" if row["met"] else "NOT met"
        print(f"{row['what']:48} x{row['associations']}  {row['ratio']:6.2f}  goal {row['goal']:5.2f}  {mark}")
    print(f"\nindex behind the last answer, s: {result['index_lag_seconds']}   load: {result['load_average']}")


def main() -> int:
    """Run the benchmark inside a network namespace of its own where that is possible."""
    if sys.argv[1:2] == ["--serve-coread"]:
        serve_coread(Path(sys.argv[2]))
        return 0
    if sys.argv[1:2] == ["--serve-pynetdicom"]:
        serve_pynetdicom(int(sys.argv[2]), Path(sys.argv[3]))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", type=int, default=5, metavar="N", help="timed turns after the warm-up (default 5)")
    parser.add_argument("--count", type=int, default=300, help="slices per run")
    parser.add_argument("--nagle-count", type=int, default=100, help="slices per run with Nagle (40 ms each for some)")
    parser.add_argument("--receivers", default=",".join(STARTERS), help="comma-separated names")
    parser.add_argument("--modes", default="nodelay,nagle", help="comma-separated: nodelay, nagle")
    parser.add_argument("--json", action="store_true", help="print JSON only")
    arguments = parser.parse_args()
    if NAMESPACE_MARK not in os.environ and shutil.which("unshare") and shutil.which("ip"):
        inner = 'ip link set lo up && exec "$@"'
        command = ["unshare", "--map-root-user", "--net", "sh", "-c", inner, "sh", sys.executable, *sys.argv]
        return subprocess.run(command, env={**os.environ, NAMESPACE_MARK: "1"}, check=False).returncode
    result = run(arguments)
    print(json.dumps(result, indent=1)) if arguments.json else show(result)
    if not arguments.json:
        print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
