import json
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.claims import NOW, account, claimed, facts

from mailqueue.clock import DAY, HOUR, MINUTE, SECOND, from_datetime, to_datetime
from mailqueue.mail.codes import EnhancedCode
from mailqueue.mail.reply import Reply
from mailqueue.model.account import Account, Notices, OnUncertain
from mailqueue.model.attempt import Attempt, Category, Outcome, OutcomeKind, Scope
from mailqueue.model.events import EventKind, NoticeKind
from mailqueue.model.lifecycle import State, legal
from mailqueue.model.message import Claimed
from mailqueue.model.schedule import SHIPPED, Schedule, parse_delays
from mailqueue.model.settlement import Retire, Retry, Settlement
from mailqueue.policy.settle import expire, settle

STANDARD = SHIPPED["standard"]
DELIVERED = Outcome(
    kind=OutcomeKind.DELIVERED, category=Category.OK, reply=Reply(250, ("ok",), EnhancedCode(2, 0, 0))
)
REFUSED = Outcome(
    kind=OutcomeKind.FAILED,
    category=Category.MAILBOX_UNKNOWN,
    scope=Scope.RECIPIENT,
    status=EnhancedCode(5, 1, 1),
    reply=Reply(550, ("no such user",), EnhancedCode(5, 1, 1)),
)
DEFERRED = Outcome(
    kind=OutcomeKind.DEFERRED,
    category=Category.SYSTEM,
    scope=Scope.RECIPIENT,
    status=EnhancedCode(4, 3, 0),
    reply=Reply(451, ("error",), EnhancedCode(4, 3, 0)),
)
UNCERTAIN = Outcome(
    kind=OutcomeKind.UNCERTAIN,
    category=Category.NETWORK,
    scope=Scope.SESSION,
    status=EnhancedCode(4, 4, 2),
    error="no answer",
)


def settled(
    outcome: Outcome,
    message: Claimed | None = None,
    *,
    now: int = NOW + SECOND,
    schedule: Schedule = STANDARD,
    who: Account | None = None,
    jitter: float = 0.0,
) -> Settlement:
    return settle(
        message or claimed(),
        outcome,
        facts(),
        now=now,
        schedule=schedule,
        account=who or account(),
        jitter=jitter,
    )


def test_a_delivered_message_retires_and_needs_its_content_no_more():
    found = settled(DELIVERED)
    assert found.move == Retire(state=State.DELIVERED, keep_content_until=None)
    assert [event.event for event in found.events] == [EventKind.DELIVERED]
    assert found.notice is None
    assert (found.at, found.message, found.outcome) == (NOW + SECOND, claimed(), DELIVERED)


def test_a_refused_message_retires_and_its_sender_is_owed_a_notice():
    found = settled(REFUSED, claimed(attempts=3))
    assert found.move == Retire(state=State.FAILED, keep_content_until=NOW + SECOND + 7 * DAY)
    assert found.notice is NoticeKind.FAILED
    (event,) = found.events
    assert (event.event, event.reason) == (EventKind.FAILED, "550 5.1.1 no such user")
    assert event.data == {"attempts": 3, "category": "mailbox_unknown", "status": "5.1.1"}


def test_a_deferred_message_is_tried_again_and_an_event_tells_when():
    found = settled(DEFERRED)
    assert found.move == Retry(
        next_attempt_at=NOW + SECOND + 5 * MINUTE, fallback=15 * MINUTE, warn_at=NOW + 4 * HOUR
    )
    assert found.notice is None
    (event,) = found.events
    assert (event.event, event.reason) == (EventKind.DELAYED, "451 4.3.0 error")
    assert event.data == {
        "next_attempt_at": "2027-01-15T08:05:01.000000Z",
        "attempts": 1,
        "category": "system",
        "status": "4.3.0",
    }


def test_an_uncertain_message_is_tried_again_after_half_an_hour():
    found = settled(UNCERTAIN)
    assert isinstance(found.move, Retry)
    assert found.move.next_attempt_at == NOW + SECOND + 30 * MINUTE


