"""Tells open pages that something changed: one look at the store for all of them, only while somebody watches."""

import asyncio
from collections.abc import AsyncIterator, Callable

from starlette.concurrency import run_in_threadpool

_STREAM_SECONDS = 120.0
_KEEP_ALIVE_SECONDS = 15.0


class ChangeFeed:
    """Watches the store's change token and hands each new value to every open stream."""

    def __init__(self, token: Callable[[], int], seconds: float) -> None:
        self._token = token
        self._seconds = seconds
        self._watchers: set[asyncio.Queue[int | None]] = set()
        self._task: asyncio.Task[None] | None = None
        self._last: int | None = None

    async def stream(self) -> AsyncIterator[str]:
        """Yield Server-Sent Events: ``change`` with the token now and after each change.

        A stream ends after two minutes, the browser opens the next one: so a session that ended stops being served.
        """
        queue: asyncio.Queue[int | None] = asyncio.Queue(maxsize=8)
        self._watchers.add(queue)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._watch())
        end = asyncio.get_running_loop().time() + _STREAM_SECONDS
        try:
            yield f"retry: 1000\nevent: change\ndata: {await run_in_threadpool(self._token)}\n\n"
            while (left := end - asyncio.get_running_loop().time()) > 0:
                try:
                    token = await asyncio.wait_for(queue.get(), min(left, _KEEP_ALIVE_SECONDS))
                except TimeoutError:
                    yield ": still here\n\n"
                    continue
                if token is None:
                    return
                yield f"event: change\ndata: {token}\n\n"
        finally:
            self._watchers.discard(queue)

    def close(self) -> None:
        """End every stream and stop watching."""
        for queue in self._watchers:
            _put(queue, None)
        if self._task is not None:
            self._task.cancel()

    async def _watch(self) -> None:
        while self._watchers:
            token = await run_in_threadpool(self._token)
            if token != self._last:
                self._last = token
                for queue in self._watchers:
                    _put(queue, token)
            await asyncio.sleep(self._seconds)


def _put(queue: "asyncio.Queue[int | None]", token: int | None) -> None:
    """A watcher that is too slow loses older tokens, never the newest."""
    if queue.full():
        queue.get_nowait()
    queue.put_nowait(token)
