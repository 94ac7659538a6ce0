"""Outlines of regions on a frame, and what a radiologist corrects: an outline, a number, back to an earlier version."""

import json
import re
from collections.abc import Callable
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse
from starlette.responses import JSONResponse, Response

from coread.app.corrections import LONGEST_REASON, Corrector, Wish
from coread.app.errors import CannotCorrect
from coread.app.web.context import WebContext
from coread.app.web.errors import BadInput, Conflict, NotFound
from coread.app.web.guard import Actor, Allow, context_of, note
from coread.app.web.permissions import Permission
from coread.app.web.versions import ResultShelf, may_mark, outlines_on
from coread.domain.corrections import Correction
from coread.domain.work import WorkItem
from coread.imaging.outlines import Polygon
from coread.store import CorrectedMeanwhile
from coread.store.errors import NoSuchRecord

router = APIRouter(include_in_schema=False)
Corrects = Annotated[Actor, Depends(Allow(Permission.CORRECT))]
_LONGEST_OUTLINE = 200_000
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}")
"""One person's 1,234 is a thousand times another's."""


def _wish(
    actor: Corrects,
    work_id: Annotated[int, Form()],
    version: Annotated[int, Form(ge=1)],
    reason: Annotated[str, Form(max_length=LONGEST_REASON)] = "",
) -> Wish:
    return Wish(work_id, version, actor.name, reason)


Wanted = Annotated[Wish, Depends(_wish)]


@router.get("/case/{study_uid}/outlines/{work_id}/{version}/{sop_uid}/{frame}")
def outlines(
    request: Request,
    study_uid: str,
    work_id: int,
    version: int,
    sop_uid: str,
    frame: int,
    actor: Annotated[Actor, Depends(Allow(Permission.CASE))],  # noqa: ARG001 - the permission is the point
) -> JSONResponse:
    """Return the outlines of one version of a result on one frame."""
    context = context_of(request)
    reader_id = _own_work(context, study_uid, work_id).reader_id
    if not may_mark(next((one.card for one in context.readers if one.card.reader_id == reader_id), None)):
        raise NotFound("Outlines of a reader for triage are not shown.")
    shelf: ResultShelf = request.app.state.results
    try:
        found = outlines_on(shelf.result(work_id, version), sop_uid, frame)
    except (CannotCorrect, NoSuchRecord) as problem:
        raise NotFound(f"There are no such outlines: {problem}") from problem
    return JSONResponse({"outlines": found})


@router.post("/case/{study_uid}/correct/outline")
def correct_outline(
    request: Request,
    study_uid: str,
    wish: Wanted,
    region: Annotated[str, Form(max_length=64)],
    sop: Annotated[str, Form(max_length=64)],
    frame: Annotated[int, Form(ge=1)],
    polygons: Annotated[str, Form(max_length=_LONGEST_OUTLINE)],
) -> Response:
    """Store another outline of a region on one frame; ``polygons`` is JSON: lists of [column, row] pairs."""
    drawn = _polygons(polygons)
    return _corrected(request, study_uid, wish, lambda one: one.outline(wish, region, (sop, frame), drawn))


@router.post("/case/{study_uid}/correct/number")
def correct_number(
    request: Request,
    study_uid: str,
    wish: Wanted,
    index: Annotated[int, Form(ge=0)],
    value: Annotated[str, Form(max_length=32)],
) -> Response:
    """Store another value of a measurement."""
    if _THOUSANDS.fullmatch(value.strip()):
        raise BadInput(f"{value!r} may mean two numbers: write it with a decimal point, without a thousands separator.")
    try:
        number = float(value.strip().replace(",", "."))
    except ValueError as problem:
        raise BadInput(f"{value!r} is no number.") from problem
    return _corrected(request, study_uid, wish, lambda one: one.number(wish, index, number))


@router.post("/case/{study_uid}/correct/back")
def go_back(
    request: Request,
    study_uid: str,
    wish: Wanted,
    earlier: Annotated[int, Form(ge=1)],
) -> Response:
    """Make an earlier version the newest one again; nothing is deleted."""
    return _corrected(request, study_uid, wish, lambda one: one.back_to(wish, earlier))


def _corrected(request: Request, study_uid: str, wish: Wish, do: Callable[[Corrector], Correction]) -> Response:
    from coread.evidence.errors import EvidenceError

    context = context_of(request)
    _own_work(context, study_uid, wish.work_id)
    try:
        stored = do(corrector_of(context))
    except CorrectedMeanwhile as problem:
        raise Conflict(str(problem)) from problem
    except CannotCorrect as problem:
        raise BadInput(str(problem)) from problem
    except EvidenceError as problem:
        raise BadInput(f"The corrected result cannot be written as DICOM, nothing was stored: {problem}") from problem
    note(request, wish.user, "result.corrected", study_uid, f"{wish.work_id} version {stored.version}")
    return RedirectResponse(f"/case/{study_uid}", status_code=303)


def corrector_of(context: WebContext) -> Corrector:
    """Return what corrects results here; raises NotFound where this server writes no objects."""
    if context.evidence is None:
        raise NotFound("This server writes no result objects: nothing can be corrected here.")
    cards = tuple(reader.card for reader in context.readers)
    return Corrector(context.store, context.evidence, context.destinations, cards)


def _own_work(context: WebContext, study_uid: str, work_id: int) -> WorkItem:
    own = next((item for item in context.store.work_items(study_uid) if item.work_id == work_id), None)
    if own is None:
        raise NotFound("This study has no such reading.")
    return own


def _polygons(text: str) -> list[Polygon]:
    try:
        given: Any = json.loads(text)
        polygons = [np.array(points, dtype=np.float64) for points in given]
    except (ValueError, TypeError, OverflowError, RecursionError) as problem:
        raise BadInput("The outline cannot be understood.") from problem
    if not isinstance(given, list) or any(one.ndim != 2 or one.shape[1:] != (2,) for one in polygons):
        raise BadInput("The outline cannot be understood: each point is a column and a row.")
    return polygons