def test_a_schedule_decides_how_long_an_uncertain_message_waits():
    delays, classes = parse_delays("1m*; uncertain: 2s*")
    short = Schedule(name="short", delays=delays, classes=classes, lifetime=DAY, warn_after=None)
    found = settled(UNCERTAIN, schedule=short)
    assert found.move == Retry(next_attempt_at=NOW + 3 * SECOND, fallback=MINUTE, warn_at=None)


def test_a_message_with_no_further_time_in_its_lifetime_expires():
    found = settled(DEFERRED, claimed(attempts=44), now=NOW + 5 * DAY - HOUR)
    assert found.move == Retire(state=State.EXPIRED, keep_content_until=NOW + 12 * DAY - HOUR)
    assert found.notice is NoticeKind.FAILED
    (event,) = found.events
    assert (event.event, event.reason) == (EventKind.FAILED, "451 4.3.0 error")
    assert event.data is not None
    assert event.data["reason"] == "expired"


def test_a_message_released_after_its_lifetime_had_its_one_attempt():
    found = settled(DEFERRED, claimed(attempts=1), now=NOW + 6 * DAY)
    assert isinstance(found.move, Retire)
    assert found.move.state is State.EXPIRED


@pytest.mark.parametrize("outcome", [DEFERRED, UNCERTAIN], ids=["deferred", "uncertain"])
@pytest.mark.parametrize("on_uncertain", OnUncertain)
def test_the_last_attempt_that_is_allowed_expires_the_message(outcome, on_uncertain):
    who = account(on_uncertain=on_uncertain)
    before, last = (claimed(attempts=number, max_attempts=3) for number in (2, 3))
    held_or_failed = outcome is UNCERTAIN and on_uncertain is OnUncertain.FAIL
    assert isinstance(settled(outcome, before, who=who).move, Retire) is held_or_failed
    found = settled(outcome, last, who=who)
    assert isinstance(found.move, Retire)
    assert found.move.state is (State.FAILED if held_or_failed else State.EXPIRED)
    assert settled(DELIVERED, last).move == Retire(state=State.DELIVERED, keep_content_until=None)


@pytest.mark.parametrize("jitter", [-1.0, 0.0, 1.0])
@pytest.mark.parametrize(
    ("left", "again"), [(10 * MINUTE, True), (5 * MINUTE + 1, True), (5 * MINUTE, False)]
)
def test_the_next_try_comes_before_the_message_expires_or_there_is_none(left, again, jitter):
    now = NOW + SECOND
    message = claimed(expires_at=now + left, give_up_at=now + left)
    move = settled(DEFERRED, message, now=now, jitter=jitter).move
    if again:
        assert isinstance(move, Retry)
        assert now < move.next_attempt_at < now + left
    else:
        assert isinstance(move, Retire)
        assert move.state is State.EXPIRED


WARNED = [
    ({}, 4 * HOUR, "as the schedule says"),
    ({"warn_after": HOUR}, HOUR, "as the submission says"),
    ({"warn_after": 0}, None, "not at all"),
    ({"not_before": NOW + DAY}, DAY + 4 * HOUR, "from the moment of its release"),
    ({"not_before": NOW - DAY}, 4 * HOUR, "a release that was past is none"),
    ({"not_before": NOW + DAY, "warn_after": HOUR}, DAY + HOUR, "both"),
]


@pytest.mark.parametrize(("options", "after", "why"), WARNED)
def test_a_delay_notice_is_owed_when_the_submission_or_its_schedule_says(options, after, why):
    found = settled(DEFERRED, claimed(**options))
    assert isinstance(found.move, Retry)
    assert found.move.warn_at == (None if after is None else NOW + after), why


def test_a_delay_notice_where_the_schedule_has_none():
    found = settled(DEFERRED, claimed(warn_after=2 * MINUTE), schedule=SHIPPED["otp"])
    assert isinstance(found.move, Retry)
    assert found.move.warn_at == NOW + 2 * MINUTE


# --- giving up without an attempt -------------------------------------------------------------


def last_attempt(**changes):
    wanted = {
        "id": 1,
        "message_id": 7,
        "number": 2,
        "engine_id": 1,
        "started_at": to_datetime(NOW),
        "duration": timedelta(0),
        "outcome": OutcomeKind.DEFERRED,
        "category": Category.GREYLISTED,
        "scope": Scope.MESSAGE,
        "reply": "451-4.7.1 not now\n451 4.7.1 later",
        **changes,
    }
    return Attempt(**{name: wanted.get(name) for name in Attempt.__slots__})


