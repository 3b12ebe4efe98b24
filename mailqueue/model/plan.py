"""What would become of a message that nobody has submitted yet."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from mailqueue.model.account import QuotaUse
from mailqueue.model.explain import Gate, GateKind
from mailqueue.model.lane import Priority
from mailqueue.model.lifecycle import State
from mailqueue.model.way import Way


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would become of a message, were it submitted now."""

    account: str
    """Name of the account that sends."""
    sender: str
    """MAIL FROM, as it would be stored; '' is the null return path."""
    recipient: str
    """RCPT TO, as it would be stored."""
    priority: Priority
    """What goes first."""
    state: State | None
    """`queued`; `suppressed`: its recipient is; or `canceled`: a quota drops it. None: a quota refuses it,
    `submit` raises QuotaExceeded."""
    over_quota: str | None
    """Which quota has no room for it, in a sentence. None: there is room, or no quota."""
    usage: tuple[QuotaUse, ...]
    """How far the quotas of the account are used, without it."""
    gates: tuple[Gate, ...]
    """What it would wait at, in order, hold rules first; empty where it is not queued."""
    blocked_by: GateKind | None
    """The first gate that is shut. None: none is."""
    earliest_attempt_at: datetime | None
    """None: nothing but a change by hand brings an attempt, or it is not queued."""
    way: Way | None
    """How it would go. None: there is no transport."""
    schedule: str
    """Name of its retry schedule."""
    times: tuple[timedelta, ...]
    """When it is tried, counted from its first attempt, if all fail and chance moves none: ten at most."""
    give_up_at: datetime
    """No attempt is planned after this."""
    summary: str
    """All of it in a sentence."""
