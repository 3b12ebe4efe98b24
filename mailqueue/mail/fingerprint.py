"""Whether two submissions are the same: a digest that does not see what is made anew each time.

Date and Message-ID of the header are left out, and the boundaries of multiparts are replaced by
their ordinals; everything else counts, so a text that only looks like a boundary does too. Each
piece goes into the digest with its kind and length, so that no two sequences of pieces are alike.

RFC 2046 5.1 (multipart and its delimiter lines), RFC 5322 3.6 (Date and Message-ID).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from mailqueue.mail.header import Field, Header, cut, find_boundary, media_type

_LEFT_OUT = {"date", "message-id"}
_FOLD = re.compile(rb"\r\n[ \t]+")


class _Piece(NamedTuple):
    kind: bytes
    octets: bytes | memoryview


def fingerprint(header: bytes, body: bytes, parts: Iterable[str]) -> bytes:
    """Return the SHA-256 digest of a submission.

    Args:
        header: the header block, CRLF at each line's end; the empty line after it is optional.
        body: the body, CRLF at each line's end.
        parts: envelope, options and whatever else makes two submissions differ, in a fixed order.
    """
    digest = hashlib.sha256()
    given = (_Piece(b"part", part.encode("utf-8", "surrogatepass")) for part in parts)
    for piece in chain(given, _Walk(body).pieces(cut(header)[0])):
        digest.update(b"%s %d\0" % (piece.kind, len(piece.octets)))
        digest.update(piece.octets)
    return digest.digest()


class _Walk:
    """Goes once over a body, and knows the boundaries that were declared so far, by their ordinals."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._ordinals: dict[bytes, int] = {}
        self._last_empty_line = body.rfind(b"\r\n\r\n")
        self._at = 0
        """Where that begins which no piece has had yet."""

    def pieces(self, block: bytes) -> Iterator[_Piece]:
        """Yield the pieces of a message: the fields of its header `block`, then those of the body."""
        header = Header(block)
        for field in header.fields:
            if field.name not in _LEFT_OUT:
                yield self._field(field)
        if _holds_message(header):
            yield from self._part_header()
        search_from = 0
        while self._ordinals and (found := self._next_line(search_from)):
            start, end = found
            search_from = end
            line = self._body[start + 2 : end]
            delimiter = self._delimiter(line)
            if delimiter is not None:
                yield self._text_until(start)
                self._at = end
                yield _Piece(b"delimiter", delimiter)
                if b"--" not in delimiter:
                    self._at = min(end + 2, len(self._body))
                    yield from self._part_header()
                    search_from = max(self._at - 2, end)
        yield self._text_until(len(self._body))

    def _next_line(self, at: int) -> tuple[int, int] | None:
        """Return start and end of the next line that begins with two hyphens, without its CRLF."""
        if at == 0 and self._body.startswith(b"--"):
            start = 0
        else:
            start = self._body.find(b"\r\n--", at) + 2
            if start < 2:
                return None
        end = self._body.find(b"\r\n", start)
        return start, end if end >= 0 else len(self._body)

    def _delimiter(self, line: bytes) -> bytes | None:
        """Return the delimiter line with its boundary's ordinal; None if no boundary stands there."""
        name = line.rstrip(b" \t")
        for boundary, close in ((name, b""), (name.removesuffix(b"--"), b"--")):
            if boundary in self._ordinals:
                return b"%d%s%s" % (self._ordinals[boundary], close, line[len(name) :])
        return None

    def _text_until(self, end: int) -> _Piece:
        return _Piece(b"text", memoryview(self._body)[self._at : end])

    def _part_header(self) -> Iterator[_Piece]:
        """Yield the fields of the part that begins here; of the message in it too, if it is one."""
        goes_on = True
        while goes_on:
            end = self._end_of_header()
            if end is None:
                return
            header = Header(self._body[self._at : end])
            for field in header.fields:
                yield self._field(field)
            yield _Piece(b"end", b"")
            self._at = end + 2
            goes_on = _holds_message(header)

    def _end_of_header(self) -> int | None:
        """Return where the empty line stands that ends the header which begins here, None if none does."""
        if self._body.startswith(b"\r\n", self._at):
            return self._at
        if self._at > self._last_empty_line:
            return None
        return self._body.find(b"\r\n\r\n", self._at) + 2

    def _field(self, field: Field) -> _Piece:
        if field.name != "content-type" or not media_type(field.value).startswith("multipart/"):
            return _Piece(b"field", field.raw)
        raw = _FOLD.sub(b" ", field.raw)
        span = find_boundary(raw)
        if span is None:
            return _Piece(b"field", field.raw)
        boundary = raw[slice(*span)]
        ordinal = self._ordinals.setdefault(boundary, len(self._ordinals))
        return _Piece(b"multipart", b"%s\0%d\0%s" % (raw[: span[0]], ordinal, raw[span[1] :]))


def _holds_message(header: Header) -> bool:
    kind = header.first("content-type")
    return kind is not None and media_type(kind.value) in ("message/rfc822", "message/global")
