"""The MIME structure of a message, as far as reading a report needs it.

Own code rather than Python's `email`, because what comes in is hostile: that parser recurses into
every message inside a message and walks all bodies, while this one looks at a header block, cuts a
multipart at its boundary, goes `MAX_DEPTH` deep, and never looks inside a returned message. What
mail programs get wrong is forgiven: line ends of any kind, a boundary that is not the one named.

RFC 2045 5 and 6 (Content-Type, transfer encodings), RFC 2046 5.1 (multipart), RFC 5322 2.2.
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice

from mailqueue.mail.fields import Field, read_groups, unfold

MAX_MESSAGE = 8 * 1024 * 1024
"""Octets of a message that are looked at: a report says what it has to say before any copy of the mail."""
MAX_HEADER = 256 * 1024
"""Octets of the header block of a message."""
MAX_PART_HEADER = 16 * 1024
"""Octets of the header block of a part; one with a larger one is not looked into."""
MAX_FIELDS = 2000
"""Fields of a header that are looked at."""
MAX_DEPTH = 8
"""Levels of multiparts that are looked into."""
MAX_PARTS = 100
"""Parts of a message that are looked at, those inside parts included."""

_MAX_VALUE = 4096
_MEDIA_TYPE = re.compile(r"\s*([!-.0-~]{1,127})\s*/\s*([!-.0-:<-~]{1,127})")
_PARAMETER = re.compile(r';\s*([!-:<>-~]{1,60})\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s;"]+))', re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_ANY_DELIMITER = re.compile(
    rb"^(--[^\n]{1,200})\n(?:[ \t]*\n)?content-[a-z-]{1,40}[ \t]*:", re.IGNORECASE | re.MULTILINE
)
# Not believed: codecs that are slow on purpose-made input, those that are no charsets of mail, and
# ASCII, because what calls itself so and is not is mostly UTF-8.
_NO_CHARSETS = frozenset({"punycode", "idna", "unicode-escape", "raw-unicode-escape", "undefined", "ascii"})


@dataclass(frozen=True, slots=True)
class Part:
    """A message, or a part of one: where it is in `data`, and what its header fields say."""

    data: bytes
    """The whole message, with LF at the line ends; shared by all its parts."""
    start: int
    """Where the body begins."""
    end: int
    """Where the body ends."""
    fields: tuple[Field, ...]
    """The header fields, in their order."""
    type: str
    """Media type in lower case, `text/plain` where none is given (RFC 2045 5.2)."""
    parameters: Mapping[str, str]
    """The parameters of the media type, names in lower case."""

    def value(self, name: str) -> str | None:
        """Return the unfolded value of the first field called `name` (in lower case)."""
        return next((unfold(field.raw) for field in self.fields if field.name.lower() == name), None)

    def values(self, name: str) -> list[str]:
        """Return the unfolded values of all fields called `name` (in lower case), in their order."""
        return [unfold(field.raw) for field in self.fields if field.name.lower() == name]

    def body(self, limit: int) -> bytes:
        """Return at most `limit` octets of the body, its transfer encoding undone."""
        raw = self.data[self.start : min(self.end, self.start + limit)]
        match (self.value("content-transfer-encoding") or "").strip(" ").lower():
            case "base64":
                return _base64(raw)
            case "quoted-printable":
                return binascii.a2b_qp(raw)
            case _:
                return raw

    def text(self, limit: int) -> str:
        """Return at most `limit` octets of the body, in whole lines, as text with LF at the line ends."""
        body = lf(self.body(limit))
        if self.end - self.start > limit:
            body = body[: body.rfind(b"\n") + 1]
        return decode(body, self.parameters.get("charset"))


def lf(data: bytes) -> bytes:
    """Return `data` with LF at its line ends: for CRLF, CR CR LF, and CR where its first lines end so."""
    data = data.replace(b"\r\n", b"\n")
    if b"\r" not in data:
        return data
    data = data.replace(b"\r\n", b"\n")
    first = data.find(b"\n")
    if first < 0 or data.count(b"\r", 0, first) > 2:
        return data.replace(b"\r", b"\n")
    return data


def decode(data: bytes, charset: str | None = None) -> str:
    """Return octets as text: as UTF-8 or in their charset, if Python has it, else as Latin-1."""
    name = codec(charset) if charset else "utf-8"
    if name != "utf-8":
        return data.decode(name, "replace")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def codec(charset: str) -> str:
    """Return the name of Python's codec for a charset; UTF-8 where there is none that can be believed."""
    try:
        name = codecs.lookup(charset).name
        "".encode(name)  # a codec that is not for text (base64, zlib) says so here
    except (LookupError, ValueError):
        return "utf-8"
    return "utf-8" if name in _NO_CHARSETS else name


def read_head(data: bytes) -> Part | None:
    """Return a message as far as its header and the octets after it tell; None if its header is too large."""
    return read_part(_begin(data[: 2 * MAX_HEADER]))


def read_whole(head: Part, data: bytes) -> Part:
    """Return the message that begins with `head`, `MAX_MESSAGE` octets of it where it has parts."""
    whole = read_part(_begin(data[:MAX_MESSAGE])) if head.type.startswith("multipart/") else None
    return whole or head


