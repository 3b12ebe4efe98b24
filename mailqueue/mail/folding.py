"""Header fields on lines that are short enough.

The rule: a field means the same after it: lines are cut before white space that is there, or where
white space means nothing.

RFC 5322 2.1.1 (lines), 2.2.3 (folding), 3.4 (address lists).
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from mailqueue.mail.lines import MAX_LINE

ADDRESSES = frozenset({"from", "sender", "reply-to", "to", "cc", "bcc"})
"""Fields of addresses, without the Resent- before them (RFC 5322 3.6.2, 3.6.3)."""

_WIDTH = 78  # RFC 5322 2.1.1: lines should not be longer
_WORD = re.compile(rb"[ \t]*[^ \t]+")
_BLANK_LINES = re.compile(rb"(?:\r\n[ \t]+)+(?=\r\n|\Z)")
_COMMA = re.compile(rb'"(?:[^"\\]|\\.)*+"|\([^()]*+\)|<[^<>]*+>|,(?=[^ \t\r\n])', re.DOTALL)
_IDENTIFIERS = frozenset({"references", "in-reply-to"})


def without_blank_lines(raw: bytes) -> bytes:
    """Return a field without those of its lines that are white space only (RFC 5322 3.2.2)."""
    return _BLANK_LINES.sub(b"", raw)


def fold(name: str, raw: bytes) -> bytes | None:
    """Return a field with its lines of over 998 octets folded.

    Args:
        name: in lower case.
        raw: the octets of the field, without the CRLF at its end.

    Returns:
        None where there is no white space to fold at.
    """
    if name.removeprefix("resent-") in ADDRESSES:
        raw = _COMMA.sub(lambda found: b", " if found[0] == b"," else found[0], raw)
    elif name in _IDENTIFIERS:
        raw = raw.replace(b"><", b"> <")
    lines = raw.split(b"\r\n")
    lines = [each for line in lines for each in (_lines(line) if len(line) > MAX_LINE else (line,))]
    return None if any(len(line) > MAX_LINE for line in lines) else b"\r\n".join(lines)


def refold(raw: bytes) -> bytes:
    """Return an unfolded field with its lines cut at 78 octets, where white space allows it."""
    return b"\r\n".join(_lines(raw))


def _words(line: bytes) -> list[bytes]:
    """Cut before each run of white space; one at the end belongs to the last word."""
    words: list[bytes] = _WORD.findall(line)
    if words:
        words[-1] += line[sum(map(len, words)) :]
    return words or [line]


def _lines(whole: bytes) -> Iterable[bytes]:
    words = _words(whole)
    line = words[0]
    for word in words[1:]:
        limit = MAX_LINE if line is words[0] and line.endswith(b":") else _WIDTH
        if len(line) + len(word) <= limit:
            line += word
        else:
            yield line
            line = word
    yield line
