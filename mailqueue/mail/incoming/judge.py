"""Judge what a message is: a bounce, a complaint, or something else.

The strongest evidence is asked first: fields for programs, then a text of known form from a mail
system, then what the header says of itself.
"""

from __future__ import annotations

from mailqueue.errors import ParseError
from mailqueue.mail import arf, dsn
from mailqueue.mail.incoming import hints, kinds, textual
from mailqueue.mail.incoming.model import Bounce, Complaint, Hints, Kind, Source, Unrecognized
from mailqueue.mail.mime import MAX_HEADER, Part, leaves, read_head, read_whole


def read(data: bytes, sender: str | None = None) -> Bounce | Complaint | Unrecognized:
    """Return what the message `data` is. Never raises, whatever the octets; costs bounded time and memory.

    Args:
        data: the message; CRLF, LF and CR are taken for line ends.
        sender: its envelope sender, '' for the null one, where it is known; None: as Return-Path says.
    """
    head = read_head(data)
    if head is None or not head.fields:
        why = f"it has no header, or one of more than {MAX_HEADER} octets"
        return Unrecognized(kind=Kind.UNREADABLE, why=why, hints=Hints())
    return _by_fields(head, data, sender) or _by_words(head, data, sender)


def _by_fields(head: Part, data: bytes, sender: str | None) -> Bounce | Complaint | None:
    """Return the report that the fields for programs hold."""
    try:
        status = dsn.read(data, sender)
        return Bounce(found=status, source=Source.STATUS, hints=hints.of_bounce(head, status))
    except ParseError:
        pass
    try:
        feedback = arf.read(data, sender)
        return Complaint(found=feedback, hints=hints.of_complaint(head, feedback))
    except ParseError:
        return None


def _by_words(head: Part, data: bytes, sender: str | None) -> Bounce | Unrecognized:
    """Return the bounce that the text for people holds, else what the message is."""
    message = read_whole(head, data)
    parts = tuple(leaves(message))
    known = kinds.by_form(message, parts)
    if known is None and textual.may_be_bounce(message, sender):
        told = textual.read(message, parts)
        if told is not None:
            return Bounce(found=told, source=Source.TEXT, hints=hints.of_bounce(head, told))
        if textual.is_bounce(message, parts):
            known = Kind.BOUNCE, "it is a bounce by its form, and names no recipient"
    kind, why = known or kinds.by_header(message, sender)
    return Unrecognized(kind=kind, why=why, hints=hints.of_message(head))
