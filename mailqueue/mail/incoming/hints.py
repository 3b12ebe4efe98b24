"""Gather what helps to find the mail that a message is about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mailqueue.mail import arf, dsn
from mailqueue.mail.incoming.model import Hints
from mailqueue.mail.mime import Part
from mailqueue.mail.original import read_message_id
from mailqueue.mail.scan import addresses

_CAME_TO = (
    "delivered-to",
    "x-original-to",
    "x-delivered-to",
    "envelope-to",
    "x-envelope-to",
    "x-rcpt-to",
    "to",
    "cc",
)
_SENT_FROM = ("return-path", "x-envelope-from", "x-postfix-sender", "x-original-mail-from", "errors-to")
_ANSWERED = ("in-reply-to", "references", "x-original-message-id", "original-message-id")
_IN_TEXT = re.compile(r"message-id[ \t]{0,8}[:=][ \t]{0,8}(<[^<>\s]{1,996}>)", re.IGNORECASE)
_LONGEST = 10_000
_MOST = 50


def of_message(head: Part) -> Hints:
    """Return what any message tells of the mail that it may answer."""
    return Hints(return_paths=_came_to(head), message_ids=_answered(head))


def of_bounce(head: Part, found: dsn.ParsedReport) -> Hints:
    """Return what a delivery report tells of the mail that it is about."""
    fields = found.report.extensions + found.original_headers
    in_text = map(read_message_id, _IN_TEXT.findall(found.text))
    ids = (found.original_message_id, *_identifiers(fields), *_answered(head), *in_text)
    return Hints(
        return_paths=_each_once((*_came_to(head), *_sent_from(fields))),
        envelope_id=found.report.original_envelope_id,
        message_ids=_each_once(filter(None, ids)),
    )


def of_complaint(head: Part, found: arf.ParsedReport) -> Hints:
    """Return what a complaint tells of the mail that it is about."""
    fields = found.report.extensions + found.original_headers
    paths = (found.report.original_mail_from or "", *_sent_from(fields), *_came_to(head))
    ids = (found.original_message_id, *_identifiers(fields), *_answered(head))
    return Hints(
        return_paths=_each_once(filter(None, paths)),
        envelope_id=found.report.original_envelope_id,
        message_ids=_each_once(filter(None, ids)),
    )


def _came_to(head: Part) -> tuple[str, ...]:
    values = (value for name in _CAME_TO for value in head.values(name)[:_MOST])
    return _each_once(address for value in values for address in addresses(value[:_LONGEST]))


def _sent_from(fields: Sequence[tuple[str, str]]) -> Iterable[str]:
    for wanted in _SENT_FROM:
        for name, value in fields:
            if name.lower() == wanted:
                yield from addresses(value[:_LONGEST])


def _answered(head: Part) -> tuple[str, ...]:
    texts = (head.value(name) or "" for name in _ANSWERED)
    words = (word for text in texts for word in text[:_LONGEST].split()[:_MOST])
    return _each_once(filter(None, map(read_message_id, words)))


def _identifiers(fields: Sequence[tuple[str, str]]) -> Iterable[str | None]:
    return (read_message_id(value) for name, value in fields if name.lower() in _ANSWERED[2:])


def _each_once(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(texts))[:_MOST]
