"""What a site can set about the way in. Plain records: reading this file imports no network library."""

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from coread.receive.errors import BadSettings

LOOPBACK = ("127.0.0.0/8", "::1/128")
"""Who may connect when no peer was named."""


@dataclass(frozen=True, slots=True)
class PeerRule:
    """One line of the allow-list: a calling AE title ("" = any) from a network in CIDR notation."""

    ae_title: str = ""
    network: str = "127.0.0.0/8"
    commitment_host: str = ""
    """Where storage commitment results go when the peer has closed its association; empty = nowhere."""
    commitment_port: int = 0

    def __post_init__(self) -> None:
        try:
            ipaddress.ip_network(self.network)
        except ValueError as error:
            raise BadSettings(f"peer {self.ae_title!r}: {self.network!r} is not a network like 10.1.2.0/24") from error
        if len(self.ae_title) > 16:
            raise BadSettings(f"AE title {self.ae_title!r} has more than 16 characters (PS3.5 6.2)")

    def allows(self, ae_title: str, address: str) -> bool:
        """Say whether a peer with this AE title and address fits the rule."""
        if self.ae_title and self.ae_title != ae_title:
            return False
        return _inside(address, self.network)


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """Certificate files for DICOM TLS (PS3.15 annex B): at least TLS 1.2."""

    certificate: Path
    private_key: Path
    client_authorities: Path | None = None
    """Authorities whose client certificates are accepted; ``None`` = clients show no certificate."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one peer, or all peers together, may take. Sizes in bytes, times in seconds."""

    max_associations: int = 256
    max_associations_per_peer: int = 64
    max_pdu: int = 131072
    """Longest P-DATA-TF that we offer to accept (PS3.8 D.1)."""
    max_associate_pdu: int = 262144
    max_command_bytes: int = 65536
    max_dataset_in_memory: int = 4 << 20
    """Longest data set of a message that is not C-STORE (storage commitment requests)."""
    max_object_bytes: int = 8 << 30
    max_bytes_in_flight: int = 64 << 30
    """Sum of the objects that are half received, over all associations of one process."""
    max_backlog: int = 20000
    """Safe but not yet indexed objects of one process; above, objects are refused with A700."""
    artim_seconds: float = 30.0
    """Time for TLS handshake and association request (PS3.8 9.1.4)."""
    idle_seconds: float = 120.0
    """Silence allowed between messages."""
    read_seconds: float = 30.0
    """Silence allowed inside a message."""
    write_seconds: float = 30.0
    min_bytes_per_second: int = 512
    """Slower than this inside one message, after a grace of ``read_seconds``, ends the association."""

    def __post_init__(self) -> None:
        if not 4096 <= self.max_pdu <= 1 << 20:
            raise BadSettings(f"max_pdu is {self.max_pdu}; it must lie between 4096 and 1048576 bytes")
        if self.max_associate_pdu > 1 << 20:
            raise BadSettings("max_associate_pdu must be at most 1048576 bytes")


@dataclass(frozen=True, slots=True)
class ReceiveSettings:
    """Everything that the C-STORE receiver is told."""

    ae_title: str = "COREAD"
    host: str = "127.0.0.1"
    port: int = 11112
    processes: int = 1
    """Receiver processes behind one port (SO_REUSEPORT); each opens the store for itself."""
    allowed_peers: tuple[PeerRule, ...] = ()
    """Empty = any AE title, but only from this machine."""
    check_called_ae_title: bool = False
    accept_unknown_sop_classes: bool = True
    """Also keep objects of SOP classes that we do not know (private, or newer than this program)."""
    tls: TlsSettings | None = None
    durable: bool = True
    """Answer success only after fdatasync; off = a power cut may lose objects that were acknowledged."""
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        if not 0 < len(self.ae_title.strip()) <= 16:
            raise BadSettings(f"AE title {self.ae_title!r} must have 1 to 16 characters (PS3.5 6.2)")
        if not 0 <= self.port <= 65535:
            raise BadSettings(f"port is {self.port}; it must lie between 0 and 65535")
        if self.processes < 1:
            raise BadSettings(f"processes is {self.processes}; at least one is needed")

    def rule_for(self, ae_title: str, address: str) -> PeerRule | None:
        """Return the first rule that lets this peer in, or None when nobody does."""
        rules = self.allowed_peers or tuple(PeerRule(network=network) for network in LOOPBACK)
        return next((rule for rule in rules if rule.allows(ae_title, address)), None)

    def knows_address(self, address: str) -> bool:
        """Say whether any rule could let a peer from this address in."""
        networks = [rule.network for rule in self.allowed_peers] or list(LOOPBACK)
        return any(_inside(address, network) for network in networks)


def _inside(address: str, network: str) -> bool:
    parsed = ipaddress.ip_address(address.split("%", maxsplit=1)[0])
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return parsed in ipaddress.ip_network(network)
