r"""Line ends of a message: every one becomes CRLF, and lines are measured.

Nothing here splits a large message into a list of lines: it counts, searches and replaces whole,
or goes in pieces of a mebibyte.

RFC 5321 2.3.8 (CR and LF only together), RFC 5322 2.1.1 (998 octets a line).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

MAX_LINE = 998
"""Octets of a line without its CRLF (RFC 5322 2.1.1)."""

_PIECE = 1 << 20
_BARE_CR = re.compile(rb"\r(?!\n)")
_LINE_END = re.compile(rb"\r\n|\r|\n")


class LineEnds(NamedTuple):
    """What `to_crlf` found: the octets it returned, and how many of each it changed."""

    data: bytes
    bare_cr: int
    bare_lf: int


def to_crlf(data: bytes) -> LineEnds:
    """Return `data` with a CRLF at the end of each line, whether that was CRLF, LF or a CR alone."""
    lf = data.count(b"\n")
    if b"\r" not in data:
        return LineEnds(data.replace(b"\n", b"\r\n") if lf else data, 0, lf)
    crlf = data.count(b"\r\n")
    bare_cr, bare_lf = data.count(b"\r") - crlf, lf - crlf
    if not bare_cr and not bare_lf:
        return LineEnds(data, 0, 0)
    data = data.replace(b"\r\n", b"\n")
    if bare_cr:
        data = data.replace(b"\r", b"\n")
    return LineEnds(data.replace(b"\n", b"\r\n"), bare_cr, bare_lf)


def longest(data: bytes) -> int:
    """Return the octets of the longest line of `data`, whose lines end with CRLF, without the CRLF."""
    if len(data) <= _PIECE:
        return max(map(len, data.split(b"\r\n")))
    return max(max(map(len, piece.split(b"\r\n"))) for piece in _pieces(data))


def lines_over(data: bytes, octets: int) -> Iterator[tuple[int, int]]:
    """Yield number (from 1) and length of each line of CRLF-ended `data` that is longer than `octets`."""
    number = 1
    for piece in _pieces(data):
        lines = piece.removesuffix(b"\r\n").split(b"\r\n")
        for line in lines:
            if len(line) > octets:
                yield number, len(line)
            number += 1


def line_of(data: bytes, at: int) -> int:
    """Return the number, from 1, of the line that holds offset `at`, whatever ends the lines."""
    return 1 + sum(1 for _ in _LINE_END.finditer(data, 0, at))


def first_bare_cr(data: bytes) -> int:
    """Return the offset of the first CR that no LF follows, or -1."""
    found = _BARE_CR.search(data)
    return found.start() if found else -1


def _pieces(data: bytes) -> Iterator[bytes]:
    """Cut at line ends, about a mebibyte at a time; small data is not copied."""
    if len(data) <= _PIECE:
        yield data
        return
    start = 0
    while start < len(data):
        end = data.rfind(b"\r\n", start, start + _PIECE)
        if end < 0:
            end = data.find(b"\r\n", start)
        stop = end + 2 if end >= 0 else len(data)
        yield data[start:stop]
        start = stop
