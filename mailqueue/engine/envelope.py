"""The envelope of a submission: who sends, who gets it, and what the sender wishes to be told.

The rule: every fault is noted, none ends the search; what is returned beside a fault is never used.

RFC 5321 2.3.1 (envelope), RFC 3461 4 (wishes).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mailqueue.errors import AddressError, ParseError
from mailqueue.mail import address
from mailqueue.mail.address import Address
from mailqueue.mail.content import Prepared
from mailqueue.mail.wishes import read_envid, read_notify, read_orcpt, read_ret
from mailqueue.model.recipient import Recipient

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Addressee:
    """One recipient, as it is stored."""

    address: Address
    notify: str | None = None
    """'never', or some of 'success,failure,delay'. None: not said."""
    orcpt: str | None = None
    """'type;address'. None: not said."""

    def parts(self) -> Iterator[str]:
        """Yield what makes it differ from others, for the fingerprint of its submission."""
        yield f"recipient {self.address}"
        if self.notify is not None:
            yield f"notify {self.notify}"
        if self.orcpt is not None:
            yield f"orcpt {self.orcpt}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Return:
    """What is wished for the whole message."""

    ret: str | None = None
    """'FULL' or 'HDRS'. None: not said."""
    envid: str | None = None
    """None: not said."""

    def parts(self) -> Iterator[str]:
        """Yield what makes it differ from others, for the fingerprint of its submission."""
        if self.ret is not None:
            yield f"ret {self.ret}"
        if self.envid is not None:
            yield f"envid {self.envid}"


def read_sender(sender: str | None, prepared: Prepared | None, faults: list[str]) -> str:
    """Return MAIL FROM: what is given, else what the header says; '' is the null return path."""
    if sender is None:
        if prepared is None:
            return ""
        if prepared.sender is None:
            faults.extend(prepared.envelope_faults)
            faults.append("sender: none given, and no address in From or Sender to take it from")
            return ""
        return str(prepared.sender)
    if sender in ("", "<>"):
        return ""
    try:
        return str(address.parse(sender))
    except AddressError as error:
        faults.append(f"sender: {error}")
        return ""


def read_recipients(
    recipients: Sequence[str | Recipient] | None,
    notify: str | Iterable[str] | None,
    prepared: Prepared | None,
    faults: list[str],
) -> tuple[Addressee, ...]:
    """Return the recipients given, each once, else those that the header names.

    Args:
        recipients: addresses, or such with wishes of their own.
        notify: the wish of those that have none of their own.
        prepared: the message.
        faults: where faults are noted.

    Raises:
        TypeError: one string in place of a list.
    """
    everybody = _wish(read_notify, notify, "", faults)
    if recipients is None:
        if prepared is None:
            return ()
        faults.extend(prepared.envelope_faults)
        if not prepared.recipients and not prepared.envelope_faults:
            faults.append("recipients: none given, and no address in To, Cc or Bcc to take them from")
        return tuple(Addressee(each, everybody) for each in prepared.recipients)
    if isinstance(recipients, str):
        raise TypeError("recipients is a list of addresses, not one string")
    found: dict[Address, Addressee] = {}
    for number, recipient in enumerate(recipients, 1):
        one = _read_one(recipient, everybody, f"recipient {number}: ", faults)
        if one is not None and found.setdefault(one.address, one) != one:
            faults.append(f"recipient {number}: {one.address} was named before, with other wishes")
    if not recipients:
        faults.append("recipients: the list is empty")
    return tuple(found.values())


def read_return(ret: str | None, envid: str | None, faults: list[str]) -> Return:
    """Return the wishes for the whole message."""
    return Return(ret=_wish(read_ret, ret, "", faults), envid=_wish(read_envid, envid, "", faults))


def _read_one(
    recipient: str | Recipient, everybody: str | None, place: str, faults: list[str]
) -> Addressee | None:
    given = recipient if isinstance(recipient, Recipient) else Recipient(recipient)
    notify = everybody if given.notify is None else _wish(read_notify, given.notify, place, faults)
    orcpt = _wish(read_orcpt, given.orcpt, place, faults)
    try:
        return Addressee(address.parse(given.address), notify, orcpt)
    except AddressError as error:
        faults.append(f"{place}{error}")
        return None


def _wish(read: Callable[[T], str], given: T | None, place: str, faults: list[str]) -> str | None:
    """Return a wish as it is kept; None where there is none, or a fault."""
    if given is None:
        return None
    try:
        return read(given)
    except ParseError as error:
        faults.append(f"{place}{error}")
        return None
