"""What every store promises about options of messages, those that expire, and retiring without an attempt."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from support.stored import (
    ALL,
    NOON,
    at,
    claim,
    clean,
    deferred,
    delivered,
    due,
    engine,
    events,
    failure_notice,
    hold,
    message,
    new,
    outcomes,
    recipient,
    settle,
    state,
    submit,
)

from mailqueue.clock import to_datetime
from mailqueue.errors import Conflict
from mailqueue.model.attempt import Category, Outcome, OutcomeKind
from mailqueue.model.events import EventKind, NoticeKind
from mailqueue.model.lane import Priority
from mailqueue.model.lifecycle import State
from mailqueue.model.message import Claimed
from mailqueue.model.rules import Transport, TransportKind
from mailqueue.model.settlement import NewEvent, Retire, Settlement
from mailqueue.store.base import StaleNotice, Store


def expiring(store: Store, *seconds: float) -> None:
    """Submit a message for each, which expires so many seconds past noon."""
    for number, second in enumerate(seconds):
        submit(store, recipient(f"b{number}@example.net", expires_at=at(second)))


def expired(store: Store, second: float, limit: int = 10) -> list[Claimed]:
    return store.read(lambda reader: reader.expired(at(second), limit))


def given_up(message: Claimed, now: int, state: State = State.EXPIRED) -> Settlement:
    return Settlement(
        message=message,
        facts=None,
        outcome=Outcome(kind=OutcomeKind.FAILED, category=Category.OTHER, error="its time was over"),
        at=now,
        move=Retire(state=state, keep_content_until=None),
        events=(NewEvent(event=EventKind.FAILED, reason="its time was over", data={"reason": "expired"}),),
        notice=NoticeKind.FAILED,
    )


# --- options ----------------------------------------------------------------------------------
def test_options_come_back_with_every_claim_and_to_whoever_looks(store: Store) -> None:
    wanted = replace(
        recipient("b@example.net", priority=Priority.BULK, transport="out", expires_at=at(900)),
        require_tls=False,
    )
    submission = replace(new(wanted), not_before=at(-5), warn_after=0, max_attempts=3)
    store.run(lambda transaction: transaction.submit(submission))
    found = message(store)
    assert (found.priority, found.transport, found.require_tls) == (Priority.BULK, "out", False)
    assert (found.expires_at, found.not_before) == (to_datetime(at(900)), to_datetime(at(-5)))
    assert (found.warn_after, found.max_attempts) == (timedelta(0), 3)
    for own in (*claim(store, engine(store)), *expired(store, 900)):
        assert (own.priority, own.transport, own.require_tls) == (Priority.BULK, "out", False)
        assert (own.expires_at, own.not_before, own.begins_at) == (at(900), at(-5), NOON)
        assert (own.warn_after, own.max_attempts) == (0, 3)


def test_message_without_options_has_none(store: Store) -> None:
    submit(store, "b@example.net")
    found = message(store)
    assert (found.priority, found.transport, found.require_tls) == (Priority.NORMAL, None, None)
    assert (found.expires_at, found.not_before, found.warn_after, found.max_attempts) == (None,) * 4
    [own] = claim(store, engine(store))
    assert (own.transport, own.require_tls, own.expires_at) == ("", None, None)
    assert (own.not_before, own.warn_after, own.max_attempts) == (None, None, None)


# --- who has expired --------------------------------------------------------------------------
def test_what_has_expired_is_found_on_hold_or_not_the_earliest_first(store: Store) -> None:
    expiring(store, 30, 10, 20, 99)
    hold(store)
    assert [each.id for each in expired(store, 9)] == []
    assert [each.id for each in expired(store, 30)] == [2, 3, 1]
    assert [each.id for each in expired(store, 30, limit=2)] == [2, 3]


def test_what_expires_is_told_as_it_waits(store: Store) -> None:
    expiring(store, 500)
    [own] = claim(store, engine(store))
    assert expired(store, 500) == [], "it is being delivered"
    settle(store, deferred(own, at(1), again=at(100), kind=OutcomeKind.UNCERTAIN))
    [waiting] = expired(store, 500)
    assert (waiting.engine_id, waiting.claim, waiting.attempts) == (0, 1, 1)
    assert waiting.uncertain, "it may have arrived"


def test_alarm_is_due_when_a_message_expires_though_all_are_on_hold(store: Store) -> None:
    expiring(store, 700, 600)
    assert due(store) == NOON
    hold(store)
    assert due(store) == at(600)
    settle(store, *(given_up(each, at(600)) for each in expired(store, 600)))
    assert due(store) == at(700)


def test_expired_message_is_not_claimed_and_the_others_of_its_lane_are(store: Store) -> None:
    expiring(store, 5, 500, 5)
    assert [each.id for each in claim(store, engine(store), at(5))] == [2]
    assert state(store, 1) is State.QUEUED
    assert (due(store) or 0) <= at(5), "what has expired is still to be seen to"
    assert clean(store)


# --- retiring without an attempt --------------------------------------------------------------
def test_message_retires_without_an_attempt_with_its_event_and_notice(store: Store) -> None:
    expiring(store, 5)
    hold(store)
    settle(store, given_up(*expired(store, 5), at(6)), notices=[failure_notice(1)])
    found = message(store)
    assert (found.state, found.retired_at) == (State.EXPIRED, to_datetime(at(6)))
    assert (found.hold, found.holds, found.attempts) == (False, (), 0)
    assert found.last_error == "its time was over"
    assert outcomes(store) == []
    assert events(store) == ["held", "failed"]
    [notice] = store.read(lambda reader: reader.notices(1))
    assert store.read(lambda reader: reader.events(1))[-1].notice_id == notice.id
    depth = store.read(lambda reader: reader.depth())
    assert (depth.queued, depth.claimed, depth.held) == (0, 0, 0)
    assert store.read(lambda reader: reader.queue(ALL, limit=5, after=None)).items == ()
    assert clean(store)


def test_many_retire_without_an_attempt_beside_others_that_were_tried(store: Store) -> None:
    expiring(store, *[5] * 40)
    submit(store, "b@example.org")
    [own] = claim(store, engine(store), at(6))
    late = settle(
        store, *(given_up(each, at(6)) for each in expired(store, 6, 99)), deferred(own, again=at(9))
    )
    assert late == frozenset()
    assert {state(store, number) for number in range(1, 41)} == {State.EXPIRED}
    assert (state(store, 41), outcomes(store, 41)) == (State.QUEUED, [(1, "deferred")])
    assert clean(store)


@pytest.mark.parametrize("fate", ["claimed", "claimed and back", "retired", "gone"])
def test_message_that_is_not_as_it_was_is_left_alone(store: Store, fate: str) -> None:
    expiring(store, 500)
    [seen] = expired(store, 500)
    if fate == "gone":
        seen = replace(seen, id=99)
    elif fate == "retired":
        settle(store, given_up(seen, at(1), State.FAILED))
    else:
        [own] = claim(store, engine(store))
        if fate != "claimed":
            settle(store, deferred(own, at(1), again=at(400)))
    before = (message(store), events(store), outcomes(store))
    assert settle(store, given_up(seen, at(600))) == {seen.id}
    assert (message(store), events(store), outcomes(store)) == before
    with pytest.raises(StaleNotice) as stale:
        settle(store, given_up(seen, at(600)), notices=[failure_notice(seen.id)])
    assert stale.value.message_ids == {seen.id}
    assert clean(store)


# --- transports that messages name ------------------------------------------------------------
def test_transport_that_messages_name_is_not_removed_before_they_are_done(store: Store) -> None:
    for name in ("first", "out"):
        made = Transport(id=0, name=name, kind=TransportKind.DIRECT)
        store.run(lambda transaction, made=made: transaction.add_transport(made, NOON))  # type: ignore[misc]
    named = {"transport": "out", "expires_at": at(999)}
    submit(store, *(recipient(f"b{n}@d{n}.example", **named) for n in range(3)), "b@example.net")
    [own] = claim(store, engine(store), limit=1)
    hold(store)
    submit(store, recipient("b@later.example", due=at(900), **named))
    with pytest.raises(Conflict, match="4 messages in the queue name transport 'out'"):
        store.run(lambda transaction: transaction.remove_transport("out"))
    settle(store, delivered(own), *(given_up(each, at(999)) for each in expired(store, 999)))
    store.run(lambda transaction: transaction.remove_transport("out"))
