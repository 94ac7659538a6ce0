"""Asks the archive how many images a study has, without ever holding up the routing of other studies."""

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

from coread.app.settings import PacsSetting
from coread.deliver.peer import Peer
from coread.deliver.query import expected_instances
from coread.deliver.web import WebService
from coread.domain.errors import CoreadError

log = logging.getLogger(__name__)

ASK_AGAIN_SECONDS = 5.0
FORGET_SECONDS = 3600.0


class Archive:
    """Remembers answers for a few seconds and asks in the background; until it answers, nobody knows."""

    def __init__(self, setting: PacsSetting, calling_ae_title: str) -> None:
        self._source = _source(setting, calling_ae_title)
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="archive")
        self._asked: dict[str, tuple[float, Future[int | None]]] = {}
        self._answers: dict[str, int | None] = {}
        self._lock = threading.Lock()

    def ready(self, study_instance_uid: str) -> bool:
        """Ask in the background when the last answer is old; say whether there is an answer at all."""
        now = time.monotonic()
        with self._lock:
            self._forget(now)
            known = self._asked.get(study_instance_uid)
            if known is None or (known[1].done() and now - known[0] > ASK_AGAIN_SECONDS):
                if known is not None:
                    self._answers[study_instance_uid] = known[1].result()
                self._asked[study_instance_uid] = (now, self._pool.submit(self._ask, study_instance_uid))
                return known is not None
            if known[1].done():
                self._answers[study_instance_uid] = known[1].result()
            return study_instance_uid in self._answers

    def count(self, study_instance_uid: str) -> int | None:
        """Return the latest answer; None when the archive does not know the study or could not be asked."""
        with self._lock:
            return self._answers.get(study_instance_uid)

    def close(self) -> None:
        """Stop asking."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, uid: str) -> int | None:
        try:
            return expected_instances(self._source, uid)
        except CoreadError as problem:
            log.warning("the archive cannot be asked how many images a study has: %s", problem)
            return None
        except Exception as problem:  # noqa: BLE001 - the edge of one question: a strange answer must not stop routing
            log.error("the archive's answer could not be understood: %s", type(problem).__name__)
            return None

    def _forget(self, now: float) -> None:
        for uid in [uid for uid, (at, _) in self._asked.items() if now - at > FORGET_SECONDS]:
            del self._asked[uid]
            self._answers.pop(uid, None)


def _source(setting: PacsSetting, calling_ae_title: str) -> Peer | WebService:
    if setting.address.startswith(("http://", "https://")):
        return WebService(setting.address, timeout_seconds=setting.timeout_seconds)
    host, _, port = setting.address.rpartition(":")
    return Peer(
        host,
        int(port) if port.isdigit() else 0,
        setting.ae_title or "ANY-SCP",
        calling_ae_title,
        setting.timeout_seconds,
    )
