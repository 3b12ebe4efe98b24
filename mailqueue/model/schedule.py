"""Retry schedules: when a failed message is tried again, and for how long.

The readable form is `5m, 15m, 30m, 1h, 2h, 3h*`: delays after the end of each failed attempt; `*`
repeats the last. A clause `; greylisted: 5m, 10m*` gives other steps for one category of failure,
and `; uncertain: 10m*` for the attempt whose end nobody knows. The first attempt is immediate and
not written.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain, repeat
from types import MappingProxyType

from mailqueue.clock import DAY, HOUR, MINUTE, SECOND
from mailqueue.errors import ScheduleError
from mailqueue.model.attempt import Category
from mailqueue.model.duration import format_duration as format_duration
from mailqueue.model.duration import parse_duration as parse_duration

UNCERTAIN = "uncertain"
"""The class of attempts that got no reply after the final dot; it is no Category."""
CLASSES = (
    *sorted(category.value for category in set(Category) - {Category.OK, Category.INTERRUPTED}),
    UNCERTAIN,
)
"""The classes of failure that may have steps of their own."""
SHORTEST_STEP = SECOND // 1000
"""Microseconds: no delay is shorter, so that no schedule is a hot loop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delays:
    """Delays after the end of each failed attempt, in order; the first attempt is immediate."""

    steps: tuple[int, ...]
    """Microseconds, at least one."""
    repeat: bool
    """The last step is taken again and again (written `*`); False: no try after the last."""

    def step(self, number: int) -> int | None:
        """Return the microseconds after the failed attempt `number` (from 1). None: no try follows it."""
        if number <= len(self.steps):
            return self.steps[number - 1]
        return self.steps[-1] if self.repeat else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a message is tried again, and for how long."""

    name: str
    """What `submit(schedule=)`, accounts and the command line call it."""
    delays: Delays
    """The main steps."""
    lifetime: int
    """Microseconds: given up after this long."""
    warn_after: int | None
    """Microseconds: a delay notice after this long. None: none."""
    classes: Mapping[str, Delays] = field(default_factory=lambda: MappingProxyType({}))
    """Other steps for a class of failure (one of CLASSES -> steps), counted like the main ones."""
    shipped: bool = False
    """Comes with mailqueue; cannot be changed."""


def parse_delays(text: str) -> tuple[Delays, Mapping[str, Delays]]:
    """Return what a schedule's readable form says: the main steps, and those of classes of failure.

    Args:
        text: such as `5m, 15m, 30m, 1h, 2h, 3h*; greylisted: 5m, 10m*`.

    Raises:
        ScheduleError: the text names the item and what would be right.
    """
    main, *clauses = text.split(";")
    if ":" in main:
        raise ScheduleError(f"{main.strip()!r}: the steps for all failures come first, without a name")
    classes: dict[str, Delays] = {}
    for clause in clauses:
        name, colon, steps = clause.partition(":")
        name = name.strip().lower()
        if not colon:
            raise ScheduleError(
                f"{clause.strip()!r}: a class of failure is missing, as in 'greylisted: 5m, 10m*'"
            )
        if name not in CLASSES:
            raise ScheduleError(f"no class of failure is called {name!r}: {_nearest(name)}")
        if name in classes:
            raise ScheduleError(f"the class {name!r} is there twice: give all its steps in one clause")
        classes[name] = _parse_steps(steps)
    return _parse_steps(main), MappingProxyType(classes)


def format_delays(delays: Delays, classes: Mapping[str, Delays] = MappingProxyType({})) -> str:
    """Return the readable form of main steps and classes; `parse_delays` reads it back as the same."""
    clauses = [f"{name}: {_format_steps(classes[name])}" for name in classes]
    return "; ".join((_format_steps(delays), *clauses))


def times(schedule: Schedule, *, limit: int = 1000) -> list[int]:
    """Return when a message is tried that always fails: microseconds after it was submitted, the first 0.

    Without jitter, as if attempts took no time, and of the main steps only.

    Args:
        schedule: which.
        limit: times at most.
    """
    found = [0]
    steps = schedule.delays.steps
    for step in chain(steps, repeat(steps[-1]) if schedule.delays.repeat else ()):
        at = found[-1] + step
        if at > schedule.lifetime or len(found) >= limit:
            break
        found.append(at)
    return found


def _parse_steps(text: str) -> Delays:
    items = [item.strip() for item in text.split(",")]
    last = items[-1].removesuffix("*").rstrip()
    repeated = last != items[-1]
    steps = tuple(_parse_step(number, item) for number, item in enumerate((*items[:-1], last), start=1))
    return Delays(steps=steps, repeat=repeated)


def _parse_step(number: int, item: str) -> int:
    if not item:
        raise ScheduleError(
            f"step {number} is empty: write delays with commas between them, as in '5m, 15m, 1h*'"
        )
    if item.endswith("*"):
        raise ScheduleError(f"step {number}, {item!r}: only the last step can be repeated with *")
    try:
        step = parse_duration(item)
    except ScheduleError as error:
        raise ScheduleError(f"step {number}: {error}") from None
    if step < SHORTEST_STEP:
        raise ScheduleError(
            f"step {number}, {item!r}, is too short: at least {format_duration(SHORTEST_STEP)} "
            "(the first attempt is immediate and not written)"
        )
    return step


def _format_steps(delays: Delays) -> str:
    return ", ".join(map(format_duration, delays.steps)) + ("*" if delays.repeat else "")


def _nearest(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, CLASSES, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(CLASSES)}"


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
