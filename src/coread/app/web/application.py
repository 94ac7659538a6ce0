"""Builds the web application: routers, answers to refusals, headers. What it shows comes in one ``WebContext``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import BoundedSemaphore, Lock
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, RedirectResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException
from starlette.responses import Response

from coread import __version__
from coread.app.errors import NothingFound
from coread.app.trends import TrendShelf
from coread.app.web.context import WebContext
from coread.app.web.errors import NotLoggedIn, TooManyAttempts, WebError
from coread.app.web.guard import RecentAccess
from coread.app.web.live import ChangeFeed
from coread.app.web.middleware import SafeAnswers
from coread.app.web.pages import (
    account,
    api,
    audit,
    case,
    corrections,
    destinations,
    health,
    images,
    lesions,
    login,
    readers,
    users,
    viewer,
    why,
    worklist,
)
from coread.app.web.pictures import FrameDrawer
from coread.app.web.rendering import make_environment, page
from coread.app.web.throttle import LoginThrottle
from coread.app.web.versions import ResultShelf
from coread.domain.errors import CoreadError
from coread.store.errors import NoSuchRecord, StoreBusy

_STATIC = Path(__file__).with_name("static")


def create_app(context: WebContext) -> FastAPI:
    """Return the application for this context; it holds no other state than throttling and recent accesses."""
    app = FastAPI(
        title="Coread",
        version=__version__,
        summary="A second reader for radiology. Research use only - not a medical device.",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        lifespan=_lifespan,
    )
    app.state.context = context
    app.state.templates = make_environment()
    app.state.throttle = LoginThrottle()
    app.state.recent = RecentAccess()
    app.state.drawer = FrameDrawer()
    app.state.outlining, app.state.outlining_line = Lock(), BoundedSemaphore(lesions.MOST_IN_LINE)
    app.state.results = ResultShelf(context.store)
    app.state.trends = TrendShelf(context.store)
    app.state.latest_checks = health.LatestChecks(context.health)
    app.state.feed = ChangeFeed(context.store.change_token, context.settings.live_seconds)
    app.add_middleware(
        SafeAnswers, secure=context.settings.cookie_secure, upload_limit_bytes=context.settings.upload_limit_bytes
    )
    _add_answers_to_refusals(app)
    pages = (login, worklist, case, corrections, images, readers, destinations, health, account, users, audit, why)
    for room in (*pages, api, lesions, viewer):
        app.include_router(room.router)
    _mount_dicomweb(app, context)
    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    feed: ChangeFeed = app.state.feed
    feed.close()


def _mount_dicomweb(app: FastAPI, context: WebContext) -> None:
    from coread.app.web.dicomweb import dicomweb_router

    app.include_router(dicomweb_router(context.store, images.authorise_dicomweb), prefix="/dicomweb")


def _add_answers_to_refusals(app: FastAPI) -> None:
    async def refused(request: Request, problem: Exception) -> Response:
        if isinstance(problem, WebError):
            return answer_refusal(request, problem.status, problem.title, str(problem), problem)
        if isinstance(problem, NothingFound | NoSuchRecord):
            return answer_refusal(request, 404, "Not found", str(problem))
        if isinstance(problem, StoreBusy):
            return answer_refusal(request, 503, "Busy", "The index is busy. Nothing was changed; try again.")
        if isinstance(problem, CoreadError):
            return answer_refusal(request, 500, "This cannot be shown", str(problem))
        if isinstance(problem, HTTPException):
            return answer_refusal(request, problem.status_code, "Not found", str(problem.detail))
        return answer_refusal(request, 422, "Please check what you entered", "A value is missing or malformed.")

    for kind in (WebError, CoreadError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, refused)


def answer_refusal(
    request: Request, status: int, title: str, message: str, problem: WebError | None = None
) -> Response:
    """Answer with a page for people or JSON for programs; somebody who is not logged in is led to the login page."""
    wants_page = "text/html" in request.headers.get("accept", "") and not request.url.path.startswith("/api/")
    if isinstance(problem, NotLoggedIn) and wants_page and request.method == "GET":
        return RedirectResponse(f"/login?next={quote(request.url.path)}", status_code=303)
    headers = {"www-authenticate": "Bearer"} if status == 401 else {}
    if isinstance(problem, TooManyAttempts):
        headers["retry-after"] = str(round(problem.seconds) + 1)
    if not wants_page:
        return JSONResponse({"title": title, "detail": message}, status_code=status, headers=headers)
    actor = getattr(request.state, "actor", None)
    answer = page(request, "problem.html", actor, status=status, title=title, message=message)
    answer.headers.update(headers)
    return answer
