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
    strict: bool
    """Refuse at submit what standards forbid, unless the call says otherwise."""
