"""Lengths of time as people write them: `90s`, `5m`, `1h30m`, `7.5m`, `2d`, `1w`.

The rule: what is printed reads back as the same number of microseconds.
"""

from __future__ import annotations

import re
from decimal import Decimal

from mailqueue.clock import DAY, HOUR, MINUTE, SECOND
from mailqueue.errors import ScheduleError

LONGEST = 36_500 * DAY
"""Microseconds: no length of time in a setting is longer than this, about a hundred years."""

_UNITS = {"w": 7 * DAY, "d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND}
_PRINTED = tuple((name, size) for name, size in _UNITS.items() if name not in "ws")
_PART = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*([wdhms])\s*", re.ASCII)
_HOW = "write a number and a unit, such as 30s, 5m, 1h30m, 2d or 1w"


def parse_duration(text: str) -> int:
    """Return the microseconds that `text` means, rounded to whole ones.

    Args:
        text: numbers with a unit each, w, d, h, m or s, the larger unit first: `5m`, `1h30m`,
            `7.5m`, `0.25s`. Spaces between them are passed over.

    Raises:
        ScheduleError: it is none, or longer than LONGEST; the text says what would be right.
    """
    total, position, smaller_than = Decimal(0), 0, LONGEST
    stripped = text.strip().lower()
    while found := _PART.match(stripped, position):
        unit = _UNITS[found[2]]
        if unit >= smaller_than:
            raise ScheduleError(
                f"{_shown(text)}: the units go from large to small, each once, as in 1d12h30m"
            )
        total += Decimal(found[1]) * unit
        position, smaller_than = found.end(), unit
    if position == 0 or position < len(stripped):
        raise ScheduleError(f"{_shown(text)} is no length of time: {_HOW}")
    if total > LONGEST:
        raise ScheduleError(f"{_shown(text)} is too long: at most {format_duration(LONGEST)}")
    return round(total)


def format_duration(micros: int) -> str:
    """Return `micros` (microseconds, not negative) as people write it: `5m`, `1h30m`, `5d`, `0.25s`.

    Raises:
        ValueError: it is negative.
    """
    if micros < 0:
        raise ValueError(f"{micros} microseconds: a length of time is not negative")
    parts, rest = [], micros
    for name, size in _PRINTED:
        count, rest = divmod(rest, size)
        if count:
            parts.append(f"{count}{name}")
    if rest or not parts:
        whole, fraction = divmod(rest, SECOND)
        parts.append(f"{whole}.{fraction:06d}".rstrip("0").rstrip(".") + "s")
    return "".join(parts)


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 60 else f"{text[:60]!r}..."
