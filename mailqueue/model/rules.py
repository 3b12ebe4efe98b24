"""What steers mail: hold rules, transports, routes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldRule:
    """Holds mail. Every criterion that is set must match; a rule with none matches all mail.

    Addresses and domains are in the form on the wire and compared as they are, but for the
    domain part, which is lower-case already.
    """

    id: int
    """Of the rule."""
    account_id: int | None
    """None: any."""
    sender_domain: str | None
    """None: any."""
    sender: str | None
    """None: any."""
    recipient_domain: str | None
    """None: any."""
    recipient: str | None
    """None: any."""
    reason: str
    """Why, for people; may be empty."""
    actor: str
    """Who made it."""
    created_at: datetime
    """When."""
    marking: bool
    """Queued messages are still being marked; the rule itself acts since its commit."""

    def matches(self, *, account_id: int, sender: str, recipient: str) -> bool:
        """Return whether the rule holds mail from `sender` ('' is the null path) to `recipient`."""
        return (
            self.account_id in (None, account_id)
            and self.sender in (None, sender)
            and self.recipient in (None, recipient)
            and self.sender_domain in (None, sender.rpartition("@")[2])
            and self.recipient_domain in (None, recipient.rpartition("@")[2])
        )


class TransportKind(StrEnum):
    """How a transport delivers."""

    DIRECT = "direct"
    """To the MX hosts of the recipient's domain (RFC 5321 5.1)."""
    RELAY = "relay"
    """To one host that takes everything."""
    FAIL = "fail"
    """Nowhere: answers with a given reply."""


class Tls(StrEnum):
    """Whether TLS is used."""

    OPPORTUNISTIC = "opportunistic"
    """STARTTLS where offered, the clear where it is not or fails (RFC 7435)."""
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Transport:
    """A way out."""

    id: int
    """0: not in the database, given to this engine as `relay`."""
    name: str
    """What routes and the command line call it."""
    kind: TransportKind
    """How it delivers."""
    host: str | None = None
    """relay: name or address of the next hop. None for the other kinds."""
    port: int = 25
    """TCP port of the next hop."""
    tls: Tls = Tls.OPPORTUNISTIC
    """Whether TLS is used."""
    allow_private: bool = False
    """direct: deliver to loopback and private addresses that DNS gave, too."""
    reply: str | None = None
    """fail: the reply it answers, e.g. '550 5.7.1 not from here'."""
    is_default: bool = False
    """Takes what no route matches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Sends matching mail by a transport. The first match counts, by position, then id."""

    id: int
    """Of the route."""
    position: int
    """Lower ones are tried first."""
    sender_domain: str | None
    """None: any. With a leading dot: its subdomains too."""
    recipient_domain: str | None
    """None: any. With a leading dot: its subdomains too."""
    transport: str
    """Name."""
