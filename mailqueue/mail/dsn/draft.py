"""What a notice is made of: the report, and what people and the mail header need beside it.

Whoever makes a notice fills in one `Draft`; all the words and octets follow from it.

RFC 3461 4.3 and 6.2 (how much of the original goes back), RFC 3464 2, RFC 3834 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mailqueue.mail.dsn.model import Action, Report
from mailqueue.mail.reporting import fits, original_header, whole_original

ENVELOPE_SENDER = ""
"""The return path of a notice, the null one: nothing ever answers it (RFC 5321 4.5.5, RFC 3461 6.1)."""
LARGEST_ORIGINAL = 50 * 1024
"""Octets: an original that is larger goes back as its header only, unless the draft says otherwise."""


class Returned(StrEnum):
    """How much of the original a notice returns, and why not more."""

    FULL = "full"
    """All of it."""
    HEADER = "header"
    """Its header, because no more was asked for, or because nothing failed."""
    TOO_LARGE = "too-large"
    """Its header: all of it was asked for, but it is larger than the limit."""
    UNFIT = "unfit"
    """Its header: all of it was asked for, but it has a NUL or a line over 998 octets."""
    NOTHING = "nothing"
    """Nothing: there is no original any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What people are told about a recipient that has no field in the report."""

    next_attempts: tuple[int, ...] = ()
    """When it is tried next, in microseconds UTC, the earliest first. Empty: unknown, or never."""
    attempts: int | None = None
    """How often it was tried. None: not told."""
    may_have_arrived: bool = False
    """Whether a server once took the whole message and its answer was lost: it may have arrived."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """All that a notice is made of.

    Raises:
        ValueError: `stories` is neither empty nor as long as the report's recipients.
    """

    report: Report
    """What is told, to programs and to people. `arrival_date` is shown as the time of submission."""
    sender: str
    """The address in From: a person who looks after this mail system reads what is sent there."""
    to: str
    """The return path of the original, never the null one (RFC 3464 2, RFC 3461 5.2)."""
    date: int
    """When the notice is made, in microseconds UTC."""
    message_id: str
    """The notice's own Message-ID, with its angle brackets."""
    boundary: str
    """What separates the parts: not to be guessed, at most 60 characters of [0-9A-Za-z'()+_,./:=?-]."""
    original: bytes | None = None
    """The message it is about, with any line ends; its header is enough unless `full`. None: it is gone."""
    full: bool = False
    """Whether all of the original is asked for (RET=FULL). It goes back only if a recipient failed."""
    largest_original: int = LARGEST_ORIGINAL
    """Octets: an original that is larger goes back as its header only."""
    original_subject: str | None = None
    """The original's subject as people read it, encoded words decoded. None: it has none."""
    original_message_id: str | None = None
    """The original's Message-ID with its brackets, for In-Reply-To and References. None: unknown."""
    stories: tuple[Story, ...] = ()
    """One for each recipient of the report, in the same order; or none at all."""
    subject: str | None = None
    """The notice's own subject. None: `headline` makes it."""
    text: str | None = None
    """The part for people, lines ended by LF. None: `describe` writes it."""

    def __post_init__(self) -> None:
        if self.stories and len(self.stories) != len(self.report.recipients):
            raise ValueError(f"{len(self.stories)} stories for {len(self.report.recipients)} recipients")

    @property
    def returned(self) -> Returned:
        """How much of the original goes back (RFC 3461 4.3 and 6.2, RFC 2046 5.2.1)."""
        if self.original is None:
            return Returned.NOTHING
        if not self.full or all(
            recipient.action is not Action.FAILED for recipient in self.report.recipients
        ):
            return Returned.HEADER
        if len(self.original) > self.largest_original:
            return Returned.TOO_LARGE
        return Returned.FULL if fits(self.original) else Returned.UNFIT

    @property
    def enclosure(self) -> bytes:
        """The octets of the original that go back, lines ended by CRLF; empty if there are none."""
        if self.original is None:
            return b""
        whole = self.returned is Returned.FULL
        return whole_original(self.original) if whole else original_header(self.original)
