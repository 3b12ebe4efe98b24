"""Destinations in trouble: what an engine knows of a next hop, and tells the others by the database."""

from __future__ import annotations

from dataclasses import dataclass


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


@dataclass(frozen=True, slots=True)
class Grant:
    """What there is of something that several engines share."""

    messages: int
    """So many may go now."""
    until: int
    """Microseconds UTC: when the next may, where they were not all."""