@pytest.mark.parametrize(
    ("last", "category", "reason"),
    [
        (None, "other", "its time was over before it was tried"),
        (
            last_attempt(),
            "greylisted",
            "its time was over; at last: 451-4.7.1 not now / 451 4.7.1 later",
        ),
        (
            last_attempt(reply=None, error="no answer", category=Category.NETWORK),
            "network",
            "its time was over; at last: no answer",
        ),
        (
            last_attempt(reply=None, outcome=OutcomeKind.INTERRUPTED, category=Category.INTERRUPTED),
            "interrupted",
            "its time was over; at last: interrupted",
        ),
    ],
    ids=["never tried", "refused", "no answer", "interrupted"],
)
def test_a_message_whose_moment_has_come_expires_without_an_attempt(last, category, reason):
    message = claimed(engine_id=0, attempts=2 if last else 0, expires_at=NOW)
    found = expire(message, last, now=NOW + SECOND, account=account())
    assert (found.facts, found.last, found.at) == (None, last, NOW + SECOND)
    assert found.move == Retire(state=State.EXPIRED, keep_content_until=NOW + SECOND + 7 * DAY)
    assert found.notice is NoticeKind.FAILED
    (event,) = found.events
    assert (event.event, event.reason) == (EventKind.FAILED, reason)
    assert event.data == {
        "reason": "expired",
        "attempts": message.attempts,
        "category": category,
        "status": "4.4.7",
    }


def test_content_is_kept_as_long_as_the_account_says():
    found = settled(REFUSED, who=account(keep_content=HOUR))
    assert isinstance(found.move, Retire)
    assert found.move.keep_content_until == NOW + SECOND + HOUR


# --- who is owed word of it -------------------------------------------------------------------

NOBODY = [
    (claimed(is_notice=True, sender=""), account(), "a notice causes no other"),
    (claimed(is_notice=True), account(), "... whatever its return path"),
    (claimed(sender=""), account(), "the null return path wants none (RFC 5321 4.5.5)"),
    (claimed(), account(notices=Notices.NONE), "the account wants none"),
]


@pytest.mark.parametrize(("message", "who", "why"), NOBODY)
def test_nobody_is_told_who_is_not_to_be_told(message, who, why):
    assert settled(REFUSED, message, who=who).notice is None, why
    assert expire(message, None, now=NOW, account=who).notice is None, why
    late = settled(DEFERRED, message, who=who, now=NOW + 10 * HOUR)
    assert late.notice is None, why
    assert isinstance(late.move, Retry)
    assert late.move.warn_at is None, why
    warned = settled(DEFERRED, replace(message, attempts=2, warn_at=NOW), who=who)
    assert warned.notice is None, why


@pytest.mark.parametrize("notices", [None, Notices.KEEP, Notices.QUEUE])
def test_a_sender_is_told_where_the_account_does_not_say_otherwise(notices):
    assert settled(REFUSED, who=account(notices=notices)).notice is NoticeKind.FAILED


WARNINGS = [
    (1, None, SECOND, 4 * HOUR, None, "the first failed attempt notes when the notice is owed"),
    (2, 4 * HOUR, HOUR, 4 * HOUR, None, "it stays noted"),
    (6, 4 * HOUR, 4 * HOUR, None, NoticeKind.DELAYED, "it is owed now, and given once"),
    (7, None, 7 * HOUR, None, None, "it has been given"),
    (2, None, HOUR, 4 * HOUR, None, "a crash used up the first attempt: it cannot have been given yet"),
    (1, None, 6 * HOUR, None, NoticeKind.DELAYED, "first tried after a hold of six hours: owed at once"),
]


@pytest.mark.parametrize(("attempts", "noted", "after", "warn_at", "notice", "why"), WARNINGS)
def test_the_sender_hears_of_a_delay_once_after_four_hours(attempts, noted, after, warn_at, notice, why):
    message = claimed(attempts=attempts, warn_at=None if noted is None else NOW + noted)
    found = settled(DEFERRED, message, now=NOW + after)
    assert isinstance(found.move, Retry)
    assert found.move.warn_at == (None if warn_at is None else NOW + warn_at), why
    assert found.notice is notice, why


