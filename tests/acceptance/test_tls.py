"""HTTPS and DICOM TLS through the running server: encrypted with a known certificate, refused in clear."""

import socket
import ssl
import stat
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from coread.app.cli.exit_codes import ExitCode
from coread.deliver.peer import Peer
from coread.deliver.send import send_objects
from coread.receive.tls import write_self_signed
from tests.acceptance.conftest import Server, radiograph, save


@pytest.fixture
def client(tmp_path: Path) -> tuple[Path, Path]:
    return write_self_signed(tmp_path / "client", host="scanner")


@pytest.fixture
def server(make_server: Callable[..., Server], tmp_path: Path, client: tuple[Path, Path]) -> Server:
    certificate, key = write_self_signed(tmp_path / "server")
    return make_server(
        f'dicom_tls_certificate = "{certificate}"\ndicom_tls_key = "{key}"\ndicom_tls_client_ca = "{client[0]}"\n'
        f'https_certificate = "{certificate}"\nhttps_key = "{key}"\n',
        certificate=certificate,
    )


def knock_without_a_certificate(server: Server) -> None:
    """In TLS 1.3 the refusal comes with the first read, after the client's side of the handshake."""
    trusting = ssl.create_default_context(cafile=server.certificate)
    with (
        socket.create_connection(("127.0.0.1", server.dicom_port), timeout=5) as plain,
        trusting.wrap_socket(plain, server_hostname="127.0.0.1") as encrypted,
    ):
        if not encrypted.recv(1):
            raise ConnectionError("closed")


def test_everything_is_encrypted_and_nothing_else_is_answered(
    server: Server, client: tuple[Path, Path], tmp_path: Path
) -> None:
    page = server.get("/login")
    assert page.status_code == 200
    assert page.headers["strict-transport-security"]
    assert all("secure" in cookie.lower() for cookie in page.headers.get_list("set-cookie"))
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"http://127.0.0.1:{server.http_port}/login", timeout=5)

    path = save(radiograph(1), tmp_path / "in.dcm")
    known = ssl.create_default_context(cafile=server.certificate)
    known.load_cert_chain(*client)
    peer = Peer("127.0.0.1", server.dicom_port, "COREAD", "SCANNER", 10.0, known)
    assert [result.stored for result in send_objects(peer, [path])] == [True]
    assert server.outcome("TEST-001")["images"] == 1

    with pytest.raises((ssl.SSLError, ConnectionError)):
        knock_without_a_certificate(server)
    assert server.send(path).code == ExitCode.UNREACHABLE
    open_to_others = [path for path in (server.folder / "data").rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert not open_to_others
    assert server.password not in "".join(
        log.read_text(errors="replace") for log in (server.folder / "data" / "logs").iterdir()
    )
