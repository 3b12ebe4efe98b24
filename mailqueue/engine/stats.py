"""The verb `stats`: what the store has counted, made readable.

The rule: nothing here looks at messages one by one; only what waits for a destination in trouble is
counted, and only so far.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from mailqueue.clock import HOUR, to_datetime
from mailqueue.engine.shaping import info
from mailqueue.engine.sweep import KEEP_TALLY
from mailqueue.errors import SettingError
from mailqueue.model.attempt import Category
from mailqueue.model.events import EventKind
from mailqueue.model.lifecycle import State
from mailqueue.model.stats import AGES_FROM, COUNTED, DomainStats, ErrorStats, HourStats, Stats
from mailqueue.store.base import HourTally, Reader, Store, Tally, Waiting

_EVENTS = frozenset(EventKind)

MAX_HOURS = KEEP_TALLY // HOUR
"""Hours back that statistics may go."""

MAX_LIMIT = 1000
"""Domains, errors and destinations that they may list."""


def stats(store: Store, *, hours: int, limit: int, now: int) -> Stats:
    """Return the queue in numbers. Raises SettingError."""
    for setting, value, most in (("hours", hours, MAX_HOURS), ("limit", limit, MAX_LIMIT)):
        if not 1 <= value <= most:
            raise SettingError(f"{setting}: must be 1 to {most}, not {value}")
    return store.read(lambda reader: _stats(reader, hours=hours, limit=limit, now=now))


def _stats(reader: Reader, *, hours: int, limit: int, now: int) -> Stats:
    since = (now - hours * HOUR) // HOUR * HOUR
    depth, tallies = reader.depth(), reader.tally(since)
    waiting, domains = reader.waiting_by_domain(limit)
    troubled = reader.destinations()
    return Stats(
        queued=depth.queued + depth.claimed,
        claimed=depth.claimed,
        held=depth.held,
        since=to_datetime(since),
        submitted=sum(each.times for each in tallies if each.what == "submitted"),
        retired={State(each.detail): each.times for each in tallies if each.what == "retired"},
        events={EventKind(each.what): each.times for each in tallies if each.what in _EVENTS},
        hours=tuple(map(_hour, reader.tally_by_hour(since))),
        domains=tuple(_domain(each, now) for each in waiting),
        domains_in_all=domains,
        errors=_errors(tallies, limit),
        destinations=tuple(info(reader, each, COUNTED) for each in troubled[:limit]),
        destinations_in_all=len(troubled),
    )


def _hour(found: HourTally) -> HourStats:
    return HourStats(
        at=to_datetime(found.hour_at),
        submitted=found.submitted,
        delivered=found.delivered,
        failed=found.failed,
    )


def _domain(found: Waiting, now: int) -> DomainStats:
    ages = [0] * len(AGES_FROM)
    for hour_at, messages in found.hours:
        ages[bisect_right(AGES_FROM, max(0, (now - hour_at) // HOUR)) - 1] += messages
    return DomainStats(
        domain=found.domain,
        messages=sum(ages),
        oldest=to_datetime(min(hour_at for hour_at, _ in found.hours)),
        ages=tuple(ages),
    )


def _errors(tallies: Sequence[Tally], limit: int) -> tuple[ErrorStats, ...]:
    """Return the most frequent kinds of trouble; a detail is `category [code] [enhanced code]`."""
    trouble = [each for each in tallies if each.what == "trouble"]
    trouble.sort(key=lambda each: (-each.times, each.detail))
    return tuple(_error(each) for each in trouble[:limit])


def _error(found: Tally) -> ErrorStats:
    category, *codes = found.detail.split(" ")
    return ErrorStats(
        category=Category(category),
        code=next((int(each) for each in codes if each.isdigit()), None),
        enhanced=next((each for each in codes if "." in each), None),
        times=found.times,
    )
