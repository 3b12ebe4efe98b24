r"""Encodings that carry any text through parameters of SMTP commands and fields of reports.

`decode(encode(text)) == text` for each pair; what an encoder returns has no space, no control
character and no `=`, so it can stand in a command.

RFC 3461 4 (xtext: `+3D`), RFC 6533 3 (addresses in UTF-8: `\x{FC}`).
"""

from __future__ import annotations

import re

from mailqueue.errors import ParseError

_NOT_XCHAR = re.compile(r"[^!-*,-<>-~]")
_XTEXT = re.compile(r"[!-*,-<>-~]*")
_HEXCHAR = re.compile(r"\+([0-9A-Fa-f]{2})")
_NOT_QCHAR = re.compile(r"[^!-*,-<>-\[\]-~]")
_NOT_QUCHAR = re.compile("[^!-*,-<>-\\[\\]-~\x80-\U0010ffff]")
_EMBEDDED = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")


def encode_xtext(text: str) -> str:
    """Return ASCII `text` as xtext: space, `+`, `=` and control characters become `+` and two digits.

    Raises:
        ValueError: `text` is not ASCII; an address that is not has `encode_utf8_xtext`.
    """
    if not text.isascii():
        raise ValueError(f"xtext carries ASCII only: {text[:100]!r}")
    return _NOT_XCHAR.sub(lambda found: f"+{ord(found[0]):02X}", text)


def decode_xtext(text: str) -> str:
    """Return what the xtext `text` stands for. Digits in lower case are understood.

    Raises:
        ParseError: a character that xtext may not have, a `+` without two hexadecimal digits, or
            octets that are not ASCII.
    """
    plain = _HEXCHAR.sub(lambda found: chr(int(found[1], 16)), text)
    if not _XTEXT.fullmatch(_HEXCHAR.sub("", text)) or not plain.isascii():
        raise ParseError(f"not xtext (RFC 3461 4): {text[:100]!r}")
    return plain


def encode_utf8_xtext(text: str) -> str:
    r"""Return an address as `utf-8-addr-xtext`: in ASCII, for a server without SMTPUTF8 (`\x{FC}`).

    Raises:
        ValueError: `text` has a lone surrogate, which is no character.
    """
    return _embed(_NOT_QCHAR, text)


def encode_unitext(text: str) -> str:
    r"""Return an address as `utf-8-addr-unitext`: UTF-8 stays, for a server with SMTPUTF8.

    Raises:
        ValueError: `text` has a lone surrogate, which is no character.
    """
    return _embed(_NOT_QUCHAR, text)


def decode_utf8(text: str) -> str:
    r"""Return the address that an `utf-8-addr-xtext` or an `utf-8-addr-unitext` stands for.

    Raises:
        ParseError: a character that neither may have, a backslash that begins no `\x{...}`, or a
            number that is no character.
    """
    if _NOT_QUCHAR.search(_EMBEDDED.sub("", text)):
        raise ParseError(f"not an address in utf-8-addr-xtext or unitext (RFC 6533 3): {text[:100]!r}")
    return _EMBEDDED.sub(_character, text)


def _embed(special: re.Pattern[str], text: str) -> str:
    text.encode("utf-8")
    return special.sub(lambda found: f"\\x{{{ord(found[0]):02X}}}", text)


def _character(found: re.Match[str]) -> str:
    number = int(found[1], 16)
    if number > 0x10FFFF or 0xD800 <= number <= 0xDFFF:
        raise ParseError(f"no character has the number {found[1]} (RFC 6533 3)")
    return chr(number)
