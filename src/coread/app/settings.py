"""One typed settings record, read once at the start from one TOML file and the environment, then passed down.

Every setting has a default, a unit where it has one, and a line of help; ``coread settings`` and the reference
page are made from the same table.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from ipaddress import ip_network
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from coread.app.errors import BadSettings
from coread.domain.work import DEFAULT_KINDS, DeliveryProtocol, Destination, EvidenceKind
from coread.models.trust import SignatureRule

ENVIRONMENT_PREFIX = "COREAD_"
_PASSWORD_IN_URL = re.compile(r"(://[^:/@]*):[^/]*@")


class PeerSetting(BaseModel):
    """Who may send to us: a calling AE title (``*`` for any) from a network (CIDR)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    ae_title: str = Field("*", description="calling AE title, or * for any")
    network: str = Field("127.0.0.0/8", description="address range in CIDR form")
    commitment_host: str = Field(
        "",
        description="where storage commitment reports go when this sender has closed its association; empty: nowhere",
    )
    commitment_port: int = Field(0, ge=0, le=65535, description="port for them")


class PacsSetting(BaseModel):
    """The archive that is asked how many images a study has before it is called complete."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    address: str = Field(description="host:port for C-FIND, or the base URL for QIDO-RS")
    ae_title: str = Field("", description="AE title of the archive (C-FIND only)")
    timeout_seconds: float = Field(5.0, gt=0, description="how long to wait for its answer")

    @field_validator("address")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")) and not re.fullmatch(r".+:[1-9]\d{0,4}", value):
            raise ValueError("must be host:port, or a URL that begins with http:// or https://")
        return value


class PriorArchiveSetting(BaseModel):
    """The archive that earlier studies are fetched from, for readers that compare. Off unless it is set."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    address: str = Field(description="host:port for C-FIND and C-MOVE, or the base URL of a DICOMweb service")
    ae_title: str = Field("ANY-SCP", description="AE title of the archive (C-MOVE only)")
    listen_port: int = Field(
        11114, ge=1, le=65535, description="port that the archive sends to under our AE title (C-MOVE only)"
    )
    listen_host: str = Field("", description="address to listen on; empty: all (C-MOVE only)")
    authorization: str = Field("", description="value of the Authorization header (DICOMweb only)", repr=False)
    between: str = Field(
        "", description="local time in which it may be asked, e.g. 20:00-06:00; empty: always. Outside, nobody waits"
    )
    wait_seconds: float = Field(60.0, gt=0, description="then the study is read without what has not come, and says so")
    timeout_seconds: float = Field(15.0, gt=0, description="for each answer of the archive")
    attempts: int = Field(2, ge=1, le=5, description="how often to ask for what is missing")
    most_images: int = Field(3000, ge=1, description="larger studies are not fetched")
    keep_days: float = Field(7.0, gt=0, description="what was fetched is removed after so many days")

    @field_validator("address")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        if not value.startswith(("http://", "https://")) and not re.fullmatch(r".+:[1-9]\d{0,4}", value):
            raise ValueError("must be host:port, or a URL that begins with http:// or https://")
        return value

    @field_validator("between")
    @classmethod
    def _is_a_window(cls, value: str) -> str:
        if value and not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d", value):
            raise ValueError("must look like 20:00-06:00")
        return value


