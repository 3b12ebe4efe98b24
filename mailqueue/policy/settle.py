"""All that follows from one attempt for one message, or from giving it up without one, as one Settlement.

The rule: a claimed message always moves on. It retires, or it is due again at a time after now and
within its lifetime; and who is owed word of it gets word in the same transaction.

RFC 3461 5.2 (who tells the sender what).
"""

from __future__ import annotations

from dataclasses import replace
from typing import assert_never

from mailqueue.clock import rfc3339
from mailqueue.mail import codes
from mailqueue.mail.wishes import DELAY, FAILURE, SUCCESS, wants
from mailqueue.model.account import Account, Notices, OnUncertain
from mailqueue.model.attempt import Attempt, Category, Facts, Outcome, OutcomeKind
from mailqueue.model.events import EventKind, NoticeKind
from mailqueue.model.lifecycle import State
from mailqueue.model.message import Claimed
from mailqueue.model.schedule import UNCERTAIN, Schedule
from mailqueue.model.settlement import NewEvent, Retire, Retry, Settlement, Wish, WishKind
from mailqueue.policy.retry import fallback, next_attempt

MAY_HAVE_ARRIVED = "no answer to the end of the content: it may have arrived, or not"
"""Why a message is on hold whose account says `on_uncertain=hold`."""

_DELIVERED = Retire(state=State.DELIVERED, keep_content_until=None)
_DELIVERED_EVENTS = (NewEvent(event=EventKind.DELIVERED),)
_RELAYED_EVENTS = (*_DELIVERED_EVENTS, NewEvent(event=EventKind.RELAYED))
_WISH = {NoticeKind.FAILED: FAILURE, NoticeKind.DELAYED: DELAY, NoticeKind.RELAYED: SUCCESS}


def settle(
    message: Claimed,
    outcome: Outcome,
    facts: Facts,
    *,
    now: int,
    schedule: Schedule,
    account: Account,
    jitter: float,
) -> Settlement:
    """Return what follows from an attempt.

    Args:
        message: as it was claimed.
        outcome: what the attempt came to for it.
        facts: where it went and how.
        now: microseconds UTC; the attempt is over.
        schedule: the message's.
        account: the message's.
        jitter: -1.0 to 1.0, by which the next try is moved.
    """
    match outcome.kind:
        case OutcomeKind.DELIVERED:
            # A server that offers DSN has been asked to tell (RFC 3461 5.2.1); for any other, we do (5.2.2).
            relayed = not facts.dsn and wants(message.notify, SUCCESS)
            return Settlement(
                message=message,
                facts=facts,
                outcome=outcome,
                at=now,
                move=_DELIVERED,
                events=_RELAYED_EVENTS if relayed else _DELIVERED_EVENTS,
                notice=_owed(NoticeKind.RELAYED, message, account) if relayed else None,
            )
        case OutcomeKind.FAILED:
            return _over(message, outcome, facts, now, account, State.FAILED)
        case OutcomeKind.UNCERTAIN if account.on_uncertain is OnUncertain.FAIL:
            return _over(message, outcome, facts, now, account, State.FAILED)
        case OutcomeKind.DEFERRED | OutcomeKind.UNCERTAIN | OutcomeKind.INTERRUPTED:
            if message.max_attempts is not None and message.attempts >= message.max_attempts:
                return _over(message, outcome, facts, now, account, State.EXPIRED)
            next_at = next_attempt(
                schedule,
                attempts=message.attempts,
                category=UNCERTAIN if outcome.kind is OutcomeKind.UNCERTAIN else outcome.category,
                ended_at=now,
                give_up_at=_last_moment(message),
                jitter=jitter,
            )
            if outcome.kind is OutcomeKind.UNCERTAIN and account.on_uncertain is OnUncertain.HOLD:
                return _again(
                    message, outcome, facts, now, account, schedule, next_at or now + 1, MAY_HAVE_ARRIVED
                )
            if next_at is None:
                return _over(message, outcome, facts, now, account, State.EXPIRED)
            return _again(message, outcome, facts, now, account, schedule, next_at)
        case _:
            assert_never(outcome.kind)


def _last_moment(message: Claimed) -> int:
    """Return the last moment at which a message may be tried, microseconds UTC."""
    if message.expires_at is None:
        return message.give_up_at
    return min(message.give_up_at, message.expires_at - 1)  # no longer at the moment itself


def expire(message: Claimed, last: Attempt | None, *, now: int, account: Account) -> Settlement:
    """Return what follows when the moment has come to give up a message that waits, on hold or not.

    Args:
        message: as it waits; its `expires_at` is past.
        last: its last attempt. None: there was none.
        now: microseconds UTC.
        account: the message's.
    """
    outcome = Outcome(
        kind=OutcomeKind.FAILED,
        category=Category.OTHER if last is None else last.category,
        status=codes.EXPIRED,
        error="its time was over before it was tried"
        if last is None
        else f"its time was over; at last: {last.summary()}",
    )
    return _over(message, outcome, None, now, account, State.EXPIRED, last)


def give_up(message: Claimed, wish: Wish, last: Attempt | None, *, now: int, account: Account) -> Settlement:
    """Return what follows when a person gives up a message that waits, on hold or not.

    Args:
        message: as it waits.
        wish: what is to become of it.
        last: its last attempt. None: there was none.
        now: microseconds UTC.
        account: the message's.
    """
    found = heed(
        _over(message, _given_up(wish, last), None, now, account, State.FAILED, last), wish, account=account
    )
    asked = NewEvent(
        event=EventKind.ADMIN, actor=wish.actor, reason=wish.reason, data={"verb": wish.kind.value}
    )
    return replace(found, events=(asked, *found.events))


