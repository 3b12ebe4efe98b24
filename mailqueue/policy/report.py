"""Which delivery notices are owed, and what they say.

The rule: a notice is made of what is known, and there is always one: whatever an original or a
reply holds, the failure is told. One notice goes out for each submission and kind, with all its
recipients that were settled together.

RFC 3464, RFC 3461 5.2.8 and 6 (what a notice tells), RFC 5321 4.5.5 and 6.1 (the null return path, and
who gets none), RFC 4865 (Future-Release-Request), RFC 8689 5 (notices about mail that stays under TLS).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from mailqueue.clock import SECOND, from_datetime
from mailqueue.errors import ParseError
from mailqueue.mail import codes, dsn
from mailqueue.mail.codes import EnhancedCode, parse_enhanced
from mailqueue.mail.dates import rfc3339
from mailqueue.mail.header import Header, cut, decode_words
from mailqueue.mail.lines import to_crlf
from mailqueue.mail.reply import Reply
from mailqueue.mail.wishes import HDRS
from mailqueue.model.account import Notices
from mailqueue.model.attempt import Attempt, OutcomeKind
from mailqueue.model.duration import format_duration
from mailqueue.model.events import NoticeKind
from mailqueue.model.lifecycle import State
from mailqueue.model.message import Claimed, NewMessage, NewSubmission
from mailqueue.model.schedule import NOTICE_LIFETIME, STANDARD
from mailqueue.model.settings import Settings
from mailqueue.model.settlement import NewNotice, Retire, Settlement
from mailqueue.policy.retry import fallback
from mailqueue.policy.route import domain_of
from mailqueue.policy.settle import owes

ORIGINAL_OCTETS = 128 * 1024
"""How much of an original a notice can use: all of one that goes back whole, the header of any other."""
ACTOR = "engine"
"""Who submits notices."""

_KINDS = {
    NoticeKind.FAILED: (dsn.Action.FAILED, codes.UNDEFINED_FAILURE),
    NoticeKind.DELAYED: (dsn.Action.DELAYED, codes.UNDEFINED_DELAY),
    NoticeKind.RELAYED: (dsn.Action.RELAYED, codes.SUCCESS),
}
"""What each kind of notice tells of a recipient, and the status where the server gave none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporter:
    """Who reports, and where names come from that must not repeat."""

    hostname: str
    """Name of this mail system (Reporting-MTA); the notice comes from MAILER-DAEMON there."""
    message_id: Callable[[], str]
    """Makes a new Message-ID, with its angle brackets."""
    boundary: Callable[[], str]
    """Makes a boundary that nobody can guess, at most 60 characters of [0-9a-z]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """A queued message whose delay notice is owed by now."""

    message: Claimed
    next_attempt_at: int
    """Microseconds UTC."""
    last: Attempt | None
    """Its last attempt. None: it is not known."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What was seen of servers, at last."""

    reply: Reply | None = None
    host: str | None = None
    at: int | None = None
    """When it was tried, microseconds UTC. None: it was not."""

    @classmethod
    def of_last(cls, last: Attempt | None) -> _Seen:
        """Return what the last attempt in the history saw."""
        if last is None:
            return cls()
        return cls(_stored_reply(last), last.host, from_datetime(last.started_at))


@dataclass(frozen=True, slots=True)
class _Told:
    """What a notice tells of one message."""

    message: Claimed
    recipient: dsn.RecipientReport
    story: dsn.Story


def wanted(settlements: Iterable[Settlement]) -> frozenset[int]:
    """Return the ids of the contents that `compose_notices` needs the originals of."""
    return frozenset(
        settlement.message.content_id for settlement in settlements if settlement.notice is not None
    )


def compose_notices(
    settlements: Sequence[Settlement],
    originals: Mapping[int, bytes],
    settings: Settings,
    reporter: Reporter,
    now: int,
) -> list[NewNotice]:
    """Return the notices that settlements owe, composed.

    Args:
        settlements: what is settled together.
        originals: for each of `wanted`, the first ORIGINAL_OCTETS of that content; one that is
            missing is gone, and its notice returns nothing.
        settings: accounts (where notices go), hold rules and schedules.
        reporter: who reports.
        now: microseconds UTC.
    """
    told: dict[tuple[int, NoticeKind], list[_Told]] = {}
    for settlement in settlements:
        if settlement.notice is not None:
            key = (settlement.message.submission_id, settlement.notice)
            told.setdefault(key, []).append(_told(settlement, settlement.notice))
    return [_notice(kind, group, originals, settings, reporter, now) for (_, kind), group in told.items()]


