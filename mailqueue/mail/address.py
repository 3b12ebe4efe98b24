"""Mail addresses: read from text, held in one form, written as they go on the wire.

An `Address` that `parse` returned is safe to put into a command of SMTP as it is: it holds no
control character, and `parse(str(address)) == address`.

What is read: a local part of atoms and dots, or a quoted one; then a domain name or a literal. Dots
where the grammar wants none (at the ends of a local part, or two in a row) are always taken, as
real mailboxes have them; on the wire they are quoted, which is legal. All else is strict.

RFC 5321 4.1.2 (the grammar on the wire) and 4.5.3.1 (lengths), RFC 6531 3.3 (UTF-8), RFC 5198
(NFC), RFC 5322 3.4 and 4.4 (the grammar in header fields).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from unicodedata import normalize

from mailqueue.errors import AddressError
from mailqueue.mail.addresslist import read_list
from mailqueue.mail.domain import MAX_DOMAIN, name_character, normalise_domain, to_unicode

MAX_LOCALPART = 64
"""Octets of a local part as it is on the wire (RFC 5321 4.5.3.1.1)."""

_ATEXT = r"A-Za-z0-9!#$%&'*+/=?^_`{|}~\-"
_ORDINARY = re.compile(
    rf"([{_ATEXT}]+(?:\.[{_ATEXT}]+)*)@"
    r"((?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)"
)
_DOT_STRING = re.compile(rf"[{_ATEXT}\x80-\U0010ffff]+(?:\.[{_ATEXT}\x80-\U0010ffff]+)*")
_ATOMS_AND_DOTS = re.compile(rf"[{_ATEXT}.\x80-\U0010ffff]*")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*+"')
_QUOTED_PAIR = re.compile(r"\\(.)")
# Control characters; beyond ASCII also spaces, what is not seen or turns the direction of writing,
# lone surrogates (they have no UTF-8) and the signs of text that was decoded wrongly.
_FORBIDDEN = re.compile(
    "[\x00-\x1f\x7f-\xa0\u1680\u2000-\u200b\u200e\u200f\u2028-\u202f\u205f-\u206f\u3000"
    "\ud800-\udfff\ufeff\ufff9-\uffff]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One mail address; `parse` makes it.

    Attributes:
        localpart: what stands before the @, without quotes and escapes, in NFC. Case is kept: only
            the receiving system knows whether it matters (RFC 5321 2.4).
        domain: lower-case A-labels, or a literal `[192.0.2.1]`, `[IPv6:2001:db8::1]`.
    """

    localpart: str
    domain: str

    def __str__(self) -> str:
        """Return the address as it goes on the wire, without angle brackets."""
        return f"{_quote(self.localpart)}@{self.domain}"

    @property
    def ascii(self) -> bool:
        """Whether it can be sent without SMTPUTF8 (RFC 6531)."""
        return self.localpart.isascii()

    @property
    def unicode(self) -> str:
        """The address as people write it: the domain in U-labels."""
        return f"{_quote(self.localpart)}@{to_unicode(self.domain)}"


def parse(text: str) -> Address:
    """Return the address that `text` is, all of it: no display name, no brackets, no white space.

    Raises:
        AddressError: the text names the address, what is wrong with it, and at which position
            (counted in characters, from 1).
    """
    found = _ORDINARY.fullmatch(text)
    if found is not None:
        localpart, domain = found.groups()
        domain = domain.lower()
        if len(localpart) <= MAX_LOCALPART and len(domain) <= MAX_DOMAIN and "xn--" not in domain:
            return Address(localpart=localpart, domain=domain)
    try:
        return _parse_carefully(text)
    except AddressError as error:
        raise AddressError(f"{_shown(text)}: {error}") from error.__cause__


def parse_header(values: Iterable[str]) -> list[Address]:
    """Return the addresses in the values of header fields such as To or Cc, in their order.

    Args:
        values: one text per field, what follows the colon; folded lines and non-ASCII text are
            understood. Display names, the names of groups, comments and source routes are passed
            over; an empty list (`undisclosed-recipients:;`) is no fault.

    Raises:
        AddressError: the text names what cannot be read, and where.
    """
    return [parse(found) for value in values for found in read_list(value)]


def unquote(text: str) -> str:
    """Return what the quoted string `text`, quotes included, stands for (RFC 5322 3.2.4)."""
    return _QUOTED_PAIR.sub(r"\1", text[1:-1])


def quote(text: str) -> str:
    """Return `text` as a quoted string (RFC 5321 4.1.2)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _quote(localpart: str) -> str:
    return localpart if _DOT_STRING.fullmatch(localpart) else quote(localpart)


def _parse_carefully(text: str) -> Address:
    if not text:
        raise AddressError("an address cannot be empty")
    if not text.isascii():
        text = normalize("NFC", text)
    wrong = _FORBIDDEN.search(text)
    if wrong is not None:
        raise AddressError(f"{name_character(wrong[0])} at position {wrong.start() + 1}")
    localpart, end = _read_quoted(text) if text[0] == '"' else _read_atoms(text)
    if len(_quote(localpart).encode()) > MAX_LOCALPART:
        raise AddressError(f"the part before the @ is longer than {MAX_LOCALPART} octets")
    return Address(localpart=localpart, domain=normalise_domain(text[end + 1 :]))


def _read_quoted(text: str) -> tuple[str, int]:
    found = _QUOTED.match(text)
    if found is None:
        raise AddressError("the quote at position 1 is not closed")
    if text[found.end() : found.end() + 1] != "@":
        raise AddressError(f"an @ is missing at position {found.end() + 1}, after the quoted part")
    localpart = unquote(found[0])
    if not localpart:
        raise AddressError("there is nothing before the @")
    return localpart, found.end()


def _read_atoms(text: str) -> tuple[str, int]:
    found = _ATOMS_AND_DOTS.match(text)
    end = found.end() if found else 0
    if text[end : end + 1] == "@" and end > 0:
        return text[:end], end
    if "@" not in text:
        raise AddressError("there is no @")
    if end == 0 and text[0] == "@":
        raise AddressError("there is nothing before the @")
    if "<" in text:
        raise AddressError(f"{name_character(text[end])} at position {end + 1}: give only what is in the <>")
    raise AddressError(
        f"{name_character(text[end])} at position {end + 1} (before the @ it has to be in double quotes)"
    )


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 100 else f"{text[:100]!r}..."
