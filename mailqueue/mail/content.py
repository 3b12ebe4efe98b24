"""Look at the bytes of a message and make them ready for the queue.

Only the header block is parsed, and only the header block is touched: Bcc and extra data go, a missing
Date or Message-ID comes. The body keeps every octet but for its line ends, which all become CRLF, and for too
long lines, which lenient mode repairs (`repair`). Nothing here raises for a bad message: what is wrong
is returned as sentences.

RFC 5322 (messages), RFC 5321 2.3.8 (CRLF), RFC 6532 (UTF-8 in headers), RFC 6376 (what a
signature covers must not change), RFC 8689 3 (TLS-Required).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mailqueue.clock import SECOND
from mailqueue.mail import extra
from mailqueue.mail.address import Address
from mailqueue.mail.defaults import envelope_defaults
from mailqueue.mail.header import Field, Header, cut, decode_words, mbox_line
from mailqueue.mail.lines import LineEnds, first_bare_cr, line_of, longest, to_crlf
from mailqueue.mail.repair import needs_repair, repair
from mailqueue.mail.strict import strict_faults
from mailqueue.mail.visible import visible

if TYPE_CHECKING:
    from email.message import Message

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_DROPPED = {"bcc": "Bcc", "resent-bcc": "Resent-Bcc"}
_BCC = re.compile(rb"^(?:resent-)?bcc\s*:", re.IGNORECASE | re.MULTILINE)
_IN_ANGLES = re.compile(r"<[^<>]*>")
_SEALED_PART = re.compile(
    rb"^content-type[ \t]*:\s*multipart/(?:signed|encrypted)", re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A message as it will be sent, and what was seen in it.

    Attributes:
        header: the header block, CRLF at each line's end, closed by the empty line; `header + body`
            is the message.
        body: what follows, each line end a CRLF; nothing else of it is changed but by repairs.
        message_id: of the message as sent, with its angle brackets, safe to show.
        subject: decoded for people, nothing hidden in it; None where there is no Subject.
        eight_bit: whether the body has octets over 127: it needs 8BITMIME (RFC 6152).
        utf8_header: whether the header has octets over 127: it needs SMTPUTF8 (RFC 6531).
        sender: what the envelope's sender is unless the caller says; None where the header has none.
        recipients: likewise the envelope's recipients, in the order of To, Cc, Bcc, each once.
        tls_optional: whether it says `TLS-Required: No`: it is to be delivered rather than protected
            (RFC 8689 3).
        extra: what its X-Mailqueue-Extra- fields say, which are not sent.
        changes: what was changed though it was no fault, a sentence each.
        repairs: what was changed that strict mode refuses, a sentence each; empty in strict mode.
        faults: why it cannot be queued, a sentence each that names the place; empty if it can.
        envelope_faults: address fields that cannot be read: faults only for a caller that needs
            `sender` or `recipients`. Empty in strict mode, where they are among `faults`.
    """

    header: bytes
    body: bytes
    message_id: str
    subject: str | None
    eight_bit: bool
    utf8_header: bool
    sender: Address | None
    recipients: tuple[Address, ...]
    tls_optional: bool
    extra: dict[str, str]
    changes: tuple[str, ...]
    repairs: tuple[str, ...]
    faults: tuple[str, ...]
    envelope_faults: tuple[str, ...]


def prepare(
    data: bytes, *, now: int, make_message_id: Callable[[str], str], strict: bool = False
) -> Prepared:
    """Return the message in `data` as it will be sent.

    Args:
        data: the message; its lines may end in CRLF, LF or, in lenient mode, CR.
        now: for a missing Date, microseconds since 1970 UTC.
        make_message_id: for a missing Message-ID; gets the domain of the header's sender
            (`localhost` where it has none) and returns the identifier with its angle brackets.
        strict: whether all that the standards forbid is a fault, or only what cannot be sent.
    """
    ends = to_crlf(data)
    block, body = cut(ends.data)
    parsed = Header(block)
    defaults = envelope_defaults(parsed)
    domain = defaults.sender.domain if defaults.sender else "localhost"
    longest_line = max(longest(body), longest(block))
    faults = _faults(data, ends, block, parsed, body, strict)
    repairs = [] if strict else _became_crlf(ends.bare_cr, "CR")
    if strict:
        faults += strict_faults(block, parsed, body, longest_line)
    elif needs_repair(block, parsed, body, longest_line):
        repaired = repair(parsed, body, _DROPPED)
        block, parsed, body = repaired.block, Header(repaired.block), repaired.body
        faults += repaired.faults
        repairs += repaired.repairs
    along = extra.read_fields(parsed.fields, faults) if any(map(extra.is_extra, parsed.by_name)) else {}
    subject = parsed.first("subject")
    header, message_id, changes = _finish(block, parsed, now, lambda: make_message_id(domain))
    return Prepared(
        header=header,
        body=body,
        message_id=message_id,
        subject=decode_words(subject.value) if subject else None,
        eight_bit=not body.isascii(),
        utf8_header=not header.isascii(),
        sender=defaults.sender,
        recipients=defaults.recipients,
        tls_optional=any(field.value.lower() == b"no" for field in parsed.named("tls-required")),
        extra=along,
        changes=(*changes, *_became_crlf(ends.bare_lf, "LF")),
        repairs=tuple(repairs),
        faults=tuple(faults),
        envelope_faults=() if strict else defaults.faults,
    )


