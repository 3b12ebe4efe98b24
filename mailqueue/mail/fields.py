"""Header-like fields as text: made fit to be carried, folded, and read back.

A text that `clean` (or `clean_reply`) returned comes back the same from `fold` and `unfold`
(`unfold_reply`), and makes no line longer than 998 octets.

RFC 3464 2.1 (the fields of a report), RFC 5322 2.1.1 and 2.2.3 (length of lines, folding),
RFC 3461 9.2 (how an SMTP reply of several lines is written in one field).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from mailqueue.mail.visible import visible

LONGEST_PIECE = 900
"""Octets that may stand without a place to fold: with a field's name they fit into 998."""

_WIDTH = 78
_BREAKS = re.compile(r"[\t\r\n]+")
_SINGLE_SPACE = re.compile(r"(?<! ) (?! )")
_PIECE = 200
_REPLY_LINE = re.compile(r"([0-9]{3})(?:[ -]|$)")
_SMTP_VALUE = re.compile(r"\s*smtp\s*;\s*([0-9]{3})(?:[ \n-]|$)", re.IGNORECASE)
_NAME = re.compile(r"([!-9;-~]+)[ \t]*:")
_OF_MIME = frozenset(
    f"content-{name}"
    for name in ("type", "transfer-encoding", "disposition", "description", "id", "language")
)


class Field(NamedTuple):
    """One field as it was read.

    Attributes:
        name: as it was written, in any case.
        raw: what follows the colon; a fold is a newline and the white space after it.
    """

    name: str
    raw: str


def clean(text: str, longest: int = LONGEST_PIECE) -> str:
    r"""Return `text` as a field of one line can carry it; what is clean already stays as it is.

    Line breaks and tabs become a space, characters that are not seen or turn the direction of
    writing become an escape (`\x07`, `\u202e`), white space at the ends goes, and a run of more
    than `longest` octets without a place to fold gets spaces.
    """
    text = visible(_BREAKS.sub(" ", text)).strip(" ")
    if len(text) * 4 <= longest:
        return text
    return " ".join(short for piece in _SINGLE_SPACE.split(text) for short in _shorten(piece, longest))


def clean_reply(text: str) -> str:
    r"""Return an SMTP reply as Diagnostic-Code can carry it: lines joined by `\n`, each `clean`.

    A line that does not begin with the code of the first is joined to the one before it.
    """
    lines = [line for line in (clean(line) for line in re.split(r"[\r\n]+", text)) if line]
    code = _REPLY_LINE.match(lines[0]) if lines else None
    parts: list[list[str]] = []
    for line in lines:
        found = _REPLY_LINE.match(line)
        if not parts or (code and found and found[1] == code[1]):
            parts.append([])
        parts[-1].append(line)
    return "\n".join(clean(" ".join(part)) for part in parts)


def fold(name: str, value: str) -> list[str]:
    r"""Return the lines, without their ends, of a field whose value is clean; `\n` begins a line of a reply.

    A reply's line begins with one space, as RFC 3461 9.2 shows it. A fold inside a line has one
    space too, which is the one that stood there; it has two where what follows would look like a
    line of a reply.
    """
    lines: list[str] = []
    line = f"{name}:"
    for number, part in enumerate(value.split("\n") if value else ()):
        first, *rest = _SINGLE_SPACE.split(part)
        if number:
            lines.append(line)
            line = ""
        line += f" {first}"
        for piece in rest:
            if len(f"{line} {piece}".encode()) <= _WIDTH:
                line += f" {piece}"
            else:
                lines.append(line)
                line = f"  {piece}" if _REPLY_LINE.match(piece) else f" {piece}"
    return [*lines, line]


def unfold(raw: str) -> str:
    """Return a value on one line: each fold, with the white space around it, is one space."""
    return " ".join(line.strip(" \t") for line in raw.split("\n")).strip(" ")


def unfold_reply(raw: str) -> str:
    r"""Return the value of Diagnostic-Code, with `\n` where a line of the SMTP reply began."""
    found = _SMTP_VALUE.match(raw)
    if found is None:
        return unfold(raw)
    lines = raw.split("\n")
    reply = [[lines[0]]]
    for line in lines[1:]:
        begins = _REPLY_LINE.match(line, 1)
        if begins and begins[1] == found[1]:
            reply.append([])
        reply[-1].append(line)
    return "\n".join(unfold("\n".join(part)) for part in reply)


def read_groups(text: str) -> list[list[Field]]:
    r"""Return the groups of fields in `text`, whose lines end in `\n`, empty lines between them.

    A line that is neither a field nor a continuation continues the field before it: some writers
    forget to indent. Without a field before it, it is passed over.
    """
    groups: list[list[Field]] = [[]]
    pending: list[str] = []
    for line in (*text.split("\n"), ""):
        line = line.rstrip("\r")
        blank = not line.strip(" \t")
        named = _NAME.match(line) if not blank and line[0] not in " \t" else None
        if pending and (blank or named):
            groups[-1].append(_field(pending))
            pending = []
        if named:
            pending = [line]
        elif pending:
            pending.append(line if line[0] in " \t" else f"  {line}")
        elif blank and groups[-1]:
            groups.append([])
    return [group for group in groups if group]


def is_of_mime(name: str) -> bool:
    """Return whether a field is about the part that it stands in, and not one of the report there."""
    return name.lower() in _OF_MIME


def _field(lines: list[str]) -> Field:
    name, _, rest = lines[0].partition(":")
    return Field(name.rstrip(" \t"), "\n".join([rest, *lines[1:]]))


def _shorten(piece: str, longest: int) -> list[str]:
    """Return `piece` (no single space in it) in pieces of at most `longest` octets."""
    if len(piece.encode()) <= longest:
        return [piece]
    size = min(_PIECE, longest // 4)
    return [word[at : at + size] for word in piece.split(" ") for at in range(0, len(word), size) if word]
