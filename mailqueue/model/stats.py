"""The queue in numbers: how much waits and for how long, what happened by the hour, what goes wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from mailqueue.model.attempt import Category
from mailqueue.model.destination import DestinationInfo
from mailqueue.model.events import EventKind
from mailqueue.model.lifecycle import State

AGES = ("<1h", "1-2h", "2-4h", "4-8h", "8-24h", "1-2d", ">2d")
"""Names of the classes of age, the youngest first."""
AGES_FROM = (0, 1, 2, 4, 8, 24, 48)
"""The hours from which each counts, counted from the beginning of the hour of submission."""

COUNTED = 1_000
"""Messages that statistics count of what waits for a destination; there may be more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainStats:
    """What waits for the receivers of one domain."""

    domain: str
    """Of the recipients."""
    messages: int
    """In the queue, those on hold and in delivery included."""
    oldest: datetime
    """When the hour began in which the oldest was submitted."""
    ages: tuple[int, ...]
    """How many of each age of `AGES`, counted from the beginning of the hour of submission."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HourStats:
    """What happened in one hour."""

    at: datetime
    """When the hour begins."""
    submitted: int
    """Messages put into the queue."""
    delivered: int
    """Messages that retired as delivered."""
    failed: int
    """Messages that retired as failed or expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorStats:
    """How often attempts came to one kind of trouble."""

    category: Category
    """What kind of answer it was."""
    code: int | None
    """Reply code. None: the server said nothing."""
    enhanced: str | None
    """Enhanced status code, the server's or ours. None: there is none."""
    times: int
    """Attempts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The queue in numbers, at one moment. Counted as things happen, so that it costs no look at messages."""

    queued: int
    """Messages that have not retired, those in delivery and on hold included."""
    claimed: int
    """In delivery right now."""
    held: int
    """On hold."""
    since: datetime
    """From when on it is counted what happened: the beginning of an hour."""
    submitted: int
    """Messages put into the queue since."""
    retired: Mapping[State, int]
    """Messages that retired since, by what they came to."""
    events: Mapping[EventKind, int]
    """What happened to messages since, beside that: how often."""
    hours: tuple[HourStats, ...]
    """The hours since in which something happened, in order."""
    domains: tuple[DomainStats, ...]
    """The domains with the most mail, the largest first."""
    domains_in_all: int
    """How many domains mail waits for."""
    errors: tuple[ErrorStats, ...]
    """What attempts that did not deliver came to most often since."""
    destinations: tuple[DestinationInfo, ...]
    """Destinations in trouble, the longest first; messages that wait for them are counted up to 1,000."""
    destinations_in_all: int
    """How many destinations are in trouble."""
