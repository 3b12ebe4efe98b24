"""A clock and a timer that tests move, so that five days pass in milliseconds."""

from __future__ import annotations

import mmap
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

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


class SharedClock(ManualClock):
    """A manual clock that processes share: it stands in a file, which is made where there is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.exists():
            path.write_bytes(START.to_bytes(8, "big"))
        with path.open("r+b") as file:
            self._at = mmap.mmap(file.fileno(), 8)

    def now(self) -> int:
        return int.from_bytes(self._at[:], "big")

    def advance(self, length: timedelta | int) -> None:
        moved = self.now() + (length if isinstance(length, int) else to_micros(length))
        self._at[:] = moved.to_bytes(8, "big")


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
