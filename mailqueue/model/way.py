"""How a message would go: by which transport and why, to which hosts, under how much TLS."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mailqueue.model.rules import Tls, TransportKind


class ChosenBy(StrEnum):
    """What has chosen a transport."""

    ENGINE = "engine"
    """The engines at work send all mail by it (`run --relay`), whatever the rest says."""
    MESSAGE = "message"
    """The message names it."""
    ROUTE = "route"
    """It is that of the first route that matches."""
    DEFAULT = "default"
    """No route matches, and it is the default."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NextHost:
    """One server that would be tried."""

    name: str
    """Of the host."""
    port: int
    """TCP port."""
    preference: int | None
    """Of its MX record: lower ones are tried first, equals in any order. None: no MX record names it."""
    addresses: tuple[str, ...]
    """In the order to dial them, two at most. Empty: they are not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a message would go."""

    transport: str
    """Name of the transport."""
    kind: TransportKind
    """How it delivers; `fail` also of a direct one where the message has to stay under TLS."""
    chosen_by: ChosenBy
    """What has chosen it."""
    route_id: int | None
    """Of the route that has. None: none has."""
    destination: str | None
    """The transport and its next hop, as `destinations` call it. None: DNS was not asked, or knows none."""
    hosts: tuple[NextHost, ...]
    """In the order to try them. Empty: none is known, or there are none."""
    error: str | None
    """Why no address is known: what asking for it came to. None: they are, or nobody asked."""
    tls: Tls | None
    """How much TLS the connection must have. None: there is none to make."""
    require_tls: bool | None
    """What the message asks of it (RFC 8689). True: REQUIRETLS. False: TLS-Required: No. None: nothing."""
    reply: str | None
    """What the transport answers in the place of a server. None: it does not."""
