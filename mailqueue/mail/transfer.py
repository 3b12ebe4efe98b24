"""Transfer encodings of bodies: octets as lines of at most 76 ASCII characters, and nothing of them lost.

The rule: decoding gives the octets that went in, line ends included.

RFC 2045 6.7 (quoted-printable), 6.8 (base64).
"""

from __future__ import annotations

import binascii
import re

MAX_ENCODED = 76
"""Characters of a line of quoted-printable or base64, without its CRLF."""

_PLAIN = bytes(octet for octet in range(32, 127) if octet != ord("=")) + b"\t"
_LINE_ENDS = b"\r\n"
_OVER = re.compile(rb"^([^\n]{74,75})(=(?:20|09))$", re.MULTILINE)
_EIGHT_BIT = re.compile(rb"[\x80-\xff]")
_LONG = re.compile(rb"[^\r\n]{77,}")
_NO_ESCAPE = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*(?:\r\n|\Z))")
_BASE64_LINE = 57  # octets
_GROUP = 1024 * _BASE64_LINE


def encode(octets: bytes, *, text: bool) -> tuple[str, bytes]:
    """Return the name of the encoding that makes `octets` shorter, and them so encoded.

    Args:
        octets: a body; each line end in it is a CRLF.
        text: whether it is of a text type, whose line ends stay line ends in quoted-printable.
    """
    escaped = len(octets.translate(None, _PLAIN + _LINE_ENDS if text else _PLAIN))
    quoted = (len(octets) + 2 * escaped) * (MAX_ENCODED + 1) // (MAX_ENCODED - 1)
    if quoted <= len(octets) * (MAX_ENCODED + 2) // _BASE64_LINE:
        return "quoted-printable", _quoted_printable(octets, text=text)
    return "base64", _base64(octets)


def _quoted_printable(octets: bytes, *, text: bool) -> bytes:
    if text:
        octets = octets.replace(b"\r\n", b"\n")
    encoded = binascii.b2a_qp(octets, istext=text).replace(b"\r\n", b"\n")
    encoded = _OVER.sub(
        rb"\1=\n\2", encoded
    )  # where binascii encodes a blank at the end, the line may have 78
    return encoded.replace(b"\n", b"\r\n")


def _base64(octets: bytes) -> bytes:
    groups = (octets[start : start + _GROUP] for start in range(0, len(octets), _GROUP))
    return b"\r\n".join(_base64_lines(group) for group in groups)


def _base64_lines(octets: bytes) -> bytes:
    letters = binascii.b2a_base64(octets, newline=False)
    return b"\r\n".join(letters[at : at + MAX_ENCODED] for at in range(0, len(letters), MAX_ENCODED))


def mend_quoted_printable(encoded: bytes) -> bytes | None:
    """Return what calls itself quoted-printable without octets over 127 and without lines of over 76.

    What it decodes to stays the same: such octets become `=XX`, and lines get soft breaks.

    Returns:
        None where an `=` stands for nothing: there is no telling how others decode it.
    """
    if _NO_ESCAPE.search(encoded):
        return None
    ascii_only = _EIGHT_BIT.sub(lambda found: b"=%02X" % ord(found[0]), encoded)
    return _LONG.sub(lambda found: b"=\r\n".join(_soft_pieces(found[0])), ascii_only)


def _soft_pieces(line: bytes) -> list[bytes]:
    pieces, start = [], 0
    while len(line) - start > MAX_ENCODED:
        end = start + MAX_ENCODED - 1
        escape = line.find(b"=", end - 2, end)
        end = escape if escape >= 0 else end
        pieces.append(line[start:end])
        start = end
    return [*pieces, line[start:]]


def mend_base64(encoded: bytes) -> bytes:
    """Return what calls itself base64 with lines of at most 76 characters; they decode to the same."""
    return _LONG.sub(
        lambda found: b"\r\n".join(
            found[0][at : at + MAX_ENCODED] for at in range(0, len(found[0]), MAX_ENCODED)
        ),
        encoded,
    )
