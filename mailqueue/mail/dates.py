"""Moments as the text of a date, and back: for header fields, for people, for JSON.

A moment is an `int` of microseconds since 1970 UTC; a date in a header field carries whole seconds.

RFC 5322 3.3 (date and time), 4.3 (obsolete forms, read only), RFC 3339 (for JSON).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Final

SECOND: Final = 1_000_000
"""Microseconds in a second."""
EARLIEST: Final = -2_208_988_800 * SECOND
"""The first moment of 1900: RFC 5322 3.3 has no earlier year."""
LATEST: Final = 253_402_300_799 * SECOND
"""The last second of 9999."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST_DATE = 200


def whole_seconds(micros: int) -> int:
    """Return `micros` without its fraction of a second.

    Raises:
        ValueError: it is not between the years 1900 and 9999.
    """
    if not EARLIEST <= micros < LATEST + SECOND:
        raise ValueError(f"{micros} is no moment between the years 1900 and 9999, in microseconds since 1970")
    return micros // SECOND * SECOND


def header_date(micros: int) -> str:
    """Return the moment as header fields have it: `Tue, 23 Nov 2027 06:51:00 +0000`."""
    return format_datetime(_at(micros))


def readable(micros: int) -> str:
    """Return the moment for people: `Tue, 23 Nov 2027 06:51 UTC`."""
    return header_date(micros)[:-9] + " UTC"


def rfc3339(micros: int) -> str:
    """Return the moment for programs: `2027-11-23T06:51:00Z`."""
    return _at(micros).isoformat(timespec="seconds").replace("+00:00", "Z")


def read_date(text: str) -> int | None:
    """Return the moment that a date in a header field names, None if it names none.

    Obsolete and slightly wrong forms are understood; `-0000` is taken for UTC.
    """
    try:
        found = parsedate_to_datetime(text[:_LONGEST_DATE])
        if found.tzinfo is None:
            found = found.replace(tzinfo=UTC)
        return whole_seconds((found - _EPOCH) // timedelta(microseconds=1))
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def _at(micros: int) -> datetime:
    return _EPOCH + timedelta(seconds=micros // SECOND)
