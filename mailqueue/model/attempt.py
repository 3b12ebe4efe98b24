"""Attempts and what came of them. An Outcome carries all that the server said, whole."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from mailqueue.mail.codes import EnhancedCode
from mailqueue.mail.reply import Reply


class OutcomeKind(StrEnum):
    """What an attempt came to."""

    DELIVERED = "delivered"
    """The server took responsibility: 2yz to the final dot (RFC 5321 4.2.5)."""
    DEFERRED = "deferred"
    """It may work later."""
    FAILED = "failed"
    """It will not work later either."""
    UNCERTAIN = "uncertain"
    """No reply after the final dot: the server may have it or not."""
    INTERRUPTED = "interrupted"
    """The engine died during the attempt: the server may have it or not."""


class Scope(StrEnum):
    """What the trouble is charged to."""

    SESSION = "session"
    HOST = "host"
    DESTINATION = "destination"
    MESSAGE = "message"
    RECIPIENT = "recipient"


class Category(StrEnum):
    """What kind of answer it was, for people, statistics and per-class retry steps."""

    OK = "ok"
    MAILBOX_UNKNOWN = "mailbox_unknown"
    MAILBOX_DISABLED = "mailbox_disabled"
    MAILBOX_FULL = "mailbox_full"
    DOMAIN_UNKNOWN = "domain_unknown"
    GREYLISTED = "greylisted"
    RATE_LIMITED = "rate_limited"
    REPUTATION = "reputation"
    POLICY = "policy"
    CONTENT = "content"
    TOO_LARGE = "too_large"
    CAPABILITY = "capability"
    """The message needs what the server does not offer (SMTPUTF8, 8BITMIME ...)."""
    AUTH = "auth"
    DNS = "dns"
    NETWORK = "network"
    TLS = "tls"
    SYSTEM = "system"
    """The receiving system is in trouble: disk, configuration, load."""
    PROTOCOL = "protocol"
    INTERRUPTED = "interrupted"
    OTHER = "other"


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What one attempt came to for one recipient."""

    kind: OutcomeKind
    """What it came to."""
    category: Category
    """What kind of answer it was."""
    scope: Scope | None = None
    """None: nothing to charge (delivered, interrupted)."""
    status: EnhancedCode | None = None
    """The enhanced code: the server's, or ours where it gave none. None: delivered without one."""
    reply: Reply | None = None
    """All the server said to the command that decided. None: it said nothing."""
    phase: str | None = None
    """What a refusal within a transaction answered (`mailqueue.mail.smtp.facts.Phase`). None: it is none."""
    error: str | None = None
    """Our words for what went wrong, a line. None: nothing, or the reply says it all."""

    def summary(self) -> str:
        """Return what happened in a line for people: the reply, our words, or both."""
        reply = str(self.reply) if self.reply is not None else ""
        return ": ".join(part for part in (self.error or "", reply) if part) or self.kind.value


@dataclass(slots=True, kw_only=True)
class Facts:
    """Where an attempt went and how; equal for all recipients of one transaction."""

    started_at: int
    """Microseconds UTC."""
    duration: int
    """Microseconds."""
    transport: str | None = None
    """Name. None: none was chosen."""
    route_id: int | None = None
    """None: the default transport, or `--relay`."""
    host: str | None = None
    """Name of the server. None: none was reached."""
    address: str | None = None
    """'192.0.2.1:25' or '[2001:db8::1]:25'."""
    tls: str | None = None
    """Version. None: in the clear."""
    tls_verified: str | None = None
    """How the server's name was verified. None: it was not."""
    size: int | None = None
    """Octets of content sent. None: none were."""
    dsn: bool = False
    """The server offers DSN: it tells the sender of a delivery where that is wished for (RFC 3461)."""
    converted: bool = False
    """The content was made 7-bit, because the server does not offer 8BITMIME."""
    transcript: str | None = None
    """The dialogue, for failures only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to deliver one message, as the history has it."""

    id: int
    """Of the attempt."""
    message_id: int
    """The message it was for."""
    number: int
    """Of this message, from 1."""
    engine_id: int
    """Who made it."""
    started_at: datetime
    """When it began."""
    duration: timedelta
    """How long it took."""
    outcome: OutcomeKind
    """What it came to."""
    category: Category
    """What kind of answer it was."""
    scope: Scope | None
    """What the trouble is charged to. None: there was none."""
    transport: str | None
    """Name. None: none was chosen."""
    route_id: int | None
    """Which route chose it. None: the default transport, or `--relay`."""
    host: str | None
    """Name of the server. None: none was reached."""
    address: str | None
    """'192.0.2.1:25' or '[2001:db8::1]:25'. None: none was reached."""
    tls: str | None
    """Version. None: in the clear."""
    tls_verified: str | None
    """How the server's name was verified. None: it was not."""
    size: int | None
    """Octets of content sent. None: none were."""
    code: int | None
    """Reply code. None: the server said nothing."""
    enhanced: str | None
    """Enhanced status code, the server's or ours. None: there is none."""
    reply: str | None
    """All the server said, lines separated by LF."""
    error: str | None
    """Our words for what went wrong. None: nothing, or the reply says it all."""
    transcript: str | None
    """The SMTP dialogue of a failure, without content. None: none is kept."""

    def summary(self) -> str:
        """Return what happened in a line for people: our words, the reply, or both."""
        reply = (self.reply or "").replace("\n", " / ")
        return ": ".join(part for part in (self.error or "", reply) if part) or self.outcome.value
