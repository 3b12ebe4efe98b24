"""Write those parts of a message anew that cannot be sent as they are: too long lines, or octets over 127.

The rule: every part decodes to the octets that it decoded to before, and what a signature or an
encryption covers is not touched: then there is a fault instead. A part that needs nothing keeps every octet.

RFC 2045 6 (transfer encodings), RFC 2046 5 (multipart, message), RFC 6152 3 (8-bit into 7-bit),
RFC 6532 3.7 (message/global), RFC 6376 (what a signature covers).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from mailqueue.mail import transfer
from mailqueue.mail.asciify import asciify, charset_of
from mailqueue.mail.entity import IDENTITY, Entity, Piece
from mailqueue.mail.folding import fold
from mailqueue.mail.header import Field, Header, cut
from mailqueue.mail.lines import MAX_LINE, longest

_MAX_DEPTH = 20
_TOLD = 3  # faults of a refusal
_SEALED = frozenset({"multipart/signed", "multipart/encrypted"})
_MESSAGE = "message/rfc822"
_MAY_BE_ENCODED = frozenset(  # RFC 6532 3.7, RFC 6533 6
    {"message/global", "message/global-delivery-status", "message/global-headers"}
)
_LABEL = re.compile(rb"^content-transfer-encoding[ \t]*:\s*(?:8bit|binary)", re.IGNORECASE | re.MULTILINE)
_IN_ASCII = bytes(range(128)) + b"?" * 128
_TOO_LONG = re.compile(rb"[^\r\n]{%d}(?=[^\r\n])" % (MAX_LINE - 1))


class Converted(NamedTuple):
    """A message without octets over 127 in its body, or why there is none."""

    octets: bytes | None
    reason: str


def seven_bit(message: bytes) -> Converted:
    """Return a message whose body is 7-bit: each part that is not becomes quoted-printable or base64.

    Every part decodes to what it was. Of the header, only the fields of MIME are changed.

    Args:
        message: header, empty line and body, each line end a CRLF.

    Returns:
        The message, or None and why it must not or cannot be converted.
    """
    work = Rewrite(seven_bit=True)
    block, body = work.message(*cut(message))
    if work.faults:
        more = len(work.faults) - _TOLD
        return Converted(None, "; ".join(work.faults[:_TOLD]) + (f"; and {more} more" if more > 0 else ""))
    return Converted(block + b"\r\n" + body, "")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a part stands."""

    name: str = "body"
    depth: int = 0
    seal: str | None = None
    """What forbids to change it. None: nothing does."""

    def part(self, number: int) -> _Place:
        name = f"part {number}" if self.name == "body" else f"{self.name}.{number}"
        return replace(self, name=name, depth=self.depth + 1)


_Write = Callable[[bytes, bytes, _Place], tuple[bytes, bytes]]


def seal_of(header: Header) -> str | None:
    """Return what in the header of a message forbids to change any of it. None: nothing does."""
    return "DKIM-Signature" if header.named("dkim-signature") else None


