"""Header fields in ASCII: encoded words for text, parameters in percent form.

The rule: people read the same as before. What is an address, an identifier, or of a form that is not
known here is not touched.

RFC 2047 (encoded words), RFC 2231 4 (parameters), RFC 1428 3 (unknown-8bit).
"""

from __future__ import annotations

import binascii
import re
from collections.abc import Iterator

from mailqueue.mail.folding import ADDRESSES, refold
from mailqueue.mail.header import Header

UNKNOWN = "unknown-8bit"
"""The charset of octets that nobody knows the charset of (RFC 1428 3)."""

_MAX_WORD = 75  # RFC 2047 2
_IN_WORD = re.compile(rb"[^A-Za-z0-9!*+/ -]")  # RFC 2047 5 (3): what a phrase does not allow
_IN_PARAMETER = re.compile(rb"[^A-Za-z0-9!#$&+.^_`{|}~-]")  # RFC 2231 7: attribute-char
_CHARSETS = re.compile(
    r"iso-8859-1?\d|windows-125\d|koi8-[ru]|shift_jis|euc-(?:jp|kr)|gb(?:2312|k|18030)|big5"
)
_CHARSET = re.compile(rb";\s*charset\s*=\s*\"?([A-Za-z0-9_-]+)", re.IGNORECASE)
_PARAMETER = re.compile(rb';(\s*)([!#$&+.^_`{|}~0-9A-Za-z-]+)\s*=\s*("(?:[^"\\]|\\.)*+"|[^\s";]+)', re.DOTALL)
_QUOTED_PAIR = re.compile(rb"\\(.)", re.DOTALL)
_TOKEN = re.compile(
    rb"""(?P<quoted>"(?:[^"\\]|\\.)*+") | (?P<comment>\([^()\\]*+\)) | (?P<address><[^<>]*+>)
       | (?P<mark>[,:;]) | (?P<words>[^"(<,:;]++) | (?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_PARAMETERS = frozenset({"content-type", "content-disposition"})
_NO_TEXT = re.compile(
    "(?:resent-)?(?:date|message-id)|in-reply-to|references|received|return-path|mime-version|content-id"
    "|content-transfer-encoding|(?:dkim|domainkey)-signature|authentication-results|(?:arc|list)-.*"
)


def charset_of(header: Header) -> str:
    """Return the charset that the header names for the text, the best guess for its own octets too."""
    field = header.first("content-type")
    found = _CHARSET.search(field.value) if field else None
    name = found[1].decode("ascii").lower() if found else ""
    return name if _CHARSETS.fullmatch(name) else UNKNOWN


def asciify(name: str, raw: bytes, charset: str) -> bytes | None:
    """Return a field in ASCII.

    Args:
        name: in lower case.
        raw: the octets of the field, without the CRLF at its end.
        charset: of what is not UTF-8, as `charset_of` returns it.

    Returns:
        None where it cannot be.
    """
    title, _, value = raw.replace(b"\r\n", b"").partition(b":")
    if _NO_TEXT.fullmatch(name):
        return None
    if name.removeprefix("resent-") in ADDRESSES:
        changed = _addresses(value, charset)
    elif name in _PARAMETERS:
        changed = _PARAMETER.sub(lambda found: _parameter(found, charset), value)
    else:
        changed = _text(value, charset)
    if changed is None or not changed.isascii():
        return None
    return refold(title + b":" + changed)


def encoded_words(octets: bytes, charset: str) -> bytes | None:
    """Return text as encoded words with a space between them; None where it has such words already."""
    if b"=?" in octets:
        return None
    label, pieces = _characters(octets, charset)
    form = min((b"q", b"b"), key=lambda kind: len(_encoded(octets, kind)))
    room = _MAX_WORD - len(b"=?%s?%s??=" % (label, form))
    return b" ".join(
        b"=?%s?%s?%s?=" % (label, form, _encoded(run, form)) for run in _runs(pieces, form, room)
    )


def _characters(octets: bytes, charset: str) -> tuple[bytes, list[bytes]]:
    """Return the charset and the octets of each character: one must not be cut in two (RFC 2047 5)."""
    for name in ("us-ascii", "utf-8", charset):
        try:
            characters = [each.encode(name) for each in octets.decode(name)]
        except (UnicodeError, LookupError):
            continue
        if b"".join(characters) == octets:
            return name.encode(), characters
    return UNKNOWN.encode(), [octets[at : at + 1] for at in range(len(octets))]


def _runs(characters: list[bytes], form: bytes, room: int) -> Iterator[bytes]:
    run = b""
    for each in characters:
        if len(_encoded(run + each, form)) > room:
            yield run
            run = b""
        run += each
    yield run


def _encoded(octets: bytes, form: bytes) -> bytes:
    if form == b"b":
        return binascii.b2a_base64(octets, newline=False)
    return _IN_WORD.sub(lambda found: b"=%02X" % ord(found[0]), octets).replace(b" ", b"_")


def _text(value: bytes, charset: str) -> bytes | None:
    """Encode from the first word that is not ASCII to the last one."""
    words = re.split(rb"([ \t]+)", value)
    odd = [number for number, word in enumerate(words) if not word.isascii()]
    if b"=?" in value or not odd:  # the space beside an encoded word means nothing
        return None
    before, inner, after = words[: odd[0]], words[odd[0] : odd[-1] + 1], words[odd[-1] + 1 :]
    encoded = encoded_words(b"".join(inner), charset)
    return (
        None if encoded is None else b"".join(before) + (b"" if before else b" ") + encoded + b"".join(after)
    )


def _addresses(value: bytes, charset: str) -> bytes | None:
    """Encode names and comments."""
    done, name = b"", b""
    for found in _TOKEN.finditer(value + b","):
        match found.lastgroup:
            case "quoted" | "words":
                name += found[0]
            case "comment" if found[0].isascii():
                name += found[0]
            case "comment" if not name or name.isascii():
                words = encoded_words(found[0][1:-1], charset)
                done, name = done + name + b"(%s)" % (words or b"\x80"), b""
            case "address":
                done, name = done + _phrase(name, charset) + found[0], b""
            case "mark":
                done, name = done + (_phrase(name, charset) if found[0] == b":" else name) + found[0], b""
            case _:
                return None
    return done[:-1]


def _phrase(name: bytes, charset: str) -> bytes:
    """Return a display name in ASCII, or as it is where it cannot be."""
    if name.isascii():
        return name
    plain = re.sub(rb'"((?:[^"\\]|\\.)*+)"', lambda found: _QUOTED_PAIR.sub(rb"\1", found[1]), name)
    words = encoded_words(plain.strip(), charset)
    return name if words is None or b"(" in name else b" " + words + b" "


def _parameter(found: re.Match[bytes], charset: str) -> bytes:
    value = found[3]
    if value.isascii():
        return found[0]
    if value.startswith(b'"'):
        value = _QUOTED_PAIR.sub(rb"\1", value[1:-1])
    label, _ = _characters(value, charset)
    percent = _IN_PARAMETER.sub(lambda octet: b"%%%02X" % ord(octet[0]), value)
    return b";%s%s*=%s''%s" % (found[1], found[2], label, percent)