def to_bytes(message: Message[Any, Any]) -> bytes:
    """Return a message object (EmailMessage or the older Message) as bytes, lines ended by CRLF.

    8-bit text stays as it is. Header fields are written in ASCII (encoded words, A-labels) except
    for an address with a local part that only UTF-8 can carry.

    Raises:
        InvalidSubmission: the email package cannot write it; the fault has its reason.
    """
    from mailqueue.mail.flatten import flatten

    return flatten(message)


def _finish(
    block: bytes, header: Header, now: int, make_id: Callable[[], str]
) -> tuple[bytes, str, list[str]]:
    """Return header, Message-ID and what was changed: fields dropped, missing ones at the top."""
    added = {}
    found = next((field for field in header.named("message-id") if field.value.strip(b"<> ")), None)
    message_id = _message_id(found) if found else make_id()
    if not any(field.value for field in header.named("date")):
        added["date"] = f"Date: {_date(now)}\r\n"
    if found is None:
        added["message-id"] = f"Message-ID: {message_id}\r\n"
    changes = [f"{line.rstrip()} was added" for line in added.values()]
    kept_back = not _DROPPED.keys().isdisjoint(header.by_name) or any(map(extra.is_extra, header.by_name))
    if kept_back or mbox_line(block) or added:
        block, dropped = _drop(header, added.keys())
        changes += dropped
    return "".join(added.values()).encode() + block + b"\r\n", message_id, changes


def _drop(header: Header, replaced: Collection[str]) -> tuple[bytes, list[str]]:
    """Take out Bcc, extra data, empty fields that are put in anew, and the separator of an mbox file."""
    kept, changes = [], []
    for field in header.fields:
        if field.name in _DROPPED:
            changes.append(f"{_DROPPED[field.name]} was removed")
        elif extra.is_extra(field.name):
            changes.append(f"{field.title} was taken for extra data")
        elif field.name in replaced:
            changes.append(f"an empty {field.title} was removed")
        elif field.number == 1 and mbox_line(field.raw):
            changes.append("the line 'From ...' of an mbox file was removed")
        else:
            kept.append(field.raw + b"\r\n")
    return b"".join(kept), list(dict.fromkeys(changes))


def _message_id(field: Field) -> str:
    text = visible(field.value.decode("utf-8", "backslashreplace"))
    found = _IN_ANGLES.search(text)
    return found[0] if found else f"<{text.strip('<>')}>"


def _date(now: int) -> str:
    at = time.gmtime(now // SECOND)
    return (
        f"{_DAYS[at.tm_wday]}, {at.tm_mday:02d} {_MONTHS[at.tm_mon - 1]} {at.tm_year:04d} "
        f"{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d} +0000"
    )


def _faults(
    data: bytes, ends: LineEnds, block: bytes, header: Header, body: bytes, strict: bool
) -> list[str]:
    """Return what is a fault in either mode, and a CR alone, which is one where it must not be changed."""
    faults = []
    if not block and _BCC.search(body[: body.find(b"\r\n\r\n")]):
        faults.append("body line 1: the message does not begin with a header field, so all would see its Bcc")
    nul = data.find(b"\0")
    if nul >= 0:
        faults.append(f"{_place(data, nul, block)}: a NUL ({data.count(0)} in all)")
    if ends.bare_cr:
        seal = _seal(header, body)
        if strict or seal:
            reason = f", and to change it would break the {seal}" if seal else ""
            place = _place(data, first_bare_cr(data), block)
            faults.append(f"{place}: a CR without an LF ({ends.bare_cr} in all){reason}")
    return faults


def _place(data: bytes, at: int, block: bytes) -> str:
    line = line_of(data, at)
    lines = block.count(b"\n")
    if line <= lines:
        return f"header line {line}"
    blank = 1 if block or data[:1] in (b"\r", b"\n") else 0
    return f"body line {max(line - lines - blank, 1)}"


def _seal(header: Header, body: bytes) -> str | None:
    """Return the name of what forbids to change the content: a signature or an encryption."""
    if header.named("dkim-signature"):
        return "DKIM-Signature"
    parts = [field.raw for field in header.named("content-type")]
    if _SEALED_PART.search(b"\n".join([*parts, body])):
        return "signed or encrypted part"
    return None


def _became_crlf(count: int, kind: str) -> list[str]:
    return [f"{count} line ends of {kind} alone became CRLF"] if count else []
