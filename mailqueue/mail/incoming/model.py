"""What a message that came in is, as values: a bounce, a complaint, or something else.

RFC 3464 (delivery reports), RFC 5965 (complaints).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mailqueue.mail import arf, dsn


class Source(StrEnum):
    """Where a bounce was read from."""

    STATUS = "status"
    """The fields for programs (RFC 3464): what it says can be relied on."""
    TEXT = "text"
    """The text for people, whose form is known: recipient and reason are as good as that text."""


class Kind(StrEnum):
    """What a message is that is neither a bounce nor a complaint."""

    RECEIPT = "receipt"
    """It was read, or deleted unread (MDN, RFC 8098): it had been delivered."""
    AUTO_REPLY = "auto-reply"
    """A program answered, for someone who is away or for a ticket system (RFC 3834)."""
    CHALLENGE = "challenge"
    """A filter wants the sender to prove that he is one before it delivers."""
    CALENDAR = "calendar"
    """An invitation was accepted, declined and so on (RFC 5546)."""
    LIST = "list"
    """From a mailing list, or sent to many (RFC 2919, 2369)."""
    REPORT = "report"
    """A report about something else: DMARC, TLS ... (RFC 7489, 8460)."""
    BOUNCE = "bounce"
    """A bounce that names no recipient: its return path has to tell whom it is about."""
    ORDINARY = "ordinary"
    """None of these: a person, or a program that does not say so, wrote it."""
    UNREADABLE = "unreadable"
    """No message, or one whose header is too large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """What helps to find the mail that a message is about."""

    return_paths: tuple[str, ...] = ()
    """Addresses of which one may be the unique return path of that mail: where the message came to
    (Delivered-To, X-Original-To, To ...), then the return path that is in it."""
    envelope_id: str | None = None
    """The ENVID that the sender gave (RFC 3461 4.4)."""
    message_ids: tuple[str, ...] = ()
    """Message-IDs with their brackets, the likeliest first: of the returned mail, then of what the
    message says it answers."""

    def to_dict(self) -> dict[str, object]:
        """Return all of it for JSON."""
        return {
            "return_paths": list(self.return_paths),
            "envelope_id": self.envelope_id,
            "message_ids": list(self.message_ids),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounce:
    """A report about deliveries: failed, delayed, or done."""

    found: dsn.ParsedReport
    """All that it holds."""
    source: Source
    """Where that was read from."""
    hints: Hints
    """What helps to find the mail that it is about."""

    @property
    def report(self) -> dsn.Report:
        """What became of each recipient."""
        return self.found.report

    def to_dict(self) -> dict[str, object]:
        """Return all of it for JSON."""
        return {
            "kind": "bounce",
            "source": self.source.value,
            **self.found.to_dict(),
            "hints": self.hints.to_dict(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Complaint:
    """A feedback report: a recipient complains, or mail failed authentication."""

    found: arf.ParsedReport
    """All that it holds."""
    hints: Hints
    """What helps to find the mail that it is about."""

    @property
    def report(self) -> arf.Report:
        """What the reporter says."""
        return self.found.report

    def to_dict(self) -> dict[str, object]:
        """Return all of it for JSON."""
        return {"kind": "complaint", **self.found.to_dict(), "hints": self.hints.to_dict()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Unrecognized:
    """Neither a bounce nor a complaint."""

    kind: Kind
    """What it is."""
    why: str
    """What it is told by, in a sentence."""
    hints: Hints
    """What helps to find the mail that it answers, if it does."""

    def to_dict(self) -> dict[str, object]:
        """Return all of it for JSON."""
        return {"kind": self.kind.value, "why": self.why, "hints": self.hints.to_dict()}
