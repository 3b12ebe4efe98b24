"""Search in a message: whether a text stands in its header or in what its parts let people read.

The one rule: the message is read once, in pieces, and some hundred KiB of it are in memory at most,
whatever it is made of. Header fields are searched decoded (RFC 2047), each by itself; so are parts of the
types text and message, of any charset and transfer encoding. Other parts are passed over.

RFC 2046 5.1 (multipart), RFC 2045 6 (transfer encodings).
"""

from __future__ import annotations

import binascii
import codecs
import re
from collections.abc import Generator, Iterable, Iterator
from unicodedata import normalize

from mailqueue.mail.header import Header, decode_words
from mailqueue.mail.mime import codec, content_type

MAX_HEADER = 64 * 1024
"""Octets of a header block; what goes beyond them counts as body."""
MAX_DEPTH = 50
"""Multiparts, or messages, inside each other that are looked into."""

_LONGEST_LINE = 64 * 1024
_DASHED = re.compile(rb"^--[^\n]{0,200}\n", re.MULTILINE)
_MESSAGES = ("message/rfc822", "message/global")
_NO_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")


def fold(text: str) -> str:
    """Return `text` as it is compared: without case, a run of white space as a blank, accents in one form."""
    folded = " ".join(normalize("NFC", text.casefold()).split())
    return f"{' ' * text[:1].isspace()}{folded}{' ' * text[-1:].isspace()}" if folded else " " * bool(text)


def contains(pieces: Iterable[bytes], text: str) -> bool:
    """Return whether `text` stands in a message.

    Args:
        pieces: the message, CRLF at the ends of its lines, cut anywhere.
        text: what is looked for; `fold` says what does not count. A blank text stands everywhere.
    """
    wanted, before = fold(text).strip(), ""
    for found in texts(pieces):
        seen = "" if found is None else _joined(before, fold(found))
        if wanted in seen:
            return True
        before = seen[-len(wanted) :]
    return not wanted


def _joined(before: str, after: str) -> str:
    return before + (after[1:] if before.endswith(" ") and after.startswith(" ") else after)


def texts(pieces: Iterable[bytes]) -> Iterator[str | None]:
    """Yield what people can read of a message, in pieces; None where a field or a part ends.

    Args:
        pieces: the message, CRLF at the ends of its lines, cut anywhere.
    """
    reader = _Reader()
    for dashed, octets in _cut(pieces):
        yield from reader.read(octets, dashed=dashed)
    yield from reader.end()


def _cut(pieces: Iterable[bytes]) -> Iterator[tuple[bool, bytes]]:
    """Yield all octets, mostly many lines at once, each line that begins with -- by itself (True)."""
    rest, fresh = b"", True
    for piece in pieces:
        rest += piece
        end = rest.rfind(b"\n") + 1
        if end:
            yield from _dashed(rest[:end], 0 if fresh else rest.find(b"\n") + 1)
            rest, fresh = rest[end:], True
        elif len(rest) > _LONGEST_LINE:
            yield False, rest
            rest, fresh = b"", False
    yield from _dashed(rest + b"\r\n", 0 if fresh else len(rest) + 2)


def _dashed(lines: bytes, start: int) -> Iterator[tuple[bool, bytes]]:
    done = 0
    for found in _DASHED.finditer(lines, start):
        if found.start() > done:
            yield False, lines[done : found.start()]
        yield True, found[0]
        done = found.end()
    if done < len(lines):
        yield False, lines[done:]


