"""The DICOMweb server alone under uvicorn, for ``bench/web.py``: arguments are the store's folder and the port."""

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request

from coread.app.serve import SWITCH_SECONDS
from coread.app.web.dicomweb import dicomweb_router
from coread.store import Store, StoreSettings


async def allow(request: Request) -> None:
    """Let every request through: logging in is not what is measured."""


def main() -> None:
    """Serve until stopped."""
    with Store.open(StoreSettings(Path(sys.argv[1])), migrate=True) as store:
        app = FastAPI()
        app.include_router(dicomweb_router(store, allow), prefix="/dicomweb")
        sys.setswitchinterval(SWITCH_SECONDS)
        uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
