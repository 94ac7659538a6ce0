"""Headers and limits on every answer, as plain ASGI (streams pass through untouched)."""

import logging
import time
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOGGER = logging.getLogger("coread.web")

PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; "
    "font-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# OHIF compiles WebAssembly decoders, starts workers from blobs and styles elements inline; it may still talk to
# nobody but us. Its own start script is the only inline script and is the reason for 'unsafe-inline' here.
VIEWER_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' 'wasm-unsafe-eval' blob:; "
    "worker-src 'self' blob:; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self' data: blob:; font-src 'self' data:; object-src 'none'; base-uri 'self'; "
    "form-action 'self'; frame-ancestors 'none'"
)
_FIXED = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",  # no-referrer would make browsers send "Origin: null" with our own forms
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
PAGE_BODY_LIMIT = 1024 * 1024


def headers_for(path: str, *, secure: bool) -> Mapping[str, str]:
    """Return the security headers for one path; pages and images are never kept in a cache on disk."""
    viewer = path == "/viewer" or path.startswith("/viewer/")
    headers = dict(_FIXED) | {"content-security-policy": VIEWER_POLICY if viewer else PAGE_POLICY}
    if viewer:
        # SharedArrayBuffer for OHIF's volume rendering needs cross-origin isolation.
        headers["cross-origin-embedder-policy"] = "require-corp"
    if not viewer and not path.startswith("/static/"):
        headers["cache-control"] = "no-store"
    if secure:
        headers["strict-transport-security"] = "max-age=31536000"
    return headers


class SafeAnswers:
    """Adds security headers, limits page bodies, and logs method, path and status: never a query or a name."""

    def __init__(self, app: ASGIApp, *, secure: bool, upload_limit_bytes: int) -> None:
        self._app = app
        self._secure = secure
        self._upload_limit = upload_limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        limit = self._upload_limit if path.startswith("/dicomweb/") else PAGE_BODY_LIMIT
        if int(_content_length(scope)) > limit:
            await _refuse_body(send)
            return
        begun = time.monotonic()
        added = headers_for(path, secure=self._secure)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in added.items():
                    headers.setdefault(name, value)
                took = (time.monotonic() - begun) * 1000
                LOGGER.debug("%s %s %s %.0f ms", scope["method"], _route(scope), message["status"], took)
            await send(message)

        await self._app(scope, _limited(receive, limit), send_with_headers)


def _route(scope: Scope) -> str:
    """Name the route, not the path: an accession number may stand in a path."""
    return str(getattr(scope.get("route"), "path", "(no route)"))


def _content_length(scope: Scope) -> str:
    text = Headers(scope=scope).get("content-length", "0")
    return text if text.isascii() and text.isdigit() else "0"


def _limited(receive: Receive, limit: int) -> Receive:
    """Stop reading a body that grows past its limit (chunked bodies state no length)."""
    taken = 0

    async def receive_some() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            return {"type": "http.disconnect"}
        return message

    return receive_some


async def _refuse_body(send: Send) -> None:
    await send({"type": "http.response.start", "status": 413, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"The body is larger than the limit.\n"})
