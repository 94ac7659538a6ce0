"""The pages of a live reading: one person at this machine, let in by a token; a stream of JPEG pictures."""

import hmac
from collections.abc import Iterator
from pathlib import Path

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles
from starlette.responses import Response

from coread.app.video.station import Station
from coread.app.web.middleware import SafeAnswers
from coread.app.web.rendering import RESEARCH_USE, make_environment

COOKIE = "coread_live"
_STATIC = Path(__file__).with_name("static")
_BOUNDARY = "frame"
_BODY_LIMIT = 4096
_LOCK_OUT = "This page is opened with the address that `coread live` printed: it holds the token.\n"


def create_video_app(station: Station, token: str) -> FastAPI:
    """Return the application that shows this station to whoever holds the token."""
    app = FastAPI(title="Coread live", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(SafeAnswers, secure=False, upload_limit_bytes=_BODY_LIMIT)
    template = make_environment().get_template("video.html")
    card = station.reader.card

    def holds_token(request: Request) -> bool:
        kind, _, bearer = request.headers.get("authorization", "").partition(" ")
        offered = bearer.strip() if kind.casefold() == "bearer" else request.cookies.get(COOKIE, "")
        return hmac.compare_digest(offered.encode(), token.encode())

    @app.get("/")
    def page(request: Request) -> Response:
        """Show the page; with the token in the address, keep it in a cookie and drop it from the address."""
        offered = request.query_params.get("token", "")
        if offered and hmac.compare_digest(offered.encode(), token.encode()):
            answer = RedirectResponse("/", status_code=303)
            answer.set_cookie(COOKIE, token, httponly=True, samesite="strict")
            return answer
        if not holds_token(request):
            return _locked_out()
        return HTMLResponse(template.render(card=card, research_use=RESEARCH_USE))

    @app.get("/stream")
    def stream(request: Request) -> Response:
        """Send pictures as they come (multipart/x-mixed-replace)."""
        if not holds_token(request):
            return _locked_out()
        return StreamingResponse(pictures(station), media_type=f"multipart/x-mixed-replace; boundary={_BOUNDARY}")

    @app.get("/pace")
    def pace(request: Request) -> Response:
        """Say how fast it goes and whether it still goes."""
        if not holds_token(request):
            return _locked_out()
        return JSONResponse(station.pace().document() | {"running": station.running, "problem": station.problem})

    app.mount("/static", StaticFiles(directory=_STATIC), name="static")
    return app


def pictures(station: Station) -> Iterator[bytes]:
    """Yield the parts of the stream, the newest picture each time; a slow viewer misses pictures, never delays them."""
    number = -1
    while (found := station.picture_after(number)) is not None:
        number, data = found
        head = f"--{_BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
        yield head.encode("ascii") + data + b"\r\n"
    yield f"--{_BOUNDARY}--\r\n".encode("ascii")


def _locked_out() -> Response:
    return Response(_LOCK_OUT, status_code=401, media_type="text/plain", headers={"www-authenticate": "Bearer"})
