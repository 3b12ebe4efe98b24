"""Events and notices: what happened to a message beside its attempts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mailqueue.model.message import Message


class EventKind(StrEnum):
    """What happened; equal to the text stored. `submitted` and `attempted` are read from their own tables."""

    HELD = "held"
    RELEASED = "released"
    DELAYED = "delayed"
    DELIVERED = "delivered"
    RELAYED = "relayed"
    EXPANDED = "expanded"
    FAILED = "failed"
    SUPPRESSED = "suppressed"
    CANCELED = "canceled"
    COMPLAINED = "complained"
    UNRECOGNIZED = "unrecognized"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class By:
    """Who does something by hand, why and when."""

    actor: str
    """As the history writes it: `cli:anna`."""
    reason: str
    """A line for people; '' is none."""
    at: int
    """Microseconds UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened, as the history has it."""

    id: int
    """Of the event; later ones are higher."""
    event: EventKind
    """What happened."""
    message_id: int | None
    """None: about no single message."""
    at: datetime
    """When."""
    actor: str | None
    """None: the engine."""
    reason: str | None
    """A line for people. None: there is none."""
    notice_id: int | None
    """The delivery notice that told the sender. None: none did."""
    data: Mapping[str, object]
    """Further facts; empty where there are none."""
    message: Message | None = None
    """The message as it is now, for those who follow. None: about none, purged since, or not asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One line of the timeline of a message."""

    at: datetime
    """When; of an attempt, when it began."""
    what: str
    """`submitted`, `attempted`, `incoming`, `webhook`, or an `EventKind`."""
    actor: str | None
    """Who did it. None: an engine."""
    text: str | None
    """A line for people: the reason, or what the server said. None: the word says it all."""
    attempt: int | None = None
    """Number of the attempt, from 1. None: it is none."""
    notice_id: int | None = None
    """The delivery notice that told the sender. None: none did."""
    data: Mapping[str, object] = field(default_factory=dict)
    """Further facts; empty where there are none."""


class NoticeKind(StrEnum):
    """What a delivery notice tells."""

    FAILED = "failed"
    DELAYED = "delayed"
    RELAYED = "relayed"
    """It was handed to a server that tells of no deliveries, and the sender wished to be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """A delivery notice (RFC 3464) that was made for a submission."""

    id: int
    """Of the notice."""
    submission_id: int
    """The submission it tells of."""
    kind: NoticeKind
    """What it tells."""
    at: datetime
    """When it was made."""
    content: bytes
    """The whole notice, as a message."""
    sent_as: int | None
    """The submission that carries it to the sender. None: it is only kept."""
