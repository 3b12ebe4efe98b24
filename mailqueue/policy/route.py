"""Which transport a message takes.

The rule: a message takes the transport that it names. Else the first route that matches counts, in the
order of the settings (those of accounts, those of domains, the others); what no route matches takes the
default transport; without one, mail waits, for there is no guess.

RFC 8689 4.2 (what REQUIRETLS and TLS-Required: No make of a transport).
"""

from __future__ import annotations

from dataclasses import replace

from mailqueue.model.lane import Lane
from mailqueue.model.rules import Route, Tls, Transport, TransportKind
from mailqueue.model.settings import Settings

CANNOT_PROTECT = (
    "550 5.7.10 it has to stay under TLS, and who a receiver found through DNS is cannot be verified: "
    "it needs a relay with a verified certificate and REQUIRETLS"
)
"""What mail that has to stay under TLS is answered where it would go directly."""


def choose(
    settings: Settings,
    sender: str,
    recipient: str,
    override: Transport | None = None,
    *,
    account_id: int,
    failed: int,
    named: str = "",
) -> tuple[Transport, Route | None] | None:
    """Return the transport for mail from `sender` to `recipient`, and the route that chose it.

    Args:
        settings: transports and routes.
        sender: MAIL FROM; '' is the null return path, which only routes for any sender match.
        recipient: RCPT TO.
        override: takes all mail of this engine, whatever the settings say.
        account_id: who sends.
        failed: attempts that have failed so far.
        named: the transport that the message names. '': none.

    Returns:
        The route is None where none chose: for the override, a named transport, and the default one.
        None: nothing takes the mail.
    """
    domains = (domain_of(sender), domain_of(recipient))
    return for_domains(settings, *domains, override, account_id=account_id, failed=failed, named=named)


def for_domains(
    settings: Settings,
    sender_domain: str,
    recipient_domain: str,
    override: Transport | None = None,
    *,
    account_id: int,
    failed: int,
    named: str = "",
) -> tuple[Transport, Route | None] | None:
    """Return what `choose` returns, for the domains of the two addresses."""
    if override is not None:
        return override, None
    if named:
        found = settings.transports.get(named)
        return None if found is None else (found, None)
    for route in settings.routes:
        if (
            route.account_id in (None, account_id)
            and route.min_attempts <= failed
            and _matches(route.sender_domain, sender_domain)
            and _matches(route.recipient_domain, recipient_domain)
        ):
            transport = settings.transports.get(route.transport)
            return None if transport is None else (transport, route)
    default = settings.default_transport()
    return None if default is None else (default, None)


def for_lane(settings: Settings, lane: Lane, override: Transport | None = None) -> Transport | None:
    """Return the transport that all mail of a lane takes, whoever sends it and however often it has failed.

    None: there is none, or it is not the same for all.
    """
    if override is not None:
        return override
    if lane.transport:
        return settings.transports.get(lane.transport)
    for route in settings.routes:
        if route.account_id in (None, lane.account_id) and _matches(route.recipient_domain, lane.domain):
            sure = route.sender_domain is None and route.min_attempts == 0
            return settings.transports.get(route.transport) if sure else None
    return settings.default_transport()


def secured(transport: Transport, require_tls: bool | None) -> Transport:
    """Return a transport as it is for mail with that wish about TLS (RFC 8689 4.2).

    With True, a host that somebody named must have a verified certificate, and what would go directly is
    refused. With False, TLS is opportunistic in direct delivery; how a named host is spoken to is the
    operator's business.
    """
    direct = transport.kind is TransportKind.DIRECT
    match require_tls:
        case True if direct:
            return replace(transport, kind=TransportKind.FAIL, reply=CANNOT_PROTECT)
        case True if transport.kind.names_host:
            return replace(transport, tls=Tls.VERIFIED)
        case False if direct:
            return replace(transport, tls=Tls.OPPORTUNISTIC)
        case _:
            return transport


def domain_of(address: str) -> str:
    """Return what stands behind the last @ of an address; '' for the null return path."""
    return address.rpartition("@")[2]


def _matches(pattern: str | None, domain: str) -> bool:
    return pattern is None or within(pattern, domain)


def within(pattern: str, name: str) -> bool:
    """Return whether a name is the one that is meant; of a pattern with a leading dot, or below it."""
    if pattern.startswith("."):
        return name == pattern[1:] or name.endswith(pattern)
    return name == pattern