def compose_warnings(
    owed: Sequence[Owed],
    originals: Mapping[int, bytes],
    settings: Settings,
    reporter: Reporter,
    now: int,
) -> list[NewNotice]:
    """Return the delay notices that time has made due, composed; arguments as for `compose_notices`.

    A message that is owed none, because its account wants none now or its sender wished for none, is
    passed over.
    """
    told: dict[int, list[_Told]] = {}
    for each in owed:
        message = each.message
        if owes(NoticeKind.DELAYED, message, settings.accounts_by_id[message.account_id]):
            told.setdefault(message.submission_id, []).append(_delayed_since(each, now))
    return [_notice(NoticeKind.DELAYED, group, originals, settings, reporter, now) for group in told.values()]


# --- what is told of one recipient ------------------------------------------------------------


def _told(settlement: Settlement, kind: NoticeKind) -> _Told:
    message, outcome, facts, move = (
        settlement.message,
        settlement.outcome,
        settlement.facts,
        settlement.move,
    )
    status, comment = outcome.status, outcome.error
    if isinstance(move, Retire) and move.state is State.EXPIRED:
        status, comment = codes.EXPIRED, _gave_up(settlement)
    if settlement.wish is not None:
        status, comment = codes.POLICY, "given up by an administrator"
    seen = (
        _Seen.of_last(settlement.last)
        if facts is None
        else _Seen(outcome.reply, facts.host, facts.started_at)
    )
    return _Told(
        message,
        _recipient(message, kind, status=status, comment=comment, seen=seen),
        dsn.Story(
            next_attempts=() if isinstance(move, Retire) else (move.next_attempt_at,),
            attempts=message.attempts,
            may_have_arrived=message.uncertain or outcome.kind is OutcomeKind.UNCERTAIN,
        ),
    )


