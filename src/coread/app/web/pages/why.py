"""Why a study was or was not analysed: the same story that ``coread why`` tells."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from starlette.responses import Response

from coread.app.web.case_view import total_text
from coread.app.web.guard import Actor, Allow, context_of
from coread.app.web.pages.case import note_access
from coread.app.web.permissions import Permission
from coread.app.web.rendering import page
from coread.app.why import Story, study_story, study_uids

router = APIRouter(include_in_schema=False)
Asker = Annotated[Actor, Depends(Allow(Permission.STORY))]


@dataclass(frozen=True, slots=True)
class WhyView:
    """The story and the two times that people are measured by."""

    story: Story
    total: str


@router.get("/why")
def why_form(request: Request, actor: Asker) -> HTMLResponse:
    """Ask for a study."""
    return _page(request, actor, None)


@router.post("/why")
def look_up(request: Request, actor: Asker, identifier: Annotated[str, Form(max_length=64)]) -> Response:
    """Find the study that is meant; what was typed stays out of addresses and logs."""
    uids = study_uids(context_of(request).store, identifier)
    if not uids:
        return _page(request, actor, None, asked=identifier, status=404)
    return RedirectResponse(f"/why/{uids[0]}", status_code=303)


@router.get("/why/{identifier}")
def why_page(request: Request, identifier: str, actor: Asker) -> Response:
    """Tell the story of a study; an accession number leads to the study's own address."""
    store = context_of(request).store
    uids = study_uids(store, identifier)
    if not uids:
        return _page(request, actor, None, asked=identifier, status=404)
    if uids[0] != identifier:
        return RedirectResponse(f"/why/{uids[0]}", status_code=303)
    note_access(request, actor, "story.read", uids[0])
    story = study_story(store, identifier)
    return _page(request, actor, WhyView(story, total_text(story)), asked=story.study.accession_number)


def _page(request: Request, actor: Actor, view: WhyView | None, *, asked: str = "", status: int = 200) -> HTMLResponse:
    names = {reader.card.reader_id: reader.card.name for reader in context_of(request).readers}
    problem = "No study here has this accession number or UID. It never arrived, or it was removed." if asked else ""
    values = {"asked": asked, "names": names, "problem": problem if view is None else ""}
    return page(request, "why.html", actor, status=status, view=view, **values)
