"""The part of an address after the @: a domain name or an address literal, in one form only.

A domain is kept in lower-case A-labels and a literal as `[192.0.2.1]` or `[IPv6:2001:db8::1]`, so
that two spellings of one domain are equal as text. Underscores are taken in labels: real hosts
have them, and the domain name system carries them.

RFC 5321 4.1.2 and 4.1.3, RFC 5890 to 5892 (IDNA 2008), UTS #46 (mapping of what people type),
RFC 5952 (text of IPv6 addresses).
"""

from __future__ import annotations

import re
from functools import lru_cache

from mailqueue.errors import AddressError

MAX_DOMAIN = 255
"""Octets of a domain (RFC 5321 4.5.3.1.2)."""
MAX_LABEL = 63
"""Octets between two dots of a domain (RFC 1035 2.3.4)."""

_NOT_IN_LABELS = re.compile(r"[^a-z0-9_.-]")
_DOTTED_QUAD = re.compile(r"[0-9]+(?:\.[0-9]+){3}")


def normalise_domain(text: str) -> str:
    """Return the one form of the domain or address literal `text`.

    Raises:
        AddressError: the text says what is wrong; positions in it count from 1.
    """
    if not text:
        raise AddressError("there is nothing after the @")
    if text.startswith("["):
        return _normalise_literal(text)
    if len(text) > MAX_DOMAIN:
        raise AddressError(f"the domain is longer than {MAX_DOMAIN} octets")
    return _ascii_name(text.lower() if text.isascii() else _to_ascii(text))


def to_unicode(domain: str) -> str:
    """Return a normalised domain as people write it (U-labels); what cannot be shown so stays as it is."""
    if "xn--" not in domain:
        return domain
    import idna

    try:
        return idna.decode(domain)
    except UnicodeError:
        return domain


def literal_host(domain: str) -> str | None:
    """Return the IP address in a normalised domain that is an address literal; None for a name."""
    if not domain.startswith("["):
        return None
    return domain[1:-1].removeprefix("IPv6:")


def _ascii_name(domain: str) -> str:
    wrong = _NOT_IN_LABELS.search(domain)
    if wrong is not None:
        raise AddressError(f"{name_character(wrong[0])} at position {wrong.start() + 1} of the domain")
    if len(domain) > MAX_DOMAIN:
        raise AddressError(f"the domain is longer than {MAX_DOMAIN} octets")
    labels = domain.split(".")
    for label in labels:
        _check_label(label)
    if _DOTTED_QUAD.fullmatch(domain):
        raise AddressError(f"the domain is an IP address: write it in brackets, [{domain}]")
    return domain


def _check_label(label: str) -> None:
    if not label:
        raise AddressError("the domain begins or ends with a dot, or has two dots in a row")
    if len(label) > MAX_LABEL:
        raise AddressError(f"a part of the domain is longer than {MAX_LABEL} octets: {label[:20]!r}...")
    if label[0] == "-" or label[-1] == "-":
        raise AddressError(f"a part of the domain begins or ends with a hyphen: {label!r}")
    if label.startswith("xn--"):
        _check_a_label(label)


@lru_cache(maxsize=1024)
def _check_a_label(label: str) -> None:
    import idna

    try:
        idna.ulabel(label)
    except UnicodeError as error:
        raise AddressError(f"the domain has a part that IDNA refuses: {label!r}: {error}") from error


@lru_cache(maxsize=1024)
def _to_ascii(domain: str) -> str:
    import idna

    try:
        return idna.encode(domain, uts46=True).decode("ascii").lower()
    except UnicodeError as error:
        raise AddressError(f"IDNA refuses the domain: {error}") from error


def _normalise_literal(text: str) -> str:
    from ipaddress import IPv4Address, IPv6Address

    if not text.endswith("]"):
        raise AddressError("the domain begins with [ and does not end with ]")
    inner = text[1:-1]
    try:
        if inner[:5].lower() != "ipv6:":
            return f"[{IPv4Address(inner)}]"
        if "%" in inner:
            raise ValueError("a zone has no meaning on another machine")
        return f"[IPv6:{IPv6Address(inner[5:])}]"
    except ValueError as error:
        raise AddressError(
            f"a bad address literal {text[:60]!r}: write [192.0.2.1] or [IPv6:2001:db8::1] ({error})"
        ) from error


_NAMES = {
    "\x00": "a NUL",
    "\t": "a tab",
    "\n": "a line feed",
    "\r": "a carriage return",
    " ": "a space",
    "@": "another @",
}


def name_character(character: str) -> str:
    """Return words for `character` that are safe to show: 'a line feed', 'the character U+200B'."""
    if character in _NAMES:
        return _NAMES[character]
    if character.isascii() and character.isprintable():
        return repr(character)
    return f"the character U+{ord(character):04X}"
