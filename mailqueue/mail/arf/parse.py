"""Read a feedback report out of a message.

A multipart/report with a feedback-report part of its own is one. Where the part, or the message, has
another type, the message has to come from where such reports come from. A report inside a returned or
forwarded message is none. Hostile input costs bounded time and memory.

RFC 5965 2 and 3, RFC 6591 3.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mailqueue.errors import ParseError
from mailqueue.mail.arf.model import FIELDS, Report
from mailqueue.mail.arf.reading import read as read_fields
from mailqueue.mail.mime import MAX_HEADER, Part, leaves, read_head, read_whole, swallowed
from mailqueue.mail.origin import is_notice, readable
from mailqueue.mail.original import Original, find_original
from mailqueue.mail.scan import addresses

MAX_REPORT = 256 * 1024
"""Octets of a feedback-report part that are read."""
MAX_TEXT = 64 * 1024
"""Octets of the text for people that are kept."""

_TYPE = re.compile(r"[a-z]+/(?:x-)?feedback[-_. ]?report")
_REPORTERS = re.compile(
    r"\b(?:fbl|feedback|abuse|complaints?|scomp|staff|spam|jmrp|arf|loop|no-?reply|do-?not-?reply)\b",
    re.IGNORECASE,
)
_COMPLAINT = re.compile(r"complaint about message from", re.IGNORECASE)
_FIELD_LINE = re.compile(r"^feedback-type[ \t]*:", re.IGNORECASE | re.MULTILINE)
_NAMES = frozenset(name.lower() for name in FIELDS)
_RECIPIENT_FIELDS = ("x-hmxmroriginalrecipient", "x-original-to", "delivered-to", "to")


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedReport:
    """All that a feedback report holds."""

    report: Report
    """What it says to programs: the second part."""
    recipients: tuple[str, ...]
    """Who complains, as far as that is told: Original-Rcpt-To, else what the original says. Reporters
    put other text in place of the local part, or leave it out."""
    text: str
    """What it says to people: the first text, at most `MAX_TEXT`; empty if there is none."""
    original_headers: tuple[tuple[str, str], ...]
    """The header fields of the message it is about, (name, unfolded value); empty if not returned."""
    original_message_id: str | None
    """The Message-ID of the message it is about, with its brackets. None: not returned."""
    full: bool
    """Whether the whole message is returned, not only its header."""
    faults: tuple[str, ...]
    """Where the report departs from RFC 5965, and what was taken instead, a sentence each."""

    def to_dict(self) -> dict[str, object]:
        """Return all of it for JSON; what is absent is None, dates are RFC 3339 in UTC."""
        return {
            "report": self.report.to_dict(),
            "recipients": list(self.recipients),
            "text": self.text,
            "original_headers": [list(pair) for pair in self.original_headers],
            "original_message_id": self.original_message_id,
            "full": self.full,
            "faults": list(self.faults),
        }


def parse(data: bytes) -> Report:
    """Return what the feedback report `data` says; `read` returns what else is in it.

    Raises:
        ParseError: `data` is not a feedback report; the text says what it is instead.
    """
    return read(data).report


def read(data: bytes, sender: str | None = None) -> ParsedReport:
    """Return all that the feedback report `data` holds. CRLF, LF and CR are taken for line ends.

    Args:
        data: the message.
        sender: its envelope sender, '' for the null one, where it is known; None: as Return-Path says.

    Raises:
        ParseError: `data` is not a feedback report; the text says what it is instead.
    """
    message = _open(data, sender)
    parts = tuple(leaves(message))
    original = find_original(parts)
    text = _fields(parts, message, original)
    if text is None:
        raise ParseError(
            f"not a feedback report: it is a {message.type} without a part of type message/feedback-report"
        )
    report, faults = read_fields(text)
    return ParsedReport(
        report=report,
        recipients=report.original_rcpt_to or _recipients(original),
        text=next((part.text(MAX_TEXT) for part in parts if part.type == "text/plain"), ""),
        original_headers=original.headers,
        original_message_id=original.message_id,
        full=original.full,
        faults=faults,
    )


def _open(data: bytes, sender: str | None) -> Part:
    """Return the message, if it may be a feedback report by its header."""
    head = read_head(data)
    if head is None:
        raise ParseError(
            f"not a feedback report: its header is larger than {MAX_HEADER} octets, or it is no message"
        )
    kind = head.parameters.get("report-type", "feedback-report").lower()
    if head.type == "multipart/report" and kind != "feedback-report":
        raise ParseError(f"not a feedback report: it is a report of another type, {kind[:60]!r}")
    from_reporter = bool(_REPORTERS.search(readable(head, "from"))) or is_notice(head, sender)
    if head.type != "multipart/report" and not (head.type.startswith("multipart/") and from_reporter):
        raise ParseError(f"not a feedback report: it is {head.type}, not multipart/report (RFC 5965 2)")
    return read_whole(head, data)


def _fields(parts: Sequence[Part], message: Part, original: Original) -> str | None:
    """Return the fields of the report; None if there are none."""
    for part in parts:
        if _TYPE.fullmatch(part.type):
            return swallowed(part, _NAMES) + part.text(MAX_REPORT)
    for part in parts:
        if part.type in ("text/plain", "application/octet-stream"):
            text = part.text(MAX_REPORT)
            begin = _FIELD_LINE.search(text)
            if begin is not None:
                return text[begin.start() :].partition("\n\n")[0]
    if _COMPLAINT.search(readable(message, "subject")) and original.values(_RECIPIENT_FIELDS[0]):
        return "Feedback-Type: abuse\n"  # as Microsoft's Junk Mail Reporting Program writes it
    return None


def _recipients(original: Original) -> tuple[str, ...]:
    for name in _RECIPIENT_FIELDS:
        found = addresses(", ".join(original.values(name))[:10_000])
        if found:
            return found if len(found) == 1 else ()
    return ()
