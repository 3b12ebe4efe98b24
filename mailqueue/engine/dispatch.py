"""Dispatch: claimed messages wait in lanes, one a destination; the connections of a lane take from it.

The rule: a worker is a connection. It takes the next batch as soon as the one before is done, keeps
its connection while there is more, and goes when nothing has come for a while; so a destination that
is slow fills its own lane and no other.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from mailqueue.engine.attempt import Courier, Tried
from mailqueue.model.lane import Lane
from mailqueue.model.message import Claimed
from mailqueue.model.rules import Transport
from mailqueue.model.settings import Settings
from mailqueue.policy.batch import Batch, batches

if TYPE_CHECKING:
    from mailqueue.net.session import Session

logger = logging.getLogger("mailqueue.engine")

KEEP_IDLE = 5.0
"""Seconds that a connection is kept with nothing to send (decision 22)."""
KEEP_MESSAGES = 100
"""Transactions after which a connection is closed (row D5)."""
KEEP_FOR = 300.0
"""Seconds after which a connection is closed (row D5)."""
_LAST_WORDS = 6.0  # seconds: as long as QUIT may take, and a little


_Key = tuple[Transport, str]  # a transport whose settings changed is another


class Dispatch:
    """Hands claimed messages to the network and their outcomes back.

    Args:
        courier: tries one batch.
        report: takes what came of it.
        connections: at once to one destination.
        total: connections at once in all.
    """

    def __init__(
        self, courier: Courier, report: Callable[[Sequence[Tried]], None], *, connections: int, total: int
    ) -> None:
        self.courier = courier
        self.report = report
        self.connections = connections
        self._slots = asyncio.Semaphore(total)
        self._idle: dict[asyncio.Future[None], None] = {}
        self._wanting = 0
        self._lanes: dict[_Key, _Lane] = {}
        self._by_lane: Counter[Lane] = Counter()
        self._in_flight = 0

    @property
    def in_flight(self) -> int:
        """Messages added and not yet done."""
        return self._in_flight

    def add(
        self, claimed: Sequence[Claimed], settings: Settings, override: Transport | None
    ) -> list[Claimed]:
        """Take on messages that have been claimed. Returns those that no transport takes."""
        found, stranded = batches(claimed, settings, override)
        for batch in found:
            self._in_flight += len(batch.messages)
            self._by_lane.update(message.lane for message in batch.messages)
            key = (batch.transport, batch.destination)
            lane = self._lanes.get(key)
            if lane is None:
                lane = self._lanes[key] = _Lane(self, key)
            lane.add(batch)
        return stranded

    def done(self, message: Claimed) -> None:
        """Forget a message: it has been settled."""
        self._in_flight -= 1
        self._by_lane[message.lane] -= 1
        if self._by_lane[message.lane] <= 0:
            del self._by_lane[message.lane]

    def on_their_way(self, lane: Lane) -> int:
        """Return how many messages of a lane were added and are not yet done. Any thread may ask."""
        return self._by_lane.get(lane, 0)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Wait for the right to have a connection; one that is idle makes room."""
        self._wanting += 1
        try:
            if self._slots.locked():
                self._wake_idle()
            await self._slots.acquire()
        finally:
            self._wanting -= 1
        try:
            yield
        finally:
            self._slots.release()

    async def idle(self, sleeper: asyncio.Future[None]) -> None:
        """Keep a connection for a while, unless somebody else waits for one."""
        if self._wanting:
            return
        self._idle[sleeper] = None
        await asyncio.wait((sleeper,), timeout=KEEP_IDLE)
        self._idle.pop(sleeper, None)

    def _wake_idle(self) -> None:
        """End the wait of the connection that has been idle for longest."""
        for sleeper in self._idle:
            if not sleeper.done():
                sleeper.set_result(None)
                return

    def drop_lane(self, lane: _Lane) -> None:
        """Forget a lane that has neither work nor workers."""
        if self._lanes.get(lane.key) is lane:
            del self._lanes[lane.key]

    def withdraw(self) -> list[Claimed]:
        """Return the messages whose attempt has not begun, and forget them."""
        waiting = [message for lane in self._lanes.values() for message in lane.withdraw()]
        for message in waiting:
            self.done(message)
        return waiting

    async def finish(self, timeout: float) -> None:
        """Wait for what is being tried, at most `timeout` seconds; then break it off."""
        workers = [worker for lane in list(self._lanes.values()) for worker in lane.workers]
        for lane in self._lanes.values():
            lane.close()
        if workers:
            _, late = await asyncio.wait(workers, timeout=timeout)
            self.courier.break_off()
            if late:
                await asyncio.wait(late, timeout=_LAST_WORDS)

    def break_off(self) -> None:
        """End what is being tried as lost, and forget what waits: the claims are ours no more."""
        self.withdraw()
        self.courier.break_off()


class _Lane:
    """Batches for one destination, and the connections that take them."""

    def __init__(self, dispatch: Dispatch, key: _Key) -> None:
        self.key = key
        self._dispatch = dispatch
        self._waiting: deque[Batch] = deque()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._closing = False
        self.workers: set[asyncio.Task[None]] = set()

    def add(self, batch: Batch) -> None:
        self._waiting.append(batch)
        while self._idle:
            sleeper = self._idle.popleft()
            if not sleeper.done():
                sleeper.set_result(None)
                return
        if len(self.workers) < self._dispatch.connections:
            worker = asyncio.get_running_loop().create_task(self._work())
            self.workers.add(worker)
            worker.add_done_callback(self._gone)

    def withdraw(self) -> list[Claimed]:
        waiting = [message for batch in self._waiting for message in batch.messages]
        self._waiting.clear()
        return waiting

    def close(self) -> None:
        self._closing = True
        while self._idle:
            sleeper = self._idle.popleft()
            if not sleeper.done():
                sleeper.set_result(None)

    def _gone(self, worker: asyncio.Task[None]) -> None:
        self.workers.discard(worker)
        if not worker.cancelled() and worker.exception() is not None:
            logger.error("a delivery worker ended by a fault of ours", exc_info=worker.exception())
        if not self.workers and not self._waiting:
            self._dispatch.drop_lane(self)

    async def _work(self) -> None:
        while self._waiting:
            async with self._dispatch.slot():
                await self._use_connection()

    async def _use_connection(self) -> None:
        session: Session | None = None
        try:
            while await self._more(session):
                session = await self._one(self._waiting.popleft(), session)
                if session is None or not self._worth_keeping(session):
                    return
        finally:
            if session is not None:
                await session.quit()

    async def _one(self, batch: Batch, session: Session | None) -> Session | None:
        tried, kept = await self._dispatch.courier.deliver(batch, session)
        self._dispatch.report(tried)
        return kept

    def _worth_keeping(self, session: Session) -> bool:
        age = asyncio.get_running_loop().time() - session.opened_at
        return session.usable and session.used < KEEP_MESSAGES and age < KEEP_FOR

    async def _more(self, session: Session | None) -> bool:
        """Return whether there is a batch, waiting for one as long as the connection is kept."""
        if not self._waiting and session is not None and session.usable and not self._closing:
            sleeper = asyncio.get_running_loop().create_future()
            self._idle.append(sleeper)
            await self._dispatch.idle(sleeper)
            if not sleeper.done():
                sleeper.cancel()
        return bool(self._waiting)
