"""Turns a template and values into an answer; every value is escaped, an unknown name is an error."""

from typing import Any

from fastapi import Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, StrictUndefined

from coread.app.web.formats import FILTERS, age_at
from coread.app.web.guard import Actor, context_of
from coread.app.web.permissions import Permission
from coread.domain.results import Outcome
from coread.domain.study import StudyState
from coread.domain.work import DeliveryState

RESEARCH_USE = "Research use only - not a medical device"


def make_environment() -> Environment:
    """Return the template environment; templates are read once and kept."""
    environment = Environment(
        loader=PackageLoader("coread.app.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters.update(FILTERS)
    environment.globals.update(
        age_at=age_at,
        Permission=Permission,
        Outcome=Outcome,
        StudyState=StudyState,
        DeliveryState=DeliveryState,
        research_use=RESEARCH_USE,
    )
    return environment


def page(request: Request, template: str, actor: Actor | None, /, *, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a whole page or a fragment of one, made from ``templates/<template>``."""
    return HTMLResponse(render(request, template, actor, **values), status_code=status)


def render(request: Request, template: str, actor: Actor | None, /, **values: Any) -> str:
    """Return the HTML of one template."""
    environment: Environment = request.app.state.templates
    context = context_of(request)
    return environment.get_template(template).render(
        actor=actor,
        csrf=actor.form_token() if actor is not None else "",
        settings=context.settings,
        path=request.url.path,
        now=context.clock(),
        **values,
    )
