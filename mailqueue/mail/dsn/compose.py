"""Compose a delivery notice as the bytes of a message.

No line is longer than 998 octets, every line ends in CRLF, and each part has a transfer encoding
that its type may have. The notice is all ASCII unless an address, a diagnostic or the returned
message is not: then those parts are 8-bit, and the notice needs 8BITMIME to travel (RFC 6152);
SMTPUTF8 (RFC 6531) only if its own header has UTF-8, for a recipient whose address has it.
`mail.content.prepare` finds both from the bytes.

RFC 3464 2, RFC 6522 3 and 4, RFC 6533 4, RFC 3461 6, RFC 3834 3 and 5, RFC 2046 5.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator
from email.header import Header

from mailqueue.mail.dates import header_date
from mailqueue.mail.dsn.describe import describe, headline
from mailqueue.mail.dsn.draft import LONGEST_LINE, Draft, Returned
from mailqueue.mail.dsn.writing import write
from mailqueue.mail.fields import clean, fold
from mailqueue.mail.header import cut
from mailqueue.mail.lines import longest, to_crlf

_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=?-]{1,60}")
_MESSAGE_ID = re.compile(r"<[^\s<>\x00-\x20\x7f-\x9f]{1,900}>")
_ADDRESS = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,900}")
_ENCODINGS = {True: "7bit", False: "8bit"}


def compose(draft: Draft) -> bytes:
    """Return the notice, to be sent with the null return path (`ENVELOPE_SENDER`).

    Whatever is in the report or the original, a notice comes out. Where the boundary happens to
    stand in a part, a number is added to it.

    Raises:
        ValueError: what the caller chose is wrong: the report has no Reporting-MTA, `to` is empty
            (nobody is told of the fate of a message with the null return path), `sender`, `to` or
            `message_id` has characters that a header cannot carry, or the boundary others than allowed.
    """
    parts = [_text_part(draft), _status_part(draft), *_original_part(draft)]
    boundary = _free_boundary(draft.boundary, parts)
    encoding = _ENCODINGS[all(part.isascii() for part in parts)]
    lines = [
        *_header(draft),
        "MIME-Version: 1.0",
        "Content-Type: multipart/report; report-type=delivery-status;",
        f' boundary="{boundary}"',
        f"Content-Transfer-Encoding: {encoding}",
        "",
        "",
    ]
    delimiter = f"--{boundary}".encode()
    body = b"".join(b"%s\r\n%s\r\n" % (delimiter, part) for part in parts)
    return "\r\n".join(lines).encode() + body + delimiter + b"--\r\n"


def _header(draft: Draft) -> Iterator[str]:
    yield f"From: Mail Delivery System <{_checked(draft.sender, _ADDRESS, 'sender')}>"
    yield f"To: <{_checked(draft.to, _ADDRESS, 'to')}>"
    yield from _subject(clean(headline(draft) if draft.subject is None else draft.subject))
    yield f"Date: {header_date(draft.date)}"
    yield f"Message-ID: {_checked(draft.message_id, _MESSAGE_ID, 'message_id')}"
    if _MESSAGE_ID.fullmatch(draft.original_message_id or ""):
        yield f"In-Reply-To: {draft.original_message_id}"
        yield f"References: {draft.original_message_id}"
    yield "Auto-Submitted: auto-replied"


def _subject(text: str) -> list[str]:
    if text.isascii() and "=?" not in text:
        return fold("Subject", text)
    return f"Subject: {Header(text, 'utf-8', header_name='Subject').encode()}".split("\n")


def _text_part(draft: Draft) -> bytes:
    text = describe(draft) if draft.text is None else draft.text
    body = to_crlf(text.encode("utf-8", "backslashreplace")).data
    if body.isascii() and b"\0" not in body and longest(body) <= LONGEST_LINE:
        return _part("Notification", "text/plain; charset=us-ascii", "7bit", body)
    return _part("Notification", "text/plain; charset=utf-8", "quoted-printable", _quoted_printable(body))


def _status_part(draft: Draft) -> bytes:
    body = "".join(f"{line}\r\n" for line in write(draft.report)).encode()
    kind = "message/delivery-status" if body.isascii() else "message/global-delivery-status"
    return _part("Delivery report", kind, _ENCODINGS[body.isascii()], body)


def _original_part(draft: Draft) -> Iterator[bytes]:
    """Yield the part that returns the original, or its header; nothing if there is none.

    message/rfc822 may only be 7bit or 8bit (RFC 2046 5.2.1), so `Draft.returned` lets pass only what
    is; headers may be quoted-printable (RFC 6522 4, RFC 6533 6.3).
    """
    body, returned = draft.enclosure, draft.returned
    if returned is Returned.NOTHING:
        return
    block = cut(body)[0] if returned is Returned.FULL else body
    international = not block.isascii() and _is_utf8(block)
    if returned is Returned.FULL:
        kind = "message/global" if international else "message/rfc822"
        yield _part("Undelivered message", kind, _ENCODINGS[body.isascii()], body)
        return
    kind = "message/global-headers" if international else "text/rfc822-headers"
    if b"\0" in body or longest(body) > LONGEST_LINE or not (international or body.isascii()):
        yield _part("Header of the message", kind, "quoted-printable", _quoted_printable(body))
    else:
        yield _part("Header of the message", kind, _ENCODINGS[body.isascii()], body)


def _part(description: str, kind: str, encoding: str, body: bytes) -> bytes:
    header = (
        f"Content-Description: {description}\r\nContent-Type: {kind}\r\n"
        f"Content-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    return header.encode() + body


def _quoted_printable(body: bytes) -> bytes:
    encoded = binascii.b2a_qp(body.replace(b"\r\n", b"\n"), istext=True)
    return encoded.replace(b"\n", b"\r\n")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _free_boundary(wanted: str, parts: list[bytes]) -> str:
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
