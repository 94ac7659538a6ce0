"""Serves the installed OHIF viewer under /viewer; every page of it is the same file, its script reads the address."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import FileResponse

from coread.app.web.errors import NotFound
from coread.app.web.guard import Allow, context_of
from coread.app.web.permissions import Permission

router = APIRouter(include_in_schema=False)
_TYPES = {".js": "text/javascript", ".wasm": "application/wasm", ".html": "text/html"}
_HASHED_NAMES = ".bundle."


@router.get("/viewer", dependencies=[Depends(Allow(Permission.CASE))])
@router.get("/viewer/{path:path}", dependencies=[Depends(Allow(Permission.CASE))])
def viewer_file(request: Request, path: str = "") -> FileResponse:
    """Send a file of the viewer, or its one page for every other address."""
    settings = context_of(request).settings
    if settings.viewer_folder is None or not settings.viewer_ready():
        raise NotFound("The viewer is not installed. On the server: coread viewer install (needs Node.js).")
    root = settings.viewer_folder.resolve()
    file = (root / path).resolve()
    if not file.is_relative_to(root):
        raise NotFound("There is no such page.")
    if not file.is_file():
        if file.suffix in (".js", ".css", ".wasm", ".json", ".png", ".map"):
            raise NotFound("The viewer has no such file.")
        file = root / "index.html"
    keep = "private, max-age=31536000, immutable" if _HASHED_NAMES in file.name else "no-cache"
    return FileResponse(file, media_type=_TYPES.get(file.suffix), headers={"cache-control": keep})
