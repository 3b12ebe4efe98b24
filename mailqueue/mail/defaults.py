"""The envelope that a header suggests: who sends, who receives, when the caller does not say.

The sender is Sender, else the first address of From. The recipients are To, Cc and Bcc. Where a
message is resent, only the fields of the newest Resent- block count: the older ones, and To itself,
name people who have had it already.

RFC 5322 3.6.2 (originators), 3.6.3 (destinations), 3.6.6 (resent fields).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from mailqueue.errors import AddressError
from mailqueue.mail.address import Address, parse_header
from mailqueue.mail.header import Field, Header

_SENDERS = ("sender", "from")
_RECIPIENTS = ("to", "cc", "bcc")
_RESENT = {f"resent-{name}" for name in (*_SENDERS, *_RECIPIENTS, "date", "message-id")}


class Defaults(NamedTuple):
    """What a header says of the envelope, and a sentence for each field that cannot be read."""

    sender: Address | None
    recipients: tuple[Address, ...]
    faults: tuple[str, ...]


def envelope_defaults(header: Header) -> Defaults:
    """Return sender and recipients as the header has them, each recipient once."""
    fields = header.by_name if _RESENT.isdisjoint(header.by_name) else _newest_resent_block(header)
    faults: list[str] = []
    senders = _addresses(fields, _SENDERS, faults)
    recipients = _addresses(fields, _RECIPIENTS, faults)
    return Defaults(senders[0] if senders else None, tuple(dict.fromkeys(recipients)), tuple(faults))


def _addresses(
    fields: Mapping[str, Iterable[Field]], names: Iterable[str], faults: list[str]
) -> list[Address]:
    found: list[Address] = []
    for name in names:
        if name in fields:
            found += addresses_in(fields[name], faults)
    return found


def addresses_in(fields: Iterable[Field], faults: list[str]) -> list[Address]:
    """Return the addresses in `fields`; a field that cannot be read adds a sentence to `faults` instead."""
    found: list[Address] = []
    for field in fields:
        try:
            found += parse_header((field.text,))
        except AddressError as error:
            faults.append(f"header line {field.number}: {field.title}: {error}")
    return found


def _newest_resent_block(header: Header) -> dict[str, list[Field]]:
    """Return the first run of Resent- fields, by their names without the prefix (RFC 5322 3.6.6).

    It ends at another field, or at a name that comes a second time.
    """
    block: dict[str, list[Field]] = {}
    for field in header.fields:
        name = field.name.removeprefix("resent-")
        if name == field.name:
            if block:
                break
        elif name in block:
            break
        else:
            block[name] = [field]
    return block
