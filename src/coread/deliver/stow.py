"""STOW-RS as a client (PS3.18 section 10.5): parts are streamed from the files, and the answer is read per object."""

import json
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coread.deliver.contexts import Outgoing
from coread.deliver.errors import ObjectRefused, PeerFailed
from coread.deliver.outcome import Progress, SendResult, answered, failed
from coread.deliver.send import Ledger
from coread.deliver.web import WebService, check_status, client

if TYPE_CHECKING:
    import httpx

_CHUNK = 1 << 18
_REFERENCED, _FAILED = "00081199", "00081198"
_SOP_INSTANCE, _FAILURE_REASON = "00081155", "00081197"


def stow_objects(
    service: WebService, paths: Sequence[Path], *, per_request: int = 16, progress: Progress | None = None
) -> tuple[SendResult, ...]:
    """Send files, so many in each request; the results stand in the order of ``paths``.

    Never raises for a file or a peer: each result says what happened.
    """
    ledger = Ledger(progress)
    files = ledger.take(paths)
    for start in range(0, len(files), per_request):
        batch = files[start : start + per_request]
        try:
            with client(service) as opened:
                for result in _post(opened, service, batch):
                    ledger.record(result)
        except PeerFailed as problem:
            for file in batch:
                ledger.record(failed(file, problem))
    return ledger.in_order(paths)


def _post(opened: "httpx.Client", service: WebService, batch: Sequence[Outgoing]) -> tuple[SendResult, ...]:
    """Send one request; what is refused as a whole is sent again one by one, so that one object cannot spoil all."""
    boundary = uuid.uuid4().hex
    answer = opened.post(
        service.url("/studies"),
        content=_body(batch, boundary),
        headers={
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Content-Length": str(_length(batch, boundary)),
            "Accept": "application/dicom+json",
        },
    )
    if answer.status_code != 409:
        try:
            check_status(service, answer.status_code)
        except ObjectRefused as problem:
            if len(batch) == 1:
                return (failed(batch[0], problem),)
            return tuple(result for file in batch for result in _post(opened, service, (file,)))
    return _read_answer(service, batch, answer)


def _part_head(boundary: str) -> bytes:
    return f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()


def _body(batch: Sequence[Outgoing], boundary: str) -> Iterator[bytes]:
    for file in batch:
        yield _part_head(boundary)
        with file.path.open("rb") as source:
            while chunk := source.read(_CHUNK):
                yield chunk
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


def _length(batch: Sequence[Outgoing], boundary: str) -> int:
    parts = sum(len(_part_head(boundary)) + file.path.stat().st_size + 2 for file in batch)
    return parts + len(f"--{boundary}--\r\n")


def _read_answer(service: WebService, batch: Sequence[Outgoing], answer: "httpx.Response") -> tuple[SendResult, ...]:
    """Match the Store Instances Response (PS3.18 annex I) to the objects of the request."""
    stored, reasons = _named(answer.content)
    results = []
    for file in batch:
        if file.sop_instance_uid in reasons:
            results.append(answered(str(service), file, reasons[file.sop_instance_uid]))
        elif file.sop_instance_uid in stored or (answer.status_code in (200, 204) and not stored):
            results.append(answered(str(service), file, 0))
        else:
            refusal = ObjectRefused(f"{service} answered {answer.status_code} without naming the object as stored")
            results.append(failed(file, refusal))
    return tuple(results)


def _named(body: bytes) -> tuple[set[str], dict[str, int]]:
    """Return the SOP Instance UIDs that were stored, and those that failed with their reason."""
    try:
        document = json.loads(body) if body.strip() else {}
    except ValueError:
        return set(), {}
    if isinstance(document, list):
        document = document[0] if document else {}
    if not isinstance(document, dict):
        return set(), {}
    stored = {str(_first(item, _SOP_INSTANCE)) for item in _items(document, _REFERENCED)}
    reasons = {
        str(_first(item, _SOP_INSTANCE)): int(_first(item, _FAILURE_REASON) or 0x0110)
        for item in _items(document, _FAILED)
    }
    return stored, reasons


def _items(document: dict[str, Any], tag: str) -> list[dict[str, Any]]:
    value = document.get(tag, {}).get("Value", [])
    return [item for item in value if isinstance(item, dict)]


def _first(item: dict[str, Any], tag: str) -> Any:
    value = item.get(tag, {}).get("Value", [])
    return value[0] if value else None
