"""STOW-RS (PS3.18 section 10.5): the body goes to the receiving room as it comes, never whole in memory."""

import asyncio
import uuid
from collections.abc import AsyncIterator

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from coread.app.web.dicomweb.accept import parse_accept
from coread.app.web.dicomweb.archive import Resource, resource_of
from coread.app.web.dicomweb.errors import BadRequest, NoRoom, UnsupportedMedia
from coread.app.web.dicomweb.json_model import MEDIA_TYPE, put, to_bytes
from coread.domain.study import Origin
from coread.receive.errors import MultipartBroken
from coread.receive.stow import StowIntake, StowOutcome, StowPart
from coread.store import DiskLevel, Store

_FEED = 1 << 18
"""Bytes handed over at once: each hand-over changes the thread."""


async def store_objects(store: Store, request: Request, study: str, base: str) -> Response:
    """Take the objects of one request and answer which were stored (PS3.18 table 10.5.3-1)."""
    wanted = Resource(study).study if study else ""
    boundary = _boundary(request.headers.get("content-type", ""))
    disk = await run_in_threadpool(store.disk_state)
    if disk.level is DiskLevel.REFUSE:
        raise NoRoom("the disk is nearly full; nothing is taken until there is room")
    origin = Origin(
        "stow-rs",
        peer=str(getattr(getattr(request.state, "actor", None), "name", "")),
        address=request.client.host if request.client else "",
        association_id=uuid.uuid4().hex,
    )
    try:
        intake = await run_in_threadpool(StowIntake, store, origin, boundary, study_instance_uid=wanted)
        outcome = await _taken(intake, request)
    except MultipartBroken as problem:
        raise BadRequest(f"the body is not multipart/related: {problem}") from problem
    if not outcome.parts:
        raise BadRequest("the body holds no object")
    return await run_in_threadpool(_answer, store, outcome, base)


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """Yield the body in pieces worth a change of thread."""
    held: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        held.append(chunk)
        size += len(chunk)
        if size >= _FEED:
            yield b"".join(held)
            held, size = [], 0
    if size:
        yield b"".join(held)


async def _taken(intake: StowIntake, request: Request) -> StowOutcome:
    """Feed the intake from a thread while the next piece comes in."""
    finished = False
    feeding: asyncio.Task[None] | None = None
    try:
        async for piece in _pieces(request):
            if feeding is not None:
                await feeding
            feeding = asyncio.create_task(run_in_threadpool(intake.feed, piece))
        if feeding is not None:
            await feeding
        outcome = await run_in_threadpool(intake.finish)
        finished = True
        return outcome
    except ClientDisconnect as problem:
        raise BadRequest("the client went away in the middle of the body") from problem
    finally:
        if not finished:
            if feeding is not None:
                await asyncio.wait([feeding])
            await run_in_threadpool(intake.abandon)


def _boundary(content_type: str) -> str:
    [body, *_] = parse_accept(content_type) or (None,)
    if body is None or body.media_type != "multipart/related":
        raise UnsupportedMedia("objects are sent as multipart/related; type=application/dicom")
    if body.part not in ("application/dicom", "*/*"):
        raise UnsupportedMedia(f"parts of type {body.part} are not taken: send application/dicom")
    if not body.parameters.get("boundary"):
        raise BadRequest("Content-Type states no boundary")
    return body.parameters["boundary"]


def _answer(store: Store, outcome: StowOutcome, base: str) -> Response:
    kept = [part.sop_instance_uid for part in outcome.parts if not part.failure]
    places = {item.header.sop_instance_uid: base + resource_of(item).path() for item in store.instances(kept)}

    def where(part: StowPart) -> str:
        return places.get(part.sop_instance_uid, f"{base}/studies/{part.study_instance_uid}")

    document = outcome.response(where)
    studies = {part.study_instance_uid for part in outcome.parts if not part.failure}
    if len(studies) == 1:
        put(document, "RetrieveURL", f"{base}/studies/{studies.pop()}")
    headers = {} if outcome.http_status != 503 else {"Retry-After": "60"}
    return Response(to_bytes(document), status_code=outcome.http_status, media_type=MEDIA_TYPE, headers=headers)
