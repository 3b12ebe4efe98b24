"""What every store promises of the queue in numbers."""

from __future__ import annotations

import pytest
from support.stored import ALL, NOON, at, claim, deferred, delivered, engine, failed, hold, settle, submit

from mailqueue.clock import HOUR
from mailqueue.store.base import HourTally, Store

THIS_HOUR = NOON // HOUR * HOUR


def waiting(store: Store, limit: int = 9) -> tuple[dict[str, dict[int, int]], int]:
    """Return the largest domains, each with its mail by the number of hours since, and how many there are."""
    found, in_all = store.read(lambda reader: reader.waiting_by_domain(limit))
    told = {
        each.domain: {(THIS_HOUR - at) // HOUR: messages for at, messages in each.hours} for each in found
    }
    return told, in_all


def tally(store: Store, since: int = 0) -> dict[tuple[str, str], int]:
    found = store.read(lambda reader: reader.tally(since))
    return {(each.what, each.detail): each.times for each in found}


def test_mail_is_counted_for_its_domain_from_submit_until_it_retires(store: Store) -> None:
    submit(store, "a@large.example", "b@large.example", "c@small.example")
    submit(store, "d@large.example", submitted_at=NOON - 3 * HOUR)
    assert waiting(store) == ({"large.example": {0: 2, 3: 1}, "small.example": {0: 1}}, 2)
    own = engine(store)
    hold(store)
    assert waiting(store)[0]["large.example"] == {0: 2, 3: 1}
    store.run(lambda transaction: transaction.release(ALL, actor="x", reason="", now=NOON, after=0, limit=9))
    settle(
        store,
        *(deferred(each, again=at(60)) if each.id == 1 else delivered(each) for each in claim(store, own)),
    )
    assert waiting(store) == ({"large.example": {0: 1}}, 1)


def test_largest_domains_come_first_and_the_others_are_counted(store: Store) -> None:
    for number in range(1, 5):
        submit(store, *(f"{each}@d{number}.example" for each in range(number)))
    found, in_all = waiting(store, limit=2)
    assert list(found) == ["d4.example", "d3.example"]
    assert in_all == 4
    assert all(sum(each.values()) for each in found.values())


def test_nothing_waits_for_nobody(store: Store) -> None:
    assert waiting(store) == ({}, 0)
    assert tally(store) == {}


def test_what_happens_is_counted_by_the_hour(store: Store) -> None:
    submit(store, "a@example.net", "b@example.net", "c@example.net")
    own = engine(store)
    one, two, three = claim(store, own)
    settle(store, delivered(one, at(1)), deferred(two, again=at(60)), failed(three, at(3)))
    counted = tally(store)
    assert counted["submitted", ""] == 3
    assert counted["retired", "delivered"] == counted["retired", "failed"] == counted["delivered", ""] == 1
    assert sum(times for (what, _), times in counted.items() if what == "trouble") == 2
    assert store.read(lambda reader: reader.tally_by_hour(THIS_HOUR)) == [
        HourTally(hour_at=THIS_HOUR, submitted=3, delivered=1, failed=1)
    ]
    assert tally(store, THIS_HOUR + HOUR) == {}


@pytest.mark.parametrize("hours", [1, 2])
def test_hour_that_is_over_is_told_only_to_who_asks_for_it(store: Store, hours: int) -> None:
    submit(store, "a@example.net", submitted_at=NOON - HOUR)
    submit(store, "b@example.net")
    assert tally(store, THIS_HOUR - (hours - 1) * HOUR)["submitted", ""] == hours