class MrdSetting(BaseModel):
    """The door for raw MR data (MRD streams, ISMRMRD). Off unless it is set; the protocol knows no encryption."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    enabled: bool = Field(True, description="false closes the door without removing the table")
    host: str = Field("127.0.0.1", description="address to listen on; the stream is in clear: a closed network only")
    port: int = Field(9002, ge=0, le=65535, description="port for MRD streams")
    networks: tuple[str, ...] = Field(("127.0.0.0/8", "::1/128"), description="who may send, in CIDR form")
    max_connections: int = Field(4, ge=1, le=64, description="streams at the same time")
    max_stream_gb: float = Field(4.0, gt=0, le=4.2, description="longest stream that is kept, 1e9 bytes")
    idle_seconds: float = Field(300.0, gt=0, description="silence between messages that ends a stream")

    @field_validator("networks")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network)
        return value


class DestinationSetting(BaseModel):
    """A peer that results are sent to."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(description="how people call it", min_length=1)
    protocol: DeliveryProtocol = Field(DeliveryProtocol.C_STORE, description="c-store or stow-rs")
    address: str = Field(description="host:port for c-store, base URL for stow-rs", min_length=1)
    ae_title: str = Field("", description="called AE title (c-store only)")
    enabled: bool = Field(True, description="false keeps the queue but sends nothing")
    kinds: tuple[EvidenceKind, ...] = Field(
        DEFAULT_KINDS,
        description="which objects this peer takes; OVERLAY and PROB must be named",
    )
    storage_commitment: bool = Field(False, description="ask the peer to commit to keeping what it got")
    timeout_seconds: float = Field(30.0, gt=0, description="for one object")
    max_attempts: int = Field(8, ge=1, description="then it is a dead letter")
    tls: bool = Field(False, description="DICOM TLS")

    def record(self) -> Destination:
        """Return the domain record."""
        return Destination(**self.model_dump())


class Settings(BaseModel):
    """Everything that can be set. Names in the TOML file are these names; in the environment COREAD_<NAME>."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folder: Path = Field(Path("coread-data"), description="where images, index, results and logs are kept")
    database_url: str = Field("", description="empty: SQLite inside the folder; postgresql+pg8000://... for PostgreSQL")
    durable: bool = Field(True, description="answer C-STORE and STOW only after fdatasync")

    ae_title: str = Field("COREAD", min_length=1, max_length=16, description="our AE title")
    dicom_host: str = Field("127.0.0.1", description="address to listen on for DICOM")
    dicom_port: int = Field(11112, ge=0, le=65535, description="port for DICOM")
    receiver_processes: int = Field(1, ge=1, le=64, description="receiver processes behind the one port")
    peers: tuple[PeerSetting, ...] = Field((), description="who may send; empty: this machine only")
    dicom_tls_certificate: Path | None = Field(None, description="PEM certificate: DICOM TLS only")
    dicom_tls_key: Path | None = Field(None, description="PEM key for it")
    dicom_tls_client_ca: Path | None = Field(None, description="PEM authorities that senders' certificates must have")
    watch_folder: Path | None = Field(None, description="a folder whose new files are read in")
    mrd: MrdSetting | None = Field(None, description="door for raw MR data (MRD streams); empty: closed")

    http_host: str = Field("127.0.0.1", description="address to listen on for the web")
    http_port: int = Field(8080, ge=0, le=65535, description="port for the web and DICOMweb")
    https_certificate: Path | None = Field(None, description="PEM certificate: HTTPS only")
    https_key: Path | None = Field(None, description="PEM key for it")
    session_hours: float = Field(12.0, gt=0, description="hours until a login ends")
    viewer_folder: Path | None = Field(None, description="where OHIF is unpacked; default: viewer/ inside the folder")

    workers: int = Field(1, ge=1, le=64, description="reading processes")
    reader_threads: int = Field(1, ge=1, le=64, description="CPU threads for one inference")
    disabled_readers: tuple[str, ...] = Field((), description="readers that are installed but switched off here")
    lease_seconds: float = Field(60.0, gt=1, description="a reading process that is silent this long is taken for dead")

    require_signature: SignatureRule = Field(
        SignatureRule.ON,
        description="on: model packages of this site must be signed by a trusted key; warn: say so; off: do not look",
    )

    allowed_programs: tuple[Path, ...] = Field(
        (), description="outside programs that model packages may call (nnU-Net, TotalSegmentator), by their paths"
    )

    pacs: PacsSetting | None = Field(None, description="archive to ask how many images a study has")
    prior_archive: PriorArchiveSetting | None = Field(
        None, description="archive to fetch earlier studies from, for readers that compare; empty: own store only"
    )
    settle_silence_seconds: float | None = Field(
        None, gt=0, description="quiet time after which a study counts as complete; empty: by modality"
    )
    settle_longest_seconds: float | None = Field(
        None, gt=0, description="never wait longer for images that the archive counts; empty: by modality"
    )

    destinations: tuple[DestinationSetting, ...] = Field((), description="where results go")
    commitment_port: int = Field(
        0, ge=0, le=65535, description="port on dicom_host for storage commitment reports of destinations; 0: off"
    )
    delivery_tls_ca: Path | None = Field(
        None, description="PEM authorities that destinations' certificates must have; empty: those of the system"
    )
    delivery_tls_certificate: Path | None = Field(None, description="PEM certificate that we show to destinations")
    delivery_tls_key: Path | None = Field(None, description="PEM key for it")

    external_validator: Path | None = Field(
        None, description="a program such as dciodvfy that every result object must also pass before it leaves"
    )

    warn_free_fraction: float = Field(0.10, ge=0, lt=1, description="warn when less of the disk is free")
    refuse_free_fraction: float = Field(0.05, ge=0, lt=1, description="refuse new images (A700) below this")
    retention_days: int | None = Field(None, ge=1, description="remove studies older than this; empty: keep all")

    @model_validator(mode="after")
    def _certificates_come_with_keys(self) -> Self:
        """Half a TLS setting must never end as a connection in clear."""
        for name in ("dicom_tls", "https", "delivery_tls"):
            certificate, key = getattr(self, f"{name}_certificate"), getattr(self, f"{name}_key")
            if (certificate is None) != (key is None):
                raise ValueError(f"{name}_certificate and {name}_key must both be set, or neither")
        if self.dicom_tls_client_ca is not None and self.dicom_tls_certificate is None:
            raise ValueError("dicom_tls_client_ca needs dicom_tls_certificate and dicom_tls_key")
        return self

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        """Deliveries are queued by the destination's name: two of one name would share a queue."""
        names = [peer.name for peer in self.destinations]
        if len(set(names)) != len(names):
            raise ValueError("two destinations have the same name")
        return self

    def shown(self) -> dict[str, Any]:
        """Return the values as plain JSON for people: the database's password is left out."""
        values = self.model_dump(mode="json")
        if self.prior_archive is not None and self.prior_archive.authorization:
            values["prior_archive"]["authorization"] = "***"
        values["database_url"] = _PASSWORD_IN_URL.sub(r"\1:***@", self.database_url)
        return values

    def viewer(self) -> Path:
        """Return where OHIF is, or would be, unpacked."""
        return self.viewer_folder or self.folder / "viewer"


