"""The JSON API under /api/v1: the same content and the same permissions as the pages, for programs."""

from datetime import timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request

from coread import __version__
from coread.app.web import api_records as records
from coread.app.web.context import DestinationState
from coread.app.web.guard import Actor, Allow, context_of
from coread.app.web.pages.case import note_access
from coread.app.web.pages.destinations import plain_counts
from coread.app.web.pages.health import checks_of, day_counts, worst_level
from coread.app.web.permissions import Permission
from coread.app.web.rendering import page
from coread.app.why import study_story
from coread.domain.results import Outcome
from coread.domain.work import DeliveryState
from coread.store import WorklistQuery

router = APIRouter(prefix="/api/v1", tags=["Coread"])


@router.get("/worklist")
def worklist(
    request: Request,
    actor: Annotated[Actor, Depends(Allow(Permission.WORKLIST))],
    outcome: Outcome | None = None,
    reader_id: Annotated[str, Query(max_length=64)] = "",
    modality: Annotated[str, Query(max_length=16)] = "",
    hours: Annotated[float | None, Query(gt=0, le=100_000)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> records.WorklistAnswer:
    """Return part of the worklist, urgent first, then stat, then newest."""
    context = context_of(request)
    since = context.clock() - timedelta(hours=hours) if hours is not None else None
    query = WorklistQuery(
        outcome=outcome,
        reader_id=reader_id or None,
        modality=modality or None,
        since=since,
        limit=limit,
        offset=offset,
    )
    note_access(request, actor, "worklist.exported", "")
    token = context.store.change_token()
    found = context.store.worklist(query)
    items = tuple(records.WorklistItem.of(row) for row in found.items)
    return records.WorklistAnswer(items=items, more=found.more, change_token=token)


@router.get("/case/{study_uid}")
def case(
    request: Request, study_uid: str, actor: Annotated[Actor, Depends(Allow(Permission.CASE))]
) -> records.CaseAnswer:
    """Return one study with findings, objects, deliveries and verdicts."""
    store = context_of(request).store
    story = study_story(store, study_uid)
    note_access(request, actor, "case.opened", story.study.study_instance_uid)
    return records.CaseAnswer.of(story, store.corrections.of_study(story.study.study_instance_uid))


@router.get("/why/{identifier}")
def why(
    request: Request, identifier: str, actor: Annotated[Actor, Depends(Allow(Permission.STORY))]
) -> records.CaseAnswer:
    """Return the story of the study with this UID or accession number."""
    story = study_story(context_of(request).store, identifier)
    note_access(request, actor, "story.read", story.study.study_instance_uid)
    return records.CaseAnswer.of(story)


@router.get("/readers", dependencies=[Depends(Allow(Permission.READERS))])
def readers(request: Request) -> records.ReadersAnswer:
    """Return the cards of all installed readers."""
    return records.ReadersAnswer(readers=tuple(records.ReaderDocument.of(one) for one in context_of(request).readers))


@router.get("/destinations", dependencies=[Depends(Allow(Permission.DESTINATIONS))])
def destinations(request: Request) -> records.DestinationsAnswer:
    """Return every destination with its queue, and all dead letters."""
    context = context_of(request)
    states, counts = context.destination_states(), plain_counts(context.store.delivery_counts())
    dead = context.store.deliveries(state=DeliveryState.DEAD)
    return records.DestinationsAnswer(
        destinations=tuple(
            records.DestinationDocument.of(one, states.get(one.name, DestinationState()), counts.get(one.name, {}))
            for one in context.destinations
        ),
        dead_letters=tuple(records.DeliveryDocument.of(one) for one in dead),
    )


@router.get("/health", dependencies=[Depends(Allow(Permission.HEALTH))])
def health(request: Request) -> records.HealthAnswer:
    """Return the checks, the disk and the counts of the last 24 hours."""
    context = context_of(request)
    checks, counts, disk = checks_of(request), day_counts(context), context.store.disk_state()
    return records.HealthAnswer(
        level=worst_level(checks),
        version=context.settings.version or __version__,
        checks=tuple(records.check_document(check) for check in checks),
        disk=disk.level.value,
        free_bytes=disk.free_bytes,
        studies_last_day=counts.studies,
        outcomes_last_day=counts.outcomes,
    )


@router.get("/openapi.json", include_in_schema=False, dependencies=[Depends(Allow(Permission.ACCOUNT))])
def schema(request: Request) -> dict[str, Any]:
    """Return the OpenAPI description of this API."""
    document: dict[str, Any] = request.app.openapi()
    return document


@router.get("/docs", include_in_schema=False)
def documentation(request: Request, actor: Annotated[Actor, Depends(Allow(Permission.ACCOUNT))]) -> Any:
    """Describe the API on a page of our own (no script from elsewhere)."""
    return page(request, "api.html", actor, paths=request.app.openapi()["paths"])
