"""Events as they are written: for whoever follows a queue, and for the subscribers of an engine.

The rule: an event is told after its commit, in the order of the commits, none left out; whoever stops and
goes on after the last that it was told misses none either.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence

from mailqueue.errors import SettingError, StoreError
from mailqueue.model.events import Event, EventKind
from mailqueue.store.base import Store

logger = logging.getLogger("mailqueue.engine")

Subscriber = Callable[[Event], Awaitable[None] | None]
"""Called with an event."""

PAGE = 200
"""Events that are read at once."""

LOOK_EVERY = 0.05
"""Seconds from look to look for new events."""


def chosen(events: Sequence[EventKind | str]) -> frozenset[EventKind]:
    """Return the kinds of events that are meant; all, where none is named. Raises SettingError."""
    try:
        return frozenset(map(EventKind, events)) or frozenset(EventKind)
    except ValueError:
        known = ", ".join(EventKind)
        wrong = next(each for each in events if each not in set(EventKind))
        raise SettingError(f"event {wrong!r}: must be one of {known}") from None


class Tail:
    """The end of the events, as one reader follows it.

    Args:
        store: where they are.
        after: the id of the last that is known. None: the newest there is now.
    """

    def __init__(self, store: Store, after: int | None) -> None:
        self._store = store
        self._version = -1
        self._after = store.read(lambda reader: reader.last_event_id()) if after is None else after

    def more(self) -> list[Event]:
        """Return the next events, at most PAGE. []: there are none, until somebody commits."""
        found = self._store.read(lambda reader: reader.events_after(self._after, PAGE))
        if found:
            self._after = found[-1].id
        return found

    def moved(self) -> bool:
        """Return whether somebody has committed since this was last asked."""
        version = self._store.data_version()
        moved, self._version = version != self._version, version
        return moved


def follow(
    store: Store, after: int | None, events: Sequence[EventKind | str], *, wait: bool
) -> Iterator[Event]:
    """Yield events; see `Queue.follow`. What is new counts from this call on."""
    return _follow(Tail(store, after), chosen(events), wait=wait)


def _follow(tail: Tail, kinds: frozenset[EventKind], *, wait: bool) -> Iterator[Event]:
    while True:
        while wait and not tail.moved():
            time.sleep(LOOK_EVERY)
        while found := tail.more():
            yield from (each for each in found if each.event in kinds)
        if not wait:
            return


def follow_async(
    store: Store, after: int | None, events: Sequence[EventKind | str], *, wait: bool
) -> AsyncIterator[Event]:
    """Yield events in an event loop, which it does not hold up; see `Queue.follow`."""
    return _follow_async(store, after, chosen(events), wait=wait)


async def _follow_async(
    store: Store, after: int | None, kinds: frozenset[EventKind], *, wait: bool
) -> AsyncIterator[Event]:
    tail = await asyncio.to_thread(Tail, store, after)
    while True:
        while wait and not await asyncio.to_thread(tail.moved):
            await asyncio.sleep(LOOK_EVERY)
        while found := await asyncio.to_thread(tail.more):
            for each in found:
                if each.event in kinds:
                    yield each
        if not wait:
            return


class Subscribers:
    """Those who are told of events by an engine while it runs.

    Args:
        store: where events are written.
        called: whom to call, by the events' kinds.
    """

    def __init__(self, store: Store, called: Mapping[EventKind, Sequence[Subscriber]]) -> None:
        self._called = called
        self._tail = Tail(store, None)
        self._ending = asyncio.Event()
        self._running = asyncio.get_running_loop().create_task(self._run())

    async def finish(self, within: float) -> None:
        """Tell of all events that there are by now, for so many seconds at most, and of none after."""
        self._ending.set()
        done, _ = await asyncio.wait((self._running,), timeout=within)
        if not done:
            self._running.cancel()
            logger.warning("the engine stopped before its subscribers had been told of every event")

    async def _run(self) -> None:
        ending = False
        while not ending:
            ending = self._ending.is_set()
            try:
                if await asyncio.to_thread(self._tail.moved):
                    await self._tell()
            except StoreError as error:
                logger.error("subscribers have to wait for events: %s", error)
            if not self._ending.is_set():
                await asyncio.sleep(LOOK_EVERY)

    async def _tell(self) -> None:
        while found := await asyncio.to_thread(self._tail.more):
            for event in found:
                for subscriber in self._called.get(event.event, ()):
                    await _call(subscriber, event)


async def _call(subscriber: Subscriber, event: Event) -> None:
    """Call a subscriber: in the loop where it is a coroutine function, else in a thread beside it."""
    try:
        if asyncio.iscoroutinefunction(subscriber):
            await subscriber(event)
        else:
            await asyncio.to_thread(subscriber, event)
    except Exception:
        logger.exception("a subscriber failed at event %d", event.id)
