"""``python -m coread.receive.mrd_process``: receives raw MR data; its settings come as JSON on standard input."""

import json
import logging
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from coread.domain.errors import CoreadError, Misconfigured
from coread.receive.errors import BadSettings
from coread.receive.listening import stopped_by_signals, wait_to_end
from coread.receive.mrd_settings import MrdSettings

_LOG = logging.getLogger(__name__)
EXIT_MISCONFIGURED = 3
EXIT_FAILED = 1


@dataclass(frozen=True, slots=True)
class MrdChildSettings:
    """What the process is told."""

    receive: MrdSettings
    store_folder: Path
    database_url: str = ""
    warn_free_fraction: float = 0.10
    refuse_free_fraction: float = 0.05

    def to_json(self) -> str:
        """Write them."""
        return json.dumps(asdict(self), default=str)


def from_json(text: str) -> MrdChildSettings:
    """Read them; raises BadSettings when they are incomplete or wrong."""
    try:
        raw: dict[str, Any] = json.loads(text)
        receive = raw["receive"] | {"networks": tuple(raw["receive"]["networks"])}
        return MrdChildSettings(
            **(raw | {"receive": MrdSettings(**receive), "store_folder": Path(raw["store_folder"])})
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadSettings(f"settings of the MRD receiver cannot be read: {error}") from error


def run(settings: MrdChildSettings) -> None:
    """Receive until SIGTERM or SIGINT, or until the parent is gone."""
    from coread.receive.mrd_server import MrdReceiver
    from coread.store import Store, StoreSettings

    done = stopped_by_signals()
    store_settings = StoreSettings(
        folder=settings.store_folder,
        database_url=settings.database_url,
        durable=settings.receive.durable,
        warn_free_fraction=settings.warn_free_fraction,
        refuse_free_fraction=settings.refuse_free_fraction,
    )
    with Store.open(store_settings, migrate=False) as store, MrdReceiver(settings.receive, store) as receiver:
        wait_to_end(receiver.port, done)


def main() -> int:
    """Run the receiver; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    try:
        run(from_json(sys.stdin.read()))
    except Misconfigured as error:
        _LOG.error("%s", error)
        return EXIT_MISCONFIGURED
    except CoreadError as error:
        _LOG.error("%s", error)
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
