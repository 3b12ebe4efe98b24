"""Repair a message that strict mode would refuse, where that is safe, and tell what was done.

The rule: people read the same after it as before, and what a DKIM-Signature covers stays as it is. No
line of over 998 octets is left: where it cannot be repaired, it is a fault.

RFC 5322 2.1.1 (lines), 3.2.2 (folding), 3.6 (fields that stand there once), RFC 2045 6.4 (multipart).
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import NamedTuple

from mailqueue.mail.asciify import asciify, charset_of, encoded_words
from mailqueue.mail.defaults import addresses_in
from mailqueue.mail.entity import IDENTITY, Entity
from mailqueue.mail.folding import fold, refold, without_blank_lines
from mailqueue.mail.header import Field, Header, media_type
from mailqueue.mail.lines import MAX_LINE, longest
from mailqueue.mail.rewrite import Rewrite, seal_of
from mailqueue.mail.strict import ONCE
from mailqueue.mail.visible import visible

_BLANK_LINE = re.compile(rb"\r\n[ \t]+\r\n")
_TOLD = 10
_LISTS = ("to", "cc", "reply-to")
_TEXT = ("subject", "comments")


class Repaired(NamedTuple):
    """A message after its repair.

    Attributes:
        block: the header block.
        body: what follows the empty line.
        repairs: what was changed, a sentence each.
        faults: what could not be repaired and must not be sent, a sentence each.
    """

    block: bytes
    body: bytes
    repairs: tuple[str, ...]
    faults: tuple[str, ...]


def needs_repair(block: bytes, header: Header, body: bytes, longest_line: int) -> bool:
    """Return whether a look at the parts of a message is worth its while; nearly all mail needs none.

    Args:
        block: the header block as handed in.
        header: its fields.
        body: the body, each line end a CRLF.
        longest_line: octets of the longest line of both.
    """
    return (
        longest_line > MAX_LINE
        or _BLANK_LINE.search(block) is not None
        or not (block.isascii() or _is_utf8(block))
        or (len(header.by_name) != len(header.fields) and _stands_twice(header))
        or _wrongly_encoded(header, body)
    )


def repair(header: Header, body: bytes, dropped: Collection[str]) -> Repaired:
    """Return the message repaired.

    Args:
        header: the fields as handed in.
        body: the body, each line end a CRLF.
        dropped: names, in lower case, of fields that will be taken out and are not looked at.
    """
    work = _Fields(header, body, dropped)
    block = work.block()
    rewrite = Rewrite(seven_bit=False)
    if longest(body) > MAX_LINE:
        block, body = rewrite.message(block, body)
    return Repaired(
        block, body, _some(work.notes) + _some(rewrite.notes), _some(work.faults + rewrite.faults)
    )


class _Fields:
    """Repairs the fields of a header, one by one."""

    def __init__(self, header: Header, body: bytes, dropped: Collection[str]) -> None:
        self.notes: list[str] = []
        self.faults: list[str] = []
        self._header = header
        self._body = body
        self._seal = seal_of(header)
        self._dropped = dropped
        self._charset = charset_of(header)

    def block(self) -> bytes:
        """Return the header block, repaired."""
        fields = self._header.fields
        if self._seal is None:
            fields = [each._replace(raw=self._repaired(each)) for each in fields]
            for name in ONCE:
                fields = self._once(name, fields)
        return b"".join(self._short(each) + b"\r\n" for each in fields)

    def _repaired(self, field: Field) -> bytes:
        raw, title = field.raw, f"header line {field.number}: {field.title}"
        if not field.name or field.name in self._dropped:
            return raw
        plain = without_blank_lines(raw)
        if plain != raw:
            self.notes.append(f"{title}: lines of white space only were removed")
        if not _is_utf8(plain):
            in_ascii = asciify(field.name, plain, self._charset)
            if in_ascii is not None:
                self.notes.append(f"{title}: octets that are not UTF-8 were encoded, as {self._charset}")
            plain = in_ascii or plain
        if field.name == "content-transfer-encoding" and _wrongly_encoded(self._header, self._body):
            label = "7bit" if self._body.isascii() else "8bit"
            self.notes.append(f"{title}: {visible(field.text[:60])} of a multipart became {label}")
            plain = f"{field.title}: {label}".encode()
        return plain

    def _once(self, name: str, fields: list[Field]) -> list[Field]:
        """Take out what stands there again, and join lists of addresses."""
        same = [field for field in fields if field.name == name]
        if len(same) < 2 or name in self._dropped:
            return fields
        first, *others = same
        different = [field for field in others if field.value != first.value]
        if len(different) < len(others):
            count = len(others) - len(different)
            self.notes.append(f"header: {first.title} was removed where it stood again ({count} times)")
        kept = [first, *different]
        if different and name in _LISTS and all(map(_is_list, kept)):
            kept = [_joined(kept)]
            self.notes.append(f"header: several {first.title} became one")
        numbers = {field.number for field in kept}
        rest = [field for field in fields if field.name != name or field.number in numbers]
        return [kept[0] if field is first else field for field in rest]

    def _short(self, field: Field) -> bytes:
        """Return a field without lines that are too long."""
        place = f"header line {field.number}"
        if field.name in self._dropped or longest(field.raw) <= MAX_LINE:
            return field.raw
        if self._seal is not None:
            self._too_long(place, f"and to fold it would break the {self._seal}")
            return field.raw
        made = fold(field.name, field.raw) if field.name else None
        if made is None and field.name and not field.raw.isascii():
            made = asciify(field.name, field.raw, self._charset)
        elif made is None and field.name in _TEXT:
            words = encoded_words(field.value, self._charset)
            made = words and refold(field.raw.partition(b":")[0] + b": " + words)
        if made is None or longest(made) > MAX_LINE:
            self._too_long(place, "and there is no white space to fold it at")
            return field.raw
        self.notes.append(f"{place}: {field.title} was folded, as it had lines of over {MAX_LINE} octets")
        return made

    def _too_long(self, place: str, why: str) -> None:
        self.faults.append(f"{place}: a line of over {MAX_LINE} octets, {why}")


def _is_utf8(octets: bytes) -> bool:
    try:
        octets.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _stands_twice(header: Header) -> bool:
    return any(len(fields) > 1 and name in ONCE for name, fields in header.by_name.items())


def _wrongly_encoded(header: Header, body: bytes) -> bool:
    """Return whether a multipart says that it is encoded, which none may be, and is not."""
    kind, encoding = header.first("content-type"), header.first("content-transfer-encoding")
    if kind is None or encoding is None or not media_type(kind.value).startswith("multipart/"):
        return False
    if media_type(encoding.value) in IDENTITY:
        return False
    return len(Entity(kind.raw + b"\r\n", body).pieces()) > 1


def _is_list(field: Field) -> bool:
    faults: list[str] = []
    return bool(addresses_in([field], faults)) and not faults


def _joined(fields: list[Field]) -> Field:
    values = (field.raw.partition(b":")[2].strip(b" \t\r\n") for field in fields[1:])
    return fields[0]._replace(raw=b",\r\n ".join([fields[0].raw, *values]))


def _some(notes: list[str]) -> tuple[str, ...]:
    more = len(notes) - _TOLD
    return (*notes[:_TOLD], f"and {more} more of the kind") if more > 0 else tuple(notes)
