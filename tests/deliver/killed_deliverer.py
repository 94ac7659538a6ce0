"""A deliverer in a process of its own, for tests that kill it; arguments: folder of the store, port of the peer."""

import sys
import time
from pathlib import Path

from coread.deliver.lane import LaneSettings
from coread.deliver.worker import DeliveryWorker
from coread.domain.work import DeliveryProtocol, Destination
from coread.store import Store, StoreSettings

SETTINGS = LaneSettings(poll_seconds=0.02, due_seconds=0.05, lease_margin_seconds=0.5, batch=1, first_retry_seconds=0.1)


def destination(port: int) -> Destination:
    """Return the destination ``pacs`` at this port."""
    return Destination("pacs", DeliveryProtocol.C_STORE, f"127.0.0.1:{port}", "PACS", timeout_seconds=1.0)


def main() -> None:
    """Deliver until killed."""
    with Store.open(StoreSettings(Path(sys.argv[1]))) as store:
        worker = DeliveryWorker(store, [destination(int(sys.argv[2]))], settings=SETTINGS)
        worker.start()
        while True:
            time.sleep(1.0)


if __name__ == "__main__":
    main()