class _Reader:
    """Where reading has come to: in a header or a body, inside which multiparts."""

    def __init__(self) -> None:
        self._boundaries: list[bytes] = []
        self._header: bytearray | None = bytearray()  # None: in a body
        self._body: _Body | None = None  # None: nothing to read
        self._messages = 0  # inside each other, since the last delimiter

    def read(self, octets: bytes, *, dashed: bool) -> Iterator[str | None]:
        """Read on: any octets, or one line that begins with --."""
        if dashed and (closed := self._closed(octets)):
            yield from self.end()
            depth, last = closed
            del self._boundaries[depth if last else depth + 1 :]
            self._header = None if last else bytearray()
            self._messages = 0
            return
        while octets and self._header is not None:
            octets = yield from self._read_header(self._header, octets)
        if self._body is not None:
            yield self._body.read(octets)

    def end(self) -> Iterator[str | None]:
        """End the part that is being read."""
        if self._header is not None:
            yield from _field_texts(Header(bytes(self._header)))
        if self._body is not None:
            yield self._body.read(b"", last=True)
        self._header = self._body = None
        yield None

    def _closed(self, line: bytes) -> tuple[int, bool] | None:
        """Return which multipart a line is a delimiter of, and whether it closes it. None: of none."""
        text = line[2:].rstrip(b" \t\r\n")
        for depth in reversed(range(len(self._boundaries))):
            boundary = self._boundaries[depth]
            if text in (boundary, boundary + b"--"):
                return depth, text != boundary
        return None

    def _read_header(self, header: bytearray, octets: bytes) -> Generator[str | None, None, bytes]:
        """Read on in a header; return what follows it."""
        seen = max(0, len(header) - 3)
        header += octets
        if header.startswith(b"\r\n"):
            end, begin = 0, 2
        elif (found := header.find(b"\r\n\r\n", seen)) >= 0:
            end, begin = found + 2, found + 4
        elif len(header) > MAX_HEADER:
            end = begin = header.rfind(b"\r\n", 0, MAX_HEADER) + 2
        else:
            return b""
        self._header = None
        read = Header(bytes(header[:end]))
        yield from _field_texts(read)
        self._begin(read)
        return bytes(header[begin:])

    def _begin(self, header: Header) -> None:
        """Begin the body that follows a header."""
        field, coded = header.first("content-type"), header.first("content-transfer-encoding")
        media, parameters = content_type(field.value.decode("utf-8", "replace") if field else "")
        encoding = coded.value.lower().decode("ascii", "replace") if coded else ""
        boundary = parameters.get("boundary", "").rstrip().encode()
        if media.startswith("multipart/") and boundary and len(self._boundaries) < MAX_DEPTH:
            self._boundaries.append(boundary)
        elif media in _MESSAGES and encoding not in _ENCODINGS and self._messages < MAX_DEPTH:
            self._header = bytearray()
            self._messages += 1
        elif media.startswith(("text/", "message/", "multipart/")):
            self._body = _Body(encoding, parameters.get("charset", "utf-8"))


def _field_texts(header: Header) -> Iterator[str | None]:
    for field in header.fields:
        yield decode_words(field.raw.replace(b"\r\n", b""))
        yield None


class _Body:
    """A part that people can read: its transfer encoding and its charset undone, piece by piece."""

    def __init__(self, encoding: str, charset: str) -> None:
        self._split = _ENCODINGS.get(encoding, _plain)
        self._rest = b""
        made = codecs.lookup(codec(charset)).incrementaldecoder
        self._decoder = (made or codecs.getincrementaldecoder("utf-8"))("replace")

    def read(self, octets: bytes, *, last: bool = False) -> str:
        """Return what these octets say; `last`: there are no more."""
        decoded, self._rest = self._split(self._rest + octets, last)
        return self._decoder.decode(decoded, last)


def _plain(octets: bytes, last: bool) -> tuple[bytes, bytes]:
    return octets, b""


def _base64(octets: bytes, last: bool) -> tuple[bytes, bytes]:
    """Undo base64; return what is left of it until more comes."""
    letters = _NO_BASE64.sub(b"", octets)
    whole = len(letters) // 4 * 4
    rest = letters[whole:]
    if last and len(rest) > 1:
        return binascii.a2b_base64(letters + b"=" * (4 - len(rest))), b""
    return binascii.a2b_base64(letters[:whole]), rest


def _quoted(octets: bytes, last: bool) -> tuple[bytes, bytes]:
    """Undo quoted-printable; an escape that is not there whole is left until more comes."""
    cut = -1 if last else octets.rfind(b"=", max(0, len(octets) - 2))
    whole = len(octets) if cut < 0 else cut
    return binascii.a2b_qp(octets[:whole]), octets[whole:]


_ENCODINGS = {"base64": _base64, "quoted-printable": _quoted}
