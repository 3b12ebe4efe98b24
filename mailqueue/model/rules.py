"""What steers mail: hold rules, transports, routes, reply rules, shaping rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mailqueue.clock import from_datetime
from mailqueue.model.attempt import Category


class Then(StrEnum):
    """What becomes, at the end of a hold rule, of what it alone holds."""

    RELEASE = "release"
    """It is released."""
    FAIL = "fail"
    """It fails, and the sender is told."""
    KEEP = "keep"
    """It stays on hold, by hand."""


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
    until: datetime | None = None
    """It ends then. None: when somebody removes it."""
    then: Then = Then.RELEASE
    """What becomes, at its end, of what it alone holds."""
    per_minute: int | None = None
    """So many messages are released in a minute, once it has ended. None: all at once."""
    ended_at: datetime | None = None
    """It holds nothing new since, and goes once its marks have gone. None: nobody has ended it yet."""
    ended_by: str | None = None
    """Who ended it. None: its time did, or it has not ended."""
    ended_reason: str = ""
    """Why they did, for people; may be empty."""
    next_at: datetime | None = None
    """When its end comes or, once it has ended, goes on. None: it has none."""
    let_go: int = 0
    """So many of its marks have gone since it ended."""

    @property
    def why_ended(self) -> str:
        """Why it holds no more, for people: `hold rule 3 removed: all is well`, `hold rule 3 has ended`."""
        if self.ended_by is None:
            return f"hold rule {self.id} has ended" + (f": {self.reason}" if self.reason else "")
        return f"hold rule {self.id} removed" + (f": {self.ended_reason}" if self.ended_reason else "")

    def at_work(self, now: int) -> bool:
        """Return whether the rule holds what matches it, at `now` (microseconds UTC)."""
        return self.ended_at is None and (self.until is None or now < from_datetime(self.until))

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
    """To one host that takes everything, by SMTP as servers speak it among themselves."""
    SUBMISSION = "submission"
    """To one host that takes everything from those it knows: port 587, STARTTLS (RFC 6409)."""
    SUBMISSIONS = "submissions"
    """The same by TLS from the first octet: port 465 (RFC 8314 3.3)."""
    FAIL = "fail"
    """Nowhere: answers with a given reply."""

    @property
    def names_host(self) -> bool:
        """Whether a transport of this kind names its next hop."""
        return self in (TransportKind.RELAY, TransportKind.SUBMISSION, TransportKind.SUBMISSIONS)


class Tls(StrEnum):
    """Whether TLS is used."""

    OPPORTUNISTIC = "opportunistic"
    """STARTTLS where offered, the clear where it is not or fails (RFC 7435)."""
    NONE = "none"
    """Always the clear."""
    REQUIRED = "required"
    """TLS, or no delivery; any certificate will do."""
    VERIFIED = "verified"
    """TLS with a certificate that is valid for the host's name, or no delivery."""


class AuthMechanism(StrEnum):
    """How a client proves who it is (RFC 4954)."""

    SCRAM_SHA_256 = "SCRAM-SHA-256"
    CRAM_MD5 = "CRAM-MD5"
    PLAIN = "PLAIN"
    LOGIN = "LOGIN"


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
    """relay, submission, submissions: name or address of the next hop. None for the other kinds."""
    port: int = 25
    """TCP port of the next hop."""
    tls: Tls = Tls.OPPORTUNISTIC
    """Whether TLS is used."""
    username: str | None = None
    """Who we are to the next hop. None: no AUTH."""
    password: str | None = field(default=None, repr=False)
    """None: no AUTH. Neither logged nor shown."""
    auth: AuthMechanism | None = None
    """How we prove it. None: the best mechanism that both sides know."""
    ca_file: str | None = None
    """Path of the certificates (PEM) that the next hop's must be signed by. None: those of the system."""
    allow_private: bool = False
    """direct: deliver to loopback and private addresses that DNS gave, too."""
    reply: str | None = None
    """fail: the reply it answers, e.g. '550 5.7.1 not from here'."""
    is_default: bool = False
    """Takes what no route matches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Sends matching mail by a transport: the first route does of which every criterion that is set matches.

    Those of an account are tried first, then those that name a domain, then the others; among
    these they go by position, then id.
    """

    id: int
    """Of the route."""
    position: int
    """Lower ones are tried first."""
    account_id: int | None = None
    """None: any."""
    sender_domain: str | None
    """None: any. With a leading dot: its subdomains too."""
    recipient_domain: str | None
    """None: any. With a leading dot: its subdomains too."""
    min_attempts: int = 0
    """Only for messages of which at least so many attempts have failed: a way out of trouble."""
    transport: str
    """Name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRule:
    """Says what a reply means: the first that matches does, by position, then id, before the shipped ones."""

    id: int
    """Of the rule."""
    position: int
    """Lower ones are asked first."""
    pattern: str
    """Regular expression, searched in the whole text of the reply."""
    code: str | None
    """'450', '4??', '5*' ... None: any reply code."""
    category: Category
    """What the reply means."""
    permanent: bool | None
    """None: as the code says. False: it is tried again. True: it is not."""
    note: str
    """Why, for people; may be empty."""
    actor: str
    """Who made it."""
    created_at: datetime
    """When."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ShapingRule:
    """Limits what goes to a destination, or to several together.

    The first rule that matches counts, by position, then id.
    """

    id: int
    """Of the rule."""
    position: int
    """Lower ones are asked first."""
    transport: str | None
    """Name. None: any."""
    domain: str | None
    """Of the recipient. None: any. With a leading dot: its subdomains too."""
    mx: str | None
    """Name of one of the hosts that the mail goes to. None: any. With a leading dot: all below it too."""
    connections: int | None
    """At once, of all engines together. None: no limit by this rule."""
    per_connection: int | None
    """Transactions on one connection, each of which may have many recipients. None: no limit by this rule."""
    per_minute: int | None
    """Messages in any minute, of all engines together. None: no limit by this rule."""
    reason: str
    """Why, for people; may be empty."""
    actor: str
    """Who made it."""
    created_at: datetime
    """When."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SenderDomain:
    """What is wished for the mail from a domain."""

    name: str
    """In A-labels."""
    separator: str
    """What stands in a return address of its own before what makes it unique."""
