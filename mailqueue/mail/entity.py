"""A message or a part of one, as octets: its type and encoding, its parts, and its MIME fields set anew.

The rule: what is put together again is what was cut, octet for octet.

RFC 2045 5 and 6 (fields), RFC 2046 5.1 (multipart and its delimiter lines).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from mailqueue.mail.header import Header, find_boundary, media_type

IDENTITY = frozenset({"", "7bit", "8bit", "binary"})
"""Transfer encodings that leave a body as it is; '' where none is named (RFC 2045 6.1)."""

_QUOTED_PAIR = re.compile(rb"\\(.)")


class Piece(NamedTuple):
    """A delimiter line of a multipart, and what follows it."""

    delimiter: bytes
    """With the CRLF before it, without one at its end; empty before the first."""
    text: bytes
    """Up to the next delimiter: a CRLF and the part; empty where another delimiter follows at once."""
    is_part: bool
    """False: what stands before or after all parts, which nobody is shown."""


class Entity:
    """A message, or a part of one.

    Args:
        block: its header block, with the CRLF of each line, without the empty line.
        body: what follows.
        default: its type where the header names none (RFC 2045 5.2, RFC 2046 5.1.5).

    Attributes:
        header: its fields.
        type: the media type in lower case.
        encoding: the transfer encoding in lower case; '' where none is named.
    """

    __slots__ = ("block", "body", "encoding", "header", "type")

    def __init__(self, block: bytes, body: bytes, default: str = "text/plain") -> None:
        self.block = block
        self.body = body
        self.header = Header(block)
        kind = self.header.first("content-type")
        encoding = self.header.first("content-transfer-encoding")
        self.type = media_type(kind.value) if kind else default
        self.encoding = media_type(encoding.value) if encoding else ""

    @property
    def doubt(self) -> str | None:
        """Why readers may not agree on what it is. None: they do."""
        if self.header.named(""):
            return "its header has a line that is no field"
        for name in ("content-type", "content-transfer-encoding"):
            fields = self.header.named(name)
            if len({field.value for field in fields}) > 1:
                return f"it has {fields[0].title} twice"
        return None

    def pieces(self) -> list[Piece]:
        """Return the body of a multipart in pieces; only one where there is no part in it."""
        boundary = self._boundary()
        found, delimiter, start, is_part = [], b"", 0, False
        for begin, end, closes in _delimiters(self.body, b"--" + boundary) if boundary else ():
            found.append(Piece(delimiter, self.body[start:begin], is_part))
            delimiter, start, is_part = self.body[begin:end], end, not closes
        return [*found, Piece(delimiter, self.body[start:], is_part)]

    def _boundary(self) -> bytes:
        field = self.header.first("content-type")
        span = find_boundary(field.value) if field and self.type.startswith("multipart/") else None
        return _QUOTED_PAIR.sub(rb"\1", field.value[slice(*span)]).rstrip(b" ") if field and span else b""

    def block_with(self, fields: Mapping[str, str]) -> bytes:
        """Return the header block with these fields: changed where they stand, else added at its end."""
        wanted = {name.lower(): f"{name}: {value}".encode() for name, value in fields.items()}
        lines = [wanted.get(field.name, field.raw) for field in self.header.fields]
        lines += [line for name, line in wanted.items() if not self.header.named(name)]
        return b"".join(line + b"\r\n" for line in lines)


def _delimiters(body: bytes, mark: bytes) -> Iterator[tuple[int, int, bool]]:
    """Yield where each delimiter begins and ends, and whether it is the last."""
    at = body.find(mark)
    while at >= 0:
        end = body.find(b"\r\n", at)
        end = len(body) if end < 0 else end
        rest = body[at + len(mark) : end].rstrip(b" \t")
        if rest in (b"", b"--") and (at == 0 or body[at - 2 : at] == b"\r\n"):
            yield max(at - 2, 0), end, rest == b"--"
            if rest:
                return
        at = body.find(mark, end)
