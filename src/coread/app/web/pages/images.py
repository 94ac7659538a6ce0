"""Pictures and files of one study: preview frames, heat maps, DICOM downloads, readable trees. Accesses are audited."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import FileResponse, HTMLResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from coread.app.web.context import WebContext
from coread.app.web.errors import NotAllowed, NotFound, NotLoggedIn
from coread.app.web.guard import SAFE_METHODS, Actor, Allow, check_same_origin, context_of, find_actor, note
from coread.app.web.pages.case import note_access
from coread.app.web.permissions import MEANINGS, Permission
from coread.app.web.pictures import FrameDrawer, draw_heat
from coread.app.web.rendering import page
from coread.domain.errors import Refused
from coread.domain.results import ReadResult
from coread.domain.study import Instance

router = APIRouter(include_in_schema=False)
Viewer = Annotated[Actor, Depends(Allow(Permission.CASE))]
Exporter = Annotated[Actor, Depends(Allow(Permission.EXPORT))]


@router.get("/case/{study_uid}/image/{sop_uid}/{frame}")
def image(
    request: Request,
    study_uid: str,
    sop_uid: str,
    frame: int,
    actor: Viewer,
    level: Annotated[float, Query(ge=0, le=1)] = 0.5,
    window: Annotated[float, Query(ge=0.01, le=2)] = 1.0,
    invert: bool = False,
) -> Response:
    """Draw one frame for the preview."""
    context = context_of(request)
    found = find_instance(context, study_uid, sop_uid)
    if not 1 <= frame <= (found.header.number_of_frames or 1):
        raise NotFound("This object has no such frame.")
    note_access(request, actor, "image.shown", study_uid, found.header.series_instance_uid)
    drawer: FrameDrawer = request.app.state.drawer
    path = context.store.path_of(found.path)
    try:
        drawn = drawer.draw(path, found.header, frame, level=level, window=window, invert=invert)
    except Refused as problem:
        raise NotFound(f"This image cannot be drawn: {problem}.") from problem
    return Response(drawn, media_type="image/png")


@router.get("/case/{study_uid}/heat/{work_id}/{finding_key}/{index}")
def heat_map(request: Request, study_uid: str, work_id: int, finding_key: str, index: int, actor: Viewer) -> Response:
    """Draw a finding's heat map, transparent where the network did not look."""
    context = context_of(request)
    own = {item.work_id for item in context.store.work_items(study_uid)}
    reading = context.store.reading(work_id) if work_id in own else None
    ending = reading.ending if reading is not None else None
    if isinstance(ending, ReadResult):
        for finding in ending.findings:
            if finding.key == finding_key and 0 <= index < len(finding.heat_maps):
                note_access(request, actor, "image.shown", study_uid, f"heat map {work_id}")
                return Response(draw_heat(finding.heat_maps[index]), media_type="image/png")
    raise NotFound("This reading has no such heat map.")


@router.get("/case/{study_uid}/object/{sop_uid}")
def download(request: Request, study_uid: str, sop_uid: str, actor: Exporter) -> FileResponse:
    """Send one stored object as a DICOM file; every export is a line of its own in the audit trail."""
    context = context_of(request)
    found = find_instance(context, study_uid, sop_uid)
    note(request, actor, "object.exported", study_uid, sop_uid)
    path = context.store.path_of(found.path)
    return FileResponse(path, media_type="application/dicom", filename=f"{sop_uid}.dcm")


@router.get("/case/{study_uid}/object/{sop_uid}/tree")
def tree(request: Request, study_uid: str, sop_uid: str, actor: Viewer) -> HTMLResponse:
    """Show one object's content as a tree that people can read."""
    from coread.evidence.errors import SourceUnreadable
    from coread.evidence.tree import readable_tree

    context = context_of(request)
    found = find_instance(context, study_uid, sop_uid)
    note_access(request, actor, "object.read", study_uid, sop_uid)
    try:
        node = readable_tree(context.store.path_of(found.path))
    except SourceUnreadable as problem:
        raise NotFound(f"This object cannot be shown: {problem}.") from problem
    return page(request, "tree.html", actor, node=node)


def find_instance(context: WebContext, study_uid: str, sop_uid: str) -> Instance:
    """Return an object of this study; raises NotFound for any other."""
    found = context.store.instances((sop_uid,))
    if not found or found[0].header.study_instance_uid != study_uid:
        raise NotFound("This study has no such object.")
    return found[0]


async def authorise_dicomweb(request: Request) -> Actor:
    """Let a DICOMweb request through: reading needs ``case.read``, STOW-RS ``images.store``; both are audited.

    A browser's STOW needs no form token: its content type is one that another site's page cannot send, and the
    request must say that it comes from here.
    """
    permission = Permission.CASE if request.method in SAFE_METHODS else Permission.STORE_IMAGES
    actor = await run_in_threadpool(find_actor, request)
    if actor is None:
        raise NotLoggedIn("Log in, or send an API token (Authorization: Bearer ...).")
    if actor.secret and request.method not in SAFE_METHODS:
        check_same_origin(request)
        if not request.headers.get("content-type", "").startswith(("multipart/related", "application/dicom")):
            raise NotAllowed("STOW-RS takes multipart/related or application/dicom.")
    if not actor.may(permission):
        await run_in_threadpool(note, request, actor, "access.refused", permission.value)
        raise NotAllowed(f"Your role ({actor.role}) may not {MEANINGS[permission]}.")
    study_uid = request.path_params.get("study", "") or request.path_params.get("study_uid", "")
    verb = "read" if request.method in SAFE_METHODS else "stored"
    await run_in_threadpool(note_access, request, actor, f"dicomweb.{verb}", study_uid or "(search)")
    request.state.actor = actor
    return actor
