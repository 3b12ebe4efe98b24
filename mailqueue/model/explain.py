"""Answers for operators: why a message waits, and how the queue stands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mailqueue.model.engine import EngineInfo
from mailqueue.model.lane import Priority
from mailqueue.model.message import Message
from mailqueue.model.way import Way


class GateKind(StrEnum):
    """What a message may wait at, in the order in which it is looked at."""

    HOLD = "hold"
    SUPPRESSION = "suppression"
    """Its recipient is suppressed; there only where that is so."""
    TRANSPORT = "transport"
    NOT_DUE = "not_due"
    """Its first attempt is in the future."""
    BACKOFF = "backoff"
    """An attempt failed, the next one is in the future."""
    DESTINATION = "destination"
    """The host that it goes to is in trouble, and takes nothing for a while."""
    RATE = "rate"
    """A shaping rule lets no more go now, or its destination has all it takes at once."""
    LEASE = "lease"
    """An engine is at it right now."""
    ENGINE = "engine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """One thing a message may wait at."""

    gate: GateKind
    """Which."""
    open: bool
    """False: the message waits here."""
    text: str
    """What is so, in a sentence."""
    until: datetime | None = None
    """When it opens by itself. None: it is open, or it does not."""
    frees: str | None = None
    """The command or the event that opens it, now. None: it is open, or time alone does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why a message waits, and what happens next."""

    message_id: int
    """The message."""
    state: str
    """Its state."""
    gates: tuple[Gate, ...]
    """In order; empty when the message is retired."""
    blocked_by: GateKind | None
    """The first gate that is shut. None: none is; it goes at the engine's next look, or is retired."""
    earliest_attempt_at: datetime | None
    """None: nothing but a change by hand brings an attempt, it expires before, or it is retired."""
    transport: str | None
    """The transport it would take. None: there is none."""
    way: Way | None
    """How it would go. None: there is no transport, or it is retired."""
    priority: Priority
    """What goes first."""
    expires_at: datetime | None
    """It is given up then. None: it is retired, or given up by its lifetime alone."""
    summary: str
    """All of it in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How the queue stands."""

    queued: int
    """Those on hold and in delivery included."""
    claimed: int
    """In delivery right now."""
    held: int
    """On hold."""
    next_attempt_at: datetime | None
    """A lower bound. None: nothing is scheduled."""
    engines: tuple[EngineInfo, ...]
    """Those at work."""
    transport: bool
    """There is a transport at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What a bulk change would do."""

    messages: int
    """How many messages are meant."""
    sample: tuple[Message, ...]
    """The first ten of them."""
    would: str
    """What would happen to them, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Steered:
    """What a bulk change of messages came to: a hold, a release, a failure by hand ..."""

    changed: int
    """What was changed."""
    unchanged: int
    """Were so already, of those whose ids were given; 0 where filters were given, too."""
    retired: tuple[int, ...]
    """Ids named that are in the history, where nothing can be changed."""
    in_delivery: int = 0
    """It acts on these after the running attempt; a hold counts them as changed."""
    preview: Preview | None = None
    """With `dry_run`: what would happen; nothing has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resent:
    """What sending messages of the history anew came to."""

    sent: int
    """Submitted anew."""
    messages: Mapping[int, int]
    """The new message for each, by the id of the old one; of the first 1,000."""
    gone: int
    """Nothing was sent for these: their content has been purged."""
    gone_at: Mapping[int, datetime]
    """When that was, by their ids; of the first 1,000."""
    refused: int
    """Nothing was sent for these: as new mail they are refused, such as over a quota of their account."""
    refusal: str | None
    """Why the first of these was. None: none was."""
    queued: tuple[int, ...]
    """Ids named that are in the queue, and sent anyway."""
    preview: Preview | None = None
    """With `dry_run`: what would happen; nothing has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """What purging messages from the history came to."""

    messages: int
    """So many went."""
    queued: tuple[int, ...]
    """Ids named that are in the queue, and stay."""
    preview: Preview | None = None
    """With `dry_run`: what would happen; nothing has."""