def _gave_up(settlement: Settlement) -> str:
    message, last = settlement.message, settlement.last
    age = format_duration(max(0, settlement.at - message.begins_at) // SECOND * SECOND)
    if message.attempts == 0:
        return f"given up after {age}, before any attempt"
    times = "attempt" if message.attempts == 1 else "attempts"
    text = f"given up after {age} and {message.attempts} {times}"
    error = settlement.outcome.error if settlement.facts is not None else last and last.error
    return f"{text}; at last: {error}" if error else text


def _delayed_since(owed: Owed, now: int) -> _Told:
    message, last = owed.message, owed.last
    status = parse_enhanced(last.enhanced or "") if last is not None else None
    return _Told(
        message,
        _recipient(
            message,
            NoticeKind.DELAYED,
            status=status.with_class(4) if status is not None else None,
            comment=last.error if last is not None else None,
            seen=_Seen.of_last(last),
        ),
        dsn.Story(
            next_attempts=(max(owed.next_attempt_at, now),),
            attempts=message.attempts,
            may_have_arrived=message.uncertain,
        ),
    )


def _stored_reply(attempt: Attempt) -> Reply | None:
    if attempt.reply is None:
        return None
    try:
        return Reply.from_text(attempt.reply)
    except ParseError:
        return None


def _recipient(
    message: Claimed,
    kind: NoticeKind,
    *,
    status: EnhancedCode | None,
    comment: str | None,
    seen: _Seen,
) -> dsn.RecipientReport:
    action, undefined = _KINDS[kind]
    return dsn.RecipientReport(
        original_recipient=_original(message.orcpt),
        final_recipient=dsn.mailbox(message.recipient),
        action=action,
        status=status or undefined,
        status_comment=comment,
        remote_mta=dsn.host(_host_name(seen.host)) if seen.host else None,
        diagnostic=dsn.said(seen.reply.to_wire()) if seen.reply is not None else None,
        last_attempt=seen.at,
        will_retry_until=message.give_up_at if kind is NoticeKind.DELAYED else None,
    )


def _original(orcpt: str | None) -> dsn.Typed | None:
    """Return what the sender called the recipient, as a report shows it (RFC 3461 6.3 (d))."""
    if orcpt is None:
        return None
    kind, _, address = orcpt.partition(";")
    return dsn.Typed(kind, address)


def _host_name(host: str) -> str:
    """Return a host as a domain name or an address literal (RFC 5321 4.1.3)."""
    if host.startswith("["):
        return host
    if ":" in host:
        return f"[IPv6:{host}]"
    return f"[{host}]" if host.replace(".", "").isdigit() else host


# --- the notice -------------------------------------------------------------------------------


def _notice(
    kind: NoticeKind,
    group: Sequence[_Told],
    originals: Mapping[int, bytes],
    settings: Settings,
    reporter: Reporter,
    now: int,
) -> NewNotice:
    first = group[0].message
    draft = _draft(group, originals.get(first.content_id), reporter, now)
    content = _compose(draft)
    queued = settings.accounts_by_id[first.account_id].notices is Notices.QUEUE
    return NewNotice(
        submission_id=first.submission_id,
        kind=kind,
        at=now,
        content=content,
        message_ids=tuple(told.message.id for told in group),
        submission=_submission(first, draft, content, settings, now) if queued else None,
    )


def _draft(group: Sequence[_Told], original: bytes | None, reporter: Reporter, now: int) -> dsn.Draft:
    first = group[0].message
    header = Header(cut(to_crlf(original or b"").data)[0])
    subject, message_id = header.first("subject"), header.first("message-id")
    identifier = message_id.value if message_id is not None else b""
    return dsn.Draft(
        report=dsn.Report(
            reporting_mta=dsn.host(reporter.hostname),
            recipients=tuple(told.recipient for told in group),
            original_envelope_id=first.envid,
            arrival_date=first.submitted_at,
            future_release_request=None if first.not_before is None else f"until;{rfc3339(first.not_before)}",
        ),
        sender=f"MAILER-DAEMON@{reporter.hostname}",
        to=first.sender,
        date=now,
        message_id=reporter.message_id(),
        boundary=reporter.boundary(),
        original=original,
        # Where nothing is said, it is our choice (RFC 3461 4.3); of what stays under TLS, the header only.
        full=first.ret != HDRS and not first.require_tls,
        original_subject=decode_words(subject.value) if subject is not None else None,
        original_message_id=identifier.decode("ascii") if identifier and identifier.isascii() else None,
        stories=tuple(told.story for told in group),
    )


def _compose(draft: dsn.Draft) -> bytes:
    """Return the notice; where a header cannot carry the sender's address, one that is addressed to us."""
    try:
        return dsn.compose(draft)
    except ValueError:
        return dsn.compose(replace(draft, to=draft.sender))


def _submission(
    message: Claimed, draft: dsn.Draft, content: bytes, settings: Settings, now: int
) -> NewSubmission:
    """Return the submission that carries a notice to the envelope sender; hold rules hold it too.

    It is protected as the message it is about (RFC 8689 5).
    """
    block, body = cut(content)
    recipient = message.sender
    holds = tuple(
        rule.id
        for rule in settings.hold_rules
        if rule.at_work(now) and rule.matches(account_id=message.account_id, sender="", recipient=recipient)
    )
    return NewSubmission(
        account_id=message.account_id,
        sender=dsn.ENVELOPE_SENDER,
        message_id=draft.message_id,
        subject=dsn.headline(draft),
        eight_bit=not body.isascii(),
        utf8_header=not block.isascii(),
        content=content,
        messages=(
            NewMessage(
                recipient=recipient,
                domain=domain_of(recipient),
                next_attempt_at=now,
                fallback=fallback(settings.schedule(STANDARD), 1),
                schedule=STANDARD,
                give_up_at=now + NOTICE_LIFETIME,
                holds=holds,
                require_tls=True if message.require_tls else None,
            ),
        ),
        actor=ACTOR,
        submitted_at=now,
        notice_for=message.submission_id,
    )
