"""The dialogue as text for people: commands and replies, never the content.

The rule: it costs nothing until it is asked for. What was said is kept as it is and made into
lines only here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from mailqueue.mail.reply import Reply

MAX_TRANSCRIPT: Final = 16 * 1024
"""Octets of UTF-8 that a transcript may have; what is too much is left out in the middle."""

_MAX_LINE = 1000  # characters


def render(entries: Iterable[bytes | Reply | str]) -> str:
    """Return the dialogue, a line for each line that was said, at most `MAX_TRANSCRIPT` octets.

    Args:
        entries: in their order, the commands sent (octets, CRLF included, several at once if they
            went out so), the replies, and remarks of our own (text, shown in brackets).
    """
    lines: list[str] = []
    for entry in entries:
        match entry:
            case bytes():
                said = entry.decode("utf-8", "replace").removesuffix("\r\n")
                lines += [f"C: {line}" for line in said.split("\r\n")]
            case Reply():
                lines += [f"S: {line}" for line in entry.to_wire().split("\n")]
            case str():
                lines.append(f"[{entry}]")
    return "\n".join(_bounded([line[:_MAX_LINE] for line in lines]))


def _bounded(lines: list[str]) -> list[str]:
    sizes = [len(line.encode("utf-8", "replace")) + 1 for line in lines]
    if sum(sizes) <= MAX_TRANSCRIPT:
        return lines
    room = MAX_TRANSCRIPT // 2 - 100
    head = _fitting(sizes, room)
    tail = _fitting(sizes[::-1], room)
    left_out = len(lines) - head - tail
    return [*lines[:head], f"[{left_out} lines left out]", *lines[len(lines) - tail :]]


def _fitting(sizes: list[int], room: int) -> int:
    """Return how many of the first lines have room."""
    for count, size in enumerate(sizes):
        room -= size
        if room < 0:
            return count
    return len(sizes)
