"""What is known when a transaction or a connection is over, as values.

The rule: facts only. What they mean for a message and its recipients is decided elsewhere.

RFC 5321 4.5.3.2 (timeouts), RFC 4954 (AUTH).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from mailqueue.mail.reply import Reply


class Phase(StrEnum):
    """What a connection waits for."""

    CONNECT = "connect"
    GREETING = "greeting"
    EHLO = "ehlo"
    HELO = "helo"
    STARTTLS = "starttls"
    """The reply to STARTTLS."""
    TLS = "tls"
    """The TLS handshake."""
    AUTH = "auth"
    """A reply within AUTH."""
    IDLE = "idle"
    """Nothing: the connection stands ready between transactions."""
    RSET = "rset"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"
    BDAT = "bdat"
    """The reply to a chunk of content that is not the last (RFC 3030)."""
    BODY = "body"
    """That the network takes the next block of content."""
    FINAL = "final"
    """The reply to the final dot, or to the last chunk."""
    QUIT = "quit"


TIMEOUTS: Final[Mapping[Phase, float]] = MappingProxyType(
    {
        Phase.CONNECT: 30.0,
        Phase.GREETING: 300.0,
        Phase.EHLO: 300.0,
        Phase.HELO: 300.0,
        Phase.STARTTLS: 300.0,
        Phase.TLS: 60.0,
        Phase.AUTH: 300.0,
        Phase.RSET: 300.0,
        Phase.MAIL: 300.0,
        Phase.RCPT: 300.0,
        Phase.DATA: 120.0,
        Phase.BDAT: 180.0,
        Phase.BODY: 180.0,
        Phase.FINAL: 600.0,
        Phase.QUIT: 5.0,
    }
)
"""Seconds that each phase may take in all, however its octets come in (RFC 5321 4.5.3.2). RFC 3030 has none
for the reply to a chunk: it is a block of content, and may take as long as one.

A wait in `Phase.IDLE` has no limit here: who keeps connections says for how long.
"""


class Cause(StrEnum):
    """Why a connection can no longer be used."""

    REFUSED = "refused"
    """A 4yz or 5yz reply before the session stood: to the connection, EHLO, HELO or STARTTLS."""
    CLOSING = "closing"
    """The server said 421 (RFC 5321 3.8)."""
    CLOSED = "closed"
    """The connection was not had, or was closed or broken by the other side or the network."""
    TIMEOUT = "timeout"
    """The phase took longer than it may."""
    PROTOCOL = "protocol"
    """The server said what SMTP does not allow there, so nobody can tell what it would answer next."""
    TLS = "tls"
    """The handshake failed, or there is none to be had though there must be."""
    AUTH = "auth"
    """We could not prove who we are: the server refused, offers no way that may be used, or did not
    prove itself."""
    WITHHELD = "withheld"
    """We kept the final dot back: we may no longer be the ones to send this message."""
    ABORTED = "aborted"
    """We broke it off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """How a connection ended, when it did not end by QUIT."""

    phase: Phase
    """What was waited for."""
    cause: Cause
    reason: str
    """Our words for it, one line."""
    reply: Reply | None = None
    """What the server said that ended it (421, a refusal, nonsense). None: it said nothing."""

    def __str__(self) -> str:
        said = f": {self.reply}" if self.reply is not None else ""
        return f"{self.reason} (at {self.phase}){said}"


@dataclass(slots=True, kw_only=True)
class TransactionResult:
    """What a server said to one transaction. A recipient has the message if both its reply in
    `rcpt` and `final` are positive; otherwise see which reply is missing or negative.
    """

    lacks: Reply | None = None
    """A refusal of our own: what the message needs and the server lacks (see `lacks`). Nothing was
    sent, all else is None. None: the server was asked."""
    mail: Reply | None = None
    """Reply to MAIL. None: none came. If it is negative, those to RCPT mean nothing."""
    rcpt: tuple[Reply | None, ...] = ()
    """Replies to RCPT in the order of the recipients; None where none came or none was asked for."""
    data: Reply | None = None
    """Reply to DATA. None: none came, or DATA was not sent because no recipient was taken, or the
    content went in chunks."""
    final: Reply | None = None
    """Reply to the content. None: none came, or no content was sent. With `final_dot_sent` False it
    is a refusal in the middle of the content, as of a chunk."""
    final_dot_sent: bool = False
    """Whether the end of the content, the final dot or the last chunk, was handed to the network.
    False: the server cannot have taken the message. True without `final`: nobody knows."""
    content_octets: int = 0
    """Octets of content handed to the network, without dots added."""
    lost: Lost | None = None
    """How the connection ended within the transaction. None: it stands ready for the next one."""
