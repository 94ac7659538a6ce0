"""Whether the system works, and what it did in the last day."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from threading import Lock
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import HTMLResponse

from coread.app.web.context import CheckLevel, HealthCheck, WebContext
from coread.app.web.guard import Actor, Allow, context_of
from coread.app.web.pages.destinations import plain_counts
from coread.app.web.permissions import Permission
from coread.app.web.rendering import page
from coread.domain.results import Outcome
from coread.store import WorklistQuery

router = APIRouter(include_in_schema=False)
_COUNTED = 2000
_FRESH_SECONDS = 10.0


class LatestChecks:
    """Looks at most once in ten seconds, however many pages are open: checks speak to ports and peers."""

    def __init__(self, look: Callable[[], tuple[HealthCheck, ...]]) -> None:
        self._look = look
        self._lock = Lock()
        self._seen: tuple[float, tuple[HealthCheck, ...]] | None = None

    def checks(self) -> tuple[HealthCheck, ...]:
        """Return the checks, at most ten seconds old."""
        with self._lock:
            if self._seen is None or time.monotonic() - self._seen[0] > _FRESH_SECONDS:
                self._seen = (time.monotonic(), self._look())
            return self._seen[1]


def checks_of(request: Request) -> tuple[HealthCheck, ...]:
    """Return the latest checks."""
    latest: LatestChecks = request.app.state.latest_checks
    return latest.checks()


@dataclass(frozen=True, slots=True)
class DayCounts:
    """What the last 24 hours brought: studies, outcomes by word, and answers that readers still owe."""

    studies: int
    outcomes: dict[str, int]
    waiting: int
    capped: bool
    """There were more studies than are counted for a page."""


@router.get("/health")
def health_page(request: Request, actor: Annotated[Actor, Depends(Allow(Permission.HEALTH))]) -> HTMLResponse:
    """Show checks, disk, queues and counts."""
    context = context_of(request)
    checks = checks_of(request)
    values: dict[str, Any] = {
        "checks": checks,
        "worst": worst_level(checks).value,
        "counts": day_counts(context),
        "disk": context.store.disk_state(),
        "deliveries": plain_counts(context.store.delivery_counts()),
        "readers": context.readers,
    }
    return page(request, "health.html", actor, **values)


def worst_level(checks: tuple[HealthCheck, ...]) -> CheckLevel:
    """Return the worst of the checks; no checks count as well."""
    levels = {check.level for check in checks}
    for level in (CheckLevel.PROBLEM, CheckLevel.WARNING):
        if level in levels:
            return level
    return CheckLevel.OK


def day_counts(context: WebContext) -> DayCounts:
    """Count the studies whose last image came in the last 24 hours, and how they ended."""
    found = context.store.worklist(WorklistQuery(since=context.clock() - timedelta(hours=24), limit=_COUNTED))
    outcomes = {outcome.value: 0 for outcome in Outcome}
    waiting = 0
    for row in found.items:
        for item in row.outcomes:
            if item.outcome is None:
                waiting += 1
            else:
                outcomes[item.outcome.value] += 1
    return DayCounts(len(found.items), outcomes, waiting, found.more)
