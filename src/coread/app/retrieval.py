"""``coread dataset build --query``: reads what to fetch from which archive from a TOML file, and fetches it."""

import ssl
import tomllib
from collections.abc import Callable, Mapping
from itertools import product
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from coread.app.errors import BadSettings, IncompleteRetrieval
from coread.deliver.peer import Peer
from coread.deliver.retrieve import Retrieval, RetrievePlan, Window, retrieve
from coread.deliver.retrieve_dimse import Listener, move_archive
from coread.deliver.retrieve_web import web_archive
from coread.deliver.web import WebService


class QueryFile(BaseModel):
    """What to fetch, from where, and when."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    archive: str = Field(description="host:port for C-FIND and C-MOVE, or the base URL of a DICOMweb service")
    ae_title: str = Field("ANY-SCP", description="AE title of the archive (C-MOVE only)")
    calling_ae_title: str = Field("COREAD", description="our AE title, which the archive must know (C-MOVE only)")
    listen_port: int = Field(11113, ge=1, le=65535, description="port that the archive sends to (C-MOVE only)")
    listen_host: str = Field("", description="address to listen on; empty: all (C-MOVE only)")
    between: str = Field(
        "", description="local time in which the archive may be asked, e.g. 20:00-06:00; empty: always"
    )
    studies_per_hour: float = Field(0.0, ge=0, description="0: as fast as the archive answers")
    attempts: int = Field(3, ge=1, le=20, description="how often to ask for what is missing")
    timeout_seconds: float = Field(30.0, gt=0, description="for each answer of the archive")
    authorization: str = Field("", description="value of the Authorization header (DICOMweb only)")
    tls: bool = Field(False, description="DICOM TLS in both directions (C-MOVE only)")
    tls_ca: Path | None = Field(None, description="PEM authorities that the archive's certificate must have")
    tls_certificate: Path | None = Field(None, description="PEM certificate that we show (needed for C-MOVE with TLS)")
    tls_key: Path | None = Field(None, description="PEM key for it")
    find: dict[str, str | tuple[str, ...]] = Field(
        description="matching keys by DICOM keyword; a list means any of these"
    )

    @field_validator("find")
    @classmethod
    def _is_narrow(cls, value: Mapping[str, str | tuple[str, ...]]) -> Mapping[str, str | tuple[str, ...]]:
        if not any(value.values()):
            raise ValueError("must have at least one key with a value: nobody wants the whole archive by accident")
        return value

    def queries(self) -> tuple[dict[str, str], ...]:
        """Return one query for each combination of the listed values."""
        choices = [(value,) if isinstance(value, str) else value for value in self.find.values()]
        return tuple(dict(zip(self.find, chosen, strict=True)) for chosen in product(*choices))


def read_query(path: Path) -> QueryFile:
    """Read the file; raises BadSettings with every problem of it."""
    try:
        return QueryFile(**tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as problem:
        raise BadSettings(f"{path} cannot be read: {problem}") from problem
    except (tomllib.TOMLDecodeError, TypeError) as problem:
        raise BadSettings(f"{path} is no TOML file: {problem}") from problem
    except ValidationError as problem:
        lines = [f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in problem.errors()]
        raise BadSettings(f"{path}: " + "; ".join(lines)) from problem


def fetch(path: Path, folder: Path, progress: Callable[[int, int, str], None]) -> Retrieval:
    """Fetch what the file asks for into a folder; what was fetched before is not fetched again."""
    query = read_query(path)
    plan = RetrievePlan(
        folder,
        query.queries(),
        window=Window.of(query.between) if query.between else None,
        studies_per_hour=query.studies_per_hour,
        attempts=query.attempts,
    )
    if query.archive.startswith(("http://", "https://")):
        headers = {"Authorization": query.authorization} if query.authorization else {}
        context = _client_context(query, path) if query.tls_ca or query.tls_certificate else None
        archive = web_archive(WebService(query.archive, query.timeout_seconds, headers, context))
    else:
        host, _, port = query.archive.rpartition(":")
        if not host or not port.isdigit():
            raise BadSettings(f"{path}: archive: {query.archive!r} is neither host:port nor a URL")
        ours, theirs = (_client_context(query, path), _server_context(query, path)) if query.tls else (None, None)
        peer = Peer(host, int(port), query.ae_title, query.calling_ae_title, query.timeout_seconds, ours)
        archive = move_archive(peer, Listener(query.calling_ae_title, query.listen_port, query.listen_host, theirs))
    return retrieve(plan, archive, progress=progress)


def _client_context(query: QueryFile, path: Path) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=query.tls_ca)
        if query.tls_certificate is not None:
            context.load_cert_chain(query.tls_certificate, query.tls_key)
    except (OSError, ssl.SSLError) as problem:
        raise BadSettings(f"{path}: the certificate files cannot be used: {problem}") from problem
    return context


def _server_context(query: QueryFile, path: Path) -> ssl.SSLContext:
    """Return the context of the port that the archive sends to; with ``tls_ca`` it must show a certificate too."""
    if query.tls_certificate is None:
        raise BadSettings(f"{path}: tls needs tls_certificate and tls_key for the port that the archive sends to")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(query.tls_certificate, query.tls_key)
        if query.tls_ca is not None:
            context.load_verify_locations(query.tls_ca)
            context.verify_mode = ssl.CERT_REQUIRED
    except (OSError, ssl.SSLError) as problem:
        raise BadSettings(f"{path}: the certificate files cannot be used: {problem}") from problem
    return context


def require_complete(retrieval: Retrieval) -> None:
    """Raise IncompleteRetrieval with the first studies of which something is missing."""
    lost = retrieval.incomplete
    if not lost:
        return
    named = "; ".join(
        f"{study.study_instance_uid}: {len(study.missing)} of {study.expected} missing"
        + (f" ({', '.join(study.missing[:2])})" if study.missing else "")
        + f": {study.problem}"
        for study in lost[:3]
    )
    raise IncompleteRetrieval(
        f"{retrieval.received} of {retrieval.expected} objects came; {len(lost)} of {len(retrieval.studies)} studies "
        f"are incomplete: {named}. Run it again to ask for them again, or go on without them with --leave-out"
    )
