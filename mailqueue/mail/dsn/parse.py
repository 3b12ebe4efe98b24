"""Read a delivery report out of a message.

Only a message that is a multipart/report with a delivery-status part of its own is one: an ordinary
message, an automatic answer, a receipt that it was read (MDN), and a report inside a returned
or forwarded message are not. Hostile input costs time and memory in proportion to its size.

RFC 3464 (delivery status), RFC 6522 (multipart/report), RFC 6533 (its UTF-8 kinds).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mailqueue.errors import ParseError
from mailqueue.mail.dsn.model import Report
from mailqueue.mail.dsn.reading import read as read_status
from mailqueue.mail.fields import read_groups, unfold
from mailqueue.mail.mime import MAX_HEADER, Part, leaves, read_part

MAX_STATUS = 1024 * 1024
"""Octets of a delivery-status part that are read."""
MAX_TEXT = 64 * 1024
"""Octets of the text for people that are kept."""
MAX_ORIGINAL_FIELDS = 1000
"""Header fields of the original message that are kept."""

_STATUS_TYPES = frozenset({"message/delivery-status", "message/global-delivery-status"})
_FULL_TYPES = frozenset({"message/rfc822", "message/global"})
_HEADER_TYPES = frozenset({"text/rfc822-headers", "message/rfc822-headers", "message/global-headers"})
_REPORT_TYPES = frozenset({"delivery-status", "global-delivery-status"})
_OTHER_REPORTS = {
    "disposition-notification": "a receipt that a message was read or not (MDN, RFC 8098)",
    "feedback-report": "a complaint (ARF, RFC 5965)",
}
_MESSAGE_ID = re.compile(r"<[^<>\s]{1,996}>")


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


def read(data: bytes) -> ParsedReport:
    """Return all that the delivery report `data` holds. CRLF and LF are taken for line ends.

    Raises:
        ParseError: `data` is not a delivery report; the text says what it is instead.
    """
    message = _open(data)
    parts = tuple(leaves(message))
    status = next((part for part in parts if part.type in _STATUS_TYPES), None)
    if status is None:
        raise ParseError(
            "not a delivery report: it is a multipart/report without a part of type "
            f"message/delivery-status ({_names(parts)})"
        )
    report, faults = read_status(status.text(MAX_STATUS), _failed_recipients(message))
    if status.end - status.start > MAX_STATUS:
        faults += (f"only the first {MAX_STATUS} octets of the delivery status were read",)
    original = next((part for part in parts if part.type in _FULL_TYPES | _HEADER_TYPES), None)
    headers = _original_headers(original)
    return ParsedReport(
        report=report,
        text=next((part.text(MAX_TEXT) for part in parts if part.type == "text/plain"), ""),
        original_headers=headers,
        original_message_id=_message_id(headers),
        full=original is not None and original.type in _FULL_TYPES,
        faults=faults,
    )


def _open(data: bytes) -> Part:
    """Return the message, if it may be a delivery report by its header."""
    head = read_part(_lf(data[: 2 * MAX_HEADER]).lstrip(b"\n"))
    if head is None:
        raise ParseError(
            f"not a delivery report: its header is larger than {MAX_HEADER} octets, or it is no message"
        )
    if head.type != "multipart/report":
        raise ParseError(f"not a delivery report: it is {head.type}, not multipart/report (RFC 6522 3)")
    kind = head.parameters.get("report-type", "").lower()
    if kind and kind not in _REPORT_TYPES:
        what = _OTHER_REPORTS.get(kind, f"a report of another type, {kind[:60]!r}")
        raise ParseError(f"not a delivery report: it is {what}")
    if not head.parameters.get("boundary"):
        raise ParseError(
            "not a delivery report that can be read: its Content-Type has no boundary (RFC 2046 5.1)"
        )
    return read_part(_lf(data).lstrip(b"\n")) or head


def _lf(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n")


def _names(parts: Sequence[Part]) -> str:
    if not parts:
        return "it has no parts"
    return "it has " + ", ".join(part.type[:60] for part in parts[:5]) + (" ..." if len(parts) > 5 else "")


def _failed_recipients(message: Part) -> tuple[str, ...]:
    """Return the addresses of X-Failed-Recipients, which several writers add to the header."""
    value = message.value("x-failed-recipients") or ""
    return tuple(address.strip(" <>") for address in value[:10_000].split(",") if address.strip(" <>"))


def _original_headers(original: Part | None) -> tuple[tuple[str, str], ...]:
    if original is None:
        return ()
    block, _, _ = original.text(MAX_HEADER).lstrip("\n").partition("\n\n")
    groups = read_groups(block)
    fields = [field for group in groups for field in group][:MAX_ORIGINAL_FIELDS]
    return tuple((field.name, unfold(field.raw)) for field in fields)


def _message_id(headers: Sequence[tuple[str, str]]) -> str | None:
    for name, value in headers:
        if name.lower() == "message-id":
            found = _MESSAGE_ID.search(value[:2000])
            return found[0] if found else None
    return None
