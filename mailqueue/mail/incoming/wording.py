"""Part what a mail system says in its own words from the message that it returns below them."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from itertools import takewhile

from mailqueue.mail.mime import Part
from mailqueue.mail.original import Original, find_original, is_returned, looks_like_mail, read_header

MAX_WORDS = 64 * 1024
"""Octets of each text that are looked at."""

_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9-]{1,60}):(?:[ \t]|$)")
_COPY = r"(?:original|returned|unsent|undelivered|undeliverable|rejected|failed) (?:message|mail|e-?mail)\b"
_SEPARATOR = re.compile(
    rf"[ \t]*[-=*#_|<>+]{{2,80}}[ \t|]*(?:the |your )?{_COPY}(?! was)"
    r"|[ \t]*(?:[-=*#_|<>+]{2,80}[ \t|]*)?(?:"
    r"(?:below|following|here|enclosed|attached)\b.{0,40}\b(?:copy|headers?|original)\b"
    r"|(?:this is )?a copy of (?:the|your)|(?:the )?copy of (?:the|your) (?:message|mail)"
    rf"|(?:possibly truncated |the |your )?{_COPY}(?! was).{{0,30}}(?:follows|enclosed|below)"
    r"|original headers?:|message (?:headers?|text|contents?) (?:follow|below)"
    r"|(?:the |your )?(?:headers?|text) (?:of|from) (?:the|your) (?:original )?(?:message|mail)"
    r")",
    re.IGNORECASE,
)
_SURE = frozenset({"received", "return-path", "mime-version", "dkim-signature", "content-type"})
_MOST_BETWEEN = 10
_BLOCKS = frozenset({"p", "br", "div", "tr", "li", "td", "h1", "h2", "h3", "pre", "table", "hr"})


def own_words(parts: Sequence[Part]) -> tuple[str, Original]:
    r"""Return what a bounce says itself, lines ended by `\n`, and what it returns of the mail it is about."""
    own = tuple(takewhile(lambda part: not is_returned(part), parts))
    text = "\n\n".join(part.text(MAX_WORDS) for part in own if part.type == "text/plain")
    if not text.strip():
        text = "\n\n".join(_without_tags(part.text(MAX_WORDS)) for part in own if part.type == "text/html")
    words, returned = _split(text[:MAX_WORDS].split("\n"))
    original = find_original(parts)
    return words, original if original.headers else returned


def _split(lines: list[str]) -> tuple[str, Original]:
    """Return the lines before a returned message, and that message; it is begun by a header or announced."""
    looked_at = 0
    for at, line in enumerate(lines):
        if _SEPARATOR.match(line):
            return "\n".join(lines[:at]), _returned(lines[at + 1 :])
        if at >= looked_at and _FIELD.match(line):
            names, looked_at = _fields(lines, at)
            if looks_like_mail(names) and not _SURE.isdisjoint(names):
                return "\n".join(lines[:at]), _returned(lines[at:])
    return "\n".join(lines), Original()


def _fields(lines: Sequence[str], begin: int) -> tuple[list[str], int]:
    """Return the names, in lower case, of the fields that stand from a line on, and where they end."""
    names, at = [], begin
    for at in range(begin, len(lines)):
        field = _FIELD.match(lines[at])
        if field:
            names.append(field[1].lower())
        elif not lines[at].startswith((" ", "\t")) or not lines[at].strip():
            break
    return names, at


def _returned(lines: list[str]) -> Original:
    for at, line in enumerate(lines[:_MOST_BETWEEN]):
        if _FIELD.match(line) and len(_fields(lines, at)[0]) > 1:
            text = "\n".join(lines[at:])
            return Original(headers=read_header(text), full=bool(text.partition("\n\n")[2].strip()))
    return Original()


def _without_tags(text: str) -> str:
    """Return HTML as text, in one pass: no tags, no style sheets, a line for each block."""
    first, *pieces = text.split("<")
    kept, hidden = [first], False
    for piece in pieces:
        tag, _, rest = piece.partition(">")
        words = tag.lower().split(None, 1)
        name = words[0].strip("/") if words else ""
        if name in ("style", "script", "title"):
            hidden = not tag.startswith("/")
        if not hidden:
            kept += ["\n" if name in _BLOCKS else "", rest]
    return html.unescape("".join(kept)).replace("\xa0", " ")
