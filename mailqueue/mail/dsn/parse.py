"""Read a delivery report out of a message.

A multipart/report with a delivery-status part of its own is one. Where a part has the wrong type, or
the message has another than multipart/report, the fields have to be there, and a mail system has to
be its author. An ordinary message, an automatic answer, a receipt that it was read (MDN), and a report
inside a returned or forwarded message are none. Hostile input costs bounded time and memory.

RFC 3464 (delivery status), RFC 6522 (multipart/report), RFC 6533 (its UTF-8 kinds).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mailqueue.errors import ParseError
from mailqueue.mail.dsn.model import MESSAGE_FIELDS, RECIPIENT_FIELDS, Report
from mailqueue.mail.dsn.reading import read as read_status
from mailqueue.mail.mime import MAX_HEADER, Part, leaves, read_head, read_whole, swallowed
from mailqueue.mail.origin import has_null_path, is_notice
from mailqueue.mail.original import Original, find_original, is_returned
from mailqueue.mail.scan import addresses

MAX_STATUS = 1024 * 1024
"""Octets of a delivery-status part that are read."""
MAX_TEXT = 64 * 1024
"""Octets of the text for people that are kept."""

_STATUS_TYPE = re.compile(r"[a-z]+/(?:global-)?delivery[-_. ]?status")
_MAY_HOLD_STATUS = re.compile(r"text/(?!html|rfc822|calendar)|application/octet-stream|multipart/")
_REPORT_TYPES = frozenset({"", "delivery-status", "global-delivery-status"})
_OTHER_REPORTS = {
    "disposition-notification": "a receipt that a message was read or not (MDN, RFC 8098)",
    "feedback-report": "a complaint (ARF, RFC 5965)",
}
_NAMES = frozenset(name.lower() for name in (*MESSAGE_FIELDS, *RECIPIENT_FIELDS))
_LINE = re.MULTILINE | re.IGNORECASE
_RECIPIENT_LINE = re.compile(r"^[ \t]*(?:final|original)-recipient[ \t]*:", _LINE)
_VERDICT_LINE = re.compile(r"^[ \t]*(?:action|status|diagnostic-code)[ \t]*:", _LINE)
_ANY_LINE = re.compile(rf"^[ \t]*(?:{'|'.join(_NAMES)})[ \t]*:", _LINE)
_RETURNED_LINE = re.compile(r"^(?:received|return-path)[ \t]*:", _LINE)
_DELIMITER_LINE = re.compile(r"^--", _LINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedReport:
    """All that a delivery report holds."""

    report: Report
    """What it says to programs: the second part."""
    text: str
    """What it says to people: the first text, at most `MAX_TEXT`; empty if there is none."""
    original_headers: tuple[tuple[str, str], ...]
    """The header fields of the message it is about, (name, unfolded value); empty if not returned."""
    original_message_id: str | None
    """The Message-ID of the message it is about, with its brackets. None: not returned."""
    full: bool
    """Whether the whole message is returned, not only its header."""
    faults: tuple[str, ...]
    """Where the report departs from RFC 3464, and what was taken instead, a sentence each."""

    def to_dict(self) -> dict[str, object]:
        """Return all of it for JSON; what is absent is None, dates are RFC 3339 in UTC."""
        return {
            "report": self.report.to_dict(),
            "text": self.text,
            "original_headers": [list(pair) for pair in self.original_headers],
            "original_message_id": self.original_message_id,
            "full": self.full,
            "faults": list(self.faults),
        }


def parse(data: bytes) -> Report:
    """Return what the delivery report `data` says; `read` returns what else is in it.

    Raises:
        ParseError: `data` is not a delivery report; the text says what it is instead.
    """
    return read(data).report


def read(data: bytes, sender: str | None = None) -> ParsedReport:
    """Return all that the delivery report `data` holds. CRLF, LF and CR are taken for line ends.

    Args:
        data: the message.
        sender: its envelope sender, '' for the null one, where it is known; None: as Return-Path says.

    Raises:
        ParseError: `data` is not a delivery report; the text says what it is instead.
    """
    message, loosely = _open(data, sender)
    parts = tuple(leaves(message))
    status, cut = _status(parts, loosely)
    if status is None:
        raise ParseError(f"not a delivery report: {_what_it_is(message, parts)}")
    original = find_original(parts)
    report, faults = read_status(status, _failed_recipients(message, original))
    if cut:
        faults += (f"only the first {MAX_STATUS} octets of the delivery status were read",)
    return ParsedReport(
        report=report,
        text=next((part.text(MAX_TEXT) for part in parts if part.type == "text/plain"), ""),
        original_headers=original.headers,
        original_message_id=original.message_id,
        full=original.full,
        faults=faults,
    )


def _open(data: bytes, sender: str | None) -> tuple[Part, bool]:
    """Return the message, if it may be a delivery report by its header, and whether it surely is a report.

    If not, only a part of the right type makes it one, and even that not in a person's mail.
    """
    head = read_head(data)
    if head is None:
        raise ParseError(
            f"not a delivery report: its header is larger than {MAX_HEADER} octets, or it is no message"
        )
    kind = head.parameters.get("report-type", "").lower()
    if kind in _OTHER_REPORTS:
        raise ParseError(f"not a delivery report: it is {_OTHER_REPORTS[kind]}")
    surely = head.type == "multipart/report" or is_notice(head, sender)
    if not surely and not has_null_path(head, sender):
        raise ParseError(f"not a delivery report: {_what_it_is(head, ())}")
    return read_whole(head, data), surely and kind in _REPORT_TYPES


def _status(parts: Sequence[Part], loosely: bool) -> tuple[str | None, bool]:
    """Return the fields of the report, None if there are none, and whether they were cut off.

    They are in the parts of their type (several, where a writer gives each recipient one); else,
    if `loosely`, where they stand in another part that is no returned message.
    """
    typed = [part for part in parts if _STATUS_TYPE.fullmatch(part.type)]
    status = "\n\n".join(swallowed(part, _NAMES) + part.text(MAX_STATUS) for part in typed)
    if _ANY_LINE.search(status):
        cut = len(status) > MAX_STATUS or any(part.end - part.start > MAX_STATUS for part in typed)
        return status[:MAX_STATUS], cut
    others = map(_fields_in, parts) if loosely else ()
    return next(filter(None, others), status if typed else None), False


def _fields_in(part: Part) -> str:
    """Return the fields of a report in a part of another type, before any returned mail; empty if none are.

    A part with the type of returned mail has to begin with them.
    """
    if not is_returned(part) and not _MAY_HOLD_STATUS.match(part.type):
        return ""
    text = part.text(MAX_STATUS)
    if is_returned(part) and not _ANY_LINE.match(text.lstrip("\n")):
        return ""
    returned = _RETURNED_LINE.search(text)
    own = text[: returned.start()] if returned else text
    begin = _ANY_LINE.search(own)
    if begin is None or not _RECIPIENT_LINE.search(own) or not _VERDICT_LINE.search(own):
        return ""
    end = _DELIMITER_LINE.search(own, begin.end())
    return own[begin.start() : end.start() if end else None]


def _what_it_is(message: Part, parts: Sequence[Part]) -> str:
    kind = message.parameters.get("report-type", "").lower()
    if kind not in _REPORT_TYPES:
        return f"it is a report of another type, {kind[:60]!r}"
    if message.type != "multipart/report":
        return f"it is {message.type}, not multipart/report (RFC 6522 3)"
    types = ", ".join(part.type[:60] for part in parts[:5]) + (" ..." if len(parts) > 5 else "")
    return f"it is a multipart/report without a part of type message/delivery-status (it has {types})"


def _failed_recipients(message: Part, original: Original) -> tuple[str, ...]:
    """Return whom a report is about that does not say so itself.

    X-Failed-Recipients tells, which several writers add to the header; else To of the original, if
    it was for one only.
    """
    failed = addresses((message.value("x-failed-recipients") or "")[:10_000])
    if failed:
        return failed
    sent_to = addresses(", ".join(original.values("to") + original.values("cc"))[:10_000])
    return sent_to if len(sent_to) == 1 else ()
