"""What every store promises about lists, counts and pages, and about what is over and goes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.stored import (
    ALL,
    NOON,
    at,
    claim,
    clean,
    delivered,
    due,
    engine,
    failed,
    failure_notice,
    hold,
    message,
    new,
    settle,
    submit,
)

from mailqueue.clock import DAY, HOUR
from mailqueue.errors import NotFound, SettingError
from mailqueue.model.filters import Filter
from mailqueue.model.message import Idempotency
from mailqueue.store.base import Gone, Store


def pages(store: Store, verb: str, which: Filter = ALL, *, limit: int) -> list[list[int]]:
    """Return the ids of every page of a list."""
    found, after = [], None
    while True:
        page = store.read(lambda reader, a=after: getattr(reader, verb)(which, limit=limit, after=a))
        found.append([each.id for each in page.items])
        after = page.next
        if after is None:
            return found


def finished(store: Store, count: int) -> None:
    """Submit and deliver messages, one per second."""
    own = engine(store)
    for n in range(count):
        submit(store, f"b{n}@example.net")
        settle(store, *(delivered(each, at(n)) for each in claim(store, own, at(n))))


def test_queue_is_paged_oldest_first_without_a_gap(store: Store) -> None:
    for n in range(4):
        submit(store, f"b{n}@example.net", f"c{n}@example.net")
    assert pages(store, "queue", limit=3) == [[1, 2, 3], [4, 5, 6], [7, 8]]
    assert pages(store, "queue", limit=8) == [[1, 2, 3, 4, 5, 6, 7, 8]]


def test_queue_pages_go_on_where_they_were_though_what_they_showed_has_gone(store: Store) -> None:
    submit(store, *(f"b{n}@example.net" for n in range(6)))
    page = store.read(lambda reader: reader.queue(ALL, limit=3, after=None))
    settle(store, *(delivered(each, at(1)) for each in claim(store, engine(store), limit=4)))
    store.run(lambda transaction: transaction.purge_history(at(2) + 40 * DAY, 100))
    rest = store.read(lambda reader: reader.queue(ALL, limit=3, after=page.next))
    assert [each.id for each in rest.items] == [5, 6]


def test_history_is_paged_last_retired_first_without_a_gap(store: Store) -> None:
    finished(store, 5)
    submit(store, "x@example.net", "y@example.net")
    settle(store, *(delivered(each, at(9)) for each in claim(store, engine(store), at(9))))
    assert pages(store, "retired", limit=2) == [[7, 6], [5, 4], [3, 2], [1]]
    assert pages(store, "queue", limit=2) == [[]]


@pytest.mark.parametrize("verb", ["queue", "retired"])
@pytest.mark.parametrize("cursor", ["x", "-1", "1-x", "", "9" * 30, "٣"])
def test_cursor_that_is_none_is_refused(store: Store, verb: str, cursor: str) -> None:
    with pytest.raises(SettingError, match="cursor"):
        store.read(lambda reader: getattr(reader, verb)(ALL, limit=2, after=cursor))


def test_lists_show_only_what_is_meant(store: Store) -> None:
    shop = store.run(lambda transaction: transaction.add_account("shop", NOON))
    submit(store, "b@example.net", "c@example.net")
    submit(store, "d@example.net", account_id=shop.id)
    assert pages(store, "queue", Filter(account="shop"), limit=5) == [[3]]
    assert pages(store, "queue", Filter(submission_id=1), limit=1) == [[1], [2]]
    assert pages(store, "queue", Filter(ids=(3, 1, 99)), limit=1) == [[1], [3]]
    assert pages(store, "queue", Filter(ids=()), limit=1) == [[]]
    assert pages(store, "queue", Filter(account="nobody"), limit=5) == [[]]
    settle(store, *(delivered(each, at(1)) for each in claim(store, engine(store))))
    assert pages(store, "retired", Filter(account="shop"), limit=5) == [[3]]
    assert pages(store, "retired", Filter(account="default", ids=(2, 3)), limit=5) == [[2]]


def test_depth_counts_what_waits_what_is_claimed_and_what_is_held(store: Store) -> None:
    submit(store, *(f"b{n}@example.net" for n in range(6)))
    taken = claim(store, engine(store), limit=3)
    settle(store, delivered(taken[0], at(1)))
    hold(store, Filter(ids=(3, 5)))
    depth = store.read(lambda reader: reader.depth())
    assert (depth.queued, depth.claimed, depth.held) == (3, 2, 2)
    assert depth.next_due_at == NOON


def test_submission_shows_its_messages_queued_and_retired(store: Store) -> None:
    submit(store, "b@example.net", "c@example.net")
    settle(store, delivered(claim(store, engine(store), limit=1)[0], at(1)))
    found = store.read(lambda reader: reader.submission_messages(1))
    assert [each.state.value for each in found] == ["delivered", "queued"]


def test_unknown_and_purged_things_are_told_apart(store: Store) -> None:
    finished(store, 1)
    store.run(lambda transaction: transaction.purge_history(at(0) + 31 * DAY, 10))
    for ask in ("message", "attempts", "notices", "content_of"):
        with pytest.raises(NotFound, match="message 1 has been purged"):
            store.read(lambda reader, a=ask: getattr(reader, a)(1))
        with pytest.raises(NotFound, match="there is no message 2"):
            store.read(lambda reader, a=ask: getattr(reader, a)(2))
    with pytest.raises(NotFound, match="submission s1 has been purged"):
        store.read(lambda reader: reader.submission_messages(1))
    with pytest.raises(NotFound, match="there is no submission s2"):
        store.read(lambda reader: reader.submission_messages(2))
    with pytest.raises(NotFound, match="there is no content 1"):
        store.read(lambda reader: reader.content(1))


# --- what is over -----------------------------------------------------------------------------
def test_history_goes_after_the_retention_of_its_account_in_steps(store: Store) -> None:
    finished(store, 5)
    end = at(4) + 30 * DAY
    assert store.run(lambda transaction: transaction.purge_history(at(0) + 30 * DAY - 1, 10)) == 0
    assert store.run(lambda transaction: transaction.purge_history(end, 3)) == 3
    assert pages(store, "retired", limit=5) == [[5, 4]]
    assert store.run(lambda transaction: transaction.purge_history(end, 3)) == 2
    assert store.run(lambda transaction: transaction.purge_history(end, 3)) == 0
    assert clean(store)


def test_accounts_keep_their_history_each_as_long_as_it_says(store: Store) -> None:
    shop = store.run(lambda transaction: transaction.add_account("shop", NOON))
    store.run(lambda transaction: transaction.set_account(replace(shop, retention=DAY)))
    submit(store, "b@example.net")
    submit(store, "c@example.net", account_id=shop.id)
    settle(store, *(delivered(each, at(1)) for each in claim(store, engine(store))))
    assert store.run(lambda transaction: transaction.purge_history(at(1) + DAY, 10)) == 1
    assert message(store, 1).state.retired
    assert clean(store)


def test_submission_stays_until_the_last_of_its_messages_goes_and_takes_its_notices_with_it(
    store: Store,
) -> None:
    submit(store, "b@example.net", "c@example.net")
    own = engine(store)
    first, second = claim(store, own)
    settle(store, failed(first, at(1), keep_until=at(1) + 99 * DAY), notices=[failure_notice(first.id)])
    assert store.run(lambda transaction: transaction.purge_history(at(1) + 30 * DAY, 10)) == 1
    assert [each.id for each in store.read(lambda reader: reader.submission_messages(1))] == [second.id]
    assert clean(store)
    settle(store, delivered(second, at(2) + 30 * DAY))
    assert store.run(lambda transaction: transaction.purge_history(at(2) + 60 * DAY, 10)) == 1
    with pytest.raises(NotFound):
        store.read(lambda reader: reader.content(1))
    assert clean(store)


def test_what_waits_is_never_purged(store: Store) -> None:
    submit(store)
    late = at(0) + 999 * DAY
    assert store.run(lambda transaction: transaction.purge_history(late, 10)) == 0
    assert store.run(lambda transaction: transaction.purge_content(late, 10)) == 0
    assert store.run(lambda transaction: transaction.purge_orphans(late, 10)) == 0
    assert due(store) == NOON


def test_messages_purged_by_their_ids_go_and_those_that_wait_stay(store: Store) -> None:
    submit(store, "b@example.net", "c@example.net")
    submit(store, "d@example.net")
    own = engine(store)
    first, second = claim(store, own, limit=2)
    settle(store, delivered(first), failed(second, keep_until=at(99)))
    gone = store.run(lambda transaction: transaction.purge_messages([2, 3, 99]))
    assert gone == Gone(looked=3, messages=1, submissions=0)
    assert [each.id for each in store.read(lambda reader: reader.submission_messages(1))] == [1]
    gone += store.run(lambda transaction: transaction.purge_messages([1]))
    assert gone == Gone(looked=4, messages=2, submissions=1)
    with pytest.raises(NotFound):
        store.read(lambda reader: reader.content(1))
    assert due(store) == NOON
    assert clean(store)


def test_originals_are_the_retired_ones_in_the_order_asked_for(store: Store) -> None:
    submit(store, "b@example.net", "c@example.net")
    submit(store, "d@example.net")
    settle(store, *(delivered(each, at(1)) for each in claim(store, engine(store), limit=2)))
    found = store.read(lambda reader: reader.originals([2, 3, 1, 99]))
    assert [(each.id, each.recipient, each.purged_at) for each in found] == [
        (2, "c@example.net", at(1)),
        (1, "b@example.net", at(1)),
    ]
    pairs = store.read(lambda reader: reader.submissions_of([3, 1, 2]))
    assert sorted(pairs) == [(1, 1), (1, 2), (2, 3)]


def test_what_was_sent_anew_is_told_of_the_new_message_where_the_old_one_has_been_purged(
    store: Store,
) -> None:
    submit(store)
    settle(store, delivered(*claim(store, engine(store))))
    submit(store)
    submit(store)
    store.run(
        lambda transaction: transaction.resent({1: 2, 99: 3}, actor="cli:op", reason="again", now=at(1))
    )
    told = {
        number: [each.reason for each in store.read(lambda reader, n=number: reader.events(n)) if each.actor]
        for number in (1, 2, 3, 99)
    }
    assert told == {
        1: ["sent anew as message 2: again"],
        2: ["message 1 sent anew: again"],
        3: ["message 99 sent anew: again"],
        99: [],
    }


def test_idempotency_keys_go_when_they_are_old(store: Store) -> None:
    for n in range(3):
        key = Idempotency(key=f"k{n}", fingerprint=b"f")
        made = new(key=key, submitted_at=at(n))
        store.run(lambda transaction, m=made: transaction.submit(m))
    assert store.run(lambda transaction: transaction.purge_keys(at(2), 1)) == 1
    assert store.run(lambda transaction: transaction.purge_keys(at(2), 9)) == 1
    kept = [store.run(lambda t, n=n: t.replay(1, f"k{n}")) is not None for n in range(3)]
    assert kept == [False, False, True]


def test_content_that_no_submission_took_goes(store: Store) -> None:
    content = store.run(lambda transaction: transaction.begin_content(300_000, NOON))
    store.run(lambda transaction: transaction.append_content(content, 0, b"x" * 1000))
    assert store.run(lambda transaction: transaction.purge_orphans(NOON, 10)) == 0
    assert store.run(lambda transaction: transaction.purge_orphans(NOON + HOUR, 10)) == 1
    with pytest.raises(NotFound, match="not being written"):
        store.run(lambda transaction: transaction.append_content(content, 1, b"x"))
    assert clean(store)


def test_data_version_moves_with_every_commit(store: Store) -> None:
    seen = [store.data_version()]
    for _ in range(3):
        submit(store)
        seen.append(store.data_version())
    assert len(set(seen)) == 4
    assert store.data_version() == seen[-1]


def test_contents_that_stand_in_one_row_are_read_together(store: Store) -> None:
    submit(store, content=b"Subject: one\r\n\r\n1\r\n")
    submit(store, content=b"x" * 300_000)
    submit(store, content=b"Subject: three\r\n\r\n3\r\n")
    found = store.read(lambda reader: reader.contents([1, 2, 3, 4]))
    assert found == {1: b"Subject: one\r\n\r\n1\r\n", 3: b"Subject: three\r\n\r\n3\r\n"}
