"""What every store promises about settlements, notices, and content that nobody needs any more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.stored import (
    ALL,
    BODY,
    NOON,
    add_rule,
    at,
    claim,
    clean,
    deferred,
    delivered,
    due,
    engine,
    events,
    failed,
    failure_notice,
    hold,
    message,
    new,
    outcomes,
    settle,
    state,
    submit,
)

from mailqueue.clock import DAY, to_datetime
from mailqueue.errors import NotFound
from mailqueue.model.attempt import OutcomeKind
from mailqueue.model.events import NoticeKind
from mailqueue.model.filters import Filter
from mailqueue.model.lifecycle import State
from mailqueue.model.message import Claimed
from mailqueue.model.settlement import NewNotice
from mailqueue.store.base import StaleNotice, Store


def taken(store: Store, *recipients: str, now: int = NOON) -> list[Claimed]:
    """Submit and claim messages."""
    submit(store, *recipients)
    return claim(store, engine(store), now)


def test_delivered_message_retires_with_its_attempt_and_event(store: Store) -> None:
    [own] = taken(store)
    assert settle(store, delivered(own, at(3))) == frozenset()
    found = message(store)
    assert (found.state, found.retired_at) == (State.DELIVERED, to_datetime(at(3)))
    assert (found.next_attempt_at, found.claimed_at, found.last_error) == (None, None, None)
    [attempt] = store.read(lambda reader: reader.attempts(1))
    assert (attempt.number, attempt.outcome.value, attempt.category.value) == (1, "delivered", "ok")
    assert (attempt.scope, attempt.route_id, attempt.error, attempt.transcript) == (None, None, None, None)
    assert (attempt.code, attempt.enhanced, attempt.reply) == (250, "2.0.0", "250 2.0.0 queued as 4F")
    assert (attempt.transport, attempt.host, attempt.size) == ("out", "mx.example.net", len(BODY))
    assert events(store) == ["delivered"]
    assert store.read(lambda reader: reader.queue(ALL, limit=5, after=None)).items == ()
    assert clean(store)


def test_deferred_message_waits_for_its_time_and_says_why(store: Store) -> None:
    [own] = taken(store)
    settle(store, deferred(own, at(3), again=at(303), warn_at=at(4000)))
    found = message(store)
    assert (found.state, found.next_attempt_at) == (State.QUEUED, to_datetime(at(303)))
    assert found.last_error == "451 4.7.1 come back"
    assert due(store) == at(303)
    assert outcomes(store) == [(1, "deferred")]
    assert clean(store)


def test_message_delivered_in_the_end_still_tells_what_went_wrong_before(store: Store) -> None:
    [own] = taken(store)
    settle(store, deferred(own, at(3), again=at(30)))
    [again] = claim(store, engine(store), at(30))
    settle(store, delivered(again, at(31)))
    assert message(store).last_error == "451 4.7.1 come back"
    assert outcomes(store) == [(1, "deferred"), (2, "delivered")]
    assert clean(store)


def test_many_settlements_of_one_group_each_have_their_own_fate(store: Store) -> None:
    own = taken(store, *(f"b{n}@example.net" for n in range(90)))
    settle(
        store,
        *(delivered(each, at(1)) for each in own[:40]),
        *(failed(each, at(1)) for each in own[40:60]),
        *(deferred(each, at(1), again=at(100)) for each in own[60:]),
    )
    fates = [state(store, each.id).value for each in own]
    assert fates == ["delivered"] * 40 + ["failed"] * 20 + ["queued"] * 30
    assert clean(store)


def test_hold_put_on_while_claimed_acts_after_the_running_attempt(store: Store) -> None:
    [own] = taken(store)
    assert hold(store) == 1
    settle(store, deferred(own, at(1), again=at(10)))
    assert claim(store, engine(store), at(10)) == []
    assert message(store).hold
    assert clean(store)


def test_marks_go_when_the_message_retires(store: Store) -> None:
    [own] = taken(store)
    hold(store)
    settle(store, delivered(own, at(1)))
    found = message(store)
    assert (found.hold, found.holds) == (False, ())
    assert store.read(lambda reader: reader.depth()).held == 0
    assert clean(store)


# --- late -------------------------------------------------------------------------------------
def lost(store: Store) -> Claimed:
    """Return a claim whose engine has been buried."""
    [own] = taken(store)
    store.run(lambda transaction: transaction.bury_engine(own.engine_id, at(60)))
    return own


def test_late_delivery_retires_the_message_all_the_same(store: Store) -> None:
    own = lost(store)
    assert settle(store, delivered(own, at(61))) == {own.id}
    assert state(store) is State.DELIVERED
    assert outcomes(store) == [(1, "interrupted"), (1, "delivered")]
    assert events(store) == ["delivered"]
    assert clean(store)


def test_late_delivery_while_another_engine_tries_makes_that_one_late_in_turn(store: Store) -> None:
    own = lost(store)
    [other] = claim(store, engine(store), at(600))
    settle(store, delivered(own, at(601)))
    assert settle(store, deferred(other, at(602), again=at(700))) == {own.id}
    assert state(store) is State.DELIVERED
    assert outcomes(store) == [(1, "interrupted"), (1, "delivered"), (2, "deferred")]
    assert clean(store)


def test_late_failure_only_adds_its_attempt(store: Store) -> None:
    own = lost(store)
    assert settle(store, failed(own, at(61))) == {own.id}
    assert state(store) is State.QUEUED
    assert outcomes(store) == [(1, "interrupted"), (1, "failed")]
    assert events(store) == []
    assert clean(store)


def test_second_delivery_of_a_retired_message_changes_nothing_but_its_attempts(store: Store) -> None:
    own = lost(store)
    [other] = claim(store, engine(store), at(600))
    settle(store, failed(other, at(601)))
    settle(store, delivered(own, at(602)))
    assert state(store) is State.FAILED
    assert events(store) == ["failed"]
    assert clean(store)


def test_settlements_in_time_are_applied_beside_late_ones(store: Store) -> None:
    first = lost(store)
    submit(store, "c@example.com")
    [second] = claim(store, engine(store), at(100))
    assert settle(store, failed(first, at(101)), delivered(second, at(101))) == {first.id}
    assert state(store, second.id) is State.DELIVERED
    assert clean(store)


def test_settlement_of_a_purged_message_leaves_no_trace(store: Store) -> None:
    own = lost(store)
    settle(store, delivered(own, at(61)))
    store.run(lambda transaction: transaction.purge_history(at(61) + 60 * DAY, 10))
    assert settle(store, delivered(own, at(62) + 60 * DAY)) == {own.id}
    assert clean(store)


def test_message_that_may_have_arrived_is_put_on_hold_where_the_settlement_says_so(store: Store) -> None:
    first, second = taken(store, "b@example.net", "c@example.net")
    waits = deferred(first, at(1), again=at(10), kind=OutcomeKind.UNCERTAIN)
    held = replace(waits, move=replace(waits.move, hold="it may have arrived"))
    settle(store, held, deferred(second, at(1), again=at(10)))
    [mark] = message(store, first.id).holds
    assert (mark.rule_id, mark.reason) == (None, "it may have arrived")
    assert events(store, first.id) == ["held"]
    assert store.read(lambda reader: reader.depth()).held == 1
    assert [each.id for each in claim(store, engine(store), at(10))] == [second.id]
    assert clean(store)


def test_two_settlements_of_one_message_in_one_call_retire_it_once(store: Store) -> None:
    own = lost(store)
    [other] = claim(store, engine(store), at(600))
    assert settle(store, delivered(own, at(601)), delivered(other, at(601))) == {own.id}
    assert state(store) is State.DELIVERED
    assert clean(store)


# --- notices ----------------------------------------------------------------------------------
def test_failure_is_written_with_the_notice_that_tells_of_it(store: Store) -> None:
    first, second = taken(store, "b@example.net", "c@example.net")
    settle(
        store, failed(first, at(1)), delivered(second, at(1)), notices=[failure_notice(first.id, now=at(1))]
    )
    [notice] = store.read(lambda reader: reader.notices(first.id))
    assert (notice.kind, notice.content, notice.sent_as) == (
        NoticeKind.FAILED,
        b"Subject: failed\r\n\r\n",
        None,
    )
    [event] = store.read(lambda reader: reader.events(first.id))
    assert (event.reason, event.data, event.notice_id) == ("nobody here", {"code": 550}, notice.id)
    assert store.read(lambda reader: reader.notices(second.id)) == []
    assert store.read(lambda reader: reader.events(second.id))[0].notice_id is None
    assert clean(store)


def test_notice_to_the_sender_is_queued_with_the_failure(store: Store) -> None:
    [own] = taken(store)
    send = new("a@example.org", sender="", notice_for=own.submission_id, submitted_at=at(1))
    settle(store, failed(own, at(1)), notices=[failure_notice(own.id, now=at(1), send=send)])
    [notice] = store.read(lambda reader: reader.notices(own.id))
    assert notice.sent_as == 2
    [carried] = claim(store, engine(store), at(1))
    assert (carried.submission_id, carried.is_notice, carried.sender) == (2, True, "")
    assert clean(store)


def test_notice_that_tells_of_a_late_failure_is_not_written_nor_anything_with_it(store: Store) -> None:
    first = lost(store)
    submit(store, "c@example.com")
    [second] = claim(store, engine(store), at(100))
    with pytest.raises(StaleNotice) as caught:
        settle(
            store,
            failed(first, at(101)),
            failed(second, at(101)),
            notices=[failure_notice(first.id, second.id)],
        )
    assert caught.value.message_ids == {first.id}
    assert state(store, second.id) is State.CLAIMED
    assert outcomes(store, first.id) == [(1, "interrupted")]


def delay_notice(*ids: int, now: int) -> NewNotice:
    return NewNotice(
        submission_id=1,
        kind=NoticeKind.DELAYED,
        at=now,
        content=b"Subject: delayed\r\n\r\n",
        message_ids=ids,
        submission=None,
    )


def delayed(store: Store) -> list[int]:
    """Return the ids of two messages of one submission whose delay notice is owed at 50."""
    own = taken(store, "b@example.net", "c@example.com")
    settle(store, *(deferred(each, at(1), again=at(100), warn_at=at(50)) for each in own))
    return sorted(each.id for each in own)


def test_delay_notice_is_owed_once_and_told_to_all_of_a_submission_together(store: Store) -> None:
    ids = delayed(store)
    assert store.read(lambda reader: reader.owed_warnings(at(49), 10)) == []
    assert due(store) == at(50)
    owed = store.read(lambda reader: reader.owed_warnings(at(50), 1))
    assert [each.id for each in owed] == ids
    assert [(each.claim, each.attempts, each.warn_at) for each in owed] == [(1, 1, at(50))] * 2
    assert store.run(lambda transaction: transaction.warned(delay_notice(*ids, now=at(51)), "slow"))
    assert store.read(lambda reader: reader.owed_warnings(at(99), 10)) == []
    assert due(store) == at(100)
    [event] = store.read(lambda reader: reader.events(ids[0]))
    assert (event.event.value, event.reason) == ("delayed", "slow")
    assert store.read(lambda reader: reader.notices(ids[1]))[0].kind is NoticeKind.DELAYED
    assert not store.run(lambda transaction: transaction.warned(delay_notice(*ids, now=at(52)), "slow"))
    assert clean(store)


def test_delay_notice_is_not_owed_for_what_is_held_or_being_tried(store: Store) -> None:
    first, second = delayed(store)
    hold(store, Filter(ids=(first,)))
    claim(store, engine(store), at(100))
    assert store.read(lambda reader: reader.owed_warnings(at(101), 10)) == []
    assert due(store) is None
    for each in (first, second):
        assert not store.run(lambda transaction, n=each: transaction.warned(delay_notice(n, now=at(101)), ""))


def test_delay_notice_that_is_not_wanted_is_owed_no_more(store: Store) -> None:
    ids = delayed(store)
    store.run(lambda transaction: transaction.unwarned(ids[:1]))
    assert [each.id for each in store.read(lambda reader: reader.owed_warnings(at(60), 10))] == ids[1:]


# --- content ----------------------------------------------------------------------------------
def has_content(store: Store, message_id: int = 1) -> bool:
    try:
        return store.read(lambda reader: reader.content(reader.content_of(message_id))) != b""
    except NotFound:
        return False


@pytest.mark.parametrize("size", [100, 600_000])
def test_content_goes_with_the_last_delivery(store: Store, size: int) -> None:
    submit(store, "b@example.net", "c@example.net", content=b"x" * size)
    first, second = claim(store, engine(store))
    settle(store, delivered(first, at(1)))
    assert has_content(store)
    settle(store, delivered(second, at(2)))
    assert not has_content(store)
    assert message(store).size == size
    assert clean(store)


def test_content_that_was_not_delivered_to_all_stays_until_its_keep_time(store: Store) -> None:
    first, second = taken(store, "b@example.net", "c@example.net")
    settle(store, failed(first, at(1), keep_until=at(1) + 7 * DAY))
    settle(store, delivered(second, at(2)))
    assert has_content(store)
    assert store.run(lambda transaction: transaction.purge_content(at(0) + 7 * DAY, 10)) == 0
    assert store.run(lambda transaction: transaction.purge_content(at(1) + 7 * DAY, 10)) == 1
    assert not has_content(store)
    assert clean(store)


def test_latest_keep_time_of_a_submission_counts(store: Store) -> None:
    first, second = taken(store, "b@example.net", "c@example.net")
    settle(store, failed(first, at(1), keep_until=at(900)), failed(second, at(1), keep_until=at(500)))
    assert store.run(lambda transaction: transaction.purge_content(at(600), 10)) == 0
    assert store.run(lambda transaction: transaction.purge_content(at(900), 10)) == 1


def test_content_that_a_message_still_needs_outlives_the_keep_time_of_another(store: Store) -> None:
    first, second = taken(store, "b@example.net", "c@example.net")
    settle(store, failed(first, at(1), keep_until=at(100)), deferred(second, at(1), again=at(500)))
    assert store.run(lambda transaction: transaction.purge_content(at(200), 10)) == 0
    assert has_content(store)
    [again] = claim(store, engine(store), at(500))
    settle(store, delivered(again, at(501)))
    assert not has_content(store)
    assert clean(store)


def test_rules_made_meanwhile_do_not_stop_a_settlement(store: Store) -> None:
    [own] = taken(store)
    add_rule(store)
    settle(store, delivered(own, at(1)))
    assert state(store) is State.DELIVERED
    assert clean(store)
