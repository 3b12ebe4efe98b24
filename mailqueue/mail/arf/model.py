"""What a feedback report says, as one value.

What is made here can be carried: texts are cleaned and dates cut to whole seconds when a value is
made, so `parse(compose(...))` gives an equal `Report`. None means that the field is absent.

RFC 5965 3 (the fields), RFC 6591 3 (those about authentication), RFC 5965 7.3 (types of feedback).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from mailqueue.mail.dates import rfc3339, whole_seconds
from mailqueue.mail.fields import clean

Extensions = tuple[tuple[str, str], ...]
"""Fields that have no attribute of their own, in their order: (name, value)."""

_TYPE = re.compile(r"[a-z0-9!#$%&'*+/?^_`{|}~.-]{1,64}")
_FIELD_NAME = re.compile(r"[!-9;-~]{1,70}")
_PLAIN = re.compile(r"[ <]*[^\s@<>,\"]+@[^\s@<>,\"]+[ >]*")
_WHITE = " \t\r\n"
MOST = 999_999_999
"""The largest number that is read."""


class FeedbackType(StrEnum):
    """What the reporter means (RFC 5965 7.3, RFC 6430, RFC 6591)."""

    ABUSE = "abuse"
    """The recipient does not want it: spam, or what a button of that name was pressed for."""
    FRAUD = "fraud"
    """Somebody pretends to be another: phishing."""
    VIRUS = "virus"
    """It carries a virus."""
    NOT_SPAM = "not-spam"
    """It was taken for spam and is none: no complaint."""
    AUTH_FAILURE = "auth-failure"
    """It failed DKIM, SPF or DMARC (RFC 6591): about who sent it, no complaint of a recipient."""
    OTHER = "other"
    """Something else; so are types that are not known here (RFC 5965 3.1)."""


FIELDS = {
    "Feedback-Type": "type",
    "User-Agent": "user_agent",
    "Version": "version",
    "Original-Envelope-Id": "original_envelope_id",
    "Original-Mail-From": "original_mail_from",
    "Original-Rcpt-To": "original_rcpt_to",
    "Arrival-Date": "arrival_date",
    "Reporting-MTA": "reporting_mta",
    "Source-IP": "source_ip",
    "Source-Port": "source_port",
    "Incidents": "incidents",
    "Authentication-Results": "authentication_results",
    "Reported-Domain": "reported_domains",
    "Reported-URI": "reported_uris",
    "Auth-Failure": "auth_failure",
    "Delivery-Result": "delivery_result",
    "Identity-Alignment": "identity_alignment",
    "DKIM-Domain": "dkim_domain",
    "DKIM-Identity": "dkim_identity",
    "DKIM-Selector": "dkim_selector",
    "DKIM-ADSP-DNS": "dkim_adsp_dns",
    "SPF-DNS": "spf_dns",
}
"""The fields that a report may have, and the attribute for each, in the order they are written."""
OLD_NAMES = {
    "Received-Date": "arrival_date",
    "Removal-Recipient": "original_rcpt_to",
    "Original-Recipient": "original_rcpt_to",
}
"""Fields of the drafts before RFC 5965, and what reporters write in place of it; read only."""
_KNOWN = frozenset(name.lower() for name in (*FIELDS, *OLD_NAMES))
_LISTS = ("authentication_results", "reported_domains", "reported_uris", "spf_dns")
_OTHERS = frozenset(
    {*_LISTS, "type", "original_mail_from", "original_rcpt_to", "arrival_date", "source_port", "incidents"}
)
_TEXTS = tuple(attribute for attribute in FIELDS.values() if attribute not in _OTHERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a feedback report says of a message (RFC 5965 3).

    Raises:
        ValueError: `type` is no word, a number is negative or over `MOST`, a date is outside the years
            1900 to 9999, or an extension has no proper name, or that of a field with its own attribute.
    """

    type: str
    """What the reporter means, in lower case; `feedback_type` is its meaning (3.1)."""
    user_agent: str | None = None
    """The program that made the report (3.1). Has to be there by the standard; some leave it out."""
    version: str | None = "1"
    """Of the format (3.1). Old reports have 0.1; some leave it out."""
    original_envelope_id: str | None = None
    """The ENVID the sender gave (3.2, RFC 3461 4.4)."""
    original_mail_from: str | None = None
    """The return path of the message, without brackets; '' is the null one (3.2)."""
    original_rcpt_to: tuple[str, ...] = ()
    """Its recipients, without brackets (3.3). Many reporters put something else in place of the local
    part."""
    arrival_date: int | None = None
    """When it came to the reporter, in microseconds UTC (3.2); older ones call it Received-Date."""
    reporting_mta: str | None = None
    """The host that reports, `dns; mx.example.net` (3.2)."""
    source_ip: str | None = None
    """The address it came from (3.2)."""
    source_port: int | None = None
    """The port it came from (RFC 6692)."""
    incidents: int | None = None
    """How many messages like it the report stands for; None: one (3.2)."""
    authentication_results: tuple[str, ...] = ()
    """What the reporter's checks said (3.3, RFC 8601)."""
    reported_domains: tuple[str, ...] = ()
    """The domains that the complaint is about (3.3)."""
    reported_uris: tuple[str, ...] = ()
    """The addresses of pages and the like that it is about (3.3)."""
    auth_failure: str | None = None
    """What failed: adsp, bodyhash, revoked, signature, spf, dmarc (RFC 6591 3.1, RFC 7489 7.3)."""
    delivery_result: str | None = None
    """What became of the message: delivered, spam, policy, reject, other (RFC 6591 3.2.2)."""
    identity_alignment: str | None = None
    """Which of the names agree, dkim and spf (RFC 7489 7.3.1)."""
    dkim_domain: str | None = None
    """The d= of the signature (RFC 6591 3.2.3)."""
    dkim_identity: str | None = None
    """The i= of the signature (RFC 6591 3.2.3)."""
    dkim_selector: str | None = None
    """The s= of the signature (RFC 6591 3.2.3)."""
    dkim_adsp_dns: str | None = None
    """The record of ADSP that was found (RFC 6591 3.2.4)."""
    spf_dns: tuple[str, ...] = ()
    """The records of SPF that were found (RFC 6591 3.2.5)."""
    extensions: Extensions = ()
    """Further fields: the canonicalized header and body of RFC 6591, and what is not registered."""

    def __post_init__(self) -> None:
        _set(self, "type", self.type.strip(" ").lower())
        if not _TYPE.fullmatch(self.type):
            raise ValueError(f"{self.type[:100]!r} is no type of feedback (RFC 5965 3.1)")
        for name in _TEXTS:
            text = getattr(self, name)
            _set(self, name, None if text is None else clean(text) or None)
        for name in _LISTS:
            _set(self, name, tuple(filter(None, map(clean, getattr(self, name)))))
        if self.original_mail_from is not None:
            _set(self, "original_mail_from", _bare(self.original_mail_from))
        _set(self, "original_rcpt_to", tuple(_addresses(self.original_rcpt_to)))
        if self.arrival_date is not None:
            _set(self, "arrival_date", whole_seconds(self.arrival_date))
        if not all(0 <= (number or 0) <= MOST for number in (self.incidents, self.source_port)):
            raise ValueError(f"incidents and source_port are numbers from 0 to {MOST}")
        _set(self, "extensions", _extensions(self.extensions))

    @property
    def feedback_type(self) -> FeedbackType:
        """What the reporter means, as far as it is known here."""
        return FeedbackType(self.type) if self.type in set(FeedbackType) else FeedbackType.OTHER

    def to_dict(self) -> dict[str, object]:
        """Return all of it for JSON; what is absent is None, dates are RFC 3339 in UTC."""
        values: dict[str, object] = {"feedback_type": self.feedback_type.value}
        for name in FIELDS.values():
            value = getattr(self, name)
            values[name] = list(value) if isinstance(value, tuple) else value
        values["arrival_date"] = None if self.arrival_date is None else rfc3339(self.arrival_date)
        values["extensions"] = [list(pair) for pair in self.extensions]
        return values


def _addresses(texts: Iterable[str]) -> Iterator[str]:
    """Yield the addresses in fields that should have one each, without brackets."""
    for text in map(_bare, texts):
        pieces = text.split(",")
        if all(map(_PLAIN.fullmatch, pieces)):
            yield from (piece.strip(" <>") for piece in pieces)
        elif text:
            yield text


def _bare(address: str) -> str:
    """Return an address without its angle brackets, in time proportional to its length."""
    begin, end = 0, len(text := address.strip(_WHITE))
    while end - begin > 1 and text[begin] == "<" and text[end - 1] == ">":
        begin, end = begin + 1, end - 1
        while begin < end and text[begin] in _WHITE:
            begin += 1
        while begin < end and text[end - 1] in _WHITE:
            end -= 1
    return clean(text[begin:end])


def _extensions(pairs: Iterable[tuple[str, str]]) -> Extensions:
    for name, _ in pairs:
        if not _FIELD_NAME.fullmatch(name) or name.lower() in _KNOWN:
            raise ValueError(f"{name!r} cannot be an extension field (RFC 5965 3.4)")
    return tuple((name, clean(value)) for name, value in pairs)


def _set(target: object, name: str, value: object) -> None:
    object.__setattr__(target, name, value)
