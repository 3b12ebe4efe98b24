"""A clock and a timer that tests move, so that five days pass in milliseconds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta

from mailqueue.clock import to_micros

START = 1_800_000_000_000_000
"""Where the manual clock begins: 2027-01-15 08:00 UTC."""


class ManualClock:
    """Stands still until it is moved."""

    def __init__(self, now: int = START) -> None:
        self._now = now

    def now(self) -> int:
        """Return microseconds UTC."""
        return self._now

    def advance(self, length: timedelta | int) -> None:
        """Move on by a timedelta or by microseconds."""
        self._now += length if isinstance(length, int) else to_micros(length)


class ManualTimer:
    """A Timer whose moments come when `ring` is called."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.armed: int | None = None
        self.upkeep: dict[str, Callable[[], Awaitable[None]]] = {}
        self._alarm: Callable[[], None] = lambda: None

    def start(self, alarm: Callable[[], None]) -> None:
        """Begin."""
        self._alarm = alarm

    def arm(self, at: int) -> None:
        """Note the moment."""
        self.armed = at

    def cancel(self) -> None:
        """Forget it."""
        self.armed = None

    def every(self, seconds: float, upkeep: Callable[[], Awaitable[None]], name: str) -> None:
        """Note what is to be done now and then."""
        self.upkeep[name] = upkeep

    def stop(self) -> None:
        """End."""

    def ring(self) -> None:
        """Call the alarm, as if its moment had come."""
        self.armed = None
        self._alarm()
