"""What follows from a message that came in: which mail it is about, and what that has come to.

The rule: a report changes only what it names, and what is known is not told again. A return address that
one message alone had names that message; of a submission that was found by ENVID or Message-ID it is the
messages whose recipient the report names, or the only one that there is. No state ever changes.

RFC 3464 2.3 (recipients and actions), RFC 3461 4.2 (original recipients), RFC 5965 3.1 (complaints).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from mailqueue.errors import AddressError
from mailqueue.mail import address, arf, dsn
from mailqueue.mail.incoming import Bounce, Complaint, Hints, Unrecognized
from mailqueue.mail.visible import visible
from mailqueue.model.events import EventKind
from mailqueue.model.fromid import fromids
from mailqueue.model.incoming import Follows, Learnt, Match, MatchedBy, Sent
from mailqueue.model.lifecycle import Feedback, State
from mailqueue.model.settlement import NewEvent

Reading = Bounce | Complaint | Unrecognized

MOST_RECIPIENTS = 100
"""Recipients of one report that are heeded."""

_LONGEST = 400
_NO_COMPLAINT = frozenset({arf.FeedbackType.NOT_SPAM, arf.FeedbackType.AUTH_FAILURE})
_KNOWN_FAILED = frozenset({State.FAILED, State.EXPIRED})
_EVENTS = {
    dsn.Action.FAILED: EventKind.FAILED,
    dsn.Action.DELAYED: EventKind.DELAYED,
    dsn.Action.DELIVERED: EventKind.DELIVERED,
    dsn.Action.RELAYED: EventKind.RELAYED,
    dsn.Action.EXPANDED: EventKind.EXPANDED,
}


# --- what it may be matched by ----------------------------------------------------------------
@dataclass(frozen=True, slots=True, kw_only=True)
class Clues:
    """What may lead to the mail that something is about, the surest first."""

    fromids: tuple[str, ...]
    """What may be the unique part of a return address."""
    envelope_id: str | None
    """ENVID of the submission. None: not told."""
    message_ids: tuple[str, ...]
    """Message-IDs of the submission."""
    came_to: tuple[str, ...]
    """Addresses that it came to, and return paths that it names."""
    recipients: tuple[str, ...]
    """Addresses that it tells of, in the forms in which they may be stored."""


def return_addresses(reading: Reading, recipient: str | None) -> tuple[str, ...]:
    """Return the addresses that may be the unique return address of the mail, the likeliest first.

    Args:
        reading: what the message is.
        recipient: the address it came to; None: that is not known.
    """
    told = () if recipient is None else (recipient,)
    return tuple(dict.fromkeys((*told, *reading.hints.return_paths)))


def clues(reading: Reading, came_to: Sequence[str], separators: frozenset[str]) -> Clues:
    """Return what may lead to the mail.

    Args:
        reading: what the message is.
        came_to: what `return_addresses` returned.
        separators: what may stand in a return address before its unique part.
    """
    hints: Hints = reading.hints
    found = (fromid for each in came_to for fromid in fromids(each, separators))
    return Clues(
        fromids=tuple(dict.fromkeys(found)),
        envelope_id=hints.envelope_id,
        message_ids=tuple(each for each in hints.message_ids if each == visible(each)),
        came_to=tuple(came_to),
        recipients=tuple(dict.fromkeys(form for each in _named(reading) for form in _forms(each))),
    )


def _named(reading: Reading) -> Iterator[str]:
    """Yield the addresses that a report tells of."""
    match reading:
        case Bounce():
            for each in reading.report.recipients[:MOST_RECIPIENTS]:
                yield from _told_of(each)
        case Complaint():
            yield from reading.found.recipients[:MOST_RECIPIENTS]


def _told_of(told: dsn.RecipientReport) -> tuple[str, ...]:
    """Return the addresses of one recipient: first as the sender gave it, then as it was in the end."""
    original = () if told.original_recipient is None else (told.original_recipient.value,)
    return (*original, told.final_recipient.value)


def _forms(text: str) -> Iterator[str]:
    parsed = _parsed(text)
    if parsed is not None:
        yield str(parsed)
        yield str(parsed).lower()


def _parsed(text: str) -> address.Address | None:
    try:
        return address.parse(text)
    except AddressError:
        return None


# --- which messages, and what follows ---------------------------------------------------------
def judge(reading: Reading, by: MatchedBy, found: Sequence[Sent], clues: Clues) -> Match | None:
    """Return what follows for the messages that were found. None: it is about none of them.

    Args:
        reading: what the message is.
        by: what they were found by.
        found: messages that it may be about, the newest submission first.
        clues: what else it tells.
    """
    one = _one_account(found, clues.came_to)
    if not one:
        return None
    match reading:
        case Bounce():
            follows = tuple(_after_bounce(reading, by, one))
        case Complaint():
            follows = tuple(_after_complaint(reading, each, by) for each in _complained(reading, by, one))
        case Unrecognized():
            data = {"kind": reading.kind.value}
            answered = _meant(one, by, ())
            follows = () if answered is None else (_unrecognized(answered, reading.why, data),)
    about = follows[0].message if follows else one[0]
    return Match(
        by=by, submission_id=about.submission_id, account_id=about.account_id, follows=_each_once(follows)
    )


def _one_account(found: Sequence[Sent], came_to: Iterable[str]) -> Sequence[Sent]:
    """Return the messages of one account: of several that used one name for their mail, whose it came to."""
    if len({each.account_id for each in found}) < 2:
        return found
    addresses = {each.casefold() for each in came_to}
    own = [each for each in found if each.sender.casefold() in addresses]
    return own if len({each.account_id for each in own}) == 1 else ()


def _meant(
    found: Sequence[Sent], by: MatchedBy, told: Iterable[str], typed: str | None = None
) -> Sent | None:
    """Return the message that a report means by addresses. None: none of these.

    Args:
        found: the messages it may be.
        by: what they were found by.
        told: the addresses.
        typed: the original recipient with its type, as RFC 3461 4.2 has it; None: not told.
    """
    keys = set(map(_key, told))
    named = (
        each
        for each in found
        if _key(each.recipient) in keys
        or (typed is not None and (each.orcpt or "").casefold() == typed.casefold())
    )
    return found[0] if by is MatchedBy.FROMID else next(named, _only(found))


def _only(found: Sequence[Sent]) -> Sent | None:
    return found[0] if len(found) == 1 else None


@lru_cache(maxsize=4096)
def _key(text: str) -> str:
    parsed = _parsed(text)
    return text.casefold() if parsed is None else str(parsed).casefold()


def _each_once(follows: Iterable[Follows]) -> tuple[Follows, ...]:
    """Return one of each kind for a message: a report may tell of several addresses that it led to."""
    kept: dict[tuple[int, EventKind | None], Follows] = {}
    for each in follows:
        kept.setdefault((each.message.id, None if each.event is None else each.event.event), each)
    return tuple(kept.values())


# --- bounces ----------------------------------------------------------------------------------
def _after_bounce(reading: Bounce, by: MatchedBy, found: Sequence[Sent]) -> Iterator[Follows]:
    for told in reading.report.recipients[:MOST_RECIPIENTS]:
        original = told.original_recipient
        typed = None if original is None else f"{original.type};{original.value}"
        message = _meant(found, by, _told_of(told), typed)
        if message is not None:
            yield _after_report(message, told, reading)


def _after_report(message: Sent, told: dsn.RecipientReport, reading: Bounce) -> Follows:
    failed = told.action is dsn.Action.FAILED
    text = _said(told, reading.report.reporting_mta)
    known = failed and (message.state in _KNOWN_FAILED or message.feedback is not None)
    event = NewEvent(event=_EVENTS[told.action], reason=text, data=_data(told, reading))
    learnt = Learnt(
        message_id=message.id,
        account_id=message.account_id,
        address=message.recipient,
        named=_key(message.recipient) in set(map(_key, _told_of(told))),
        status=str(told.status),
        complaint=None,
        text=text,
    )
    return Follows(
        message=message,
        event=None if known else event,
        feedback=Feedback.BOUNCED if failed and message.state is State.DELIVERED else None,
        learnt=learnt if failed and not known else None,
    )


def _said(told: dsn.RecipientReport, reporter: dsn.Typed | None) -> str:
    """Return what a report says of a recipient, in a line."""
    said = told.diagnostic.value if told.diagnostic else told.status_comment
    where = told.remote_mta or reporter
    host = f" at {where.value}" if where else ""
    code = "" if said and str(told.status) in said else f" {told.status}"
    return _line(f"{told.action.value}{host}:{code} {said or ''}")


def _data(told: dsn.RecipientReport, reading: Bounce) -> dict[str, object]:
    return {
        "dsn": True,
        "recipient": _line(told.final_recipient.value),
        "status": str(told.status),
        "source": reading.source.value,
    }


# --- complaints, and what is neither ----------------------------------------------------------
def _complained(reading: Complaint, by: MatchedBy, found: Sequence[Sent]) -> list[Sent]:
    told = reading.found.recipients[:MOST_RECIPIENTS]
    meant = [_meant(found, by, (each,)) for each in told] or [_meant(found, by, ())]
    return [each for each in meant if each is not None]


def _after_complaint(reading: Complaint, message: Sent, by: MatchedBy) -> Follows:
    report = reading.report
    data: dict[str, object] = {"type": report.type}
    reporter = report.reporting_mta or report.user_agent
    text = _line(f"{report.type}{f', reported by {reporter}' if reporter else ''}")
    if report.feedback_type in _NO_COMPLAINT:
        return _unrecognized(message, text, {"kind": "complaint", **data})
    named = _key(message.recipient) in set(map(_key, reading.found.recipients))
    event = NewEvent(event=EventKind.COMPLAINED, reason=text, data=data)
    return Follows(
        message=message,
        event=None if message.feedback is Feedback.COMPLAINED else event,
        feedback=Feedback.COMPLAINED if message.state.retired else None,
        learnt=Learnt(
            message_id=message.id,
            account_id=message.account_id,
            address=message.recipient,
            named=named or by is MatchedBy.FROMID,
            status=None,
            complaint=report.type,
            text=text,
        ),
    )


def _unrecognized(message: Sent, why: str, data: Mapping[str, object]) -> Follows:
    event = NewEvent(event=EventKind.UNRECOGNIZED, reason=_line(why), data=data)
    return Follows(message=message, event=event, feedback=None)


# --- for people -------------------------------------------------------------------------------
def kind(reading: Reading) -> str:
    """Return what a message is, in a word."""
    match reading:
        case Bounce():
            return "bounce"
        case Complaint():
            return "complaint"
        case Unrecognized():
            return reading.kind.value


def summary(reading: Reading) -> str:
    """Return what a message says, in a line."""
    match reading:
        case Bounce():
            first, *more = reading.report.recipients
            others = f", and {len(more)} more" if more else ""
            said = _said(first, reading.report.reporting_mta)
            return _line(f"{first.final_recipient.value} {said}{others}")
        case Complaint():
            of = ", ".join(reading.found.recipients[:3])
            return _line(f"{reading.report.type}{f' of {of}' if of else ''}")
        case Unrecognized():
            return _line(reading.why)


def _line(text: str) -> str:
    return visible(" ".join(text.split()))[:_LONGEST]
