"""The alarm clock: wakes an engine at a moment, and does upkeep now and then.

The rule: truth is in the database; a timer only says when to look there. So an alarm that comes late,
twice, or for nothing does no harm, and there is one alarm, never one per message.

APScheduler is behind it, whose traps are avoided here (docs/decisions): a job that is late must run
all the same (`misfire_grace_time=None`), late runs count once (`coalesce`), and the alarm is armed
from outside, never by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import UTC
from typing import Any, Protocol

from mailqueue.clock import Clock, to_datetime


class Timer(Protocol):
    """Calls back at a moment."""

    def start(self, alarm: Callable[[], None]) -> None:
        """Begin, inside a running event loop; `alarm` is what `arm` leads to."""
        ...

    def arm(self, at: int) -> None:
        """Call `alarm` at `at` (microseconds UTC), in place of what was armed; at once if that is past."""
        ...

    def cancel(self) -> None:
        """Forget what was armed."""
        ...

    def every(self, seconds: float, upkeep: Callable[[], Awaitable[None]], name: str) -> None:
        """Run `upkeep` every so many seconds, never twice at a time."""
        ...

    def stop(self) -> None:
        """End: nothing is called any more."""
        ...


class SystemTimer:
    """A Timer on the machine's clock, by APScheduler."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._scheduler: Any = None
        self._alarm: Callable[[], None] = _nothing
        self._armed: int | None = None

    def start(self, alarm: Callable[[], None]) -> None:
        """Begin, inside a running event loop."""
        from apscheduler.schedulers.asyncio import AsyncIOScheduler

        for name in ("apscheduler.scheduler", "apscheduler.executors.default"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._alarm = alarm
        self._scheduler = AsyncIOScheduler(
            timezone=UTC, job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
        )
        self._scheduler.start()

    def arm(self, at: int) -> None:
        """Call `alarm` at `at`; at once if that is past."""
        if at <= self._clock.now():
            self.cancel()
            self._alarm()
        elif at != self._armed and self._scheduler is not None:
            self._armed = at
            self._scheduler.add_job(
                self._ring, "date", run_date=to_datetime(at), id="alarm", replace_existing=True
            )

    async def _ring(self) -> None:
        self._armed = None
        self._alarm()

    def cancel(self) -> None:
        """Forget what was armed."""
        if self._armed is not None:
            self._armed = None
            if self._scheduler.get_job("alarm") is not None:  # it may be on its way to us already
                self._scheduler.remove_job("alarm")

    def every(self, seconds: float, upkeep: Callable[[], Awaitable[None]], name: str) -> None:
        """Run `upkeep` every so many seconds."""
        self._scheduler.add_job(upkeep, "interval", seconds=seconds, id=name)

    def stop(self) -> None:
        """End: nothing is called any more."""
        if self._scheduler is not None:
            self._scheduler.shutdown(wait=False)
            self._scheduler = None


def _nothing() -> None:
    return None
