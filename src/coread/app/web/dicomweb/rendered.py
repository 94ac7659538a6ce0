"""Rendered frames and thumbnails (PS3.18 sections 8.3.5 and 10.4.1.1.4): for looking at, never for diagnosis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from starlette.responses import Response

from coread.app.web.dicomweb.accept import MediaRange
from coread.app.web.dicomweb.archive import Archive, Resource, instance_at, instances_of, resource_of
from coread.app.web.dicomweb.errors import BadRequest, NoSuchResource, NotAcceptable
from coread.domain.study import Instance
from coread.imaging.errors import ImagingRefused, NoPixels
from coread.imaging.intensity import Window
from coread.imaging.render import Pixels8, encode_jpeg, encode_png, frame_pixels

JPEG, PNG = "image/jpeg", "image/png"
THUMBNAIL_SIZE = 256
_MOST_PIXELS = 8192
_FUNCTIONS = {"linear": "LINEAR", "linear-exact": "LINEAR_EXACT", "sigmoid": "SIGMOID"}


@dataclass(frozen=True, slots=True)
class Look:
    """How a frame is to be drawn."""

    window: Window | None = None
    width: int | None = None
    height: int | None = None
    region: tuple[int, int, int, int] | None = None
    """First column, first row, columns, rows of the source image."""
    quality: int = 90


def parse_look(parameters: Mapping[str, str]) -> Look:
    """Parse ``window=center,width,function``, ``viewport=vw,vh[,sx,sy,sw,sh]`` and ``quality``."""
    window = _window(parameters["window"]) if "window" in parameters else None
    quality = _whole(parameters.get("quality", "90"), "quality")
    if not 1 <= quality <= 100:
        raise BadRequest("quality is 1 to 100")
    if "viewport" not in parameters:
        return Look(window=window, quality=quality)
    values = parameters["viewport"].split(",")
    if len(values) not in (2, 6):
        raise BadRequest("viewport is width,height or width,height,sx,sy,sw,sh")
    width, height, *source = (_whole(value or "0", "viewport") for value in values)
    if not (0 < width <= _MOST_PIXELS and 0 < height <= _MOST_PIXELS):
        raise BadRequest(f"viewport width and height are 1 to {_MOST_PIXELS}")
    region = (source[0], source[1], source[2], source[3]) if source else None
    return Look(window=window, width=width, height=height, region=region, quality=quality)


def _window(text: str) -> Window:
    parts = text.split(",")
    if len(parts) not in (2, 3) or (len(parts) == 3 and parts[2].lower() not in _FUNCTIONS):
        raise BadRequest("window is center,width,function with linear, linear-exact or sigmoid")
    try:
        center, width = float(parts[0]), float(parts[1])
    except ValueError as problem:
        raise BadRequest("window center and width are numbers") from problem
    if not (abs(center) < 1e9 and 0 < width < 1e9):
        raise BadRequest("window width is above zero, and both are finite")
    return Window(center, width, _FUNCTIONS[parts[2].lower()] if len(parts) == 3 else "LINEAR")


def _whole(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 6):
        raise BadRequest(f"{name} holds {text[:20]!r}, which is not a whole number")
    return int(text)


def rendered(archive: Archive, resource: Resource, frame: int, look: Look, accepted: Sequence[MediaRange]) -> Response:
    """Answer with one frame as JPEG or PNG; a study or series is shown by its middle image."""
    kind = next((kind for item in accepted for kind in (JPEG, PNG) if item.media_type in (kind, "*/*", "image/*")), "")
    if not kind:
        raise NotAcceptable(f"frames are rendered as {JPEG} or {PNG}")
    instance = _shown(archive, resource)
    instance, path = instance_at(archive, resource_of(instance))
    if frame > (instance.header.number_of_frames or 1):
        raise NoSuchResource(f"the object has {instance.header.number_of_frames or 1} frames")
    try:
        pixels = frame_pixels(path, instance.header, frame, window=look.window)
    except NoPixels as problem:
        raise NoSuchResource(str(problem)) from problem
    except ImagingRefused as problem:
        raise NotAcceptable(f"the frame cannot be rendered: {problem}") from problem
    pixels = _cut(pixels, look)
    size = _longer_side(pixels, look)
    data = (
        encode_png(pixels, max_size=size) if kind == PNG else encode_jpeg(pixels, max_size=size, quality=look.quality)
    )
    return Response(data, media_type=kind)


def _shown(archive: Archive, resource: Resource) -> Instance:
    found = instances_of(archive, resource)
    images = [item for item in found if item.header.rows] or found
    return images[len(images) // 2]


def _cut(pixels: Pixels8, look: Look) -> Pixels8:
    if look.region is None:
        return pixels
    column, row, columns, rows = look.region
    cut = pixels[row : row + (rows or pixels.shape[0]), column : column + (columns or pixels.shape[1])]
    if cut.size == 0:
        raise BadRequest("the region of the viewport lies outside the image")
    return cut


def _longer_side(pixels: Pixels8, look: Look) -> int | None:
    """Return the longer side that makes the image fit into the viewport with its shape kept."""
    if look.width is None or look.height is None:
        return None
    rows, columns = pixels.shape[:2]
    scale = min(look.width / columns, look.height / rows)
    return max(1, round(float(max(rows, columns)) * float(scale)))
