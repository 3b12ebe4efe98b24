"""What the standards forbid in a message: every fault, with its place.

Only what RFC 5322 and MIME forbid a writer is a fault here, nothing that is merely unusual; it is
asked for by strict mode alone, and never changes the message.

RFC 5322 2.1.1 (lines), 2.2 and 3.6 (fields), RFC 6532 3.2 (UTF-8 in headers), RFC 2045 6.4 and
RFC 2046 5.1.1 (multipart).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice

from mailqueue.mail.defaults import addresses_in
from mailqueue.mail.entity import IDENTITY
from mailqueue.mail.folding import ADDRESSES
from mailqueue.mail.header import Field, Header, find_boundary, media_type
from mailqueue.mail.lines import MAX_LINE, lines_over
from mailqueue.mail.visible import visible

ONCE = (  # the second row is MIME's
    *(
        "date",
        "from",
        "sender",
        "reply-to",
        "to",
        "cc",
        "bcc",
        "message-id",
        "in-reply-to",
        "references",
        "subject",
    ),
    *("mime-version", "content-type", "content-transfer-encoding", "content-id", "content-description"),
)
"""Fields that may stand there once only (RFC 5322 3.6, RFC 2045 3)."""

_LISTED = 10
_MSG_ID = re.compile(rb"<[^\s<>@]+@[^\s<>@]+>")
_BLANK_FOLD = re.compile(rb"\r\n[ \t]+(?=\r\n|\Z)")
_MEDIA_TYPE = re.compile(r"[!#$%&'*+.^_`{|}~0-9a-z-]+/[!#$%&'*+.^_`{|}~0-9a-z-]+")
_BOUNDARY = re.compile(rb"[0-9A-Za-z'()+_,./:=? -]{0,69}[0-9A-Za-z'()+_,./:=?-]")


def strict_faults(block: bytes, header: Header, body: bytes, longest: int) -> Iterator[str]:
    """Yield a sentence for each fault of a message.

    Args:
        block: the header block as handed in, with its CRLFs.
        header: the fields of `block`.
        body: the body, CRLF at the ends of lines.
        longest: octets of the longest line of both; only when it is too long are lines looked at.
    """
    if not header.fields:
        yield "header line 1: not a header field, so there is no header"
    for field in header.fields:
        yield from _faults_of_line(field)
    if longest > MAX_LINE:
        yield from _long_lines("header", block)
        yield from _long_lines("body", body)
    yield from _faults_of_counts(header)
    for field in header.fields:
        yield from _faults_of_addresses(field, header)
        yield from _faults_of_value(field)
    yield from _faults_of_multipart(header, body)


def _faults_of_line(field: Field) -> Iterator[str]:
    place = f"header line {field.number}"
    before, colon, _ = field.raw.partition(b":")
    if not colon:
        kind = (
            "begins with white space and follows no field" if before[:1] in (b" ", b"\t") else "has no colon"
        )
        yield f"{place}: {kind}: {_shown(before)}"
    elif not field.name:
        yield f"{place}: a field name may have printable ASCII only: {_shown(before)}"
    elif before[-1:] in (b" ", b"\t", b"\n"):
        yield f"{place}: white space before the colon of {field.title}"
    if _BLANK_FOLD.search(field.raw):
        yield f"{place}: {field.title} is followed by a line of white space only"
    try:
        field.raw.decode("utf-8")
    except UnicodeDecodeError as error:
        yield f"{place}: octet 0x{field.raw[error.start]:02x} is not UTF-8"


def _long_lines(part: str, data: bytes) -> Iterator[str]:
    over = lines_over(data, MAX_LINE)
    for number, length in islice(over, _LISTED):
        yield f"{part} line {number}: {length} octets, and {MAX_LINE} are the most"
    more = sum(1 for _ in over)
    if more:
        yield f"{part}: {more} more lines of over {MAX_LINE} octets"


def _faults_of_counts(header: Header) -> Iterator[str]:
    if header.fields and not header.named("from"):
        yield "header: no From"
    for name in ONCE:
        fields = header.named(name)
        if len(fields) > 1:
            lines = " and ".join(str(field.number) for field in fields[:_LISTED])
            yield f"header lines {lines}: {fields[0].title} may stand there once only"


def _faults_of_addresses(field: Field, header: Header) -> Iterator[str]:
    name = field.name.removeprefix("resent-")
    if name not in ADDRESSES:
        return
    place = f"header line {field.number}: {field.title}"
    faults: list[str] = []
    found = addresses_in([field], faults)
    yield from faults
    if not found and not faults and name != "bcc" and b":" not in field.value:
        yield f"{place} has no address in it"
    if len(found) > 1 and name == "sender":
        yield f"{place} may have one address only"
    if len(found) > 1 and field.name == "from" and not header.named("sender"):
        yield f"{place} has {len(found)} addresses, and there is no Sender"


def _faults_of_value(field: Field) -> Iterator[str]:
    place = f"header line {field.number}: {field.title}"
    if field.name == "date" and not _is_date(field.text):
        yield f"{place} is not a date: {_shown(field.value)}"
    elif field.name == "message-id" and not _MSG_ID.search(field.value):
        yield f"{place} is not of the form <left@right>: {_shown(field.value)}"


def _is_date(text: str) -> bool:
    from email.utils import parsedate_to_datetime

    try:
        parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return False
    return True


def _faults_of_multipart(header: Header, body: bytes) -> Iterator[str]:
    field = header.first("content-type")
    if field is None:
        return
    place = f"header line {field.number}: {field.title}"
    kind = media_type(field.value)
    if not _MEDIA_TYPE.fullmatch(kind):
        yield f"{place} is not of the form type/subtype: {_shown(field.value)}"
    if not kind.startswith("multipart/"):
        return
    encoding = header.first("content-transfer-encoding")
    if encoding is not None and media_type(encoding.value) not in IDENTITY:
        yield f"header line {encoding.number}: the encoding of a multipart cannot be {_shown(encoding.value)}"
    span = find_boundary(field.value)
    boundary = field.value[slice(*span)] if span else b""
    if not boundary:
        yield f"{place} is {kind} without a boundary"
    elif not _BOUNDARY.fullmatch(boundary):
        yield f"{place} has a boundary that is not allowed: {_shown(boundary)}"
    elif not _stands_at_line(body, b"--" + boundary):
        yield f"body: the boundary {_shown(boundary)} of {kind} is not in it"
    elif not _stands_at_line(body, b"--" + boundary + b"--"):
        yield f"body: the last part of {kind} is not closed by --{visible(boundary.decode('ascii'))}--"


def _stands_at_line(body: bytes, line: bytes) -> bool:
    return body.startswith(line) or b"\r\n" + line in body


def _shown(octets: bytes) -> str:
    text = visible(octets[:60].decode("utf-8", "backslashreplace"))
    return f"{text!r}..." if len(octets) > 60 else repr(text)
