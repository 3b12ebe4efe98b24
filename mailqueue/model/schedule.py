"""Retry schedules: when a failed message is tried again, and for how long.

The readable form is `5m, 15m, 30m, 1h, 2h, 3h*`: delays after the end of each failed attempt; `*`
repeats the last. A clause `; greylisted: 5m, 10m*` gives other steps for one category of failure.
The first attempt is immediate and not written (decision 20).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from mailqueue.clock import DAY, HOUR, MINUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """Delays after the end of each failed attempt, in order; the first attempt is immediate."""

    steps: tuple[int, ...]
    """Microseconds, at least one."""
    repeat: bool
    """The last step is taken again and again (written `*`); False: no try after the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a message is tried again, and for how long. `policy.retry` reads and writes the text form."""

    name: str
    delays: Delays
    lifetime: int
    """Microseconds: given up after this long."""
    warn_after: int | None
    """Microseconds: a delay notice after this long. None: none."""
    classes: Mapping[str, Delays] = field(default_factory=lambda: MappingProxyType({}))
    """Other steps for a category of failure (`Category` value -> steps), counted like the main ones."""
    shipped: bool = False
    """Comes with mailqueue; cannot be changed."""


def _delays(*steps: int, repeat: bool = True) -> Delays:
    return Delays(steps=steps, repeat=repeat)


STANDARD = "standard"

SHIPPED: Mapping[str, Schedule] = MappingProxyType(
    {
        schedule.name: schedule
        for schedule in (
            Schedule(
                name=STANDARD,
                delays=_delays(5 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR),
                # A full mailbox is seldom emptied within minutes; a greylist opens soon after
                # five; a rate limit is not helped by asking again at once.
                classes=MappingProxyType(
                    {
                        "mailbox_full": _delays(HOUR, 3 * HOUR),
                        "greylisted": _delays(5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE, HOUR),
                        "rate_limited": _delays(15 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR),
                        "dns": _delays(10 * MINUTE, 30 * MINUTE, HOUR, 2 * HOUR, 3 * HOUR),
                    }
                ),
                lifetime=5 * DAY,
                warn_after=4 * HOUR,
                shipped=True,
            ),
            Schedule(
                name="transactional",
                delays=_delays(MINUTE, 5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 40 * MINUTE, HOUR),
                lifetime=DAY,
                warn_after=4 * HOUR,
                shipped=True,
            ),
            Schedule(
                name="otp",
                delays=_delays(15_000_000, 30_000_000, MINUTE, 2 * MINUTE),
                lifetime=10 * MINUTE,
                warn_after=None,
                shipped=True,
            ),
            Schedule(
                name="reference",
                delays=_delays(*(7 * MINUTE + 30_000_000 << n for n in range(7)), repeat=False),
                lifetime=2 * DAY,
                warn_after=4 * HOUR,
                shipped=True,
            ),
        )
    }
)
"""The schedules that come with mailqueue."""

NOTICE_LIFETIME = 2 * DAY
"""Delivery notices are given up after this long, whatever the schedule says."""
