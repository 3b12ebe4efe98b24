"""Where mail for a domain goes: the values that resolving gives, and the rules about addresses.

No socket is opened here: each function turns what DNS said into what to dial, so that the rules
can be read and tested by themselves.

RFC 5321 5.1 (order of hosts), 4.1.3 (address literals); RFC 6890 (special addresses).
"""

from __future__ import annotations

import functools
import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

from mailqueue.mail.codes import EnhancedCode

MAX_HOSTS = 5
"""Hosts that one try may dial."""
MAX_ADDRESSES = 2
"""Addresses of one host that one try may dial."""

_NAT64 = IPv6Network("64:ff9b::/96")
_KEY_LENGTH = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class MxHost:
    """One host to dial, with its addresses in the order to dial them."""

    name: str
    """Lower-case host name without a final dot; of an address literal the bare IP address."""
    addresses: tuple[str, ...]
    """At least one, at most MAX_ADDRESSES; one of each family where the host has both."""
    preference: int
    """The MX record's number, lower is tried first; 0 where there is no MX record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextHops:
    """The hosts that take a domain's mail, in the order to try them."""

    domain: str
    """The domain that was asked for, in lower case."""
    hosts: tuple[MxHost, ...]
    """At least one, at most MAX_HOSTS."""
    key: str
    """Names the MX set: equal for all domains that the same hosts serve, whatever the order of this try."""
    implicit: bool
    """True when the domain has no MX record and is its own host, also of an address literal."""
    authentic: bool
    """True when a resolver that is believed said that the MX set is signed (its AD bit, RFC 4035)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolveFailure:
    """Why there is no host to dial."""

    domain: str
    """The domain or host that was asked for, in lower case."""
    permanent: bool
    """True when asking again later will not help."""
    enhanced: EnhancedCode
    """RFC 3463 code for the notice."""
    text: str
    """One sentence for people, ASCII unless the domain is not."""


def parse_literal(domain: str) -> str | None:
    """Return the address in `[192.0.2.1]` or `[IPv6:2001:db8::1]`, None for all else (RFC 5321 4.1.3)."""
    if not (domain.startswith("[") and domain.endswith("]")):
        return None
    inner = domain[1:-1]
    try:
        if inner[:5].lower() == "ipv6:":
            return str(IPv6Address(inner[5:]))
        return str(IPv4Address(inner))
    except ValueError:
        return None


def parse_ip(text: str) -> str | None:
    """Return the address that `text` is, in brackets or not, in canonical form; None when it is a name."""
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return str(ip_address(bare))
    except ValueError:
        return parse_literal(text)


@functools.lru_cache(maxsize=10_000)
def is_public(address: str) -> bool:
    """Tell whether `address` is one that the whole Internet can reach.

    False for loopback, private, shared, link-local, multicast, unspecified, documentation and
    reserved addresses, and for IPv6 addresses that carry such an IPv4 address (mapped, NAT64, 6to4).
    """
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip in _NAT64:
            return is_public(str(IPv4Address(int(ip) & 0xFFFFFFFF)))
        if ip.is_site_local or (ip.sixtofour is not None and not is_public(str(ip.sixtofour))):
            return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved)


def pick_addresses(
    v4: Iterable[str], v6: Iterable[str], *, rng: random.Random, ipv6_first: bool = False
) -> tuple[str, ...]:
    """Return up to MAX_ADDRESSES of a host, the families in turn and each family shuffled by `rng`."""
    families = [list(v6), list(v4)] if ipv6_first else [list(v4), list(v6)]
    for family in families:
        rng.shuffle(family)
    return take_in_turn(families)


def take_in_turn(families: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return up to MAX_ADDRESSES, the first of each family before the second of any."""
    rows = range(max(map(len, families), default=0))
    return tuple(family[row] for row in rows for family in families if row < len(family))[:MAX_ADDRESSES]


def mx_set_key(names: Iterable[str]) -> str:
    """Return the name of a set of hosts: them in alphabetical order, or a digest when that is too long."""
    ordered = sorted(set(names))
    joined = ",".join(ordered)
    if len(joined) <= _KEY_LENGTH:
        return joined
    return f"{ordered[0]}+{len(ordered) - 1}#{hashlib.sha256(joined.encode()).hexdigest()[:32]}"
