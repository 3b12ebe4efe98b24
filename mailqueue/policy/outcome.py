"""What an attempt came to for each recipient, from what the server said and how the connection ended.

The rule: only a reply to the content, or its absence after the final dot, leaves no way back. A
message is delivered when the server said so (RFC 5321 4.2.5), uncertain when the final dot went
out and no answer came, and in all other cases the server does not have it.

A refusal within a transaction means what its first digit says: 4 tried again, 5 not (RFC 5321
4.2.1), unless a rule about its text says otherwise (`classify`). What goes wrong before the
transaction says nothing about the mail, so it is tried again whatever the digit.

RFC 5321 4.2 and 4.5.3.1.10 (too many recipients), RFC 4954 6 (AUTH), RFC 8689 4.2.1 (REQUIRETLS),
RFC 3463 (the codes we give where there are none).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from mailqueue.errors import ParseError
from mailqueue.mail import codes
from mailqueue.mail.codes import EnhancedCode
from mailqueue.mail.reply import Reply
from mailqueue.mail.smtp.facts import Cause, Lost, Phase, TransactionResult
from mailqueue.model.attempt import Category, Outcome, OutcomeKind, Scope
from mailqueue.model.rules import ReplyRule, Transport
from mailqueue.policy.classify import by_code, classify

_TOO_MANY = EnhancedCode(4, 5, 3)
_PROTOCOL = EnhancedCode(4, 5, 0)
_TLS_FAILED = EnhancedCode(4, 7, 5)
_AUTH_FAILED = EnhancedCode(4, 7, 0)
_LOG_IN_FIRST = frozenset(
    {codes.AUTHENTICATION_REQUIRED, 534, codes.AUTHENTICATION_REFUSED, codes.ENCRYPTION_REQUIRED}
)
"""Codes of RFC 4954 6 for those who are not logged in as the server wants."""
_Own = Sequence[ReplyRule]

_BEFORE_REPLY_TO_MAIL = frozenset({Phase.IDLE, Phase.RSET, Phase.MAIL})


# --- transactions -----------------------------------------------------------------------------


def outcomes(result: TransactionResult, recipients: int, own: _Own = ()) -> tuple[Outcome, ...]:
    """Return what a transaction came to for each of its recipients, in their order.

    Those that `split_off` names have one too (deferred), for when they are not sent again at once.

    Args:
        result: the facts.
        recipients: how many there were.
        own: the operator's rules about replies.
    """
    if result.lacks is not None:
        return (refused_locally(result.lacks),) * recipients
    if result.mail is None or not result.mail.positive:
        return (_at_once_for_all(result, own),) * recipients
    taken = _of_the_taken(result, own)
    if all(reply is not None and reply.positive for reply in result.rcpt) and len(result.rcpt) == recipients:
        return (taken,) * recipients
    too_many = _too_many(result)
    padded = result.rcpt[:recipients] + (None,) * (recipients - len(result.rcpt))
    return tuple(_of_one(reply, index in too_many, taken, result, own) for index, reply in enumerate(padded))


def of_named_host(outcome: Outcome) -> Outcome:
    """Return what an outcome is worth at a next hop that somebody named.

    That it wants us to log in first, or differently, is about our settings: a transport without its
    password must not return everybody's mail. An MX host that says so takes no mail from strangers.
    """
    reply = outcome.reply
    if outcome.kind is not OutcomeKind.FAILED or reply is None or reply.code not in _LOG_IN_FIRST:
        return outcome
    status = (outcome.status or _AUTH_FAILED).with_class(4)
    return replace(outcome, kind=OutcomeKind.DEFERRED, scope=Scope.DESTINATION, status=status)


def split_off(result: TransactionResult) -> tuple[int, ...]:
    """Return the indexes of the recipients that go into a further transaction at once.

    They were refused only because others before them had been taken (RFC 5321 4.5.3.1.10): with 452,
    with 552 as old servers have it, or with any code and X.5.3. Each further transaction takes at
    least one more or splits nothing off, so this comes to an end.

    Returns:
        () also when the connection is lost: then they are tried at their next time.
    """
    return () if result.lost is not None else tuple(sorted(_too_many(result)))


def _too_many(result: TransactionResult) -> frozenset[int]:
    first = next((i for i, reply in enumerate(result.rcpt) if reply is not None and reply.positive), None)
    if first is None or result.mail is None or not result.mail.positive:
        return frozenset()
    return frozenset(
        index
        for index, reply in enumerate(result.rcpt)
        if index > first and reply is not None and _says_too_many(reply)
    )


def _says_too_many(reply: Reply) -> bool:
    if reply.enhanced is None or reply.enhanced[1:] == (0, 0):
        return reply.code in (codes.INSUFFICIENT_STORAGE, codes.STORAGE_EXCEEDED)
    return reply.code != codes.SERVICE_NOT_AVAILABLE and reply.enhanced[1:] == _TOO_MANY[1:]


def _at_once_for_all(result: TransactionResult, own: _Own) -> Outcome:
    """Return what there is when the server did not take the sender."""
    if result.mail is not None:
        return refused(result.mail, Phase.MAIL, own)
    return _broken_off(result, own)


def _of_one(
    reply: Reply | None, too_many: bool, taken: Outcome, result: TransactionResult, own: _Own
) -> Outcome:
    if reply is None:
        return _broken_off(result, own)
    if reply.positive:
        return taken
    if too_many:
        return Outcome(
            kind=OutcomeKind.DEFERRED,
            category=Category.RATE_LIMITED,
            scope=Scope.MESSAGE,
            status=_TOO_MANY,
            reply=reply,
        )
    return refused(reply, Phase.RCPT, own)


def _of_the_taken(result: TransactionResult, own: _Own) -> Outcome:
    """Return the outcome of the recipients that the server took."""
    final, data = result.final, result.data
    if final is not None:
        if final.positive and result.final_dot_sent:
            return delivered(final)
        if final.transient or final.permanent:
            return refused(final, Phase.FINAL, own)
    if result.final_dot_sent:
        return _uncertain(result)
    if data is not None and not data.intermediate:
        return refused(data, Phase.DATA, own)
    return _broken_off(result, own)


def delivered(final: Reply) -> Outcome:
    """Return the outcome of a recipient whose message the server took with the reply `final`."""
    return Outcome(kind=OutcomeKind.DELIVERED, category=Category.OK, status=final.enhanced, reply=final)


def refused(reply: Reply, phase: str, own: _Own = ()) -> Outcome:
    """Return the outcome of a command of a transaction that was refused.

    Args:
        reply: what the server said. One that is neither 4yz nor 5yz is out of place, and it may
            work later.
        phase: what it was said to.
        own: the operator's rules about replies.
    """
    verdict = classify(reply, phase, own)
    return Outcome(
        kind=OutcomeKind.FAILED if verdict.permanent else OutcomeKind.DEFERRED,
        category=verdict.category,
        scope=verdict.scope,
        status=verdict.status,
        reply=reply,
        phase=phase,
        error=None if reply.transient or reply.permanent else f"{verdict.note} ({phase})",
    )


def _uncertain(result: TransactionResult) -> Outcome:
    reason = f": {result.lost.reason}" if result.lost is not None else ""
    return Outcome(
        kind=OutcomeKind.UNCERTAIN,
        category=_lost_category(result.lost.cause) if result.lost is not None else Category.PROTOCOL,
        scope=Scope.SESSION,
        status=codes.BAD_CONNECTION,
        reply=(result.lost.reply if result.lost is not None else None) or result.final,
        error=f"no answer to the end of the content, so it may have arrived{reason}",
    )


def _broken_off(result: TransactionResult, own: _Own) -> Outcome:
    """Return the outcome of a recipient about whom the server said nothing and whose mail it has not."""
    if result.lost is None:
        return Outcome(
            kind=OutcomeKind.DEFERRED,
            category=Category.PROTOCOL,
            scope=Scope.SESSION,
            status=_PROTOCOL,
            error="the server answered the transaction in part only",
        )
    return _lost(result.lost, own)


def _lost(lost: Lost, own: _Own) -> Outcome:
    if lost.cause is Cause.CLOSING and lost.reply is not None:
        return refused(lost.reply, lost.phase, own)
    return Outcome(
        kind=OutcomeKind.DEFERRED,
        category=_lost_category(lost.cause),
        scope=Scope.HOST if lost.phase in _BEFORE_REPLY_TO_MAIL else Scope.SESSION,
        status=_lost_status(lost.cause),
        reply=lost.reply,
        error=f"{lost.reason} (at {lost.phase})",
    )


# --- before a transaction ---------------------------------------------------------------------


def session_failed(
    phase: str, reply: Reply | None, error: str, cause: str | None = None, own: _Own = ()
) -> Outcome:
    """Return the outcome of all mail for a host where no session came to stand. It is always tried again.

    A refusal of 5yz before MAIL is about us and the host, not about the mail, and a relay with a
    wrong setting must not return everybody's.

    Args:
        phase: how far it came (`Phase`).
        reply: what the server said that ended it. None: nothing.
        error: our words for it, a line; the reply at its end is left out, for it is told beside it.
        cause: why (`Cause`). None: what `phase` and `reply` tell.
        own: the operator's rules about replies.
    """
    refusal = reply is not None and (reply.transient or reply.permanent)
    refused_us = cause == Cause.AUTH and (reply is None or reply.permanent)
    if reply is not None and refusal and cause != Cause.PROTOCOL:
        verdict = by_code(reply, phase) if cause == Cause.AUTH else classify(reply, phase, own)
        category, status = verdict.category, verdict.status.with_class(4)
    elif cause is not None:
        category, status = _lost_category(Cause(cause)), _lost_status(Cause(cause))
    else:
        category = Category.TLS if phase in (Phase.TLS, Phase.STARTTLS) else Category.NETWORK
        status = _TLS_FAILED if category is Category.TLS else codes.BAD_CONNECTION
    if phase == Phase.CONNECT and reply is None:
        status = codes.NO_ANSWER
    return Outcome(
        kind=OutcomeKind.DEFERRED,
        category=category,
        scope=Scope.DESTINATION if refused_us else Scope.HOST,  # another of its hosts would refuse us, too
        status=status,
        reply=reply,
        error=error.removesuffix(f": {reply}"),
    )


def cannot_protect(outcome: Outcome, cause: str) -> Outcome:
    """Return what a session that failed by its TLS comes to for mail that has to stay under TLS.

    It is the wish of the message, so nothing is charged to the host, which may be fine for others. Where
    there is no TLS, or no certificate that holds, the sender hears of it at once (RFC 8689 4.2.1).

    Args:
        outcome: what it comes to for other mail.
        cause: why there is no session (`Cause`).
    """
    refused = outcome.reply is not None and outcome.reply.permanent
    if cause != Cause.TLS and not refused:  # the connection broke, or the server has no time for TLS
        return replace(outcome, scope=Scope.MESSAGE)
    return replace(outcome, kind=OutcomeKind.FAILED, scope=Scope.MESSAGE, status=codes.ENCRYPTION_NEEDED)


def resolve_failed(permanent: bool, status: EnhancedCode, text: str) -> Outcome:
    """Return the outcome of all mail for a destination of which no host could be found.

    Args:
        permanent: asking DNS again later will not help.
        status: 5.1.2 no such domain, 5.1.10 null MX, 5.4.4 no usable host, 4.4.3 no answer.
        text: what happened, a line.
    """
    gone = status[1:] in (codes.BAD_SYSTEM[1:], codes.NULL_MX[1:])
    return Outcome(
        kind=OutcomeKind.FAILED if permanent else OutcomeKind.DEFERRED,
        category=Category.DOMAIN_UNKNOWN if permanent and gone else Category.DNS,
        scope=Scope.DESTINATION,
        status=status.with_class(5 if permanent else 4),
        error=text,
    )


def not_tried(destination: str, error: str) -> Outcome:
    """Return the outcome of a message whose time is over while its destination is left alone.

    Args:
        destination: its name.
        error: what went wrong there last.
    """
    return Outcome(
        kind=OutcomeKind.DEFERRED,
        category=Category.NETWORK,
        scope=Scope.DESTINATION,
        status=codes.NO_ANSWER,
        error=f"not tried again, as {destination} has been in trouble: {error}",
    )


def refused_locally(refusal: Reply) -> Outcome:
    """Return the outcome of a message that was not sent because it needs what the server lacks.

    Args:
        refusal: our own, from `mailqueue.mail.smtp.lacks`. It is told in our words, not as the server's.
    """
    verdict = by_code(refusal, Phase.MAIL)
    return Outcome(
        kind=OutcomeKind.FAILED if refusal.permanent else OutcomeKind.DEFERRED,
        category=verdict.category,
        scope=Scope.MESSAGE,
        status=verdict.status,
        error=refusal.text,
    )


def refused_by_transport(transport: Transport, own: _Own = ()) -> Outcome:
    """Return the outcome of a message whose transport is of the kind `fail`: the reply it is set to.

    A reply that is missing or no refusal defers: a wrong setting must not return mail.
    """
    try:
        reply = Reply.from_text(transport.reply or "")
    except ParseError:
        reply = None
    if reply is None or not (reply.transient or reply.permanent):
        return Outcome(
            kind=OutcomeKind.DEFERRED,
            category=Category.OTHER,
            scope=Scope.DESTINATION,
            status=codes.BAD_CONFIGURATION,
            error=f"transport {transport.name} has no 4yz or 5yz reply to give: {transport.reply!r}",
        )
    said = refused(reply, Phase.RCPT, own)
    return Outcome(
        kind=said.kind,
        category=said.category,
        scope=said.scope,
        status=said.status,
        reply=reply,
        error=f"transport {transport.name} refuses",
    )


def _lost_category(cause: Cause) -> Category:
    match cause:
        case Cause.CLOSED | Cause.TIMEOUT:
            return Category.NETWORK
        case Cause.REFUSED | Cause.CLOSING:
            return Category.SYSTEM
        case Cause.PROTOCOL:
            return Category.PROTOCOL
        case Cause.TLS:
            return Category.TLS
        case Cause.AUTH:
            return Category.AUTH
        case Cause.WITHHELD | Cause.ABORTED:
            return Category.INTERRUPTED
        case _:
            assert_never(cause)


def _lost_status(cause: Cause) -> EnhancedCode:
    if cause is Cause.PROTOCOL:
        return _PROTOCOL
    if cause is Cause.AUTH:
        return _AUTH_FAILED
    return _TLS_FAILED if cause is Cause.TLS else codes.BAD_CONNECTION
