"""Content becomes what goes between DATA and its reply, or into the chunks of BDAT.

The rule: nothing in the content can end it. Every line end goes out as CRLF, so that a receiver
that takes a lone CR or LF for a line end sees the same lines as one that does not, and after DATA
every line that begins with a dot gets one more. Either way the same message arrives.

RFC 5321 4.5.2 (transparency), 2.3.8 (no bare CR or LF), RFC 3030 2 (BDAT).
"""

from __future__ import annotations

import re

_LINE_END = re.compile(rb"\r\n|\r|\n")


class CleanLines:
    """Makes every line end of one content CRLF, handed in as chunks of any size."""

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
        self._at_line_start = chunk.endswith(b"\r\n")
        return chunk

    def finish(self) -> bytes:
        """Return what ends the content: the line end where it is missing."""
        return b"" if self._at_line_start and not self._held_cr else b"\r\n"


class DotStuffing(CleanLines):
    """Makes of one content what follows DATA."""

    __slots__ = ()

    def feed(self, chunk: bytes) -> bytes:
        """Return what to send for `chunk`."""
        at_line_start = self._at_line_start
        lines = super().feed(chunk)
        stuffed = lines.replace(b"\r\n.", b"\r\n..")
        return b"." + stuffed if at_line_start and lines.startswith(b".") else stuffed

    def finish(self) -> bytes:
        """Return what ends the content: the line end where it is missing, and the final dot."""
        return super().finish() + b".\r\n"


class Chunks(CleanLines):
    """Makes of one content the chunks of BDAT: its last line end goes into the last one.

    So the last chunk is small, whatever the content, and not empty, which old servers do not take.
    """

    __slots__ = ("_held",)

    def __init__(self) -> None:
        super().__init__()
        self._held = b""  # a line end that may be the last

    def feed(self, chunk: bytes) -> bytes:
        """Return the octets of the next chunk; there may be none."""
        lines = self._held + super().feed(chunk)
        self._held = b"\r\n" if lines.endswith(b"\r\n") else b""
        return lines.removesuffix(b"\r\n")

    def finish(self) -> bytes:
        """Return the octets of the last chunk: a line end; none where there is no content."""
        return self._held + super().finish()