def _given_up(wish: Wish, last: Attempt | None) -> Outcome:
    why = "given up by hand" if wish.actor else f"given up: {wish.reason}"
    return Outcome(
        kind=OutcomeKind.FAILED,
        category=Category.OTHER if last is None else last.category,
        status=codes.POLICY,
        error=why if last is None else f"{why}; at last: {last.summary()}",
    )


def suppress(message: Claimed, last: Attempt | None, *, now: int, account: Account) -> Settlement:
    """Return what follows for a message that was to be tried, and whose recipient is suppressed.

    Args:
        message: as it waits, with why.
        last: its last attempt. None: there was none.
        now: microseconds UTC.
        account: the message's.
    """
    outcome = Outcome(
        kind=OutcomeKind.FAILED,
        category=Category.OTHER if last is None else last.category,
        status=codes.SUPPRESSED,
        error=f"not sent, as its recipient is suppressed ({message.suppressed})",
    )
    return _over(message, outcome, None, now, account, State.SUPPRESSED, last)


def heed(settlement: Settlement, wish: Wish, *, account: Account) -> Settlement:
    """Return what follows instead of a settlement that does not deliver, by a person's wish."""
    message, at = settlement.message, settlement.at
    outcome = settlement.outcome if settlement.facts is not None else _given_up(wish, settlement.last)
    if wish.kind is WishKind.DROP:
        state, event, notice = State.CANCELED, EventKind.CANCELED, None
    else:
        state, event, notice = State.FAILED, EventKind.FAILED, _owed(NoticeKind.FAILED, message, account)
    data = {"attempts": message.attempts, **_told(outcome)}
    return replace(
        settlement,
        outcome=outcome,
        move=Retire(state=state, keep_content_until=at + account.keep_content),
        events=(NewEvent(event=event, actor=wish.actor, reason=wish.reason, data=data),),
        notice=notice,
        wish=wish,
    )


def owes(kind: NoticeKind, message: Claimed, account: Account) -> bool:
    """Return whether the sender of a message is owed a notice of that kind, should it come to it.

    Never for a notice or other mail with the null return path (RFC 3464 2, RFC 5321 6.1), nor where
    the account wants none; else as the sender wished (RFC 3461 5.2.5 and 5.2.6).
    """
    return (
        not message.is_notice
        and message.sender != ""
        and account.notices is not Notices.NONE
        and wants(message.notify, _WISH[kind])
    )


def _owed(kind: NoticeKind, message: Claimed, account: Account) -> NoticeKind | None:
    return kind if owes(kind, message, account) else None


def _over(
    message: Claimed,
    outcome: Outcome,
    facts: Facts | None,
    now: int,
    account: Account,
    state: State,
    last: Attempt | None = None,
) -> Settlement:
    expired = {"reason": "expired"} if state is State.EXPIRED else {}
    data = {**expired, "attempts": message.attempts, **_told(outcome)}
    event = EventKind.SUPPRESSED if state is State.SUPPRESSED else EventKind.FAILED
    return Settlement(
        message=message,
        facts=facts,
        outcome=outcome,
        at=now,
        move=Retire(state=state, keep_content_until=now + account.keep_content),
        events=(NewEvent(event=event, reason=outcome.summary(), data=data),),
        notice=_owed(NoticeKind.FAILED, message, account),
        last=last,
    )


def _again(
    message: Claimed,
    outcome: Outcome,
    facts: Facts,
    now: int,
    account: Account,
    schedule: Schedule,
    next_at: int,
    hold: str | None = None,
) -> Settlement:
    warn_at = _warn_at(message, account, schedule, now)
    warn_now = warn_at is not None and warn_at <= now
    data = {"next_attempt_at": rfc3339(next_at), "attempts": message.attempts, **_told(outcome)}
    return Settlement(
        message=message,
        facts=facts,
        outcome=outcome,
        at=now,
        move=Retry(
            next_attempt_at=next_at,
            fallback=fallback(schedule, message.attempts + 1),
            warn_at=None if warn_now else warn_at,
            hold=hold,
        ),
        events=(NewEvent(event=EventKind.DELAYED, reason=outcome.summary(), data=data),),
        notice=NoticeKind.DELAYED if warn_now else None,
    )


def _warn_at(message: Claimed, account: Account, schedule: Schedule, now: int) -> int | None:
    """Return when the delay notice is owed. None: none is wanted, or it has been given."""
    after = schedule.warn_after if message.warn_after is None else message.warn_after or None
    if after is None or not owes(NoticeKind.DELAYED, message, account):
        return None
    if message.warn_at is not None:
        return message.warn_at
    due = message.begins_at + after
    # Nothing is noted: this is the first attempt that failed, or the notice was given. It is not
    # given before it is due, so an earlier settlement than that is the first one (a crash may have
    # used up an attempt before it).
    return due if message.attempts == 1 or now < due else None


def _told(outcome: Outcome) -> dict[str, object]:
    status = {"status": str(outcome.status)} if outcome.status is not None else {}
    return {"category": outcome.category.value, **status}
