"""A real PostgreSQL server for the tests: its own data folder, its own port, gone afterwards."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pg8000.native

_PATH = (
    os.environ.get("PATH", "")
    + ":"
    + ":".join(str(found) for found in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True))
)


@dataclass(frozen=True)
class Server:
    port: int

    def run(self, statement: str, database: str = "postgres") -> None:
        connection = pg8000.native.Connection("coread", host="127.0.0.1", port=self.port, database=database)
        try:
            connection.run(statement)
        finally:
            connection.close()

    def empty(self, database: str, tables: Sequence[str]) -> None:
        """Remove all rows, also those that the guards protect (a superuser can switch triggers off)."""
        removals = "".join(f"DELETE FROM {table};" for table in reversed(tables))
        self.run(f"SET session_replication_role = replica; {removals}", database)

    def url(self, database: str) -> str:
        return f"postgresql+pg8000://coread@127.0.0.1:{self.port}/{database}"

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        name = f"t{uuid.uuid4().hex[:16]}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template}")
        try:
            yield name
        finally:
            self.run(f"DROP DATABASE {name} WITH (FORCE)")


def why_absent() -> str:
    """Return why no server can be started here, or "" when one can."""
    if shutil.which("initdb", path=_PATH) is None or shutil.which("postgres", path=_PATH) is None:
        return "PostgreSQL is not installed (Debian: postgresql)"
    if os.geteuid() == 0 and not _has_postgres_user():
        return "PostgreSQL refuses to run as root and there is no user postgres"
    return ""


def _has_postgres_user() -> bool:
    return any(entry.pw_name == "postgres" for entry in pwd.getpwall())


def _as_user() -> list[str]:
    return ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []


def _program(name: str) -> str:
    return shutil.which(name, path=_PATH) or name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_server() -> Iterator[Server]:
    folder = Path(tempfile.mkdtemp(prefix="coread-postgres-"))
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres")
    data, port = folder / "data", _free_port()
    create = [_program("initdb"), "-D", str(data), "-A", "trust", "-U", "coread", "-E", "UTF8", "--locale=C.UTF-8"]
    subprocess.run([*_as_user(), *create, "--no-sync"], check=True, capture_output=True, cwd=folder)
    options = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": "", "fsync": "off"}
    options |= {"full_page_writes": "off", "max_connections": "60", "shared_buffers": "32MB"}
    start = [_program("postgres"), "-D", str(data)]
    for name, value in options.items():
        start += ["-c", f"{name}={value}"]
    with subprocess.Popen(
        [*_as_user(), *start], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            _wait_until_ready(port)
            yield Server(port)
        finally:
            stop = [_program("pg_ctl"), "-D", str(data), "-m", "immediate", "stop"]
            subprocess.run([*_as_user(), *stop], check=False, capture_output=True, cwd=folder)
            server.wait(30)
            shutil.rmtree(folder, ignore_errors=True)


def _wait_until_ready(port: int) -> None:
    end = time.monotonic() + 30
    while True:
        try:
            pg8000.native.Connection("coread", host="127.0.0.1", port=port, database="postgres").close()
        except (pg8000.native.InterfaceError, pg8000.native.DatabaseError):
            if time.monotonic() > end:
                raise
            time.sleep(0.1)
        else:
            return
