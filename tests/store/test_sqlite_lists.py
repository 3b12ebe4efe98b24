"""Lists of the SQLite store where there is more than one page looks at: the same, in more pages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.queues import Sample, filters, listed, lists
from support.stored import ALL, at, claim, delivered, engine, settle, submit

from mailqueue.clock import HOUR, to_datetime
from mailqueue.errors import SettingError
from mailqueue.model.filters import Filter, Order, Sort, Times
from mailqueue.store import lists as listing
from mailqueue.store import open_store
from mailqueue.store.base import Store


@pytest.fixture(scope="module", autouse=True)
def small_pages() -> Iterator[None]:
    """As if a thousandth of what there is were a million."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "FEW", 2)
        patch.setattr(listing, "LOOK", 5)
        patch.setattr(listing, "SEARCHED", 1000)
        yield


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    store = open_store(tmp_path_factory.mktemp("queue") / "mail.db")
    yield Sample(store, 7)
    store.close()


@settings(deadline=None)
@given(filters(), lists(), st.integers(1, 20))
def test_pages_that_end_early_make_the_same_list(
    sample: Sample, which: Filter, kind: tuple[bool, Order], limit: int
) -> None:
    retired, order = kind
    wanted = sample.expected(which, order, retired=retired)
    found = listed(sample.store, which, order, retired=retired, limit=limit)
    assert found == [each.id for each in wanted]


def test_page_ends_with_a_cursor_when_enough_was_looked_at(store: Store) -> None:
    for _ in range(8):
        submit(store)
    first = store.read(lambda reader: reader.queue(Filter(subject="nobody"), limit=3, after=None))
    assert (first.items, first.looked) == ((), 5)
    last = store.read(lambda reader: reader.queue(Filter(subject="nobody"), limit=3, after=first.next))
    assert (last.items, last.looked, last.next) == ((), 3, None)


def test_search_ends_a_page_after_a_large_message(store: Store) -> None:
    for _ in range(3):
        submit(store, content=b"x" * 2000)
    page = store.read(lambda reader: reader.queue(Filter(text="nobody"), limit=3, after=None))
    assert (page.looked, page.next is None) == (1, False)


def test_content_for_many_recipients_is_searched_once(store: Store) -> None:
    submit(store, *(f"b{n}@example.net" for n in range(4)), content=b"Subject: x\r\n\r\nhello" + b"x" * 600)
    page = store.read(lambda reader: reader.queue(Filter(text="hello"), limit=4, after=None))
    assert ([each.id for each in page.items], page.next) == ([1, 2, 3, 4], None)


def test_slow_order_of_too_many_messages_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "SORTED", 3)
    submit(store, *(f"b{n}@example.net" for n in range(4)))
    order = Order(Sort.SIZE)
    with pytest.raises(SettingError, match="more than 3 messages; narrow it down"):
        store.read(lambda reader: reader.queue(ALL, limit=2, after=None, order=order))
    few = Filter(recipient="b1@example.net")
    assert store.read(lambda reader: reader.queue(few, limit=2, after=None, order=order)).items[0].id == 2


def test_times_lead_to_their_place_without_a_walk_from_the_beginning(store: Store) -> None:
    for n in range(60):
        submit(store, submitted_at=at(0) + n * HOUR)
    which = Filter(
        submitted=Times(after=to_datetime(at(0) + 50 * HOUR), before=to_datetime(at(0) + 52 * HOUR))
    )
    page = store.read(lambda reader: reader.queue(which, limit=3, after=None))
    assert ([each.id for each in page.items], page.next, page.looked) == ([52], None, 1)
    own = engine(store)
    for n in range(60):
        settle(store, *(delivered(each, at(n) + n * HOUR) for each in claim(store, own, limit=1)))
    page = store.read(lambda reader: reader.retired(which, limit=3, after=None, order=Order(Sort.SUBMITTED)))
    assert ([each.id for each in page.items], page.next, page.looked) == ([52], None, 1)
    last = Filter(submitted=Times(after=to_datetime(at(0) + 57 * HOUR)))
    page = store.read(lambda reader: reader.retired(last, limit=5, after=None))
    assert ([each.id for each in page.items], page.next) == ([60, 59], None)


def test_messages_that_came_in_out_of_order_are_found_by_their_time(store: Store) -> None:
    minutes = [0, 5, 3, 8, 1, 9, 4, 6, 11, 7]
    for each in minutes:
        submit(store, submitted_at=at(60 * each))
    for start, end in [(2, 7), (0, 5), (6, 20), (-5, 2)]:
        chosen = Times(after=to_datetime(at(60 * start - 1)), before=to_datetime(at(60 * end + 1)))
        found = listed(store, Filter(submitted=chosen), Order(Sort.SUBMITTED), retired=False, limit=2)
        assert found == [n for n, each in enumerate(minutes, 1) if start <= each <= end]


def test_mail_that_waits_is_found_behind_a_long_history_of_its_recipient(store: Store) -> None:
    own = engine(store)
    for _ in range(20):
        submit(store)
    settle(store, *(delivered(each, at(1)) for each in claim(store, own)))
    submit(store)
    page = store.read(lambda reader: reader.queue(Filter(recipient="b@example.net"), limit=3, after=None))
    assert ([each.id for each in page.items], page.next, page.looked) == ([21], None, 1)
