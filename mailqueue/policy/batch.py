"""Which claimed messages share a transaction.

The rule: together goes what has one content, one MAIL FROM and one way out. What one recipient
needs (SMTPUTF8, REQUIRETLS) must not cost another, so those that need more go apart.

RFC 5321 4.5.3.1.8 (a server takes at least 100 recipients), RFC 6531 3.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import assert_never

from mailqueue.model.message import Claimed
from mailqueue.model.rules import Transport, TransportKind
from mailqueue.model.settings import Settings
from mailqueue.policy.route import domain_of, for_domains, secured

MAX_RECIPIENTS = 100
"""Recipients of one transaction at most."""


@dataclass(slots=True, kw_only=True)
class Batch:
    """Messages for one transaction: equal in content and sender, each for another recipient."""

    transport: Transport
    """As it is for mail with such wishes about TLS (`secured`)."""
    route_id: int | None
    """None: no route chose the transport."""
    destination: str
    """Where to: the recipients' domain (direct), the next hop as 'host:port' (relay), '' (fail)."""
    smtputf8: bool
    """It has to be sent with SMTPUTF8: an address or the header is not ASCII."""
    messages: tuple[Claimed, ...]
    """In the order of their claim, at most MAX_RECIPIENTS."""


_Way = tuple[Transport, int | None, str]
_Asked = tuple[int, int, str, str, str, bool | None]
"""Account, failed attempts, domains of sender and recipient, the transport it names, the wish about TLS."""
_Key = tuple[int, str, bool, bool | None, int, int | None, str]


def batches(
    claimed: Iterable[Claimed], settings: Settings, override: Transport | None = None
) -> tuple[list[Batch], list[Claimed]]:
    """Return the batches that messages make, and the messages that no transport takes.

    The batches are in the order of their first messages.

    Args:
        claimed: the messages.
        settings: transports and routes.
        override: takes all mail of this engine, whatever the settings say.
    """
    ways: dict[_Asked, _Way | None] = {}
    groups: dict[_Key, tuple[_Way, list[Claimed]]] = {}
    stranded: list[Claimed] = []
    for message in claimed:
        asked = (
            message.account_id,
            message.attempts - 1,
            domain_of(message.sender),
            message.domain,
            message.transport,
            message.require_tls,
        )
        if asked not in ways:
            ways[asked] = _way(settings, asked, override)
        way = ways[asked]
        if way is None:
            stranded.append(message)
            continue
        transport, route_id, destination = way
        utf8 = needs_smtputf8(message)
        tls = message.require_tls
        key = (message.content_id, message.return_path, utf8, tls, transport.id, route_id, destination)
        if key in groups:
            groups[key][1].append(message)
        else:
            groups[key] = (way, [message])
    return [batch for way, messages in groups.values() for batch in _cut(way, messages)], stranded


def needs_smtputf8(message: Claimed) -> bool:
    """Return whether a message can go only to servers with SMTPUTF8 (RFC 6531 3.4)."""
    return message.utf8_header or not (message.sender.isascii() and message.recipient.isascii())


def _way(settings: Settings, asked: _Asked, override: Transport | None) -> _Way | None:
    account_id, failed, sender_domain, domain, named, require_tls = asked
    found = for_domains(
        settings, sender_domain, domain, override, account_id=account_id, failed=failed, named=named
    )
    if found is None:
        return None
    transport, route = secured(found[0], require_tls), found[1]
    return transport, route.id if route is not None else None, destination_of(transport, domain)


def destination_of(transport: Transport, domain: str) -> str:
    """Return where mail for `domain` goes by `transport`, as in `Batch.destination`."""
    match transport.kind:
        case TransportKind.DIRECT:
            return domain
        case TransportKind.RELAY | TransportKind.SUBMISSION | TransportKind.SUBMISSIONS:
            host = f"[{transport.host}]" if ":" in (transport.host or "") else transport.host
            return f"{host}:{transport.port}"
        case TransportKind.FAIL:
            return ""
        case _:
            assert_never(transport.kind)


def _cut(way: _Way, messages: list[Claimed]) -> Iterator[Batch]:
    transport, route_id, destination = way
    utf8 = needs_smtputf8(messages[0])
    for start in range(0, len(messages), MAX_RECIPIENTS):
        yield Batch(
            transport=transport,
            route_id=route_id,
            destination=destination,
            smtputf8=utf8,
            messages=tuple(messages[start : start + MAX_RECIPIENTS]),
        )
