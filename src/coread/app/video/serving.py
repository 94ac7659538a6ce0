"""Shows a live reading to a browser on this machine, until it is stopped."""

import secrets
from collections.abc import Callable

from coread.app.video.station import Station

HOST = "127.0.0.1"
"""Never another: the picture of an examination stays on its machine."""
_TOKEN_BYTES = 24
_CLOSE_SECONDS = 3


def serve_station(station: Station, port: int, tell: Callable[[str], None]) -> None:
    """Start the station and its page, tell the address with the token once, and return when it is stopped."""
    import uvicorn

    from coread.app.web.video_pages import create_video_app

    token = secrets.token_urlsafe(_TOKEN_BYTES)
    config = uvicorn.Config(
        create_video_app(station, token),
        host=HOST,
        port=port,
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=_CLOSE_SECONDS,
    )
    station.start()
    try:
        tell(f"http://{HOST}:{port}/?token={token}")
        uvicorn.Server(config).run()
    finally:
        station.stop()
