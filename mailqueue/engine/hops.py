"""Where mail goes by a transport: its destination's name, its hosts, and their addresses.

The rule: an attempt, a claim, and whoever asks what these would do, are told by the same functions.

RFC 5321 5.1 (which hosts, in which order).
"""

from __future__ import annotations

from dataclasses import dataclass

from mailqueue.mail.domain import literal_host
from mailqueue.model.rules import Transport, TransportKind
from mailqueue.net.hosts import MAX_ADDRESSES, MxHost, NextHops, ResolveFailure
from mailqueue.net.resolver import Resolver
from mailqueue.policy.batch import destination_of


@dataclass(frozen=True, slots=True)
class Hop:
    """Where mail for a domain goes by a transport."""

    name: str
    """Of the destination."""
    hosts: tuple[str, ...]
    """Names of its hosts."""
    learned_at: int
    """Microseconds UTC."""


def told_hop(transport: Transport, domain: str) -> Hop | None:
    """Return where mail for `domain` goes by a transport that says so itself. None: DNS has to be asked."""
    if transport.kind is TransportKind.DIRECT:
        return None
    at = destination_of(transport, domain)
    return Hop(f"{transport.name} {at}".rstrip(), (transport.host or "",), 0)


def unknown_hop(transport: Transport, domain: str) -> Hop:
    """Return where mail goes for a domain of which DNS says nothing: it is itself in trouble."""
    return Hop(f"{transport.name} {domain}", (), 0)


def found_hop(transport: Transport, found: NextHops, now: int) -> Hop:
    """Return where mail goes for a domain of which DNS said so much; `now` in microseconds UTC."""
    return Hop(f"{transport.name} {found.key}", tuple(host.name for host in found.hosts), now)


async def next_hops(resolver: Resolver, transport: Transport, domain: str) -> NextHops | ResolveFailure:
    """Return the hosts that take mail for `domain` by a transport, in the order to try them this time."""
    if not transport.kind.names_host:
        return await resolver.route(domain, allow_private=transport.allow_private)
    host = transport.host or ""
    found = await resolver.addresses(literal_host(host) or host)
    if isinstance(found, ResolveFailure):
        return found
    return NextHops(
        domain=host,
        hosts=(MxHost(name=host, addresses=found[:MAX_ADDRESSES], preference=0),),
        key=destination_of(transport, domain),
        implicit=True,
        authentic=False,
    )
