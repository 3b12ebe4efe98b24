"""Base addresses: what an address is compared by where it matters whose mailbox it is.

The rule: what nearly all systems take for one mailbox has one base, and two mailboxes have two. So case is
folded and what follows a `+` is cut, but nothing is cut at a `-`, which is part of names; and dots are
dropped only for the domains whose owner says that they do not count.

RFC 5233 (subaddresses), RFC 5198 (NFC).
"""

from __future__ import annotations

from unicodedata import normalize

from mailqueue.mail.address import Address, parse

_DOTLESS = {"gmail.com": "gmail.com", "googlemail.com": "gmail.com"}
"""Domains in which dots do not count, by the name that stands for all of them."""


def base_of(text: str) -> str:
    """Return the base of an address.

    It is an address again, though it may be longer than one on the wire, and its own base. What would leave
    nothing before the @ is not cut.

    Raises:
        AddressError: `text` is no address.
    """
    found = parse(text)
    local, plus, _ = found.localpart.partition("+")
    if plus and not local:
        local = found.localpart
    domain = _DOTLESS.get(found.domain, found.domain)
    if found.domain in _DOTLESS:
        local = local.replace(".", "") or local
    return str(Address(localpart=_folded(local), domain=domain))


def _folded(text: str) -> str:
    return text.lower() if text.isascii() else normalize("NFC", normalize("NFD", text).casefold())
