"""Content becomes what goes between DATA and its reply.

The rule: nothing in the content can end it. Every line end goes out as CRLF, so that a receiver
that takes a lone CR or LF for a line end sees the same lines as one that does not, and every
line that begins with a dot gets one more.

RFC 5321 4.5.2 (transparency), 2.3.8 (no bare CR or LF).
"""

from __future__ import annotations

import re

_LINE_END = re.compile(rb"\r\n|\r|\n")


class DotStuffing:
    """Stuffs one content, handed in as chunks of any size."""

    __slots__ = ("_at_line_start", "_held_cr")

    def __init__(self) -> None:
        self._at_line_start = True
        self._held_cr = False  # a CR ended the last chunk: whether LF follows is not known yet

    def feed(self, chunk: bytes) -> bytes:
        """Return what to send for `chunk`."""
        if self._held_cr:
            chunk = b"\r" + chunk
        self._held_cr = chunk.endswith(b"\r")
        if self._held_cr:
            chunk = chunk[:-1]
        if not chunk:
            return b""
        line_ends = chunk.count(b"\r\n")
        if chunk.count(b"\n") != line_ends or chunk.count(b"\r") != line_ends:
            chunk = _LINE_END.sub(b"\r\n", chunk)
        stuffed = chunk.replace(b"\r\n.", b"\r\n..")
        if self._at_line_start and chunk.startswith(b"."):
            stuffed = b"." + stuffed
        self._at_line_start = chunk.endswith(b"\r\n")
        return stuffed

    def finish(self) -> bytes:
        """Return what ends the content: the line end where it is missing, and the final dot."""
        return b".\r\n" if self._at_line_start and not self._held_cr else b"\r\n.\r\n"