def test_a_schedule_without_a_warning_gives_none():
    delays, _ = parse_delays("1h*")
    quiet = Schedule(name="quiet", delays=delays, lifetime=5 * DAY, warn_after=None)
    found = settled(DEFERRED, now=NOW + 5 * HOUR, schedule=quiet)
    assert isinstance(found.move, Retry)
    assert (found.move.warn_at, found.notice) == (None, None)


def test_a_message_that_expires_when_its_delay_notice_is_owed_gets_the_failure_notice_only():
    found = settled(DEFERRED, claimed(attempts=8, warn_at=NOW + 4 * HOUR), now=NOW + 5 * DAY)
    assert found.notice is NoticeKind.FAILED


# --- laws -------------------------------------------------------------------------------------

outcomes = st.builds(
    Outcome,
    kind=st.sampled_from(OutcomeKind),
    category=st.sampled_from(Category),
    scope=st.none() | st.sampled_from(Scope),
    status=st.none() | st.just(EnhancedCode(4, 0, 0)),
    error=st.none() | st.text(max_size=9),
)
messages = st.builds(
    claimed,
    sender=st.sampled_from(["", "a@sender.example"]),
    is_notice=st.booleans(),
    attempts=st.integers(min_value=1, max_value=60),
    give_up_at=st.integers(min_value=NOW, max_value=NOW + 9 * DAY),
    warn_at=st.none() | st.integers(min_value=NOW, max_value=NOW + 9 * DAY),
    uncertain=st.booleans(),
)
accounts = st.builds(account, notices=st.none() | st.sampled_from(Notices))


@given(
    outcomes,
    messages,
    accounts,
    st.sampled_from(sorted(SHIPPED)),
    st.integers(min_value=NOW, max_value=NOW + 10 * DAY),
    st.floats(min_value=-1, max_value=1),
)
def test_a_settlement_always_moves_the_message_on_and_tells_whom_it_should(
    outcome, message, who, name, now, jitter
):
    found = settled(outcome, message, now=now, schedule=SHIPPED[name], who=who, jitter=jitter)
    assert len(found.events) == 1
    json.dumps(found.events[0].data)
    match found.move:
        case Retire(state=state, keep_content_until=until):
            assert legal(State.CLAIMED, state)
            assert (until is None) == (state is State.DELIVERED)
            wanted = NoticeKind.FAILED if state is not State.DELIVERED else None
        case Retry(next_attempt_at=at, fallback=fallback, warn_at=warn_at):
            assert outcome.kind not in (OutcomeKind.DELIVERED, OutcomeKind.FAILED)
            assert now < at <= message.give_up_at
            assert fallback > 0
            assert warn_at is None or warn_at > now
            data = found.events[0].data
            assert data is not None
            assert from_datetime(datetime.fromisoformat(str(data["next_attempt_at"]))) == at
            wanted = found.notice
            assert wanted in (None, NoticeKind.DELAYED)
    nobody = message.is_notice or message.sender == "" or who.notices is Notices.NONE
    assert found.notice is (None if nobody else wanted)


@given(
    st.lists(st.floats(min_value=-1, max_value=1), min_size=60, max_size=60), st.sampled_from(sorted(SHIPPED))
)
def test_a_message_that_never_gets_through_expires_with_one_warning_on_the_way(jitters, name):
    schedule = SHIPPED[name]
    message = claimed(give_up_at=NOW + schedule.lifetime)
    now, notices = NOW + SECOND, []
    for jitter in jitters:
        found = settled(DEFERRED, message, now=now, schedule=schedule, jitter=jitter)
        notices.append(found.notice)
        if isinstance(found.move, Retire):
            break
        now = found.move.next_attempt_at
        message = replace(message, attempts=message.attempts + 1, warn_at=found.move.warn_at)
    assert isinstance(found.move, Retire)
    assert found.move.state is State.EXPIRED
    assert notices[-1] is NoticeKind.FAILED
    assert notices.count(NoticeKind.DELAYED) == (0 if schedule.warn_after is None else 1)
    assert notices.count(NoticeKind.FAILED) == 1
