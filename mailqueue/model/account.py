"""Accounts: who sends, and what is wished for their mail."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
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


class Quota(StrEnum):
    """What an account may do only so often in any 24 hours."""

    MESSAGES = "messages"
    """Mail to a recipient."""
    NEW_RECIPIENTS = "new_recipients"
    """Mail to a recipient that the account has not written to before."""

    @property
    def words(self) -> str:
        """Return it for people, as counted: `new recipients`."""
        return self.value.replace("_", " ")


class OverQuota(StrEnum):
    """What becomes of mail for which an account's quota has no room."""

    REJECT = "reject"
    """`submit` raises QuotaExceeded, and nothing is stored."""
    HOLD = "hold"
    """Put on hold until there is room."""
    DROP = "drop"
    """Canceled at once, with an event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaUse:
    """How far a quota of an account is used."""

    quota: Quota
    """Which."""
    limit: int
    """So many in any 24 hours."""
    used: int
    """Counted in the last 24 hours, by whole hours: what was sent up to an hour before may count, too."""
    waiting: int
    """Counted for later hours: put on hold until there was room."""
    opens_at: datetime | None
    """When there is room for one more. None: now."""


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
    messages_per_day: int | None = None
    """Recipients that it may write to in any 24 hours, each message counted. None: no quota."""
    new_recipients_per_day: int | None = None
    """Of these, the ones that it has not written to before. None: no quota."""
    over_quota: OverQuota = OverQuota.REJECT
    """What becomes of mail over a quota."""
    fromid: bool = False
    """Each message has a return address of its own, by which what comes back is matched."""
    suppression: bool = True
    """Its mail is not sent to addresses on its suppression list, and engines put such there."""
    suppress_for: int | None = None
    """Microseconds that what engines put there stays. None: until somebody removes it."""
    usage: tuple[QuotaUse, ...] = ()
    """How far its quotas are used; empty in lists, whole in `show`."""

    @property
    def quotas(self) -> dict[Quota, int]:
        """The quotas that it has, and their limits."""
        limits = {
            Quota.MESSAGES: self.messages_per_day,
            Quota.NEW_RECIPIENTS: self.new_recipients_per_day,
        }
        return {quota: limit for quota, limit in limits.items() if limit is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class HourUse:
    """What an account has sent in an hour."""

    hour_at: int
    """When the hour begins, microseconds UTC."""
    messages: int
    """Recipients of all mail."""
    new_recipients: int
    """Of these, the ones it had not written to before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountMail:
    """The mail of an account, as somebody saw it who asks whether the account can go."""

    queued: int
    """Messages that have not retired."""
    retired: int
    """Messages in the history."""
    last_message_id: int
    """The highest id of any message then."""
