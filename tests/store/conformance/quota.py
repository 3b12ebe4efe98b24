"""What every store promises about quotas, marks that end by themselves, and accounts that go."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.stored import (
    NOON,
    add_rule,
    at,
    claim,
    clean,
    delivered,
    due,
    engine,
    events,
    hold,
    message,
    new,
    recipient,
    release,
    settle,
    state,
    submit,
)

from mailqueue.clock import DAY, HOUR, to_datetime
from mailqueue.errors import Conflict, NotFound
from mailqueue.model.account import Account, HourUse, OverQuota
from mailqueue.model.filters import Filter
from mailqueue.model.lifecycle import State
from mailqueue.model.message import Drop, Idempotency, NewMessage, Wait
from mailqueue.model.rules import Route, Transport, TransportKind
from mailqueue.store.base import Store, Transaction


def use(hour: int, messages: int, new_recipients: int = 0) -> HourUse:
    return HourUse(hour_at=NOON + hour * HOUR, messages=messages, new_recipients=new_recipients)


def count(store: Store, account_id: int, *uses: HourUse, **first: int) -> None:
    store.run(lambda transaction: transaction.count_use(account_id, uses, first))


def used(store: Store, account_id: int = 1, since: int = 0) -> list[HourUse]:
    found = store.read(lambda reader: reader.usage(account_id, since))
    return sorted(found, key=lambda each: each.hour_at)


def known(store: Store, *recipients: str, account_id: int = 1) -> dict[str, int]:
    found = store.run(lambda transaction: transaction.known_recipients(account_id, recipients))
    assert store.read(lambda reader: reader.known_recipients(account_id, recipients)) == found
    return found


def add_account(store: Store, name: str = "shop") -> Account:
    return store.run(lambda transaction: transaction.add_account(name, NOON))


def remove(store: Store, account: Account) -> Account:
    mail = store.read(lambda reader: reader.mail_of_account(account.id))
    return store.run(lambda transaction: transaction.remove_account(account.name, mail))


# --- counting ---------------------------------------------------------------------------------
def test_what_is_sent_is_added_up_by_hours_for_each_account(store: Store) -> None:
    shop = add_account(store)
    count(store, 1, use(0, 2, 1), use(1, 1))
    count(store, 1, use(0, 3, 2))
    count(store, shop.id, use(0, 7))
    assert used(store) == [use(0, 5, 3), use(1, 1)]
    assert used(store, since=NOON + HOUR) == [use(1, 1)]
    assert used(store, shop.id) == [use(0, 7)]


def test_recipients_are_known_to_the_account_that_has_written_to_them(store: Store) -> None:
    shop = add_account(store)
    count(store, 1, ann=at(1), bob=at(2))
    assert known(store, "bob", "carl", "ann") == {"ann": at(1), "bob": at(2)}
    assert known(store, "ann", account_id=shop.id) == {}


def test_what_was_counted_is_seen_in_its_own_transaction_and_gone_when_that_fails(store: Store) -> None:
    def job(transaction: Transaction) -> None:
        transaction.count_use(1, [use(0, 1)], {"ann": NOON})
        assert transaction.usage(1, NOON) == [use(0, 1)]
        assert transaction.known_recipients(1, ["ann"]) == {"ann": NOON}
        raise Conflict("changed my mind")

    with pytest.raises(Conflict, match="changed my mind"):
        store.run(job)
    assert used(store) == []
    assert known(store, "ann") == {}


def test_counts_and_recipients_of_long_ago_are_forgotten(store: Store) -> None:
    count(store, 1, use(-60, 1), use(0, 1), old=NOON - 400 * DAY, ann=NOON)
    assert store.run(lambda transaction: transaction.purge_usage(NOON - 50 * HOUR)) == 1
    assert store.run(lambda transaction: transaction.purge_recipients(NOON - 365 * DAY, 10)) == 1
    assert used(store) == [use(0, 1)]
    assert known(store, "old", "ann") == {"ann": NOON}


def test_quotas_of_an_account_are_kept_and_taken_away(store: Store) -> None:
    shop = replace(
        add_account(store), messages_per_day=100, new_recipients_per_day=5, over_quota=OverQuota.DROP
    )
    store.run(lambda transaction: transaction.set_account(shop))
    assert store.read(lambda reader: reader.settings()).accounts["shop"] == shop
    free = replace(shop, messages_per_day=None, new_recipients_per_day=None)
    store.run(lambda transaction: transaction.set_account(free))
    assert store.read(lambda reader: reader.settings()).accounts["shop"] == free


# --- marks that end ---------------------------------------------------------------------------
def waiting(address: str, until: int, **more: object) -> NewMessage:
    return replace(recipient(address, **more), wait=Wait(until=until, reason="no room"))  # type: ignore[arg-type]


def lift(store: Store, now: int, limit: int = 100) -> int:
    return store.run(lambda transaction: transaction.lift_holds(now, limit))


def test_message_that_waits_is_held_until_then_and_due_as_it_was(store: Store) -> None:
    submit(store, waiting("b@example.net", at(50)), "c@example.net")
    [mark] = message(store).holds
    assert (mark.rule_id, mark.actor, mark.by, mark.until) == (
        None,
        "engine",
        "by the engine",
        to_datetime(at(50)),
    )
    assert [each.id for each in claim(store, engine(store))] == [2]
    assert due(store) == at(50)
    assert store.read(lambda reader: (reader.next_hold_end(), reader.depth().held)) == (at(50), 1)
    assert lift(store, at(49)) == 0
    assert lift(store, at(50)) == 1
    assert lift(store, at(50)) == 0
    assert store.read(lambda reader: (reader.next_hold_end(), reader.depth().held)) == (None, 0)
    assert due(store) == NOON
    assert [each.id for each in claim(store, engine(store), at(50))] == [1]
    assert events(store) == ["held", "released"]
    released = store.read(lambda reader: reader.events(1))[-1]
    assert (released.actor, released.reason) == (None, "its hold has ended: no room")
    assert clean(store)


def test_marks_that_end_are_taken_away_in_steps_the_earliest_first(store: Store) -> None:
    submit(store, *(waiting(f"b{n}@example.net", at(50 - n)) for n in range(5)))
    assert lift(store, at(60), limit=2) == 2
    assert [message(store, n).hold for n in range(1, 6)] == [True, True, True, False, False]
    assert lift(store, at(60), limit=2) == 2
    assert lift(store, at(60), limit=2) == 1
    assert claim(store, engine(store), at(60))
    assert clean(store)


def test_message_that_something_else_holds_stays_on_hold_when_its_wait_is_over(store: Store) -> None:
    rule = add_rule(store, recipient_domain="example.net")
    submit(store, waiting("b@example.net", at(50), holds=(rule.id,)), waiting("c@example.com", at(50)))
    assert hold(store, Filter(ids=(2,))) == 1, "a mark that ends is none by hand"
    assert lift(store, at(50)) == 2
    assert [(message(store, n).hold, len(message(store, n).holds)) for n in (1, 2)] == [(True, 1)] * 2
    assert events(store, 1) == ["held", "held"]
    assert release(store) == 2
    assert clean(store)


def test_release_takes_marks_that_would_have_ended(store: Store) -> None:
    submit(store, waiting("b@example.net", at(50)))
    assert release(store) == 1
    assert lift(store, at(60)) == 0
    assert events(store) == ["held", "released"]
    assert clean(store)


# --- messages that are dropped ----------------------------------------------------------------
def dropped(address: str) -> NewMessage:
    return replace(recipient(address), drop=Drop(reason="no room", keep_content_until=at(99)))


@pytest.mark.parametrize("size", [10, 300_000])
def test_message_that_is_dropped_is_in_the_history_at_once(store: Store, size: int) -> None:
    made = submit(store, dropped("b@example.net"), content=b"x" * size)
    assert [each.state for each in made.messages] == [State.CANCELED]
    found = message(store)
    assert (found.state, found.attempts, found.last_error) == (State.CANCELED, 0, "no room")
    assert found.retired_at == to_datetime(NOON)
    assert events(store) == ["canceled"]
    assert store.read(lambda reader: reader.depth()).queued == 0
    assert due(store) is None
    assert store.run(lambda transaction: transaction.purge_content(at(98), 10)) == 0
    assert store.run(lambda transaction: transaction.purge_content(at(99), 10)) == 1
    assert clean(store)


def test_others_of_a_submission_go_on_when_some_are_dropped(store: Store) -> None:
    made = submit(store, "a@example.net", dropped("b@example.net"), waiting("c@example.net", at(5)))
    assert [each.state.value for each in made.messages] == ["queued", "canceled", "queued"]
    [taken] = claim(store, engine(store))
    settle(store, delivered(taken, at(1)))
    assert [state(store, n).value for n in (1, 2, 3)] == ["delivered", "canceled", "queued"]
    assert store.run(lambda transaction: transaction.purge_content(at(999), 10)) == 0, "one still needs it"
    lift(store, at(5))
    [last] = claim(store, engine(store), at(5))
    settle(store, delivered(last, at(6)))
    assert clean(store)


def test_submission_that_was_dropped_comes_back_so_by_its_key(store: Store) -> None:
    key = Idempotency(key="order 7", fingerprint=b"\x01" * 32)
    made = submit(store, dropped("b@example.net"), key=key)
    found = store.run(lambda transaction: transaction.replay(1, "order 7"))
    assert found is not None
    assert found[1].messages == made.messages


# --- accounts that go -------------------------------------------------------------------------
def test_account_that_nothing_needs_goes_with_what_was_counted(store: Store) -> None:
    shop = add_account(store)
    count(store, shop.id, use(0, 1), ann=NOON, bob=NOON)
    assert remove(store, shop) == shop
    assert list(store.read(lambda reader: reader.settings()).accounts) == ["default"]
    assert used(store, shop.id) == []
    assert store.run(lambda transaction: transaction.forget_recipients(shop.id, 1)) == 1
    assert store.run(lambda transaction: transaction.forget_recipients(shop.id, 5)) == 1
    assert known(store, "ann", "bob", account_id=shop.id) == {}
    again = add_account(store)
    assert again.id > shop.id, "ids are not used again"
    with pytest.raises(NotFound, match="no account 'shpo'"):
        remove(store, replace(shop, name="shpo"))


def test_account_whose_mail_is_over_goes_with_its_lanes_and_keys(store: Store) -> None:
    shop = add_account(store)
    submit(store, account_id=shop.id, key=Idempotency(key="1", fingerprint=b"\x01" * 32))
    [taken] = claim(store, engine(store))
    settle(store, delivered(taken, at(1)))
    with pytest.raises(Conflict, match=r"1 message in the history.*account set shop --retention 0s"):
        remove(store, shop)
    store.run(lambda transaction: transaction.set_account(replace(shop, retention=0)))
    assert store.run(lambda transaction: transaction.purge_history(at(1), 10)) == 1
    remove(store, shop)
    assert clean(store)


def test_account_that_is_needed_stays_and_all_that_needs_it_is_told(store: Store) -> None:
    shop = add_account(store)
    for _ in range(3):
        submit(store, "b@example.net", account_id=shop.id)
    [taken] = claim(store, engine(store), limit=1)
    settle(store, delivered(taken, at(1)))
    add_rule(store, account_id=shop.id)
    store.run(lambda tx: tx.add_transport(Transport(id=0, name="mx", kind=TransportKind.DIRECT), NOON))
    route = Route(
        id=0, position=0, account_id=shop.id, sender_domain=None, recipient_domain=None, transport="mx"
    )
    store.run(lambda transaction: transaction.add_route(route, NOON))
    with pytest.raises(Conflict) as refused:
        remove(store, shop)
    for told in ("2 messages in the queue", "1 message in the history", "route 1", "hold rule 1"):
        assert told in str(refused.value)
    assert "shop" in store.read(lambda reader: reader.settings()).accounts


def test_mail_that_came_since_somebody_looked_keeps_the_account(store: Store) -> None:
    shop = add_account(store)
    mail = store.read(lambda reader: reader.mail_of_account(shop.id))
    submit(store)
    store.run(lambda transaction: transaction.submit(new(account_id=shop.id)))
    with pytest.raises(Conflict, match="1 message in the queue"):
        store.run(lambda transaction: transaction.remove_account("shop", mail))


def test_default_account_cannot_be_removed(store: Store) -> None:
    with pytest.raises(Conflict, match="'default' cannot be removed"):
        remove(store, store.read(lambda reader: reader.settings()).accounts["default"])
