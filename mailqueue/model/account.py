"""Accounts: who sends, and what is wished for their mail."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

DEFAULT_ACCOUNT = "default"
"""The account that exists from the start."""


class Notices(StrEnum):
    """Where delivery notices go."""

    KEEP = "keep"
    """Kept with the history."""
    QUEUE = "queue"
    """Kept, and submitted to the envelope sender."""
    NONE = "none"
    """Neither: the event tells."""


class OnUncertain(StrEnum):
    """What becomes of a message that a server took whole and did not answer for."""

    RETRY = "retry"
    """Tried again after half an hour: it may arrive twice."""
    HOLD = "hold"
    """Put on hold, for somebody to find out."""
    FAIL = "fail"
    """Failed, with a notice that says that it may have arrived: it may not arrive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who sends."""

    id: int
    """Of the account."""
    name: str
    """What `submit(account=)` and the command line call it."""
    notices: Notices | None
    """None: not set, which means keep."""
    schedule: str | None
    """Name of a retry schedule. None: standard."""
    retention: int
    """Microseconds that a retired message stays in the history."""
    keep_content: int
    """Microseconds that content stays which was not delivered to all."""
    on_uncertain: OnUncertain
    """What becomes of mail that may have arrived."""
    strict: bool
    """Refuse at submit what standards forbid, unless the call says otherwise."""
