"""What a site can set about the door for raw MR data. Plain records: reading this file imports no network library."""

import ipaddress
from dataclasses import dataclass

from coread.receive.errors import BadSettings
from coread.receive.settings import LOOPBACK

DEFAULT_PORT = 9002
"""Of the MRD streaming protocol (MRD documentation, "Session Protocol")."""


@dataclass(frozen=True, slots=True)
class MrdSettings:
    """Everything that the MRD receiver is told. Sizes in bytes, times in seconds."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    networks: tuple[str, ...] = LOOPBACK
    """Who may connect, in CIDR notation."""
    max_connections: int = 4
    max_stream_bytes: int = 4 << 30
    """Longest stream that is kept: it becomes one element of a DICOM object."""
    idle_seconds: float = 300.0
    """Silence allowed between messages: a scan pauses between its parts."""
    read_seconds: float = 30.0
    """Silence allowed inside a message."""
    write_seconds: float = 30.0
    min_bytes_per_second: int = 512
    durable: bool = True
    """Answer only after the object is synced to disk."""

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise BadSettings(f"MRD port is {self.port}; it must lie between 0 and 65535")
        if self.max_connections < 1 or self.max_stream_bytes < 1:
            raise BadSettings("the MRD receiver needs at least one connection and one byte")
        for network in self.networks:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise BadSettings(f"MRD peers: {network!r} is not a network like 10.1.2.0/24") from error

    def allows(self, address: str) -> bool:
        """Say whether a peer from this address may connect."""
        parsed = ipaddress.ip_address(address.split("%", maxsplit=1)[0])
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        return any(parsed in ipaddress.ip_network(network) for network in self.networks)
