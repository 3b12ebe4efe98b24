"""Read a bounce that is written for people only, where its form is known.

Two things have to come together: a mail system sent it, and it begins as such messages do (`shapes`).
Whom it is about is then looked for where writers put it; nothing is taken from the returned mail
but, where a bounce names nobody, the one address that it was sent to.

RFC 3463 (codes in the text).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from mailqueue.mail import dsn
from mailqueue.mail.incoming import hints, reason
from mailqueue.mail.incoming.shapes import SHAPES, Shape
from mailqueue.mail.incoming.wording import own_words
from mailqueue.mail.mime import Part
from mailqueue.mail.origin import has_notice_subject, is_from_daemon, is_notice, readable
from mailqueue.mail.original import Original
from mailqueue.mail.scan import ADDRESS, addresses, tidy

_LABEL = (
    r"(?:(?:failed|intended|final|original|affected|undeliverable|invalid|bad|unknown|the)[ \t]{1,3})?"
    r"(?:recipients?|address(?:es)?|rcpt|user|mailbox|empfänger|destinataire|destinat[aá]rio|получатель|收件人|宛先)"
    r"(?:[ \t]{1,3}(?:address|e-?mail|name))?(?:\(s\)|\(es\))?"
)
_IGNORE = re.IGNORECASE
_LABELLED = re.compile(
    rf"[ \t>*|-]{{0,20}}{_LABEL}[ \t]{{0,20}}[:：][ \t]{{0,20}}(?:\[?SMTP:)?<?({ADDRESS})", _IGNORE
)
_LEADING = re.compile(
    rf"[ \t>*|•-]{{0,20}}[<\"'\[(]{{0,3}}(?:SMTP:|mailto:)?({ADDRESS})"
    r"(?=[>\"'\])]{0,3}(?:[ \t:;,.(\[<-]|$))",
    _IGNORE,
)
_REFUSED = re.compile(
    r"[ \t>]{0,8}(?:[45][0-9]{2}[ -][^<\n]{0,60}|(?:sent[ \t]{1,3})?(?:>>> ?|<- ?)?RCPT TO: ?)"
    rf"<({ADDRESS})>",
    _IGNORE,
)
_SENT_TO = re.compile(rf"[ \t]{{0,20}}to[ \t]{{0,3}}:[ \t]{{0,20}}(?:[^<\n]{{0,100}}<)?({ADDRESS})", _IGNORE)
_WAYS = (_LABELLED, _LEADING, _REFUSED, _SENT_TO)
_OF_THE_SYSTEM = re.compile(
    r"(?:postmaster|mailer-daemon|mail-daemon|abuse|hostmaster|helpdesk|support)@", _IGNORE
)
_DELAYED_SUBJECT = re.compile(r"delay|warning|deferred|still|verzöger|retard", _IGNORE)
_STILL_TRYING = re.compile(
    r"still (?:being )?(?:tried|trying|attempt)"
    r"|will (?:be retried|try again|retry|continue to try|keep trying)"
    r"|not need to resend|no action is (?:required|needed)|warning (?:message )?only|been delayed"
    r"|not yet been delivered|delivery attempts will continue",
    _IGNORE,
)


def may_be_bounce(message: Part, sender: str | None) -> bool:
    """Return whether a mail system sent the message, or it calls itself a report: then its text tells."""
    return _calls_itself_report(message) or is_notice(message, sender)


def read(message: Part, parts: Sequence[Part]) -> dsn.ParsedReport | None:
    """Return what the text of a bounce says; None if it is no text of a known form, or names nobody."""
    words, original = own_words(parts)
    shape, opening = _shape(message, words)
    if shape is None:
        return None
    faults = [f"it has no delivery status (RFC 3464 2): read from its text, as of {shape.writers}"]
    found = addresses((message.value("x-failed-recipients") or "")[:10_000]) or _recipients(
        words, opening, _others(message, original)
    )
    if not found:
        found = addresses(", ".join(original.values("to"))[:10_000])
        found = found if len(found) == 1 else ()
        faults.append("its text names no recipient: taken from To of the returned message")
    if not found:
        return None
    return dsn.ParsedReport(
        report=dsn.Report(
            reporting_mta=None,
            recipients=tuple(reason.reports(found, words, _action(message, words, shape))),
        ),
        text=words,
        original_headers=original.headers,
        original_message_id=original.message_id,
        full=original.full,
        faults=tuple(faults),
    )


def is_bounce(message: Part, parts: Sequence[Part]) -> bool:
    """Return whether a message that `may_be_bounce` is one by its form, even if it names no recipient."""
    return _calls_itself_report(message) or _shape(message, own_words(parts)[0])[0] is not None


def _calls_itself_report(message: Part) -> bool:
    return message.parameters.get("report-type", "").lower().endswith("delivery-status")


def _shape(message: Part, words: str) -> tuple[Shape | None, str]:
    """Return the form that a text has, and the words it is known by."""
    surely = is_from_daemon(message) and has_notice_subject(message)
    for shape in SHAPES:
        found = shape.opening.search(words) if surely or not shape.general else None
        if found:
            return shape, found[0]
    return None, ""


def _action(message: Part, words: str, shape: Shape) -> dsn.Action:
    if shape.action is not dsn.Action.FAILED:
        return shape.action
    delayed = _DELAYED_SUBJECT.search(readable(message, "subject")) and _STILL_TRYING.search(words)
    return dsn.Action.DELAYED if delayed else dsn.Action.FAILED


def _others(message: Part, original: Original) -> frozenset[str]:
    """Return addresses in lower case that are not the recipients': of who gets the bounce and who sent it."""
    senders = [readable(message, "from"), *original.values("from"), *original.values("return-path")]
    found = (*hints.of_message(message).return_paths, *addresses(", ".join(senders)[:10_000]))
    return frozenset(address.lower() for address in found)


def _recipients(words: str, opening: str, others: Collection[str]) -> tuple[str, ...]:
    """Return the addresses in the place that most surely holds recipients."""
    lines = words.split("\n")
    for place in (addresses(opening), *(_matched(way, lines) for way in _WAYS)):
        found = tuple(dict.fromkeys(_only(place, others)))
        if found:
            return found
    anywhere = tuple(_only(addresses(words), others))
    return anywhere if len(anywhere) == 1 else ()


def _matched(way: re.Pattern[str], lines: Sequence[str]) -> Iterator[str]:
    return (tidy(found[1]) for found in map(way.match, lines) if found)


def _only(place: Iterable[str], others: Collection[str]) -> Iterator[str]:
    return (
        address for address in place if address.lower() not in others and not _OF_THE_SYSTEM.match(address)
    )
