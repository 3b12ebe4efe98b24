"""Webhooks: an account's events, posted to a URL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mailqueue.model.events import EventKind

HOOK_EVENTS = frozenset(EventKind) - {EventKind.RELEASED, EventKind.ADMIN}
"""The events that an account can have posted (row W1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where an account's events are posted."""

    account_id: int
    """Of the account."""
    url: str
    """`https://...`, or `http://...`."""
    events: frozenset[EventKind]
    """Which."""
    authorization: str | None
    """The header field of that name, a secret. None: there is none."""
    secrets: tuple[str, ...]
    """What they are signed with, `whsec_...` each, the newest first; secret."""
    allow_private: bool
    """Also to loopback and private addresses."""
    disabled_at: datetime | None
    """When it said that it is gone. None: it is at work."""
    created_at: datetime
    """When it was set."""
