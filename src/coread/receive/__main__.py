"""``python -m coread.receive``: one receiver process; its settings come as JSON on standard input."""

import logging
import sys

from coread.domain.errors import CoreadError, Misconfigured
from coread.receive.processes import from_json, run_receiver

EXIT_MISCONFIGURED = 3
EXIT_FAILED = 1


def main() -> int:
    """Run one receiver; return the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr)
    logging.getLogger("pynetdicom").setLevel(logging.WARNING)
    try:
        run_receiver(from_json(sys.stdin.read()))
    except Misconfigured as error:
        logging.getLogger(__name__).error("%s", error)
        return EXIT_MISCONFIGURED
    except CoreadError as error:
        logging.getLogger(__name__).error("%s", error)
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
