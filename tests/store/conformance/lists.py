"""What every store promises about lists: filters, orders and pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.queues import Sample, filters, listed, lists
from support.stored import ALL, NOON, at, hold, message, submit

from mailqueue.clock import to_datetime
from mailqueue.errors import SettingError
from mailqueue.model.filters import LAST_RETIRED_FIRST, OLDEST_FIRST, Filter, Order, Sort, Times
from mailqueue.model.lifecycle import State
from mailqueue.store import open_store
from mailqueue.store.base import Store, Transaction

SEEDS = range(3)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Sample]]:
    """Some queues made by chance."""
    folder = tmp_path_factory.mktemp("queues")
    stores = [open_store(folder / f"{seed}.db") for seed in SEEDS]
    yield [Sample(store, seed) for seed, store in zip(SEEDS, stores, strict=True)]
    for store in stores:
        store.close()


def test_queues_made_by_chance_have_some_of_everything(samples: list[Sample]) -> None:
    messages = [message for sample in samples for message, _, _ in sample.every]
    assert {each.state.value for each in messages} >= {"queued", "claimed", "delivered", "failed", "expired"}
    assert {each.hold for each in messages} == {True, False}
    assert {each.category for each in messages} >= {None, "ok", "greylisted", "mailbox_unknown"}
    assert {each.blocked_by for each in messages} == {None, "relay out:25"}
    assert any(not content for sample in samples for _, _, content in sample.every)


@settings(deadline=None)
@given(st.sampled_from(SEEDS), filters(), lists(), st.integers(1, 20))
def test_list_has_what_the_filter_matches_in_the_order_that_was_asked_for(
    samples: list[Sample], seed: int, which: Filter, kind: tuple[bool, Order], limit: int
) -> None:
    retired, order = kind
    wanted = samples[seed].expected(which, order, retired=retired)
    found = listed(samples[seed].store, which, order, retired=retired, limit=limit)
    assert found == [each.id for each in wanted]


@settings(deadline=None)
@given(st.sampled_from(SEEDS), filters(), st.booleans())
def test_ids_of_a_list_are_those_of_its_messages(
    samples: list[Sample], seed: int, which: Filter, retired: bool
) -> None:
    order = LAST_RETIRED_FIRST if retired else OLDEST_FIRST
    page = samples[seed].store.read(lambda reader: reader.ids(which, retired=retired, after=None))
    expected = samples[seed].expected(which, order, retired=retired)
    assert list(page.items) == [each.id for each in expected]
    assert page.next is None
    known = samples[seed].store.read(lambda reader: reader.count(which, retired=retired))
    assert known in (None, len(expected))


@pytest.mark.parametrize(
    ("which", "retired"),
    [
        (Filter(), True),
        (Filter(account="shop"), True),
        (Filter(account="shop"), False),
        (Filter(hold=True), False),
        (Filter(state=State.FAILED), True),
        (Filter(retired=Times(after=to_datetime(at(6 * 3600)))), True),
        (Filter(account="default", retired=Times(before=to_datetime(at(9 * 3600)))), True),
    ],
)
def test_count_of_what_stands_together_in_an_index_is_known(
    samples: list[Sample], which: Filter, retired: bool
) -> None:
    for sample in samples:
        known = sample.store.read(lambda reader: reader.count(which, retired=retired))
        assert known == len(sample.expected(which, OLDEST_FIRST, retired=retired))


class TakenBack(Exception):
    """The queues are used again."""


@settings(deadline=None)
@given(st.sampled_from(SEEDS), filters(), st.sampled_from(["hold", "release"]), st.integers(1, 20))
def test_hold_and_release_reach_what_the_filter_matches(
    samples: list[Sample], seed: int, which: Filter, verb: str, step: int
) -> None:
    which = replace(which, text=None)
    meant = samples[seed].expected(which, OLDEST_FIRST, retired=False)
    reached: list[int] = []

    def job(transaction: Transaction) -> None:
        reached.clear()
        after: int | None = 0
        while after is not None:
            done = getattr(transaction, verb)(which, actor="x", reason="", now=NOON, after=after, limit=step)
            reached.append(done.changed)
            after = done.after
        raise TakenBack

    with pytest.raises(TakenBack):
        samples[seed].store.run(job)
    assert sum(reached) == sum(each.hold is (verb == "release") for each in meant)


def test_text_is_not_looked_for_in_a_write_transaction(store: Store) -> None:
    submit(store)
    with pytest.raises(ValueError, match="text"):
        hold(store, Filter(text="hello"))
    assert not message(store).hold


def test_cursor_of_another_list_or_order_is_refused(store: Store) -> None:
    submit(store, "b@example.net", "c@example.net")
    after = store.read(lambda reader: reader.queue(ALL, limit=1, after=None)).next
    refused = pytest.raises(SettingError, match="a cursor of the queue by submitted")
    for order in (Order(Sort.SUBMITTED, descending=True), Order(Sort.SIZE)):
        with refused:
            store.read(lambda reader, o=order: reader.queue(ALL, limit=1, after=after, order=o))
    for order in (Order(Sort.SUBMITTED), LAST_RETIRED_FIRST):
        with refused:
            store.read(lambda reader, o=order: reader.retired(ALL, limit=1, after=after, order=o))


@settings(deadline=None)
@given(st.integers(0, 30), st.sampled_from("aZ09_-"))
def test_cursor_that_was_changed_anywhere_is_refused(samples: list[Sample], place: int, other: str) -> None:
    store = samples[0].store
    cursor = store.read(lambda reader: reader.queue(ALL, limit=1, after=None)).next
    assert cursor is not None
    changed = cursor[:place] + other + cursor[place + 1 :]
    assume(changed != cursor)
    with pytest.raises(SettingError, match="cursor"):
        store.read(lambda reader: reader.queue(ALL, limit=1, after=changed))
