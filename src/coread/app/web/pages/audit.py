"""The audit trail, for auditors."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import HTMLResponse

from coread.app.web.guard import Actor, Allow, context_of, note
from coread.app.web.permissions import Permission
from coread.app.web.rendering import page

router = APIRouter(include_in_schema=False)
PAGE_SIZE = 100


@router.get("/audit")
def audit_page(
    request: Request,
    actor: Annotated[Actor, Depends(Allow(Permission.AUDIT))],
    offset: Annotated[int, Query(ge=0, le=100_000_000)] = 0,
) -> HTMLResponse:
    """Show part of the audit trail; looking at it is a line of it too."""
    entries = context_of(request).store.audit_entries(limit=PAGE_SIZE, offset=offset)
    note(request, actor, "audit.read", "", f"from {offset}")
    return page(request, "audit.html", actor, entries=entries, offset=offset, page_size=PAGE_SIZE)