def _begin(data: bytes) -> bytes:
    return lf(data).removeprefix(b"\xef\xbb\xbf").lstrip(b"\n")


def read_part(data: bytes, start: int = 0, end: int | None = None, limit: int = MAX_HEADER) -> Part | None:
    """Return the part at `data[start:end]`, lines ended by LF; None if its header is over `limit` octets."""
    stop = len(data) if end is None else end
    if data[start : start + 1] == b"\n":
        return _part(data, start + 1, stop, ())
    found = data.find(b"\n\n", start, min(stop, start + limit))
    if found >= 0:
        return _part(data, found + 2, stop, _read_fields(data[start:found]))
    if stop - start > limit:
        return None
    return _part(data, stop, stop, _read_fields(data[start:stop]))


def leaves(part: Part) -> Iterator[Part]:
    """Yield the parts of `part` that are no multiparts, in their order; itself if it has no parts.

    A message inside is such a part.
    """
    open_parts = [children(part)] if part.type.startswith("multipart/") else []
    if not open_parts or next(children(part), None) is None:
        yield part
    for _ in range(MAX_PARTS):
        while open_parts and (child := next(open_parts[-1], None)) is None:
            open_parts.pop()
        if not open_parts or child is None:
            return
        if not child.type.startswith("multipart/"):
            yield child
        elif len(open_parts) < MAX_DEPTH:
            open_parts.append(children(child))


def children(part: Part) -> Iterator[Part]:
    """Yield the parts of a multipart (RFC 2046 5.1.1); the last one need not be closed.

    Where something more follows a closing delimiter, and another delimiter, the parts go on.
    """
    begin: int | None = None
    ended = False
    for at, after, closes in _delimiters(part, _delimiter(part)):
        if begin is not None:
            yield _child(part, begin, max(begin, at - 1))
        begin, ended = after, closes
    if begin is not None and not ended:
        yield _child(part, begin, part.end)


def swallowed(part: Part, names: Collection[str]) -> str:
    """Return those fields of a part's header that belong in its body: an empty line before them is missing.

    Args:
        part: the part.
        names: of the fields that its body has, in lower case.
    """
    return "".join(f"{field.name}:{field.raw}\n" for field in part.fields if field.name.lower() in names)


def _delimiter(part: Part) -> bytes:
    """Return what begins each delimiter line: by the boundary named, else the first that looks like one."""
    boundary = part.parameters.get("boundary", "").rstrip(" ").encode("utf-8", "replace")
    named = b"--" + boundary
    if boundary and next(_delimiters(part, named), None):
        return named
    found = _ANY_DELIMITER.search(part.data, part.start, min(part.end, part.start + MAX_HEADER))
    return found[1].rstrip() if found else b""


def _child(parent: Part, begin: int, end: int) -> Part:
    child = read_part(parent.data, begin, end, MAX_PART_HEADER)
    return child or Part(parent.data, begin, end, (), "application/octet-stream", {})


def _delimiters(part: Part, delimiter: bytes) -> Iterator[tuple[int, int, bool]]:
    """Yield where each delimiter line begins, where the next line does, and whether it closes."""
    data, at = part.data, part.start
    while delimiter and (at := data.find(delimiter, at, part.end)) >= 0:
        line_end = data.find(b"\n", at, part.end)
        line_end = part.end if line_end < 0 else line_end
        rest = data[at + len(delimiter) : min(line_end, at + len(delimiter) + 100)].rstrip(b" \t")
        if (at == part.start or data[at - 1 : at] == b"\n") and rest in (b"", b"--"):
            yield at, min(line_end + 1, part.end), rest == b"--"
        at = min(line_end + 1, part.end)


def _part(data: bytes, start: int, end: int, fields: tuple[Field, ...]) -> Part:
    declared = next((unfold(field.raw) for field in fields if field.name.lower() == "content-type"), "")
    media, parameters = content_type(declared[:_MAX_VALUE])
    return Part(data, min(start, end), end, fields, media, parameters)


def _read_fields(block: bytes) -> tuple[Field, ...]:
    groups = read_groups(decode(block))
    return tuple(islice((field for group in groups for field in group), MAX_FIELDS))


def content_type(value: str) -> tuple[str, Mapping[str, str]]:
    """Return the media type in lower case and its parameters, of the unfolded value of a Content-Type."""
    media = _MEDIA_TYPE.match(value)
    if media is None:
        return "text/plain", {}
    parameters: dict[str, str] = {}
    for name, quoted, plain in _PARAMETER.findall(value, media.end()):
        parameters.setdefault(name.lower(), _QUOTED_PAIR.sub(r"\1", quoted) if quoted else plain)
    return f"{media[1]}/{media[2]}".lower(), parameters


def _base64(raw: bytes) -> bytes:
    try:
        return binascii.a2b_base64(raw)
    except binascii.Error:  # cut off, or junk in it: take what is whole
        letters = re.sub(rb"[^A-Za-z0-9+/]", b"", raw)
        return binascii.a2b_base64(letters[: len(letters) // 4 * 4])
