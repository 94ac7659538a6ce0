"""One study: images with findings, numbers, verdicts, timeline, result objects."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.responses import Response

from coread.app.errors import NothingFound
from coread.app.trends import TrendShelf
from coread.app.verdicts import standing_verdicts
from coread.app.web.case_view import CaseView, case_view
from coread.app.web.context import WebContext
from coread.app.web.errors import BadInput, NotFound
from coread.app.web.guard import Actor, Allow, RecentAccess, context_of, note
from coread.app.web.pages.worklist import flag_texts
from coread.app.web.permissions import Permission
from coread.app.web.rendering import page
from coread.app.web.versions import VersionView, version_of
from coread.app.why import Story, study_story
from coread.domain.cards import ReaderCard
from coread.domain.findings import Presence
from coread.domain.results import ReadResult
from coread.domain.work import VerdictKind

router = APIRouter(include_in_schema=False)
Judge = Annotated[Actor, Depends(Allow(Permission.VERDICT))]
_GIVEN = (VerdictKind.ACCEPT, VerdictKind.REJECT, VerdictKind.EDIT)


@router.get("/case/{study_uid}")
def case_page(
    request: Request, study_uid: str, actor: Annotated[Actor, Depends(Allow(Permission.CASE))]
) -> HTMLResponse:
    """Show one study."""
    view = load_case(context_of(request), study_uid)
    note_access(request, actor, "case.opened", study_uid)
    trends: TrendShelf = request.app.state.trends
    return page(request, "case.html", actor, view=view, trends=trends.blocks(view.story.study))


def load_case(context: WebContext, study_uid: str) -> CaseView:
    """Return everything on the case page; raises NotFound for anything but a stored study's UID."""
    if context.store.study(study_uid) is None:
        raise NotFound("No study has this UID. It may have been removed by the retention rule.")
    try:
        story = study_story(context.store, study_uid)
    except NothingFound as problem:
        raise NotFound(str(problem)) from problem
    cards = {reader.card.reader_id: reader.card for reader in context.readers}
    instances = context.store.instances(study_uid=study_uid)
    return case_view(
        story, cards, instances, flag_texts(context.store.study_flags(study_uid)), _versions(context, story, cards)
    )


def _versions(context: WebContext, story: Story, cards: Mapping[str, ReaderCard]) -> dict[int, VersionView]:
    """Return the current version of every result of the study, by work item."""
    corrections = context.store.corrections.of_study(story.study.study_instance_uid)
    readings_before = {one.work.work_id: one.reader_id for one in story.earlier if one.work is not None}
    found: dict[int, VersionView] = {}
    for reader in story.readers:
        ending = reader.reading.ending if reader.reading is not None else None
        if reader.work is not None and isinstance(ending, ReadResult):
            card = cards.get(reader.reader_id)
            same = card is not None and card.version == reader.reader_version
            view = version_of(context.store, reader.work.work_id, ending, corrections, card=card, same_version=same)
            before = tuple(one for one in corrections if readings_before.get(one.work_id) == reader.reader_id)
            found[reader.work.work_id] = replace(view, superseded=before)
    return found


def note_access(request: Request, actor: Actor, action: str, target: str, *more: str) -> None:
    """Write an access to the audit trail, once in ten minutes for the same person and thing."""
    recent: RecentAccess = request.app.state.recent
    if recent.first(context_of(request).clock().timestamp(), actor.name, actor.address, action, target, *more):
        note(request, actor, action, target, " ".join(more))


@router.post("/case/{study_uid}/verdict")
def give_verdict(
    request: Request,
    study_uid: str,
    actor: Judge,
    work_id: Annotated[int, Form()],
    finding_key: Annotated[str, Form(max_length=64)],
    kind: Annotated[VerdictKind, Form()],
    comment: Annotated[str, Form(max_length=500)] = "",
    corrected_presence: Annotated[Presence | None, Form()] = None,
) -> Response:
    """Store a radiologist's word on a finding."""
    context = context_of(request)
    if kind not in _GIVEN:
        raise BadInput("A verdict is accept, reject or edit.")
    if kind is VerdictKind.EDIT and corrected_presence is None and not comment.strip():
        raise BadInput("Say what is different: choose what it is, or write a comment.")
    _check_finding(context, study_uid, work_id, finding_key)
    corrected = corrected_presence.value if kind is VerdictKind.EDIT and corrected_presence is not None else ""
    context.store.add_verdict(
        work_id=work_id,
        finding_key=finding_key,
        kind=kind,
        user=actor.name,
        comment=comment.strip(),
        corrected_presence=corrected,
    )
    note(request, actor, f"verdict.{kind.value}", study_uid, f"{work_id} {finding_key}")
    return RedirectResponse(f"/case/{study_uid}", status_code=303)


@router.post("/case/{study_uid}/verdict/{verdict_id}/undo")
def undo_verdict(request: Request, study_uid: str, verdict_id: int, actor: Judge) -> Response:
    """Take a standing verdict back. Nothing is deleted: a line is added that says so."""
    context = context_of(request)
    standing = standing_verdicts(context.store.verdicts(study_uid)).values()
    found = next((verdict for verdict in standing if verdict.verdict_id == verdict_id), None)
    if found is None:
        raise NotFound("This verdict does not stand any more. Reload the page.")
    context.store.add_verdict(
        work_id=found.work_id,
        finding_key=found.finding_key,
        kind=VerdictKind.WITHDRAW,
        user=actor.name,
        comment="",
        corrected_presence="",
    )
    note(request, actor, "verdict.withdraw", study_uid, f"{found.work_id} {found.finding_key}")
    return RedirectResponse(f"/case/{study_uid}", status_code=303)


def _check_finding(context: WebContext, study_uid: str, work_id: int, finding_key: str) -> None:
    """A verdict must name a finding of a reading of this study."""
    if work_id not in {item.work_id for item in context.store.work_items(study_uid)}:
        raise NotFound("This study has no such reading.")
    reading = context.store.reading(work_id)
    ending = reading.ending if reading is not None else None
    if not isinstance(ending, ReadResult) or finding_key not in {finding.key for finding in ending.findings}:
        raise NotFound("This reading has no such finding.")
