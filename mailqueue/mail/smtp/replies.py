"""Octets of a server become replies.

The rule: a reply is complete at the end of its last line and not before, and none may grow
beyond 64 KiB, however slowly it comes.

RFC 5321 4.2 and 4.2.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from mailqueue.mail.reply import Reply

MAX_REPLY: Final = 64 * 1024
"""Octets that one reply may have, all its lines and line ends together."""


_ORDINARY = 80  # octets


class MalformedReply(Exception):
    """What a server sent is no reply; the text says why, in one line."""


class ReplyReader:
    """Cuts a stream into replies. After a `MalformedReply` it must not be used again."""

    __slots__ = ("_code", "_lines", "_size", "_tail")

    def __init__(self) -> None:
        self._tail = bytearray()  # the line that has begun
        self._lines: list[bytes] = []  # the texts of the lines of the reply that has begun
        self._code = 0  # of its last line
        self._size = 0  # of these lines, in octets

    @property
    def pending(self) -> bool:
        """Whether part of a reply is here, and the rest is not."""
        return bool(self._tail or self._lines)

    def feed(self, data: bytes) -> Iterator[Reply]:
        """Yield each reply that `data` completes.

        A line ends at LF, with or without CR before it. Where the lines of a reply differ in
        their codes, the last one counts (RFC 5321 4.2.1), if they agree in the first digit.

        Raises:
            MalformedReply: a line without a code from 200 to 599 and a space or hyphen after it;
                lines of one reply that differ in the first digit; a reply over 64 KiB.
        """
        if b"\n" not in data:
            self._tail += data
        else:
            if self._tail:
                data = bytes(self._tail) + data
                self._tail.clear()
            lines = data.split(b"\n")
            self._tail += lines.pop()
            for line in lines:
                reply = _ordinary(line) if len(line) <= _ORDINARY and not self._lines else None
                if reply is None:
                    reply = self._add(line)
                if reply is not None:
                    yield reply
        if self._size + len(self._tail) > MAX_REPLY:
            raise MalformedReply(f"a reply of more than {MAX_REPLY} octets")

    def _add(self, line: bytes) -> Reply | None:
        self._size += len(line) + 1
        if self._size > MAX_REPLY:
            raise MalformedReply(f"a reply of more than {MAX_REPLY} octets")
        code, more, text = _parse(line)
        if self._lines and code // 100 != self._code // 100:
            raise MalformedReply(f"a reply with both {self._code} and {code}")
        if not more and not self._lines:
            self._size = 0
            return Reply.from_lines(code, (text,))
        self._lines.append(text)
        self._code = code
        if more:
            return None
        reply = Reply.from_lines(code, self._lines)
        self._lines = []
        self._size = 0
        return reply


@lru_cache(maxsize=512)
def _ordinary(line: bytes) -> Reply | None:
    """Return the reply that `line` is all of, from memory if it was met before; None if it is not one.

    Nearly all that servers say is one of a few short lines.
    """
    try:
        code, more, text = _parse(line)
    except MalformedReply:
        return None
    return None if more else Reply.from_lines(code, (text,))


def _parse(line: bytes) -> tuple[int, bool, bytes]:
    """Return code, whether lines follow, and the text."""
    if line[-1:] == b"\r":
        line = line[:-1]
    digits, separator = line[:3], line[3:4]
    if len(digits) < 3 or not digits.isdigit() or not b"2" <= digits < b"6" or separator not in b"- ":
        raise MalformedReply(f"not a reply: {line[:80]!r}")
    return int(digits), separator == b"-", line[4:]
