"""Where the time comes from: an argument, never a global.

Inside, a moment is an `int` of microseconds since 1970 UTC and a length of time an `int` of
microseconds; at the public surface they are aware `datetime` and `timedelta`.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

SECOND = 1_000_000
"""Microseconds in a second."""
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> int:
        """Return microseconds since 1970 UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    __slots__ = ()

    def now(self) -> int:
        """Return microseconds since 1970 UTC, as the operating system has them."""
        return time.time_ns() // 1000


def to_datetime(micros: int) -> datetime:
    """Return the aware UTC datetime of `micros` (microseconds since 1970)."""
    return _EPOCH + timedelta(microseconds=micros)


def from_datetime(moment: datetime) -> int:
    """Return microseconds since 1970 UTC.

    Raises:
        ValueError: `moment` is naive: it does not say of which time zone it is.
    """
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise ValueError(f"{moment!r} is naive: give it a time zone, e.g. datetime.now(timezone.utc)")
    return (moment - _EPOCH) // _MICROSECOND


def to_micros(length: timedelta) -> int:
    """Return `length` in microseconds."""
    return length // _MICROSECOND


def rfc3339(micros: int) -> str:
    """Return `micros` (microseconds since 1970 UTC) for programs: `2025-11-23T06:51:00.250000Z`."""
    return to_datetime(micros).isoformat(timespec="microseconds").replace("+00:00", "Z")
