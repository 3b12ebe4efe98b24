"""Message objects of Python's email package as bytes that can go to a mail server.

A field is written in ASCII whenever that is possible, so that a message needs SMTPUTF8 only when an
address has a local part that nothing else can carry. Fields that were read from a message, and not
set by a program, are written as they were: a signature may cover them.

RFC 5322 2.2.3 (folding), RFC 2047 (encoded words), RFC 5890 (A-labels), RFC 6532 (UTF-8).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from email import policy
from email.errors import MessageError
from email.generator import BytesGenerator
from email.headerregistry import Address, AddressHeader, BaseHeader, Group
from email.message import Message
from io import BytesIO
from typing import Any

from mailqueue.errors import AddressError, InvalidSubmission
from mailqueue.mail.domain import normalise_domain

# A value on lines that go on with white space, of ASCII and of octets that were read as they were.
_CONTINUED = re.compile("(?:[^\r\n\x80-\udc7f\ue000-\U0010ffff]|\r\n[ \t])*+")
_IDENTIFIERS = {"message-id", "in-reply-to", "references", "resent-message-id"}


class _Wire(policy.EmailPolicy):
    """How fields go on the wire: each in ASCII where it can be, in UTF-8 where it must."""

    def fold_binary(self, name: str, value: str) -> bytes:
        if not isinstance(value, BaseHeader):
            return super().fold_binary(name, value)
        if name.lower() in _IDENTIFIERS and value.isascii():
            return _fold_identifiers(name, value)
        if isinstance(value, AddressHeader) and not all(map(str.isascii, _addr_specs(value))):
            value = self.header_factory(name, [_with_a_labels(group) for group in value.groups])
            if not all(map(str.isascii, _addr_specs(value))):
                return str(value.fold(policy=self.clone(utf8=True))).encode()
        return super().fold_binary(name, value)


class _AsItWas(policy.Compat32):
    """How the fields of an older message object go on the wire when a signature covers them."""

    def fold_binary(self, name: str, value: str) -> bytes:
        text = "\r\n".join(value.splitlines()) if isinstance(value, str) else ""
        if not text or not _CONTINUED.fullmatch(text):
            return super().fold_binary(name, value)
        return f"{name}: {text}\r\n".encode("ascii", "surrogateescape")


_WIRE = _Wire(linesep="\r\n", cte_type="8bit", refold_source="none", utf8=False)
_AS_IT_WAS = _AsItWas(linesep="\r\n", cte_type="8bit")


def flatten(message: Message[Any, Any]) -> bytes:
    """Return `message` as bytes, lines ended by CRLF.

    Raises:
        InvalidSubmission: the email package cannot write it; the fault has its reason.
    """
    out = BytesIO()
    try:
        BytesGenerator(out, mangle_from_=False, policy=_policy_for(message)).flatten(message)
    except (MessageError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InvalidSubmission([f"the message object cannot be written as bytes: {error}"]) from error
    return out.getvalue()


def _policy_for(message: Message[Any, Any]) -> policy.Policy[Any]:
    given = message.policy
    if isinstance(given, policy.EmailPolicy):
        return _WIRE.clone(max_line_length=given.max_line_length, header_factory=given.header_factory)
    if "DKIM-Signature" in message:
        return _AS_IT_WAS
    return given.clone(linesep="\r\n", cte_type="8bit")


def _fold_identifiers(name: str, value: str) -> bytes:
    """Write identifiers one a line: the email package would put a long one into an encoded word."""
    lines = "\r\n ".join(value.split())
    return f"{name}: {lines}\r\n".encode()


def _addr_specs(value: AddressHeader) -> Iterator[str]:
    return (address.addr_spec for address in value.addresses)


def _with_a_labels(group: Group) -> Group:
    return Group(group.display_name, tuple(_with_a_label(address) for address in group.addresses))


def _with_a_label(address: Address) -> Address:
    try:
        domain = normalise_domain(address.domain)
    except AddressError:
        return address
    return Address(address.display_name, address.username, domain)
