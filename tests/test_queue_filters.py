"""Filters through Python's door: lists, counts, and bulk verbs of any filter."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from support.receiver import Receiver
from support.stage import Stage

from mailqueue import AsyncQueue
from mailqueue.errors import NotFound, SettingError
from mailqueue.model.explain import Steered
from mailqueue.model.filters import Order, Sort


def letter(subject: str, text: str = "Hello.") -> bytes:
    return f"From: shop@example.org\r\nSubject: {subject}\r\n\r\n{text}\r\n".encode()


@pytest.fixture
def full(stage: Stage) -> Stage:
    """A queue with some mail, an hour between its submissions."""
    stage.submit("ann@example.net", "bob@example.com", content=letter("Order 1", "Your tea is on its way."))
    stage.clock.advance(timedelta(hours=1))
    stage.submit("ann@example.net", content=letter("Order 2", "Your book is on its way."), sender="")
    stage.clock.advance(timedelta(hours=1))
    stage.submit("eve@example.com", content=letter("News", "Tea is cheap."), sender="news@example.org")
    return stage


def ids(stage: Stage, **which: object) -> list[int]:
    found = [each.id for each in stage.queue.list(**which).items]  # type: ignore[arg-type]
    assert stage.queue.count(**which) == len(found)  # type: ignore[arg-type]
    return found


def test_list_and_count_take_every_filter(full: Stage) -> None:
    assert ids(full) == [1, 2, 3, 4]
    assert ids(full, recipient="@example.net") == [1, 3]
    assert ids(full, recipient="@EXAMPLE.net", submitted="<-90m") == [1]
    assert ids(full, submitted=">-90m") == [3, 4]
    assert ids(full, sender="", ids=[1, 3]) == [3]
    assert ids(full, subject="order") == [1, 2, 3]
    assert ids(full, text="TEA") == [1, 2, 4]
    assert ids(full, text="tea", recipient="@example.com") == [2, 4]
    assert ids(full, next_attempt="<now") == [1, 2, 3]
    assert ids(full, category="dns") == []
    assert ids(full, state="queued", account="default", hold=False, transport="", priority="normal") == [
        1,
        2,
        3,
        4,
    ]


def test_list_is_sorted_as_asked(full: Stage) -> None:
    assert [each.id for each in full.queue.list(sort="-submitted").items] == [4, 3, 2, 1]
    assert [each.id for each in full.queue.list(sort="recipient").items] == [2, 4, 1, 3]
    assert [each.id for each in full.queue.list(sort=Order(Sort.SIZE), subject="order").items] == [1, 2, 3]
    with pytest.raises(SettingError, match="'retired': is of the history only"):
        full.queue.list(sort="retired")
    with pytest.raises(SettingError, match="'-next-attempt': is of the queue only"):
        full.queue.retired.list(sort="-next-attempt")


def test_history_takes_the_same_filters(full: Stage, receiver: Receiver) -> None:
    full.relay(receiver.port)
    full.submit("unknown@example.net", content=letter("Order 3"))
    full.deliver()
    done = full.queue.retired
    assert done.count() == 5
    assert [each.id for each in done.list(state="failed").items] == [5]
    assert [each.id for each in done.list(category="mailbox_unknown").items] == [5]
    assert done.list(category="mailbox_unknown").items[0].category == "mailbox_unknown"
    assert done.count(event="delivered") == 4
    assert done.count(retired="<-1h") == 0
    assert done.count(retired=">-1h") == 5
    assert [each.id for each in done.list(text="order").items] == [5]  # what was delivered has been purged
    assert full.queue.count() == full.queue.count(text="order") == 0


@pytest.mark.parametrize("verb", ["list", "count"])
def test_list_refuses_what_can_never_be_in_it(stage: Stage, verb: str) -> None:
    with pytest.raises(SettingError, match="nothing in the queue is failed; look in the history"):
        getattr(stage.queue, verb)(state="failed")
    with pytest.raises(SettingError, match="nothing in the history is queued; look in the queue"):
        getattr(stage.queue.retired, verb)(state="queued")
    with pytest.raises(NotFound, match="no account 'x'"):
        getattr(stage.queue, verb)(account="x")
    with pytest.raises(SettingError, match="did you mean recipient"):
        getattr(stage.queue, verb)(recipent="ann@example.net")


def test_hold_and_release_take_any_filter(full: Stage) -> None:
    queue = full.queue
    assert queue.hold(recipient="@example.net", submitted="<-90m").changed == 1
    assert ids(full, hold=True) == [1]
    assert queue.hold(text="tea", reason="too hot") == Steered(changed=2, unchanged=0, retired=())
    assert ids(full, hold=True) == [1, 2, 4]
    assert ids(full, event="held") == [1, 2, 4]
    assert queue.release(subject="order", hold=True).changed == 2
    assert queue.release(subject="order", hold=False).changed == 0
    assert ids(full, hold="yes") == [4]
    assert queue.release([4, 1], sender="@example.org") == Steered(changed=1, unchanged=0, retired=())
    assert ids(full, event="released") == [1, 2, 4]


def test_bulk_verb_with_a_filter_that_cannot_be_changes_nothing(full: Stage) -> None:
    for verb in (full.queue.hold, full.queue.release):
        with pytest.raises(SettingError, match="sender: 'ann'"):
            verb(sender="ann")
        with pytest.raises(SettingError, match="nothing in the queue is delivered"):
            verb(state="delivered")
        with pytest.raises(NotFound, match="99"):
            verb([1, 99], subject="order")
    assert ids(full, hold=True) == []


def test_bulk_verb_of_many_ids_goes_in_steps(stage: Stage) -> None:
    made = stage.submit(*(f"b{n}@example.net" for n in range(1000)))
    made += stage.submit(*(f"c{n}@example.net" for n in range(1000)))
    assert stage.queue.hold(made[:1500]) == Steered(changed=1500, unchanged=0, retired=())
    assert stage.queue.hold(made) == Steered(changed=500, unchanged=1500, retired=())
    assert stage.queue.release(text="hello", recipient="@example.net").changed == 2000


def test_pages_of_a_filter_lead_from_one_to_the_next(full: Stage) -> None:
    found, after = [], None
    while True:
        page = full.queue.list(limit=1, subject="order", after=after)
        found += [each.id for each in page.items]
        after = page.next
        if after is None:
            break
    assert found == [1, 2, 3]


def test_filters_are_awaited_as_well(tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncQueue(tmp_path / "mail.db") as queue:
            await queue.submit(letter("Order 1"), recipients=["ann@example.net", "bob@example.com"])
            assert await queue.count(recipient="@example.net") == 1
            assert (await queue.hold(subject="order")).changed == 2
            assert [each.id for each in (await queue.list(hold=True, sort="-submitted")).items] == [2, 1]
            assert await queue.retired.count() == 0

    asyncio.run(story())
