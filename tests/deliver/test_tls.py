"""DICOM TLS and HTTPS to a destination: encrypted with a known certificate, refused with an unknown one."""

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pynetdicom import AE, evt

from coread.deliver.errors import BadDestination, PeerUnreachable
from coread.deliver.peer import Peer, peer_of
from coread.deliver.retrieve import Drop
from coread.deliver.retrieve_dimse import Listener, storage_scp
from coread.deliver.send import send_objects
from coread.domain.work import DeliveryProtocol, Destination
from tests.deliver.objects import STUDY
from tests.peers.ports import free_port

PLAIN = ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2"]
SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = tmp_path / "cert.pem", tmp_path / "key.pem"
    paths[0].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


@contextmanager
def _tls_scp(certificate: tuple[Path, Path], received: list[str]) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    entity = AE(ae_title="SECURE")
    entity.add_supported_context(SECONDARY_CAPTURE, PLAIN)

    def store(event: Any) -> int:
        received.append(str(event.request.AffectedSOPInstanceUID))
        return 0

    server: Any = entity.start_server(
        ("127.0.0.1", 0), block=False, ssl_context=context, evt_handlers=[(evt.EVT_C_STORE, store)]
    )
    try:
        yield int(server.socket.getsockname()[1])
    finally:
        server.shutdown()


def test_objects_travel_encrypted_to_a_known_certificate(certificate: tuple[Path, Path], objects: list[Path]) -> None:
    received: list[str] = []
    trusted = ssl.create_default_context(cafile=str(certificate[0]))
    with _tls_scp(certificate, received) as port:
        results = send_objects(Peer("127.0.0.1", port, "SECURE", timeout_seconds=5.0, tls=trusted), objects)
    assert all(result.stored for result in results), [result.message for result in results]
    assert len(received) == 3


def test_an_unknown_certificate_gets_nothing(certificate: tuple[Path, Path], objects: list[Path]) -> None:
    received: list[str] = []
    with _tls_scp(certificate, received) as port:
        peer = Peer("127.0.0.1", port, "SECURE", timeout_seconds=5.0, tls=ssl.create_default_context())
        [result] = send_objects(peer, objects[:1])
    assert isinstance(result.error, PeerUnreachable)
    assert received == []


def test_a_tls_destination_without_certificates_is_misconfigured() -> None:
    with pytest.raises(BadDestination, match="TLS"):
        peer_of(Destination("pacs", DeliveryProtocol.C_STORE, "127.0.0.1:2762", "PACS", tls=True))


def test_an_archive_can_send_encrypted_what_was_asked_for_and_nothing_else(
    certificate: tuple[Path, Path], objects: list[Path], tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    trusted = ssl.create_default_context(cafile=str(certificate[0]))
    port = free_port()
    drop = Drop(tmp_path / "fetched")
    with storage_scp(Listener("COREAD", port, "127.0.0.1", context), drop):
        archive = Peer("127.0.0.1", port, "COREAD", timeout_seconds=5.0, tls=trusted)
        refused = send_objects(archive, objects)
        drop.studies.add(STUDY)
        kept = send_objects(archive, objects)
    assert [result.stored for result in refused] == [False] * 3
    assert [result.stored for result in kept] == [True] * 3
    assert len(list((tmp_path / "fetched").rglob("*.dcm"))) == 3
