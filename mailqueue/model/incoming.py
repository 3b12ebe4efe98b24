"""What comes in about mail that went out: what it is, which messages it is about, and what follows.

RFC 3464 (delivery reports), RFC 5965 (complaints).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mailqueue.model.events import Event
from mailqueue.model.lifecycle import Feedback, State
from mailqueue.model.settlement import NewEvent


class MatchedBy(StrEnum):
    """What led from a report to the mail that it is about; equal to the text stored."""

    FROMID = "fromid"
    """The return address that only one message had."""
    ENVID = "envid"
    """The name that its sender gave the submission (RFC 3461 4.4)."""
    MESSAGE_ID = "message-id"
    """The Message-ID in the header that was returned, or in what is answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A message that came in: a report, a complaint, or neither."""

    id: int
    """Of what came in."""
    at: datetime
    """When it was taken."""
    recipient: str | None
    """The address that it came to. None: that was not said."""
    kind: str
    """`bounce`, `complaint`, or what else it is (reports.md)."""
    matched_by: MatchedBy | None
    """What led to the mail that it is about. None: nothing did."""
    submission_id: int | None
    """The submission it is about. None: no mail was found."""
    account: str | None
    """Whose mail that is. None: none was found."""
    messages: tuple[int, ...]
    """The messages that it is about."""
    summary: str
    """What it says, in a line."""
    size: int
    """Octets of it, 8 MiB at most: what is beyond that is not looked at."""
    correlation: str
    """What its lines in the log are found by."""
    actor: str
    """Who handed it in."""
    events: tuple[Event, ...] = ()
    """What followed for messages; empty in lists."""
    content: bytes = b""
    """Its beginning, at most 64 KiB; empty in lists and where it has just been taken."""
    replayed: bool = False
    """True: it had come in before, and changed nothing this time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewIncoming:
    """What came in, ready to be stored."""

    at: int
    """Microseconds UTC."""
    recipient: str | None
    kind: str
    summary: str
    digest: bytes
    """SHA-256 of it."""
    size: int
    content: bytes
    """Its beginning."""
    correlation: str
    actor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A message that something which came in may be about."""

    id: int
    submission_id: int
    account_id: int
    sender: str
    """MAIL FROM of its submission, as it was given."""
    recipient: str
    """RCPT TO."""
    orcpt: str | None
    """What the sender called the recipient, 'rfc822;b@example.org'. None: not said."""
    state: State
    feedback: Feedback | None
    """What came back before. None: nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """What a report tells of an address that was written to."""

    message_id: int
    account_id: int
    address: str
    """RCPT TO of the message."""
    named: bool
    """The report is about that very address, as far as it says; else about one that it led to."""
    status: str | None
    """Enhanced code of a failure for good ('5.1.1'). None: it is a complaint."""
    complaint: str | None
    """Type of a complaint ('abuse'). None: it is a failure."""
    text: str
    """What was said, in a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Follows:
    """What follows for one message."""

    message: Sent
    event: NewEvent | None
    """To be written to its history. None: nothing that is not known."""
    feedback: Feedback | None
    """What it has come to, if it has retired. None: as it was."""
    learnt: Learnt | None = None
    """What is known now of its recipient. None: nothing new."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """Which mail something is about, and what follows."""

    by: MatchedBy
    submission_id: int
    account_id: int
    follows: tuple[Follows, ...]
    """For each message; a message may be there more than once. (): it does not say which message."""

    @property
    def learnt(self) -> tuple[Learnt, ...]:
        """What is known now of addresses that were written to."""
        return tuple(each.learnt for each in self.follows if each.learnt is not None)