def load_settings(file: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read settings: defaults, then the TOML file, then COREAD_* variables, then ``overrides``.

    Raises BadSettings with the name of the setting, what is wrong and where it came from.
    """
    values: dict[str, Any] = {}
    source = file or _named_file()
    if source is not None:
        values |= _from_file(source)
    values |= _from_environment(os.environ)
    values |= {name: value for name, value in (overrides or {}).items() if value is not None}
    try:
        return Settings(**values)
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        named = f"setting {where!r}" if where else "settings"
        # ``from None``: the original holds the values, and among them may be a password.
        raise BadSettings(f"{named}: {first['msg']} (see `coread settings` for all names)") from None


def _named_file() -> Path | None:
    named = os.environ.get("COREAD_SETTINGS", "")
    if named:
        return Path(named)
    here = Path("coread.toml")
    return here if here.is_file() else None


def _from_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as problem:
        raise BadSettings(f"settings file {file} does not exist") from problem
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as problem:
        raise BadSettings(f"settings file {file} cannot be read: {problem}") from problem


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    """Scalar settings only: lists and tables belong in the file."""
    found: dict[str, Any] = {}
    for name in Settings.model_fields:
        text = environment.get(ENVIRONMENT_PREFIX + name.upper())
        if text is not None:
            found[name] = tuple(part.strip() for part in text.split(",")) if name == "disabled_readers" else text
    return found


def settings_table() -> tuple[tuple[str, str, str], ...]:
    """Return (name, default, help) of every setting, in order, for the reference page and ``coread settings``."""
    return tuple(
        (name, "" if field.default is None else str(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    )
