r"""What a sender wishes to be told of a message: NOTIFY and ORCPT for each recipient, RET and ENVID for all.

The rule: a wish is kept in one form, the one that a report shows, and encoded only where it goes into
a command. Words of NOTIFY stand in one order, so that equal wishes are equal texts.

RFC 3461 4 (the parameters), 5.2 (who tells what), RFC 6533 3 (addresses in UTF-8: `\x{FC}`).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

from mailqueue.errors import ParseError
from mailqueue.mail.xtext import encode_unitext, encode_utf8_xtext, encode_xtext

SUCCESS: Final = "success"
"""In NOTIFY: tell when it is delivered, or handed to a server that will not tell."""
FAILURE: Final = "failure"
"""In NOTIFY: tell when it cannot be delivered."""
DELAY: Final = "delay"
"""In NOTIFY: tell when it is late."""
NEVER: Final = "never"
"""NOTIFY as a whole: tell nothing."""
FULL: Final = "FULL"
"""RET: a notice of failure returns the whole message."""
HDRS: Final = "HDRS"
"""RET: a notice returns the header only."""
MAX_ENVID: Final = 100
"""Characters of an ENVID as it stands in the command (RFC 3461 4.4)."""
MAX_ORCPT: Final = 500
"""Characters of an ORCPT as it stands in the command (RFC 3461 4.2)."""

_ORDER = (SUCCESS, FAILURE, DELAY)
_DEFAULT = frozenset({FAILURE, DELAY})
_TYPE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+")
_PRINTABLE = re.compile(r"[ -~]+")
_UTF8 = "utf-8"


def wants(notify: str | None, what: str) -> bool:
    """Return whether a sender wants word of `what`: SUCCESS, FAILURE or DELAY (RFC 3461 4.1).

    Args:
        notify: as `read_notify` returns it. None: nothing was said, which means FAILURE and DELAY.
        what: the thing that happened.
    """
    return what in _DEFAULT if notify is None else what in notify.split(",")


def read_notify(wish: str | Iterable[str]) -> str:
    """Return 'never', or those of 'success,failure,delay' that are wished for.

    Args:
        wish: words, or one text of words with commas between; capitals or not.

    Raises:
        ParseError: a word that is none of these, none at all, or `never` beside others.
    """
    given = wish.split(",") if isinstance(wish, str) else list(wish)
    words = {word.strip().lower() for word in given if isinstance(word, str)}
    if words == {NEVER}:
        return NEVER
    if NEVER in words:
        raise ParseError("notify: never stands alone (RFC 3461 4.1)")
    if not words or not words.issubset(_ORDER) or not all(isinstance(word, str) for word in given):
        shown = ",".join(map(str, given))[:60]
        raise ParseError(f"notify: {shown!r} is not never, nor a list of success, failure and delay")
    return ",".join(word for word in _ORDER if word in words)


def read_ret(wish: str) -> str:
    """Return 'FULL' or 'HDRS'.

    Raises:
        ParseError: it is neither, capitals or not.
    """
    word = wish.upper()
    if word not in (FULL, HDRS):
        raise ParseError(f"ret: {wish[:60]!r} is neither full nor hdrs (RFC 3461 4.3)")
    return word


def read_envid(wish: str) -> str:
    """Return an ENVID as it is given.

    Raises:
        ParseError: it is empty, has other than printable ASCII characters, begins or ends with a space,
            has two of them together (a report cannot show that), or is too long.
    """
    if not _PRINTABLE.fullmatch(wish):
        raise ParseError(f"envid: {wish[:60]!r} must be printable ASCII characters, at least one")
    if wish != " ".join(wish.split()):
        raise ParseError(f"envid: {wish[:60]!r} has spaces at an end, or two of them together")
    if len(envid_value(wish)) > MAX_ENVID:
        raise ParseError(f"envid: longer than {MAX_ENVID} characters as it goes into MAIL (RFC 3461 4.4)")
    return wish


def read_orcpt(wish: str) -> str:
    """Return an original recipient as 'type;address', in NFC.

    Args:
        wish: an address, or one with its type before it: `rfc822;bob@example.org`. Of an address
            without, the type is rfc822, or utf-8 where it is not ASCII.

    Raises:
        ParseError: no address, characters that are not printable, other than ASCII ones in an address
            of another type, spaces at an end or together, or it is too long.
    """
    kind, separator, address = wish.partition(";")
    if not separator or not _TYPE.fullmatch(kind):
        kind, address = "rfc822", wish
    kind, address = kind.lower(), unicodedata.normalize("NFC", address)
    if not address or not address.isprintable() or address != " ".join(address.split()):
        raise ParseError(f"orcpt: {wish[:60]!r} is no address that a report can show")
    if not address.isascii() and kind not in ("rfc822", _UTF8):
        raise ParseError(f"orcpt: an address of type {kind} is ASCII, and {address[:60]!r} is not")
    orcpt = f"{kind if address.isascii() else _UTF8};{address}"
    if len(orcpt_value(orcpt, smtputf8=False)) > MAX_ORCPT:
        raise ParseError(f"orcpt: longer than {MAX_ORCPT} characters as it goes into RCPT (RFC 3461 4.2)")
    return orcpt


def envid_value(envid: str) -> str:
    """Return an ENVID as the value of its parameter.

    Raises:
        ValueError: it is not ASCII.
    """
    return encode_xtext(envid)


def orcpt_value(orcpt: str, *, smtputf8: bool) -> str:
    """Return an original recipient, 'type;address', as the value of its parameter.

    Args:
        orcpt: as `read_orcpt` returns it.
        smtputf8: MAIL says SMTPUTF8, so that an address of type utf-8 may go as UTF-8 (RFC 6533 3).

    Raises:
        ValueError: an address that is not ASCII and not of type utf-8.
    """
    kind, _, address = orcpt.partition(";")
    if kind != _UTF8:
        return f"{kind};{encode_xtext(address)}"
    return f"{kind};{encode_unitext(address) if smtputf8 else encode_utf8_xtext(address)}"
