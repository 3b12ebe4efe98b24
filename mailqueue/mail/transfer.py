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
    encoded = binascii.b2a_qp(octets, istext=text).replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
    encoded = encoded.replace(b"=\r\n--", b"=\r\n=2D-")  # a soft break must not make a delimiter
    return _LONG.sub(_in_pieces, encoded)  # binascii leaves 78 characters where the last one was a blank


def _base64(octets: bytes) -> bytes:
    groups = (octets[start : start + _GROUP] for start in range(0, len(octets), _GROUP))
    return b"\r\n".join(_base64_lines(group) for group in groups)


def _base64_lines(octets: bytes) -> bytes:
    return _in_lines(binascii.b2a_base64(octets, newline=False))


def _in_lines(letters: bytes) -> bytes:
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
    return _LONG.sub(_in_pieces, ascii_only)


def _in_pieces(line: re.Match[bytes]) -> bytes:
    """Put soft breaks into a line; no new line begins with two hyphens, as delimiters do."""
    octets, pieces, head, start = line[0], [], b"", 0
    while len(head) + len(octets) - start > MAX_ENCODED:
        end = start + MAX_ENCODED - 1 - len(head)
        escape = octets.find(b"=", end - 2, end)
        end = escape if escape >= 0 else end
        pieces.append(head + octets[start:end])
        hyphens = octets.startswith(b"--", end)
        head, start = (b"=2D", end + 1) if hyphens else (b"", end)
    return b"=\r\n".join([*pieces, head + octets[start:]])


def mend_base64(encoded: bytes) -> bytes | None:
    """Return what calls itself base64 with lines of at most 76 characters; they decode to the same.

    Returns:
        None where there are octets over 127, or hyphens, in it: that is no base64.
    """
    if not encoded.isascii() or b"-" in encoded:
        return None
    return _LONG.sub(lambda found: _in_lines(found[0]), encoded)
