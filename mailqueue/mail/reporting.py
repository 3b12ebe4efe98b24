"""Put a report together as the bytes of a message: what notices and complaints have in common.

No line is longer than 998 octets, every line ends in CRLF, and each part has a transfer encoding
that its type may have.

RFC 6522 3 and 4 (multipart/report), RFC 6533 6 (its UTF-8 kinds), RFC 2046 5 (parts).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterable, Iterator, Sequence
from email.header import Header

from mailqueue.mail.dates import header_date
from mailqueue.mail.fields import fold
from mailqueue.mail.header import cut
from mailqueue.mail.lines import longest, to_crlf

LONGEST_LINE = 998
"""Octets of a line without its CRLF (RFC 5322 2.1.1)."""

_MOST_HEADER = 128 * 1024
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=?-]{1,60}")
_MESSAGE_ID = re.compile(r"<[^\s<>\x00-\x20\x7f-\x9f]{1,900}>")
_ADDRESS = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,900}")
_ENCODINGS = {True: "7bit", False: "8bit"}


def header(*, author: str, sender: str, to: str, subject: str, date: int, message_id: str) -> Iterator[str]:
    """Yield the lines of the fields that every report begins with.

    Args:
        author: the name that stands before the address in From.
        sender: the address in From.
        to: the address in To.
        subject: for people, already clean.
        date: in microseconds UTC.
        message_id: with its angle brackets.

    Raises:
        ValueError: an address or the Message-ID has characters that a header cannot carry.
    """
    yield f"From: {author} <{_checked(sender, _ADDRESS, 'sender')}>"
    yield f"To: <{_checked(to, _ADDRESS, 'to')}>"
    yield from _subject(subject)
    yield f"Date: {header_date(date)}"
    yield f"Message-ID: {_checked(message_id, _MESSAGE_ID, 'message_id')}"


def is_message_id(text: str | None) -> bool:
    """Return whether `text` is a Message-ID that a header can carry, with its brackets."""
    return bool(_MESSAGE_ID.fullmatch(text or ""))


def assemble(lines: Iterable[str], kind: str, boundary: str, parts: Sequence[bytes]) -> bytes:
    """Return the message: its header, with MIME fields added, and its parts.

    Args:
        lines: of the header, without their ends.
        kind: the report-type.
        boundary: what separates the parts; a number is added where it happens to stand in one.
        parts: as `part` makes them.

    Raises:
        ValueError: the boundary has others than the allowed characters.
    """
    free = _free_boundary(boundary, parts)
    head = [
        *lines,
        "MIME-Version: 1.0",
        f"Content-Type: multipart/report; report-type={kind};",
        f' boundary="{free}"',
        f"Content-Transfer-Encoding: {_ENCODINGS[all(part.isascii() for part in parts)]}",
        "",
        "",
    ]
    delimiter = f"--{free}".encode()
    body = b"".join(b"%s\r\n%s\r\n" % (delimiter, part) for part in parts)
    return "\r\n".join(head).encode() + body + delimiter + b"--\r\n"


def part(description: str, kind: str, body: bytes, encoding: str | None = None) -> bytes:
    """Return a part of media type `kind`, 7bit or 8bit unless its body is already encoded."""
    head = (
        f"Content-Description: {description}\r\nContent-Type: {kind}\r\n"
        f"Content-Transfer-Encoding: {encoding or _ENCODINGS[body.isascii()]}\r\n\r\n"
    )
    return head.encode() + body


def text_part(text: str) -> bytes:
    """Return the part for people, lines ended by LF in `text`."""
    body = to_crlf(text.encode("utf-8", "backslashreplace")).data
    if body.isascii() and b"\0" not in body and longest(body) <= LONGEST_LINE:
        return part("Notification", "text/plain; charset=us-ascii", body)
    return part("Notification", "text/plain; charset=utf-8", _quoted_printable(body), "quoted-printable")


def original_part(body: bytes, *, whole: bool, name: str) -> bytes:
    """Return the part for an original, as `whole_original` or `original_header` gives it.

    message/rfc822 may only be 7bit or 8bit (RFC 2046 5.2.1), so only what `fits` may be returned whole;
    headers may be quoted-printable (RFC 6522 4, RFC 6533 6.3).
    """
    block = cut(body)[0] if whole else body
    international = not block.isascii() and _is_utf8(block)
    if whole:
        return part(f"{name} message", "message/global" if international else "message/rfc822", body)
    kind = "message/global-headers" if international else "text/rfc822-headers"
    description = "Header of the message"
    if b"\0" in body or longest(body) > LONGEST_LINE or not (international or body.isascii()):
        return part(description, kind, _quoted_printable(body), "quoted-printable")
    return part(description, kind, body)


def whole_original(original: bytes) -> bytes:
    """Return a message with CRLF at its line ends."""
    return to_crlf(original).data


def original_header(original: bytes) -> bytes:
    """Return the header block of a message with CRLF at its line ends."""
    return cut(to_crlf(original[:_MOST_HEADER]).data)[0]


def fits(original: bytes) -> bool:
    """Return whether a message can travel whole inside of another: no NUL, no line over 998 octets."""
    return b"\0" not in original and longest(whole_original(original)) <= LONGEST_LINE


def _subject(text: str) -> list[str]:
    if text.isascii() and "=?" not in text:
        return fold("Subject", text)
    return f"Subject: {Header(text, 'utf-8', header_name='Subject').encode()}".split("\n")


def _quoted_printable(body: bytes) -> bytes:
    encoded = binascii.b2a_qp(body.replace(b"\r\n", b"\n"), istext=True)
    return encoded.replace(b"\n", b"\r\n")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _free_boundary(wanted: str, parts: Sequence[bytes]) -> str:
    boundary = _checked(wanted, _BOUNDARY, "boundary")
    number = 0
    while any(f"--{boundary}".encode() in part for part in parts):
        number += 1
        boundary = f"{wanted}.{number}"
    return boundary


def _checked(text: str, pattern: re.Pattern[str], what: str) -> str:
    if not pattern.fullmatch(text):
        raise ValueError(f"{what} is {text[:100]!r}, which a notice cannot carry")
    return text
