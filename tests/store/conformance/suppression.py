"""What every store promises about suppression: what is looked up, learnt, stopped, and forgotten."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.stored import (
    NOON,
    at,
    claim,
    clean,
    delivered,
    engine,
    events,
    failed,
    new,
    recipient,
    settle,
    state,
    submit,
)

from mailqueue.clock import DAY, HOUR, to_datetime
from mailqueue.errors import Conflict
from mailqueue.model.attempt import Category
from mailqueue.model.lifecycle import State
from mailqueue.model.message import Drop
from mailqueue.model.suppression import Cause, Evidence, Finding, Lesson, Suppression
from mailqueue.store.base import Store, Transaction

WHY = "manual: asked"


def entry(
    address: str, cause: Cause = Cause.MANUAL, *, now: int = NOON, ends: int | None = None
) -> Suppression:
    return Suppression(
        id=0,
        account="",
        address=address,
        base=address,
        cause=cause,
        reason="asked",
        message_id=None,
        incoming_id=None,
        evidence=None,
        actor="python:test",
        created_at=to_datetime(now),
        expires_at=None if ends is None else to_datetime(ends),
    )


def put(store: Store, *entries: Suppression, account_id: int = 1) -> int:
    return store.run(lambda transaction: transaction.suppress(account_id, entries))


def stopped(store: Store, *recipients: str, now: int = NOON, account_id: int = 1) -> dict[str, str]:
    return store.run(lambda transaction: transaction.suppressed(account_id, recipients, now))


def lesson(finding: Finding, message_id: int | None = 1, *, now: int = NOON, **more: object) -> Lesson:
    made = Lesson(
        account_id=1, address="b@example.net", finding=finding, at=now, reason="no", message_id=message_id
    )
    return replace(made, **more)  # type: ignore[arg-type]


def learn(store: Store, *lessons: Lesson) -> list[Suppression]:
    return store.run(lambda transaction: transaction.learn(lessons))


def one(store: Store, base: str = "b@example.net", now: int = NOON) -> Suppression | None:
    return store.read(lambda reader: reader.suppression(1, base, now))


def test_suppressed_recipients_are_found_by_any_spelling_until_the_end(store: Store) -> None:
    shop = store.run(lambda transaction: transaction.add_account("shop", NOON))
    assert stopped(store, "b@example.net") == {}
    put(store, entry("b@example.net"), entry("c@example.net", ends=at(10)))
    found = stopped(store, "B+x@example.net", "c@example.net", "d@example.net", now=at(9))
    assert found == {"B+x@example.net": WHY, "c@example.net": WHY}
    assert stopped(store, "c@example.net", now=at(10)) == {}
    assert stopped(store, "b@example.net", account_id=shop.id) == {}
    store.run(lambda transaction: transaction.set_account(replace(shop, suppression=False)))
    put(store, entry("b@example.net"), account_id=shop.id)
    assert stopped(store, "b@example.net", account_id=shop.id) == {}


def test_entry_is_seen_in_its_own_transaction_and_gone_when_that_fails(store: Store) -> None:
    def job(transaction: Transaction) -> None:
        assert transaction.suppressed(1, ["b@example.net"], NOON) == {}
        transaction.suppress(1, [entry("b@example.net")])
        assert transaction.suppressed(1, ["b@example.net"], NOON) == {"b@example.net": WHY}
        raise Conflict("changed my mind")

    with pytest.raises(Conflict):
        store.run(job)
    assert stopped(store, "b@example.net") == {}


def test_only_a_person_takes_the_place_of_an_entry_that_lasts_as_long(store: Store) -> None:
    assert put(store, entry("b@example.net", ends=at(100))) == 1
    assert put(store, entry("b@example.net", Cause.IMPORT, ends=at(99))) == 0
    assert put(store, entry("b@example.net", Cause.IMPORT, now=at(5), ends=at(101))) == 1
    found = one(store)
    assert found is not None
    assert (found.cause, found.created_at, found.expires_at) == (
        Cause.IMPORT,
        to_datetime(NOON),
        to_datetime(at(101)),
    )
    assert put(store, entry("b@example.net", ends=at(20))) == 1
    assert put(store, entry("b@example.net", Cause.IMPORT, now=at(30))) == 1
    again = one(store, now=at(30))
    assert again is not None
    assert again.created_at == to_datetime(at(30)), "the one before was over"


def test_dead_address_is_suppressed_with_what_was_judged(store: Store) -> None:
    evidence = Evidence(category=Category.MAILBOX_UNKNOWN, phase="rcpt", reply="550 5.1.1 né", status="5.1.1")
    [made] = learn(store, lesson(Finding.DEAD, 7, evidence=evidence, incoming_id=3))
    assert (made.cause, made.reason, made.message_id, made.incoming_id) == (Cause.CODE, "no", 7, 3)
    assert (made.evidence, made.actor) == (evidence, None)
    assert made == one(store)
    assert learn(store, lesson(Finding.COMPLAINED)) == []


def test_failures_count_by_message_and_a_delivery_ends_them(store: Store) -> None:
    assert learn(store, lesson(Finding.FAILED, 11), lesson(Finding.FAILED, 11, now=at(1))) == []
    assert learn(store, lesson(Finding.FAILED, 12, now=NOON + DAY)) == []
    assert learn(store, lesson(Finding.FAILED, 13, now=NOON + 3 * DAY - 1)) == []
    submit(store, "B@example.net")
    settle(store, *(delivered(each) for each in claim(store, engine(store))))
    assert learn(store, lesson(Finding.FAILED, 14, now=NOON + 4 * DAY)) == []
    assert learn(store, lesson(Finding.FAILED, 15, now=NOON + 5 * DAY)) == []
    [made] = learn(store, lesson(Finding.FAILED, 16, now=NOON + 7 * DAY))
    assert made.cause is Cause.FAILURES
    assert store.run(lambda transaction: transaction.purge_strikes(NOON + 30 * DAY, 10)) == 0, "used up"


def test_settlement_teaches_in_its_own_transaction_unless_it_is_late(store: Store) -> None:
    submit(store, "b@example.net", "c@example.net")
    first, second = claim(store, engine(store))
    store.run(lambda transaction: transaction.put_back([second]))
    dead = {each.id: lesson(Finding.DEAD, each.id, address=each.recipient) for each in (first, second)}
    settle(store, *(replace(failed(each), lesson=dead[each.id]) for each in (first, second)))
    assert stopped(store, "b@example.net", "c@example.net") == {"b@example.net": "code: no"}


def test_message_to_a_suppressed_recipient_is_not_claimed_and_comes_with_why(store: Store) -> None:
    submit(store, "b@example.net", "c@example.net")
    submit(store, "b@example.net", sender="", notice_for=1)
    put(store, entry("b@example.net"))
    found = {each.id: each for each in claim(store, engine(store))}
    assert {identity: each.suppressed for identity, each in found.items()} == {1: WHY, 2: None, 3: None}
    assert (found[1].engine_id, found[1].attempts, state(store, 1)) == (0, 0, State.QUEUED)
    assert found[2].engine_id > 0
    over = replace(failed(found[1]), facts=None, move=replace(failed(found[1]).move, state=State.SUPPRESSED))  # type: ignore[type-var]
    over = replace(over, events=(replace(over.events[0], event="suppressed"),))
    assert settle(store, over) == frozenset()
    assert state(store, 1) is State.SUPPRESSED
    store.run(lambda transaction: transaction.put_back([found[2], found[3]]))
    assert clean(store)


def test_message_is_dropped_as_suppressed(store: Store) -> None:
    drop = Drop(reason="gone", state=State.SUPPRESSED, keep_content_until=NOON + DAY)
    made = store.run(
        lambda transaction: transaction.submit(new(replace(recipient("b@example.net"), drop=drop)))
    )
    assert made.messages[0].state is State.SUPPRESSED
    assert events(store, made.messages[0].id) == ["suppressed"]
    assert clean(store)


def test_what_is_over_is_purged_in_steps_and_an_account_forgets_all(store: Store) -> None:
    shop = store.run(lambda transaction: transaction.add_account("shop", NOON))
    put(store, *(entry(f"b{n}@example.net", ends=at(n)) for n in range(1, 6)))
    assert store.run(lambda transaction: transaction.purge_suppressions(at(3), 2)) == 2
    assert store.run(lambda transaction: transaction.purge_suppressions(at(3), 2)) == 1
    learn(store, lesson(Finding.FAILED, 1), lesson(Finding.FAILED, 2, now=NOON + HOUR))
    assert store.run(lambda transaction: transaction.purge_strikes(NOON + 1, 10)) == 1
    put(store, entry("b@example.net"), account_id=shop.id)
    assert store.run(lambda transaction: transaction.forget_suppressions(1, 10)) == 3
    assert store.read(lambda reader: reader.suppressions(None, limit=10, after=None, now=NOON)).items == (
        store.read(lambda reader: reader.suppressions(shop.id, limit=10, after=None, now=NOON)).items
    )
