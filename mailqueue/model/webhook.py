"""Webhooks: an account's events, posted to a URL."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from mailqueue.model.events import EventKind

HOOK_EVENTS = frozenset(EventKind) - {EventKind.RELEASED, EventKind.ADMIN}
"""The events that an account can have posted (row W1)."""


class WebhookState(StrEnum):
    """Where a webhook is; equal to the text stored. The last three are for good."""

    QUEUED = "queued"
    CLAIMED = "claimed"
    """An engine is posting it."""
    DELIVERED = "delivered"
    FAILED = "failed"
    """Given up: nobody took it for three days, or the endpoint said that it is gone."""
    CANCELED = "canceled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where an account's events are posted."""

    account_id: int
    """Of the account."""
    url: str
    """`https://...`, or `http://...`."""
    events: frozenset[EventKind]
    """Which."""
    authorization: str | None = field(repr=False)
    """The header field of that name, a secret. None: there is none."""
    secrets: tuple[str, ...] = field(repr=False)
    """What they are signed with, `whsec_...` each, the newest first; secret."""
    allow_private: bool
    """Also to loopback and private addresses."""
    disabled_at: datetime | None
    """When it said that it is gone. None: it is at work."""
    created_at: datetime
    """When it was set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One event on its way, or in the history of those."""

    id: int
    """Of the webhook; later ones are higher."""
    account: str
    """Name of the account."""
    event_id: int
    """Of the event that it tells of, which may have been purged."""
    event: EventKind
    """What happened."""
    message_id: int
    """To which message, which may have been purged."""
    payload: str
    """What is posted: JSON."""
    created_at: datetime
    """When it was written, in the transaction of the event."""
    state: WebhookState
    """Where it is."""
    attempts: int
    """Attempts begun."""
    after_id: int | None
    """The webhook about the same message that must retire before. None: nothing is before it."""
    next_attempt_at: datetime | None
    """When it is due. None: it has retired."""
    last_error: str | None
    """What the last attempt came to, a line. None: none failed."""
    retired_at: datetime | None
    """When it was done with. None: it is on its way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookAttempt:
    """One try to post a webhook."""

    id: int
    """Of the attempt."""
    webhook_id: int
    """Of the webhook."""
    number: int
    """Of this webhook, from 1."""
    started_at: datetime
    """When it began."""
    duration: timedelta
    """How long it took."""
    status: int | None
    """HTTP status. None: there was no answer."""
    answer: str | None
    """The first 512 octets of the answer's body. None: there were none."""
    error: str | None
    """Our words for what went wrong. None: nothing did, but the status may say no."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookAnswer:
    """What an endpoint answered to a test."""

    url: str
    """Where it was posted."""
    status: int | None
    """HTTP status. None: there was no answer."""
    answer: str | None
    """The first 512 octets of the answer's body. None: there were none."""
    error: str | None
    """Our words for what went wrong. None: nothing did, but the status may say no."""
    duration: timedelta
    """How long it took."""

    @property
    def taken(self) -> bool:
        """Whether it was taken: the status is 2xx."""
        return self.status is not None and 200 <= self.status < 300


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookFilter:
    """Which webhooks are meant: those that all of it is true of."""

    account: str | None = None
    """Of this account. None: of any."""
    event: EventKind | None = None
    """About this. None: about anything."""
    message_id: int | None = None
    """About this message. None: about any."""
    state: WebhookState | None = None
    """In this state. None: in any."""

    def matches(self, webhook: Webhook) -> bool:
        """Return whether a webhook is meant."""
        return (
            self.account in (None, webhook.account)
            and self.event in (None, webhook.event)
            and self.message_id in (None, webhook.message_id)
            and self.state in (None, webhook.state)
        )


@dataclass(slots=True, kw_only=True)
class ClaimedWebhook:
    """A webhook that an engine is posting."""

    id: int
    account_id: int
    payload: str
    created_at: int
    """Microseconds UTC."""
    attempts: int
    """With this one."""
    claim: int
    """Which its settlement must name."""


@dataclass(slots=True, kw_only=True)
class WebhookSettlement:
    """What came of an attempt, and what follows from it."""

    webhook: ClaimedWebhook
    started_at: int
    """Microseconds UTC."""
    duration: int
    """Microseconds."""
    status: int | None
    answer: str
    """'': there was none."""
    error: str | None
    at: int
    """When it ended, microseconds UTC."""
    state: WebhookState
    """DELIVERED or FAILED: it retires. QUEUED: it is tried again."""
    next_attempt_at: int | None
    """Microseconds UTC; None unless it is tried again."""
    summary: str
    """What it came to, a line; '' of a delivery."""