class Rewrite:
    """Writes a message anew where it must.

    Args:
        seven_bit: whether octets over 127 must go; else lines of over 998 octets.

    Attributes:
        notes: what was changed, a sentence each.
        faults: what had to stay as it is, and why, a sentence each.
    """

    def __init__(self, *, seven_bit: bool) -> None:
        self.notes: list[str] = []
        self.faults: list[str] = []
        self._seven_bit = seven_bit
        self._trouble = "octets over 127" if seven_bit else f"lines of over {MAX_LINE} octets"

    def message(self, block: bytes, body: bytes) -> tuple[bytes, bytes]:
        """Return header block and body of a message, or them as they were where there are faults.

        Of the block, only the fields of MIME are changed.
        """
        made = self._message(block, body, _Place(seal=seal_of(Header(block))))
        if not self.faults:
            self._keep(_Place(), made[1], " outside all parts")
        if self.faults:
            self.notes.clear()
            return block, body
        return made

    # -- what needs it ---------------------------------------------------------------------------
    def _fits(self, octets: bytes) -> bool:
        return octets.isascii() if self._seven_bit else longest(octets) <= MAX_LINE

    def _done(self, octets: bytes) -> bool:
        """Return whether nothing is to be done; a part of a 7-bit message is not labelled 8bit either."""
        return self._fits(octets) and not (self._seven_bit and _LABEL.search(octets))

    def _keep(self, place: _Place, octets: bytes, why: str) -> None:
        """Leave octets as they are, which is a fault where they do not fit."""
        if not self._fits(octets):
            self.faults.append(f"{place.name}: {self._trouble}{why}")

    # -- messages and parts ----------------------------------------------------------------------
    def _message(self, block: bytes, body: bytes, place: _Place) -> tuple[bytes, bytes]:
        block, made = self._entity(Entity(block, body), place)
        if made is not body:
            header = Header(block)
            added = {"MIME-Version": "1.0", "Content-Type": "text/plain"}
            missing = {name: value for name, value in added.items() if not header.named(name.lower())}
            block = Entity(block, b"").block_with(missing)
        return block, made

    def _entity(self, entity: Entity, place: _Place) -> tuple[bytes, bytes]:
        labelled = self._seven_bit and entity.encoding in ("8bit", "binary")
        if self._done(entity.body) and not labelled:
            return entity.block, entity.body
        why = _untouchable(entity, place)
        if why is not None:
            self._keep(place, entity.body, why)
            return entity.block, entity.body
        if entity.type == _MESSAGE and entity.encoding in IDENTITY:
            return self._with_inner(entity, self._nested(entity.body, place))
        pieces = entity.pieces()
        if len(pieces) > 1:
            return self._with_inner(entity, self._multipart(entity, pieces, place))
        return self._leaf(entity, place)

    def _with_inner(self, entity: Entity, body: bytes) -> tuple[bytes, bytes]:
        label = "7bit" if body.isascii() else "8bit"
        if entity.encoding in ("", "7bit", label):
            return entity.block, body
        return entity.block_with({"Content-Transfer-Encoding": label}), body

    def _multipart(self, entity: Entity, pieces: list[Piece], place: _Place) -> bytes:
        default = _MESSAGE if entity.type == "multipart/digest" else "text/plain"

        def write(block: bytes, body: bytes, at: _Place) -> tuple[bytes, bytes]:
            return self._entity(Entity(block, body, default), at)

        written, number = [], 0
        for piece in pieces:
            written.append(piece.delimiter)
            if not piece.is_part:
                written.append(self._unread(piece.text))
            elif piece.text:
                number += 1
                written.append(b"\r\n" + self._within(piece.text[2:], place.part(number), write))
        return b"".join(written)

    def _nested(self, octets: bytes, place: _Place) -> bytes:
        seal = place.seal or seal_of(Header(cut(octets)[0]))
        return self._within(octets, replace(place.part(1), seal=seal), self._message)

    def _within(self, octets: bytes, place: _Place, write: _Write) -> bytes:
        """Return a part, or a message inside a part, header and body."""
        if self._done(octets):
            return octets
        block, body = cut(octets)
        made, inner = write(self._header(block, place), body, place)
        return octets if made == block and inner is body else made + b"\r\n" + inner

    def _header(self, block: bytes, place: _Place) -> bytes:
        if self._fits(block):
            return block
        if place.seal is not None:
            self._keep(place, block, f" in its header, and to change it would break the {place.seal}")
            return block
        header = Header(block)
        charset = charset_of(header)
        return b"".join(self._field(field, charset, place) + b"\r\n" for field in header.fields)

    def _field(self, field: Field, charset: str, place: _Place) -> bytes:
        if self._fits(field.raw):
            return field.raw
        made = None
        if field.name:
            made = asciify(field.name, field.raw, charset) if self._seven_bit else fold(field.name, field.raw)
        if made is None or longest(made) > MAX_LINE:
            self._keep(place, field.raw, f" in its header, in {field.title or 'a line that is no field'}")
            return field.raw
        if not self._seven_bit:
            self.notes.append(f"{place.name}: {field.title} was folded")
        return made

    def _unread(self, octets: bytes) -> bytes:
        """Return what stands before or after all parts, where nobody reads it."""
        if self._fits(octets):
            return octets
        if self._seven_bit:
            return octets.translate(_IN_ASCII)
        self.notes.append("body: long lines outside all parts were broken")
        return _TOO_LONG.sub(rb"\g<0>\r\n ", octets)

    # -- leaves ----------------------------------------------------------------------------------
    def _leaf(self, entity: Entity, place: _Place) -> tuple[bytes, bytes]:
        main, _, _ = entity.type.partition("/")
        if self._fits(entity.body):
            labelled = entity.encoding in ("8bit", "binary")
            return entity.block_with({"Content-Transfer-Encoding": "7bit"} if labelled else {}), entity.body
        if main == "multipart" or (main == "message" and entity.type not in _MAY_BE_ENCODED):
            self._keep(place, entity.body, f" in what calls itself {entity.type}, which may not be encoded")
            return entity.block, entity.body
        if entity.encoding in IDENTITY:
            encoding, body = transfer.encode(entity.body, text=main == "text")
            self.notes.append(f"{place.name}: {self._trouble}, so {entity.type} became {encoding}")
            return entity.block_with({"Content-Transfer-Encoding": encoding}), body
        return entity.block, self._mended(entity, place)

    def _mended(self, entity: Entity, place: _Place) -> bytes:
        made = None
        if entity.encoding == "quoted-printable":
            made = transfer.mend_quoted_printable(entity.body)
        elif entity.encoding == "base64":
            made = transfer.mend_base64(entity.body)
        if made is None:
            self._keep(place, entity.body, f" in what calls itself {entity.encoding}")
            return entity.body
        self.notes.append(f"{place.name}: {self._trouble} in {entity.encoding} were broken")
        return made


def _untouchable(entity: Entity, place: _Place) -> str | None:
    seal = f"{entity.type} part" if entity.type in _SEALED else place.seal
    if seal is not None:
        return f", and to change them would break the {seal}"
    if place.depth > _MAX_DEPTH:
        return f", more than {_MAX_DEPTH} levels deep"
    return f", and {entity.doubt}" if entity.doubt else None
