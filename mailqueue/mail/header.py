"""The header block of a message as fields, and what is read from single ones.

The block is cut off at the first empty line and only it is looked at, so the cost does not depend
on the size of the message. Fields keep their octets: joined with CRLF they are the block again.

RFC 5322 2.2 (fields, folding), RFC 2047 (encoded words), RFC 2045 5.1 (Content-Type).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

from mailqueue.mail.visible import visible

_BETWEEN_FIELDS = re.compile(rb"\r\n(?![ \t])")
_NAME = re.compile(rb"[!-9;-~]+")
_FIRST_FIELD = re.compile(rb"[!-9;-~]+(?:\r\n[ \t]|[ \t])*+:")
_MBOX_LINE = re.compile(rb">*From [^\s:]+ [^\r\n]* [0-9]{1,2}:[0-9]{2}[^\r\n]* [0-9]{4}[^\r\n]*(?:\r\n|\Z)")
_ENCODED_WORD = re.compile(rb"=\?([A-Za-z0-9_.:()+-]{1,40})(?:\*[^?*\s]*)?\?([bBqQ])\?([^?\r\n]*)\?=")
_BOUNDARY = re.compile(rb';\s*boundary\s*=\s*(?:"((?:[^"\\]|\\.)*+)"|([^\s";]+))', re.IGNORECASE)
_SHOWN = 4096


class Field(NamedTuple):
    """One field of a header block.

    Attributes:
        name: in lower case; empty for lines that are not a field.
        number: the line it begins at, from 1.
        raw: all its octets, folds included, without the CRLF at its end.
    """

    name: str
    number: int
    raw: bytes

    @property
    def value(self) -> bytes:
        """What follows the colon, unfolded, without white space at the ends."""
        return self.raw.partition(b":")[2].replace(b"\r\n", b"").strip(b" \t")

    @property
    def text(self) -> str:
        """The value as text; octets that are not UTF-8 become lone surrogates."""
        return self.value.decode("utf-8", "surrogateescape")

    @property
    def title(self) -> str:
        """The name as it was written, safe to show."""
        return visible(self.raw.partition(b":")[0].strip().decode("utf-8", "backslashreplace"))


def cut(data: bytes) -> tuple[bytes, bytes]:
    """Return header block (each line with its CRLF, without the empty line) and body of CRLF-ended `data`.

    The block is empty when the first line is no field: then all of it is body, as receiving
    systems see it. A line `From someone date`, which mbox files put before a message, is let pass.
    """
    if data.startswith(b"\r\n"):
        return b"", data[2:]
    if not _FIRST_FIELD.match(data, mbox_line(data)):
        return b"", data
    end = data.find(b"\r\n\r\n")
    if end >= 0:
        return data[: end + 2], data[end + 4 :]
    return (data if data.endswith(b"\r\n") else data + b"\r\n"), b""


def mbox_line(data: bytes) -> int:
    """Return the octets of the mbox separator that `data` begins with, 0 if it does not."""
    found = _MBOX_LINE.match(data)
    return found.end() if found else 0


class Header:
    """The fields of a header block, in their order and by their names.

    Attributes:
        fields: every field, and what stands between fields and is none.
        by_name: the same, by their names in lower case; under the empty name what is no field.
    """

    __slots__ = ("by_name", "fields")

    def __init__(self, block: bytes) -> None:
        """Read a header block as `cut` returns it."""
        self.fields: list[Field] = []
        self.by_name: dict[str, list[Field]] = {}
        number = 1
        for raw in _BETWEEN_FIELDS.split(block[:-2]) if block else ():
            before, colon, _ = raw.partition(b":")
            field = Field(_lower_name(before) if colon else "", number, raw)
            self.fields.append(field)
            self.by_name.setdefault(field.name, []).append(field)
            number += 1 + raw.count(b"\n")

    def named(self, name: str) -> Sequence[Field]:
        """Return the fields of that name, given in lower case, in their order."""
        return self.by_name.get(name, ())

    def first(self, name: str) -> Field | None:
        """Return the first field of that name, given in lower case; None if there is none."""
        return self.by_name[name][0] if name in self.by_name else None


@lru_cache(maxsize=512)
def _lower_name(before_colon: bytes) -> str:
    name = before_colon.rstrip(b" \t\r\n")
    return name.decode("ascii").lower() if _NAME.fullmatch(name) else ""


def decode_words(value: bytes) -> str:
    """Return the unstructured `value` (a Subject) for people: encoded words decoded, nothing hidden in it.

    What cannot be decoded stays as it stands; more than 4096 octets are cut off.
    """
    value = value[:_SHOWN]
    if b"=?" not in value:
        return visible(value.decode("utf-8", "backslashreplace"))
    return visible("".join(_decode_runs(value)))


def _decode_runs(value: bytes) -> list[str]:
    """Decode run by run: words next to each other in one charset may share a character (RFC 2047 5)."""
    texts: list[str] = []
    charset, pending, end = b"", b"", 0
    for word in _ENCODED_WORD.finditer(value):
        between = value[end : word.start()]
        if between.strip(b" \t") or not end or word[1].lower() != charset:
            texts.append(_decode(pending, charset))
            charset, pending = word[1].lower(), b""
        if between.strip(b" \t") or not end:
            texts.append(between.decode("utf-8", "backslashreplace"))
        pending += _decode_word(word)
        end = word.end()
    return [*texts, _decode(pending, charset), value[end:].decode("utf-8", "backslashreplace")]


def _decode_word(word: re.Match[bytes]) -> bytes:
    if word[2] in b"qQ":
        return binascii.a2b_qp(word[3].replace(b" ", b"_"), header=True)
    try:
        return binascii.a2b_base64(word[3] + b"==")
    except binascii.Error:
        return word[3]


def _decode(octets: bytes, charset: bytes) -> str:
    try:
        return octets.decode(charset.decode("ascii") or "ascii", "replace")
    except (LookupError, ValueError):
        return octets.decode("utf-8", "backslashreplace")


def media_type(value: bytes) -> str:
    """Return type and subtype of a Content-Type's value in lower case: `multipart/signed`; RFC 2045 5.2."""
    return value.partition(b";")[0].partition(b"(")[0].strip().lower().decode("ascii", "replace")


def find_boundary(value: bytes) -> tuple[int, int] | None:
    """Return where in a Content-Type's value the boundary stands (start and end), None if it has none."""
    found = _BOUNDARY.search(value)
    if found is None:
        return None
    return found.span(1) if found[1] is not None else found.span(2)
