r"""What a delivery report says, as values: one `Report`, with a `RecipientReport` for each recipient.

What is made here can be carried: texts are cleaned and dates cut to whole seconds when a value is
made (`Typed("smtp", "550 no\tsuch user").value == "550 no such user"`), so `parse(compose(...))`
gives an equal `Report`. None means that the field is absent.

RFC 3464 (fields and their meaning), RFC 6533 (addresses of type utf-8), RFC 3461 (what asked for it).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from mailqueue.mail.codes import EnhancedCode
from mailqueue.mail.dates import rfc3339, whole_seconds
from mailqueue.mail.fields import LONGEST_PIECE, clean, clean_reply

MESSAGE_FIELDS = (
    "Original-Envelope-Id",
    "Reporting-MTA",
    "DSN-Gateway",
    "Received-From-MTA",
    "Arrival-Date",
    "Future-Release-Request",
)
"""The fields about the whole message (RFC 3464 2.2; the last from RFC 4865)."""
RECIPIENT_FIELDS = (
    "Original-Recipient",
    "Final-Recipient",
    "Action",
    "Status",
    "Remote-MTA",
    "Diagnostic-Code",
    "Last-Attempt-Date",
    "Final-Log-ID",
    "Will-Retry-Until",
)
"""The fields about one recipient (RFC 3464 2.3)."""

LONGEST_COMMENT_PIECE = 400
_BACKSLASHED = 150
_KNOWN = frozenset(name.lower() for name in (*MESSAGE_FIELDS, *RECIPIENT_FIELDS))
_TYPE = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]{1,64}")
_DRESSED = re.compile(
    r"<(.+)>|[^<>]*<([^<>\s@]+@[^<>\s]+)>[^<>]*|([^\s@]+@[^\s@]+) *\(.*\)|([^\s@\"]+@[^\s@\"]+)[;,]"
)
_FIELD_NAME = re.compile(r"[!-9;-~]{1,70}")

Extensions = tuple[tuple[str, str], ...]
"""Fields that RFC 3464 does not name, in their order: (name, value)."""


class Action(StrEnum):
    """What the reporting system did about a recipient (RFC 3464 2.3.3)."""

    FAILED = "failed"
    """Not delivered, and it will not be tried again."""
    DELAYED = "delayed"
    """Not delivered yet; it is still being tried."""
    DELIVERED = "delivered"
    """Delivered: into the mailbox, or as far as notices can tell."""
    RELAYED = "relayed"
    """Handed to a system that sends no notices of success."""
    EXPANDED = "expanded"
    """Delivered to an address that stands for several, and passed on to these."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A value with the kind of name that it is: `dns; mx.example.org` (RFC 3464 2.1.2).

    Attributes:
        type: in lower case. Of an address `rfc822` or `utf-8` (RFC 6533 3), of a host `dns`, of a
            diagnostic `smtp`; writers have others too (`x400`, `x-unix`, `unknown`).
        value: the text, never empty. Where the type is `smtp`, a whole reply with its codes, its
            lines joined by newlines (`Reply.to_wire()`). Of type `utf-8`, the address itself
            without the escapes of RFC 6533.

    Raises:
        ValueError: the type is no atom, or the value is empty.
    """

    type: str
    value: str

    def __post_init__(self) -> None:
        if not _TYPE.fullmatch(self.type):
            raise ValueError(f"{self.type!r} is no kind of name (RFC 3464 2.1.2): take dns, rfc822, smtp ...")
        kind = self.type.lower()
        value = _carryable(kind, self.value)
        if not value:
            raise ValueError(f"a value of type {kind} is empty")
        object.__setattr__(self, "type", kind)
        object.__setattr__(self, "value", value)

    def __str__(self) -> str:
        return f"{self.type}; {self.value}"

    def to_dict(self) -> dict[str, object]:
        """Return the value for JSON: the keys `type` and `value`."""
        return {"type": self.type, "value": self.value}


def mailbox(address: str) -> Typed:
    """Return an address with its type: `rfc822`, or `utf-8` where it is not ASCII (RFC 6533 3)."""
    return Typed("rfc822" if address.isascii() else "utf-8", address)


def host(name: str) -> Typed:
    """Return the name of a mail host, or an address literal, with its type, `dns` (RFC 3464 2.2.2)."""
    return Typed("dns", name)


def said(reply: str) -> Typed:
    """Return what a server said over SMTP: `said(reply.to_wire())` (RFC 3464 2.3.6, RFC 3461 9.2)."""
    return Typed("smtp", reply)


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientReport:
    """What became of one recipient (RFC 3464 2.3).

    Raises:
        ValueError: an extension has no proper name, or the name of a field that has its own
            attribute; a date is outside the years 1900 to 9999.
    """

    final_recipient: Typed
    """The address the mail was for when it was reported (2.3.2). Reports that leave it out are read
    with the original recipient in its place."""
    action: Action
    """What was done (2.3.3)."""
    status: EnhancedCode
    """Why, as a code (2.3.4, RFC 3463)."""
    original_recipient: Typed | None = None
    """The address that the sender gave with ORCPT (2.3.1, RFC 3461 4.2)."""
    status_comment: str | None = None
    """Why in the reporting system's own words: the comment behind the code in Status (2.3.4)."""
    remote_mta: Typed | None = None
    """The host that gave the diagnostic (2.3.5); None when no other host is to blame."""
    diagnostic: Typed | None = None
    """All that host said (2.3.6)."""
    last_attempt: int | None = None
    """When it was last tried, in microseconds UTC (2.3.7)."""
    final_log_id: str | None = None
    """What the last host to take the mail calls it in its log (2.3.8)."""
    will_retry_until: int | None = None
    """Until when a delayed message is tried, in microseconds UTC (2.3.9). With any other action than
    `delayed` it is forbidden, and becomes None."""
    extensions: Extensions = ()
    """Further fields, X- ones and registered ones (2.4)."""

    def __post_init__(self) -> None:
        _set(self, "final_recipient", _address(self.final_recipient))
        if self.original_recipient is not None:
            _set(self, "original_recipient", _address(self.original_recipient))
        _set(self, "remote_mta", _one_line(self.remote_mta))
        if self.status_comment is not None:
            _set(self, "status_comment", clean(self.status_comment, LONGEST_COMMENT_PIECE) or None)
        _set(self, "final_log_id", _text(self.final_log_id))
        _set(self, "last_attempt", _moment(self.last_attempt))
        until = self.will_retry_until if self.action is Action.DELAYED else None
        _set(self, "will_retry_until", _moment(until))
        _set(self, "extensions", _extensions(self.extensions))

    def to_dict(self) -> dict[str, object]:
        """Return all of it for JSON; what is absent is None, dates are RFC 3339 in UTC."""
        return {
            "final_recipient": _plain(self.final_recipient),
            "original_recipient": _plain(self.original_recipient),
            "action": self.action.value,
            "status": str(self.status),
            "status_comment": self.status_comment,
            "remote_mta": _plain(self.remote_mta),
            "diagnostic": _plain(self.diagnostic),
            "last_attempt": _date(self.last_attempt),
            "final_log_id": self.final_log_id,
            "will_retry_until": _date(self.will_retry_until),
            "extensions": [list(pair) for pair in self.extensions],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a delivery report says about a message and its recipients (RFC 3464 2.1).

    Raises:
        ValueError: it has no recipient; or an extension or a date is wrong, as in `RecipientReport`.
    """

    reporting_mta: Typed | None
    """The system that tried and now tells (2.2.2). It has to be there to compose a report; reports
    that leave it out are read."""
    recipients: tuple[RecipientReport, ...]
    """What became of each recipient, at least one (2.3)."""
    original_envelope_id: str | None = None
    """The ENVID the sender gave, xtext undone (2.2.1, RFC 3461 4.4)."""
    dsn_gateway: Typed | None = None
    """The gateway that translated a foreign notice into this one (2.2.3)."""
    received_from_mta: Typed | None = None
    """The host that the reporting system had the message from (2.2.4)."""
    arrival_date: int | None = None
    """When the message came to the reporting system, in microseconds UTC (2.2.5)."""
    future_release_request: str | None = None
    """What was asked for at submission, `for;3600` or `until;2027-11-23T06:51:00Z` (RFC 4865)."""
    extensions: Extensions = ()
    """Further fields about the message (2.4)."""

    def __post_init__(self) -> None:
        if not self.recipients:
            raise ValueError("a report has at least one recipient (RFC 3464 2.1)")
        for name in ("reporting_mta", "dsn_gateway", "received_from_mta"):
            _set(self, name, _one_line(getattr(self, name)))
        _set(self, "original_envelope_id", _text(self.original_envelope_id))
        _set(self, "arrival_date", _moment(self.arrival_date))
        _set(self, "future_release_request", _text(self.future_release_request))
        _set(self, "extensions", _extensions(self.extensions))

    def to_dict(self) -> dict[str, object]:
        """Return all of it for JSON; what is absent is None, dates are RFC 3339 in UTC."""
        return {
            "reporting_mta": _plain(self.reporting_mta),
            "original_envelope_id": self.original_envelope_id,
            "dsn_gateway": _plain(self.dsn_gateway),
            "received_from_mta": _plain(self.received_from_mta),
            "arrival_date": _date(self.arrival_date),
            "future_release_request": self.future_release_request,
            "extensions": [list(pair) for pair in self.extensions],
            "recipients": [recipient.to_dict() for recipient in self.recipients],
        }


def _carryable(kind: str, value: str) -> str:
    if kind == "smtp":
        return clean_reply(value)
    value = clean(value)
    if kind == "utf-8" and "\\" in value:
        return clean(value, _BACKSLASHED)  # an escape of RFC 6533 is six times as long
    return value


def _one_line(typed: Typed | None) -> Typed | None:
    """Only a diagnostic can carry the lines of a reply."""
    return Typed(typed.type, clean(typed.value)) if typed and "\n" in typed.value else typed


def _address(typed: Typed) -> Typed:
    """Return an address without brackets, name or comment, for which RFC 3464 2.3.1 has no place.

    It becomes one of type utf-8 where its type cannot hold it (RFC 6533 3). X.400 has other rules.
    """
    value = clean(typed.value)
    while typed.type != "x400" and len(value) < LONGEST_PIECE and (found := _DRESSED.fullmatch(value)):
        value = next(filter(None, found.groups())).strip(" ")
    if not value:
        return typed
    return Typed("utf-8" if typed.type == "rfc822" and not value.isascii() else typed.type, value)


def _extensions(pairs: Iterable[tuple[str, str]]) -> Extensions:
    for name, _ in pairs:
        if not _FIELD_NAME.fullmatch(name) or name.lower() in _KNOWN:
            raise ValueError(f"{name!r} cannot be an extension field (RFC 3464 2.4)")
    return tuple((name, clean(value)) for name, value in pairs)


def _text(text: str | None) -> str | None:
    return None if text is None else clean(text) or None


def _moment(micros: int | None) -> int | None:
    return None if micros is None else whole_seconds(micros)


def _plain(typed: Typed | None) -> dict[str, object] | None:
    return None if typed is None else typed.to_dict()


def _date(micros: int | None) -> str | None:
    return None if micros is None else rfc3339(micros)


def _set(target: object, name: str, value: object) -> None:
    object.__setattr__(target, name, value)
