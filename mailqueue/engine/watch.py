"""See what others commit to the file: another process, or the application in its own transaction.

The rule: one look costs microseconds, so that an idle engine may look twenty-five times a second
(docs/decisions 0010). What moves the wake counter is worth a claim; other commits are not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from mailqueue.errors import StoreError
from mailqueue.store.base import Store

logger = logging.getLogger("mailqueue.engine")

_BUSY, _IDLE = 0.005, 0.04  # seconds from look to look
_QUIET_AFTER = 1.0  # seconds without a commit


class Watch:
    """Calls `wake` in the event loop when somebody has given the engines something to look at."""

    def __init__(self, store: Store, wake: Callable[[], None]) -> None:
        self._store = store
        self._wake = wake
        self._loop = asyncio.get_running_loop()
        self._version = -1
        self._counter = -1
        self._moved_at = self._loop.time()
        # Callbacks, not a coroutine that sleeps: that would double the cost of being idle.
        self._next: asyncio.TimerHandle | None = self._loop.call_later(_BUSY, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look(self) -> None:
        try:
            version = self._store.data_version()
            if version != self._version:
                self._version, self._moved_at = version, self._loop.time()
                self._compare()
        except StoreError as error:
            logger.debug("cannot look at the database: %s", error)
        quiet = self._loop.time() - self._moved_at > _QUIET_AFTER
        self._next = self._loop.call_later(_IDLE if quiet else _BUSY, self._look)

    def _compare(self) -> None:
        counter = self._store.look(lambda reader: reader.wake())
        if counter != self._counter:
            self._counter = counter
            self._wake()
