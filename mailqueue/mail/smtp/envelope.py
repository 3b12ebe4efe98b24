"""What a server can do, what a message needs, and what to say when the two do not meet.

The rule: a message is never changed to fit here and never sent where it does not; `lacks` says why.

RFC 5321 4.1.1.1 (EHLO), 1870 (SIZE), 2920 (PIPELINING), 6152 (8BITMIME), 6531 (SMTPUTF8), 3461
(DSN), 6533 3 (ORCPT of type utf-8), 2034 (ENHANCEDSTATUSCODES), 3207 (STARTTLS), 4954 (AUTH), 3030
(CHUNKING), 8689 (REQUIRETLS), 9422 (LIMITS).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from mailqueue.mail import codes
from mailqueue.mail.reply import Reply
from mailqueue.mail.wishes import envid_value, orcpt_value

_CONTROL = re.compile("[\x00-\x1f\x7f]")
_WORDS = re.compile(r"[A-Za-z]+(,[A-Za-z]+)*")
_MAX_SIZE_DIGITS = 20  # RFC 1870 3
_LIMIT = re.compile("[1-9][0-9]{0,5}")  # RFC 9422 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a server said that it can do. Without arguments: nothing, as after HELO."""

    pipelining: bool = False
    size: int | None = None
    """Octets that a message may have. 0: no limit is known. None: SIZE is not offered."""
    eight_bit: bool = False
    smtputf8: bool = False
    dsn: bool = False
    enhanced: bool = False
    starttls: bool = False
    chunking: bool = False
    requiretls: bool = False
    auth: tuple[str, ...] = ()
    """Mechanisms of AUTH, upper-case, in the server's order."""
    mail_max: int | None = None
    """Transactions that a connection may carry (MAILMAX), at least 1. None: it does not say."""
    rcpt_max: int | None = None
    """Recipients that a transaction may have (RCPTMAX), at least 1. None: it does not say."""
    rcpt_domain_max: int | None = None
    """Domains that the recipients on a connection may have (RCPTDOMAINMAX), at least 1. None: it does
    not say."""

    @classmethod
    def from_lines(cls, lines: Iterable[str]) -> Capabilities:
        """Return what the reply to EHLO offers.

        Args:
            lines: the lines of that reply without their codes; the first is a greeting and offers nothing.
        """
        offered: dict[str, str] = {}
        for line in list(lines)[1:]:
            keyword, _, value = line.strip().partition(" ")
            offered.setdefault(keyword.upper(), value.strip())
        limits = _limits(offered.get("LIMITS", ""))
        return cls(
            pipelining="PIPELINING" in offered,
            size=_size(offered["SIZE"]) if "SIZE" in offered else None,
            eight_bit="8BITMIME" in offered,
            smtputf8="SMTPUTF8" in offered,
            dsn="DSN" in offered,
            enhanced="ENHANCEDSTATUSCODES" in offered,
            starttls="STARTTLS" in offered,
            chunking="CHUNKING" in offered,
            requiretls="REQUIRETLS" in offered,
            auth=tuple(offered.get("AUTH", "").upper().split()),
            mail_max=limits.get("MAILMAX"),
            rcpt_max=limits.get("RCPTMAX"),
            rcpt_domain_max=limits.get("RCPTDOMAINMAX"),
        )


def _size(value: str) -> int:
    readable = value.isascii() and value.isdecimal() and len(value) <= _MAX_SIZE_DIGITS
    return int(value) if readable else 0


def _limits(value: str) -> dict[str, int]:
    """Return the limits that are readable by their names, upper-case; the others are as good as not said."""
    pairs = (word.partition("=") for word in value.split())
    return {name.upper(): int(limit) for name, _, limit in pairs if _LIMIT.fullmatch(limit)}


@dataclass(slots=True, kw_only=True)
class Envelope:
    """What MAIL and RCPT say about one transaction.

    Raises:
        ValueError: there is no recipient; an address holds a control character (so that it could
            add commands of its own), or is not ASCII though `smtputf8` is False; the wishes of
            recipients are not as many as they, or a wish has other than letters and commas.
    """

    sender: str
    """Address as it goes on the wire, without angle brackets. '': the null return path."""
    recipients: tuple[str, ...]
    """Addresses as they go on the wire, without angle brackets; at least one."""
    size: int
    """Octets of the content, line ends as CRLF, before dots are added (RFC 1870 6.1)."""
    eight_bit: bool = False
    """Whether the content has octets over 127."""
    stays_eight_bit: str | None = None
    """Why such content cannot be made 7-bit; told in the refusal. None: nothing is told."""
    smtputf8: bool = False
    """Whether an address or the header block has other than ASCII characters (RFC 6531 3.4)."""
    ret: str | None = None
    """'FULL' or 'HDRS': what a report should return; said only where DSN is offered. None: not said."""
    envid: str | None = None
    """The sender's name for the message, said only where DSN is offered. None: not said."""
    notify: tuple[str | None, ...] = ()
    """NOTIFY of each recipient ('never', 'success,delay'), said only where DSN is offered; None: not
    said for that one. (): for none."""
    orcpt: tuple[str | None, ...] = ()
    """The original recipient of each, 'type;address'; None and () as for `notify`."""
    require_tls: bool | None = None
    """True: it goes only where REQUIRETLS is offered, and says so. False and None: nothing is said."""

    def __post_init__(self) -> None:
        if not self.recipients:
            raise ValueError("an envelope has at least one recipient")
        if {len(self.notify), len(self.orcpt)} - {0, len(self.recipients)}:
            raise ValueError("an envelope has wishes for each recipient, or for none")
        for wish in (self.ret, *self.notify):
            if wish is not None and not _WORDS.fullmatch(wish):
                raise ValueError(f"{wish!r} is no value of RET or NOTIFY")
        for address in (self.sender, *self.recipients):
            if address.isascii() and address.isprintable():
                continue  # nearly all
            if _CONTROL.search(address):
                raise ValueError(f"address {address!r} holds a control character")
            if not self.smtputf8:
                raise ValueError(f"address {address!r} is not ASCII and the envelope does not say smtputf8")


