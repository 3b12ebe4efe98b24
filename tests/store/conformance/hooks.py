"""What every store promises about webhooks on their way: turns, claims, settlements, and their end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from store.conformance.outbox import endpoint, set_endpoint
from support.stored import at, claim, delivered, engine, hold, settle, submit

from mailqueue.clock import DAY
from mailqueue.errors import NotFound
from mailqueue.model.events import EventKind
from mailqueue.model.filters import Filter
from mailqueue.model.webhook import (
    ClaimedWebhook,
    Webhook,
    WebhookFilter,
    WebhookSettlement,
    WebhookState,
)
from mailqueue.store.base import Store, WebhookClaim

ALL = WebhookFilter()
HOSTS = {1: "one.example", 2: "two.example", 3: "two.example"}


def happened(store: Store, count: int = 1, *, account_id: int = 1, held: bool = False) -> list[int]:
    """Let messages be delivered, after a hold if it was `held`; return their ids."""
    for _ in range(count):
        submit(store, "b@example.com", account_id=account_id)
    messages = [each.id for each in store.read(lambda r: r.queue(Filter(), limit=100, after=None)).items]
    if held:
        hold(store, Filter(ids=tuple(messages)))
        release = Filter(ids=tuple(messages))
        store.run(lambda tx: tx.release(release, actor="python", reason="", now=at(0), after=0, limit=100))
    settle(store, *(delivered(each, at(1)) for each in claim(store, engine(store), limit=100)))
    return messages


def accounts(store: Store, *names: str) -> None:
    for name in names:
        made = store.run(lambda tx, name=name: tx.add_account(name, at(0)))
        set_endpoint(store, endpoint(EventKind.DELIVERED, account_id=made.id))


def take(
    store: Store,
    now: int = at(2),
    *,
    engine_id: int | None = None,
    limit: int = 100,
    room: Mapping[str, int] | None = None,
    hosts: Mapping[int, str] = HOSTS,
    after: int = 0,
) -> list[ClaimedWebhook]:
    wanted = WebhookClaim(
        engine_id=engine(store) if engine_id is None else engine_id,
        now=now,
        limit=limit,
        hosts=hosts,
        room=room or dict.fromkeys(hosts.values(), 100),
        fallback=lambda attempts: attempts * 60_000_000,
        after_account=after,
    )
    return store.run(lambda tx: tx.claim_webhooks(wanted))


def came(
    webhook: ClaimedWebhook, state: WebhookState, *, again: int | None = None, now: int = at(3)
) -> WebhookSettlement:
    return WebhookSettlement(
        webhook=webhook,
        started_at=at(2),
        duration=5,
        status=204 if state is WebhookState.DELIVERED else None,
        answer="",
        error=None if state is WebhookState.DELIVERED else "no answer",
        at=now,
        state=state,
        next_attempt_at=again,
        summary="" if state is WebhookState.DELIVERED else "no answer",
    )


def write(store: Store, *settlements: WebhookSettlement) -> None:
    store.run(lambda tx: tx.settle_webhooks(settlements))


def show(store: Store, webhook_id: int) -> Webhook:
    return store.read(lambda reader: reader.webhook(webhook_id))


def ids(store: Store, which: WebhookFilter = ALL, *, retired: bool = False, limit: int = 100) -> list[int]:
    """Return the ids of all pages."""
    found, after = [], None
    while True:
        page = store.read(
            lambda reader, after=after: reader.webhooks(which, retired=retired, limit=limit, after=after)
        )
        found += [each.id for each in page.items]
        if page.next is None:
            return found
        after = int(page.next)


def test_webhooks_about_one_message_are_claimed_one_after_the_other(store: Store) -> None:
    set_endpoint(store, endpoint(EventKind.HELD, EventKind.DELIVERED))
    happened(store, 2, held=True)
    assert [each.id for each in take(store)] == [1, 2]
    assert take(store) == []
    held = [show(store, each) for each in (1, 2, 3, 4)]
    assert [each.event.value for each in held] == ["held", "held", "delivered", "delivered"]
    assert [each.after_id for each in held] == [None, None, 1, 2]


def test_next_webhook_goes_when_the_one_before_has_retired(store: Store) -> None:
    set_endpoint(store, endpoint(EventKind.HELD, EventKind.DELIVERED))
    happened(store, 2, held=True)
    first, second = take(store)
    write(store, came(first, WebhookState.DELIVERED), came(second, WebhookState.QUEUED, again=at(99)))
    assert [each.id for each in take(store)] == [3]
    assert store.run(lambda tx: tx.cancel_webhooks([2], "by hand", at(4))) == [2]
    assert [each.id for each in take(store)] == [4]


def test_webhook_in_the_middle_that_is_canceled_keeps_the_turns(store: Store) -> None:
    set_endpoint(store, endpoint(EventKind.HELD, EventKind.DELIVERED))
    happened(store, held=True)
    [again] = [store.run(lambda tx: tx.replay_webhook(1, at(2)))]
    assert show(store, again).after_id == 2
    store.run(lambda tx: tx.cancel_webhooks([2], "", at(2)))
    assert show(store, again).after_id == 1


def test_claim_takes_no_more_than_there_is_room_for(store: Store) -> None:
    set_endpoint(store, endpoint(EventKind.DELIVERED))
    accounts(store, "two", "three")
    for account_id in (1, 2, 3):
        happened(store, 3, account_id=account_id)
    taken = take(store, room={"one.example": 2, "two.example": 4})
    assert [each.account_id for each in taken] == [1, 1, 2, 2, 2, 3]
    assert len(take(store, limit=1)) == 1
    assert take(store, hosts={}) == []


def test_accounts_take_turns(store: Store) -> None:
    set_endpoint(store, endpoint(EventKind.DELIVERED))
    accounts(store, "two", "three")
    for account_id in (1, 2, 3):
        happened(store, account_id=account_id)
    assert [each.account_id for each in take(store, limit=2, after=1)] == [2, 3]


def test_nothing_is_claimed_before_it_is_due_or_for_an_endpoint_that_is_not_at_work(store: Store) -> None:
    set_endpoint(store, endpoint(EventKind.DELIVERED))
    happened(store)
    assert take(store, at(0)) == []
    assert store.read(lambda reader: reader.next_webhook_at((1,))) == at(1)
    assert store.read(lambda reader: reader.next_webhook_at((2,))) is None
    assert store.run(lambda tx: tx.disable_endpoint(1, at(2)))
    assert not store.run(lambda tx: tx.disable_endpoint(1, at(2)))
    assert take(store) == []
    assert store.run(lambda tx: tx.cancel_stranded_webhooks("gone", at(3), 10)) == 1
    assert (show(store, 1).state, show(store, 1).last_error) == ("canceled", "gone")


def test_claim_counts_the_attempt_and_has_a_fallback(store: Store) -> None:
    set_endpoint(store, endpoint(EventKind.DELIVERED))
    happened(store)
    [taken] = take(store)
    assert (taken.attempts, taken.claim, taken.created_at) == (1, 1, at(1))
    assert show(store, 1).next_attempt_at is not None
    write(store, came(taken, WebhookState.QUEUED, again=at(9)))
    assert (show(store, 1).state, show(store, 1).last_error) == ("queued", "no answer")
    assert store.read(lambda reader: reader.next_webhook_at((1,))) == at(9)
    [attempt] = store.read(lambda reader: reader.webhook_attempts(1))
    assert (attempt.number, attempt.status, attempt.answer, attempt.error) == (1, None, None, "no answer")


def test_what_comes_late_acts_only_if_it_was_delivered(store: Store) -> None:
    set_endpoint(store, endpoint(EventKind.DELIVERED))
    happened(store)
    own = engine(store)
    [lost] = take(store, engine_id=own)
    store.run(lambda tx: tx.bury_engine(own, at(3)))
    assert (show(store, 1).state, show(store, 1).next_attempt_at) != ("claimed", None)
    [taken] = take(store, at(4))
    write(store, came(lost, WebhookState.FAILED))
    assert show(store, 1).state is WebhookState.CLAIMED
    write(store, came(lost, WebhookState.DELIVERED))
    assert show(store, 1).state is WebhookState.DELIVERED
    write(store, came(taken, WebhookState.QUEUED, again=at(9)))
    assert show(store, 1).state is WebhookState.DELIVERED
    numbers = [each.number for each in store.read(lambda reader: reader.webhook_attempts(1))]
    assert numbers == [1, 1, 1, 2]  # buried, failed late, delivered late, and the second one


def test_engine_that_was_buried_claims_nothing(store: Store) -> None:
    set_endpoint(store, endpoint(EventKind.DELIVERED))
    happened(store)
    own = engine(store)
    store.run(lambda tx: tx.bury_engine(own, at(2)))
    assert take(store, engine_id=own) == []
    assert len(take(store)) == 1


def test_webhook_of_a_dead_engine_is_due_at_once(store: Store) -> None:
    set_endpoint(store, endpoint(EventKind.DELIVERED))
    happened(store)
    own = engine(store)
    take(store, engine_id=own)
    store.run(lambda tx: tx.bury_engine(own, at(3)))
    assert store.read(lambda reader: reader.next_webhook_at((1,))) == at(3)
    [attempt] = store.read(lambda reader: reader.webhook_attempts(1))
    assert attempt.error is not None
    assert "engine ended" in attempt.error


def test_pages_have_all_that_are_meant(store: Store) -> None:
    set_endpoint(store, endpoint(EventKind.HELD, EventKind.DELIVERED))
    accounts(store, "two")
    happened(store, 3, held=True)
    happened(store, 2, account_id=2)
    assert ids(store, limit=2) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert ids(store, WebhookFilter(account="two")) == [7, 8]
    assert ids(store, WebhookFilter(event=EventKind.HELD), limit=1) == [1, 2, 3]
    assert ids(store, WebhookFilter(message_id=2)) == [2, 5]
    store.run(lambda tx: tx.cancel_webhooks([1, 7], "", at(2)))
    assert ids(store, retired=True, limit=1) == [7, 1]
    assert ids(store, WebhookFilter(state=WebhookState.FAILED), retired=True) == []
    assert 1 not in ids(store)


def test_retired_webhook_goes_with_its_attempts_when_its_account_says_so(store: Store) -> None:
    set_endpoint(store, endpoint(EventKind.DELIVERED))
    happened(store, 2)
    account = store.settings().accounts["default"]
    store.run(lambda tx: tx.set_account(replace(account, retention=DAY)))
    one, _ = take(store)
    write(store, came(one, WebhookState.DELIVERED))
    assert store.run(lambda tx: tx.purge_webhooks(at(2) + DAY, 10)) == 0
    assert store.run(lambda tx: tx.purge_webhooks(at(3) + DAY, 10)) == 1
    with pytest.raises(NotFound, match="webhook 1 has been purged"):
        show(store, 1)
    with pytest.raises(NotFound, match="no webhook 9"):
        store.read(lambda reader: reader.webhook_attempts(9))
    assert show(store, 2).state is WebhookState.CLAIMED


def test_webhooks_of_an_account_go_with_it(store: Store) -> None:
    accounts(store, "two")
    happened(store, account_id=2)
    settings = store.settings()
    store.run(lambda tx: tx.set_account(replace(settings.accounts["two"], retention=0)))
    store.run(lambda tx: tx.purge_history(at(9), 10))
    mail = store.read(lambda reader: reader.mail_of_account(2))
    store.run(lambda tx: tx.remove_account("two", mail))
    assert store.settings().endpoints == {}
    assert ids(store) == []
    assert store.read(lambda reader: reader.integrity()) == []
