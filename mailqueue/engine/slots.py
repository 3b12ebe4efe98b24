"""Connections at once, over all destinations: who may have one.

The rule: what waits longest goes first among equals; interactive mail goes before the others, and some
connections are kept for it; destinations in trouble have half of all at most, so that the others
always find one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import count

from mailqueue.model.lane import Priority

_Line = dict[asyncio.Future[None], int]
"""Who waits, each with a number that rises, in that order."""


class Slots:
    """So many connections at once.

    Args:
        total: connections.
        make_room: called when somebody has to wait: an idle connection may end.
    """

    def __init__(self, total: int, make_room: Callable[[], None]) -> None:
        self._free = total
        self._kept_back = total // 10
        self._for_troubled = max(1, total // 2)
        self._make_room = make_room
        self._numbers = count()
        self._waiting: dict[tuple[Priority, bool], _Line] = {
            (priority, troubled): {} for priority in Priority for troubled in (False, True)
        }

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for a connection."""
        return any(self._waiting.values())

    def at_once(self, priority: Priority, *, troubled: bool) -> bool:
        """Return whether a connection may be had without waiting."""
        waiting = any(self._waiting[each, troubled] for each in Priority if each <= priority)
        return not waiting and self._may(priority, troubled)

    @asynccontextmanager
    async def one(self, priority: Priority, *, troubled: bool) -> AsyncIterator[None]:
        """Wait for the right to have a connection.

        Args:
            priority: of the mail that it is for.
            troubled: its destination has failed, and not been well since.
        """
        if self.at_once(priority, troubled=troubled):
            self._take(troubled)
        else:
            await self._wait(priority, troubled)
        try:
            yield
        finally:
            self._free += 1
            self._for_troubled += troubled
            self._let_go()

    async def _wait(self, priority: Priority, troubled: bool) -> None:
        waiter = asyncio.get_running_loop().create_future()
        line = self._waiting[priority, troubled]
        line[waiter] = next(self._numbers)
        self._make_room()
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.done() and not waiter.cancelled():  # it has just been given one
                self._free += 1
                self._for_troubled += troubled
                self._let_go()
            raise
        finally:
            line.pop(waiter, None)

    def _may(self, priority: Priority, troubled: bool) -> bool:
        kept_back = 0 if priority is Priority.INTERACTIVE else self._kept_back
        return self._free > kept_back and (not troubled or self._for_troubled > 0)

    def _take(self, troubled: bool) -> None:
        self._free -= 1
        self._for_troubled -= troubled

    def _let_go(self) -> None:
        """Give what is free to those who wait."""
        for priority in Priority:
            while (first := self._first(priority)) is not None:
                waiter, troubled = first
                del self._waiting[priority, troubled][waiter]
                if not waiter.done():  # it may have been cancelled right now
                    self._take(troubled)
                    waiter.set_result(None)

    def _first(self, priority: Priority) -> tuple[asyncio.Future[None], bool] | None:
        """Return who waits longest of those of a priority that may have one, and whether it is troubled."""
        found = [
            (next(iter(line.items())), troubled)
            for troubled in (False, True)
            if (line := self._waiting[priority, troubled]) and self._may(priority, troubled)
        ]
        if not found:
            return None
        (waiter, _), troubled = min(found, key=lambda each: each[0][1])
        return waiter, troubled
