"""The routes of the DICOMweb server; every answer to what cannot be done is one HTTP status with one sentence."""

import re
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.routing import APIRoute

from coread.app.web.dicomweb.accept import MediaRange, parse_accept
from coread.app.web.dicomweb.archive import Resource
from coread.app.web.dicomweb.errors import DicomwebRefused, NotAcceptable
from coread.app.web.dicomweb.frames import frame_numbers, frames_answer
from coread.app.web.dicomweb.json_model import MEDIA_TYPE, to_bytes
from coread.app.web.dicomweb.metadata import metadata_of
from coread.app.web.dicomweb.rendered import THUMBNAIL_SIZE, Look, parse_look, rendered
from coread.app.web.dicomweb.retrieve import bulk_data, retrieve
from coread.app.web.dicomweb.search import Found, parse_search, search_instances, search_series, search_studies
from coread.app.web.dicomweb.storing import store_objects
from coread.store import Store, StoreBusy

_BASE = re.compile(r"^(.*?)/(?:studies|series|instances)(?:/|$)")
_STUDY = "/studies/{study}"
_SERIES = _STUDY + "/series/{series}"
_INSTANCE = _SERIES + "/instances/{instance}"
_FRAMES = _INSTANCE + "/frames/{frames}"


class _Refusing(APIRoute):
    """Turns refusals of this server into their HTTP status."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handle(request)
            except DicomwebRefused as refused:
                return Response(f"{refused}\n", status_code=refused.status, media_type="text/plain; charset=utf-8")
            except StoreBusy as busy:
                return Response(f"{busy}\n", status_code=503, headers={"Retry-After": "5"}, media_type="text/plain")

        return answer


def dicomweb_router(
    store: Store, authorise: Callable[..., Any], *, authorise_store: Callable[..., Any] | None = None
) -> APIRouter:
    """Return the routes; ``authorise`` is a FastAPI dependency that lets a request through or raises.

    ``authorise_store`` guards STOW-RS where storing needs another permission than looking.
    """
    router = APIRouter(route_class=_Refusing)
    looking = [Depends(authorise)]
    _add_searches(router, store, looking)
    _add_retrievals(router, store, looking)
    _add_renderings(router, store, looking)
    _add_storing(router, store, [Depends(authorise_store or authorise)])
    return router


def _base(request: Request) -> str:
    """Return the address of this service as the client sees it."""
    match = _BASE.match(request.url.path)
    return f"{request.url.scheme}://{request.url.netloc}{match.group(1) if match else ''}"


def _accepted(request: Request) -> tuple[MediaRange, ...]:
    """Return what the client accepts; the query parameter wins over the header (PS3.18 section 8.3.3.1)."""
    return parse_accept(request.query_params.get("accept", "") or request.headers.get("accept", ""))


def _must_take_json(request: Request) -> None:
    taken = (MEDIA_TYPE, "application/json", "application/*", "*/*")
    if not any(item.media_type in taken for item in _accepted(request)):
        raise NotAcceptable(f"the answer is given as {MEDIA_TYPE}")


def _resource(request: Request) -> Resource:
    path = request.path_params
    return Resource(path["study"], path.get("series", ""), path.get("instance", ""))


def _found(found: Found) -> Response:
    answer = Response(to_bytes(found.items), media_type=MEDIA_TYPE)
    for warning in found.warnings:
        answer.headers.append("Warning", f'299 coread "{warning}"')
    return answer


def _add_searches(router: APIRouter, store: Store, guard: list[Any]) -> None:
    @router.get("/studies", dependencies=guard)
    def studies(request: Request) -> Response:
        _must_take_json(request)
        search = parse_search(request.query_params.multi_items())
        return _found(search_studies(store, search, _base(request)))

    @router.get("/series", dependencies=guard)
    @router.get(_STUDY + "/series", dependencies=guard)
    def series(request: Request) -> Response:
        _must_take_json(request)
        within = _resource(request) if "study" in request.path_params else None
        search = parse_search(request.query_params.multi_items())
        return _found(search_series(store, search, within, _base(request)))

    @router.get("/instances", dependencies=guard)
    @router.get(_STUDY + "/instances", dependencies=guard)
    @router.get(_SERIES + "/instances", dependencies=guard)
    def instances(request: Request) -> Response:
        _must_take_json(request)
        within = _resource(request) if "study" in request.path_params else None
        search = parse_search(request.query_params.multi_items())
        return _found(search_instances(store, search, within, _base(request)))


def _add_retrievals(router: APIRouter, store: Store, guard: list[Any]) -> None:
    @router.get(_STUDY + "/metadata", dependencies=guard)
    @router.get(_SERIES + "/metadata", dependencies=guard)
    @router.get(_INSTANCE + "/metadata", dependencies=guard)
    def metadata(request: Request) -> Response:
        _must_take_json(request)
        return Response(metadata_of(store, _resource(request), _base(request)), media_type=MEDIA_TYPE)

    @router.get(_STUDY, dependencies=guard)
    @router.get(_SERIES, dependencies=guard)
    @router.get(_INSTANCE, dependencies=guard)
    def objects(request: Request) -> Response:
        return retrieve(store, _resource(request), _accepted(request), _base(request))

    @router.get(_FRAMES, dependencies=guard)
    def frames(request: Request) -> Response:
        numbers = frame_numbers(request.path_params["frames"])
        return frames_answer(store, _resource(request), numbers, _accepted(request))

    @router.get(_INSTANCE + "/bulkdata/{element:path}", dependencies=guard)
    def bulkdata(request: Request) -> Response:
        return bulk_data(store, _resource(request), request.path_params["element"], _accepted(request))


def _add_renderings(router: APIRouter, store: Store, guard: list[Any]) -> None:
    def draw(request: Request, look: Look) -> Response:
        [frame, *_] = frame_numbers(request.path_params.get("frames", "1"))
        return rendered(store, _resource(request), frame, look, _accepted(request))

    @router.get(_STUDY + "/rendered", dependencies=guard)
    @router.get(_SERIES + "/rendered", dependencies=guard)
    @router.get(_INSTANCE + "/rendered", dependencies=guard)
    @router.get(_FRAMES + "/rendered", dependencies=guard)
    def whole(request: Request) -> Response:
        return draw(request, parse_look(request.query_params))

    @router.get(_STUDY + "/thumbnail", dependencies=guard)
    @router.get(_SERIES + "/thumbnail", dependencies=guard)
    @router.get(_INSTANCE + "/thumbnail", dependencies=guard)
    @router.get(_FRAMES + "/thumbnail", dependencies=guard)
    def thumbnail(request: Request) -> Response:
        asked = "viewport" in request.query_params
        look = parse_look(request.query_params) if asked else Look(width=THUMBNAIL_SIZE, height=THUMBNAIL_SIZE)
        return draw(request, look)


def _add_storing(router: APIRouter, store: Store, guard: list[Any]) -> None:
    @router.post("/studies", dependencies=guard)
    @router.post(_STUDY, dependencies=guard)
    async def studies(request: Request) -> Response:
        return await store_objects(store, request, request.path_params.get("study", ""), _base(request))
