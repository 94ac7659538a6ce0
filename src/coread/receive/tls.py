"""DICOM TLS (PS3.15 annex B, BCP 195 profile): contexts from certificate files, and a self-signed pair for trials."""

import datetime
import ipaddress
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

from coread.receive.errors import BadSettings
from coread.receive.settings import TlsSettings

if TYPE_CHECKING:
    from cryptography import x509


def server_context(settings: TlsSettings) -> ssl.SSLContext:
    """Return a server context of at least TLS 1.2; raise BadSettings when a file cannot be used."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    try:
        context.load_cert_chain(settings.certificate, settings.private_key)
        if settings.client_authorities is not None:
            context.load_verify_locations(settings.client_authorities)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as error:
        raise BadSettings(f"TLS certificate files cannot be used: {error}") from error
    return context


def write_self_signed(folder: Path, *, host: str = "localhost", days: int = 30) -> tuple[Path, Path]:
    """Write a self-signed certificate and its key (EC P-256) for trials; return their paths."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host), _loopback()]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir(parents=True, exist_ok=True)
    certificate_path, key_path = folder / "certificate.pem", folder / "key.pem"
    certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_path.touch(mode=0o600)
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_path, key_path


def _loopback() -> "x509.IPAddress":
    from cryptography import x509

    return x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
