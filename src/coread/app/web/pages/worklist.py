"""The worklist: urgent first, then stat, then newest; live. Search words travel in bodies, never in addresses."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, StreamingResponse

from coread.app.scope import in_front
from coread.app.web.context import WebContext
from coread.app.web.guard import Actor, Allow, context_of
from coread.app.web.live import ChangeFeed
from coread.app.web.permissions import Permission
from coread.app.web.rendering import page
from coread.domain.results import Outcome
from coread.store import WorklistQuery

router = APIRouter(include_in_schema=False)
Reader = Annotated[Actor, Depends(Allow(Permission.WORKLIST))]
PAGE_SIZE = 100
LARGEST_PAGE = 2000
_MODALITIES = ("CR", "DX", "CT", "MR", "US", "MG", "NM", "PT", "XA", "RF", "OT", "SC")
FLAG_WORDS = {"two_patients": "two patients", "conflicts": "conflicting objects"}


@router.get("/")
def worklist_page(request: Request, actor: Reader) -> HTMLResponse:
    """Show the whole worklist; filters work from there without new addresses."""
    context = context_of(request)
    values = row_values(context, WorklistQuery(limit=PAGE_SIZE))
    return page(request, "worklist.html", actor, readers=context.readers, modalities=_MODALITIES, **values)


@router.post("/worklist/rows")
def worklist_rows(
    request: Request,
    actor: Reader,
    text: Annotated[str, Form(max_length=100)] = "",
    outcome: Annotated[Outcome | None, Form()] = None,
    reader_id: Annotated[str, Form(max_length=64)] = "",
    modality: Annotated[str, Form(max_length=16)] = "",
    hours: Annotated[float | None, Form(gt=0, le=100_000)] = None,
    limit: Annotated[int, Form(ge=1, le=LARGEST_PAGE)] = PAGE_SIZE,
) -> HTMLResponse:
    """Return the rows that fit the filters, as a fragment for the open page."""
    context = context_of(request)
    query = WorklistQuery(
        text=text.strip(),
        outcome=outcome,
        reader_id=reader_id or None,
        modality=modality or None,
        since=context.clock() - timedelta(hours=hours) if hours is not None else None,
        limit=limit,
    )
    return page(request, "worklist_rows.html", actor, **row_values(context, query))


def row_values(context: WebContext, query: WorklistQuery) -> dict[str, Any]:
    """Return what the rows' template shows for a query."""
    found = context.store.worklist(query)
    return {
        "rows": found.items,
        "answers": {
            row.study.study_instance_uid: in_front(row.outcomes, lambda one: one.outcome, lambda one: one.reason)
            for row in found.items
        },
        "more": found.more,
        "next_limit": min(LARGEST_PAGE, query.limit + PAGE_SIZE),
        "filtered": query != WorklistQuery(limit=query.limit),
        "reader_names": {reader.card.reader_id: reader.card.name for reader in context.readers},
        "flag_words": FLAG_WORDS,
    }


def flag_texts(row_flags: Sequence[str]) -> tuple[str, ...]:
    """Return flags in words."""
    return tuple(FLAG_WORDS.get(flag, flag.replace("_", " ")) for flag in row_flags)


@router.get("/events", dependencies=[Depends(Allow(Permission.WORKLIST))])
async def events(request: Request) -> StreamingResponse:
    """Stream a short line whenever anything changed in the store; no content, only that there is something new."""
    feed: ChangeFeed = request.app.state.feed
    return StreamingResponse(feed.stream(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})
