"""Destinations in trouble: what an engine knows of a next hop, and tells the others by the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """A transport and the next hop that it leads to, which is or was in trouble."""

    name: str
    """`relay mx.example.net:25`; of direct delivery, its hosts: `direct mx1.example.net,mx2.example.net`."""
    failures: int
    """Tries that failed in a row. 0: it is well again."""
    since_at: int
    """Microseconds UTC: when that began."""
    blocked_until: int | None
    """Microseconds UTC: nothing goes there before; then one message goes and tells. None: not blocked."""
    canary_at: int | None
    """Microseconds UTC: when that message was let through. None: none is on its way."""
    last_error: str
    """What the last failure was, in a line."""
    changed: int = 0
    """Rises with every change of any destination."""


COUNTED = 10_000
"""Messages that are counted of what waits for a destination; there may be more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationInfo:
    """A destination that is or was in trouble, as people see it."""

    name: str
    """As of a `Destination`: what `blocked_by` of a message says."""
    failures: int
    """Tries that failed in a row. 0: it is well again."""
    since_at: datetime
    """When that began: the first of these failures, or that it is well."""
    blocked_until: datetime | None
    """Nothing goes there before; then one message does, and tells. None: it is not blocked."""
    canary_at: datetime | None
    """When that message was let through. None: none is on its way."""
    last_error: str
    """What the last failure was, in a line."""
    lanes: int
    """Lanes with mail that are blocked by it: one for each account, priority and recipient domain."""
    messages: int
    """Messages that wait in these lanes, counted up to 10,000."""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for a destination."""

    lanes: int
    """Blocked lanes in which mail waits."""
    messages: int
    """In them, those on hold not included; counted so far as was asked."""


@dataclass(frozen=True, slots=True)
class Grant:
    """What there is of something that several engines share."""

    messages: int
    """So many may go now."""
    until: int
    """Microseconds UTC: when the next may, where they were not all."""