def lacks(envelope: Envelope, capabilities: Capabilities) -> Reply | None:
    """Return the refusal of a message that needs what the server lacks; None when it may be sent.

    The reply is ours, a permanent failure with the enhanced code that says what is missing: 5.6.7
    (SMTPUTF8, for an address; RFC 6531 3.5), 5.6.9 (SMTPUTF8, for the header block), 5.6.3
    (8BITMIME; RFC 6152 3), 5.3.4 (SIZE; RFC 1870 6.1) or 5.7.30 (REQUIRETLS; RFC 8689 4.2.1).
    """
    if envelope.require_tls and not capabilities.requiretls:
        return _refusal(
            550, codes.REQUIRETLS_NEEDED, "it has to stay under TLS, and it does not offer REQUIRETLS"
        )
    if envelope.smtputf8 and not capabilities.smtputf8:
        if all(address.isascii() for address in (envelope.sender, *envelope.recipients)):
            return _refusal(
                550, codes.SMTPUTF8_HEADER, "a header is not ASCII, and it does not offer SMTPUTF8"
            )
        return _refusal(553, codes.SMTPUTF8, "an address is not ASCII, and it does not offer SMTPUTF8")
    if envelope.eight_bit and not capabilities.eight_bit:
        why = f"; it has to stay so: {envelope.stays_eight_bit}" if envelope.stays_eight_bit else ""
        return _refusal(
            554, codes.CONVERSION_NEEDED, f"the content is 8-bit, and it does not offer 8BITMIME{why}"
        )
    if capabilities.size and envelope.size > capabilities.size:
        return _refusal(
            552, codes.TOO_LARGE, f"the content has {envelope.size} octets, and it takes {capabilities.size}"
        )
    return None


def _refusal(code: int, enhanced: codes.EnhancedCode, why: str) -> Reply:
    return Reply(code, (f"not sent to this server: {why}",), enhanced)


def fitting(
    recipients: Sequence[str], capabilities: Capabilities, named: Collection[str] = ()
) -> Sequence[int]:
    """Return the indexes of the recipients that the next transaction may have (RFC 9422 4).

    Args:
        recipients: addresses as they go on the wire.
        capabilities: with the limits of the server.
        named: domains of recipients that the connection has carried, as `domain_of` returns them.

    Returns:
        Indexes in their order. Empty: the connection may carry none of them.
    """
    if capabilities.rcpt_max is None and capabilities.rcpt_domain_max is None:
        return range(len(recipients))
    found: list[int] = []
    domains = set(named)
    for index, recipient in enumerate(recipients):
        if len(found) == capabilities.rcpt_max:
            break
        domain = domain_of(recipient)
        if domain not in domains and len(domains) == capabilities.rcpt_domain_max:
            continue
        domains.add(domain)
        found.append(index)
    return found


def domain_of(address: str) -> str:
    """Return the domain of an address as it goes on the wire, in lower case."""
    return address.rpartition("@")[2].lower()


def mail_command(envelope: Envelope, capabilities: Capabilities) -> str:
    """Return the MAIL command with the parameters that the server offers, CRLF included."""
    words = [f"MAIL FROM:<{envelope.sender}>"]
    if capabilities.size is not None:
        words.append(f"SIZE={envelope.size}")
    if envelope.eight_bit and capabilities.eight_bit:
        words.append("BODY=8BITMIME")
    if envelope.smtputf8 and capabilities.smtputf8:
        words.append("SMTPUTF8")
    if envelope.require_tls and capabilities.requiretls:
        words.append("REQUIRETLS")
    if envelope.ret is not None and capabilities.dsn:
        words.append(f"RET={envelope.ret}")
    if envelope.envid is not None and capabilities.dsn:
        words.append(f"ENVID={envid_value(envelope.envid)}")
    return " ".join(words) + "\r\n"


def rcpt_command(envelope: Envelope, capabilities: Capabilities, number: int) -> str:
    """Return the RCPT command of recipient `number`, from 0, with its wishes if the server takes any."""
    command = f"RCPT TO:<{envelope.recipients[number]}>"
    if capabilities.dsn and (envelope.notify or envelope.orcpt):
        command += _wishes(envelope, capabilities, number)
    return command + "\r\n"


def _wishes(envelope: Envelope, capabilities: Capabilities, number: int) -> str:
    notify = envelope.notify[number] if envelope.notify else None
    orcpt = envelope.orcpt[number] if envelope.orcpt else None
    words = "" if notify is None else f" NOTIFY={notify.upper()}"
    if orcpt is not None:
        words += f" ORCPT={orcpt_value(orcpt, smtputf8=envelope.smtputf8 and capabilities.smtputf8)}"
    return words
