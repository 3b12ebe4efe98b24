"""What every store promises about destinations in trouble, and about limits that engines share."""

from __future__ import annotations

from dataclasses import replace

import pytest
from support.stored import (
    ALL,
    NOON,
    at,
    claim,
    clean,
    due,
    engine,
    hold,
    recipient,
    submit,
)

from mailqueue.clock import to_datetime
from mailqueue.errors import Conflict, NotFound
from mailqueue.model.destination import Backlog, Destination
from mailqueue.model.filters import Filter
from mailqueue.model.lane import Block, Lane, Priority, Room
from mailqueue.model.rules import ShapingRule, Transport, TransportKind
from mailqueue.store.base import Store, Transaction


def troubled(name: str, **more: object) -> Destination:
    wanted: dict[str, object] = {
        "failures": 1,
        "since_at": NOON,
        "blocked_until": None,
        "canary_at": None,
        "last_error": "421 4.3.2 come back",
        **more,
    }
    return Destination(name=name, **wanted)  # type: ignore[arg-type]


def put(store: Store, name: str, **more: object) -> Destination:
    return store.run(lambda transaction: transaction.put_destination(troubled(name, **more)))


def shaping_rule(store: Store, **more: object) -> ShapingRule:
    wanted: dict[str, object] = {
        "position": 0,
        "transport": None,
        "domain": None,
        "mx": None,
        "connections": 2,
        "per_connection": None,
        "per_minute": None,
        "reason": "",
        **more,
    }
    rule = ShapingRule(id=0, actor="cli:op", created_at=to_datetime(0), **wanted)  # type: ignore[arg-type]
    return store.run(lambda transaction: transaction.add_shaping_rule(rule, NOON))


# --- destinations -----------------------------------------------------------------------------
def test_what_is_known_of_a_destination_comes_back_as_it_was_put(store: Store) -> None:
    wanted = troubled("out mx:25", failures=4, blocked_until=at(60), canary_at=at(61))
    known = store.run(lambda transaction: transaction.put_destination(wanted))
    assert known == replace(wanted, changed=known.changed)
    assert store.run(lambda transaction: transaction.destination("out mx:25")) == known
    assert store.read(lambda reader: reader.destination("out mx:25")) == known
    assert store.run(lambda transaction: transaction.destination("elsewhere")) is None
    assert store.read(lambda reader: reader.destination("elsewhere")) is None
    assert clean(store)


def test_every_change_of_a_destination_has_a_higher_number_by_which_other_engines_find_it(
    store: Store,
) -> None:
    first, second = put(store, "a"), put(store, "b")
    again = put(store, "a", failures=2)
    assert first.changed < second.changed < again.changed

    def since(number: int) -> list[Destination]:
        return store.run(lambda transaction: transaction.destinations(number))

    assert since(0) == [second, again]
    assert since(second.changed) == [again]
    assert since(again.changed) == []


def test_change_that_was_rolled_back_is_not_known(store: Store) -> None:
    before = put(store, "a")

    def fails(transaction: Transaction) -> None:
        transaction.put_destination(troubled("a", failures=2))
        raise LookupError

    with pytest.raises(LookupError):
        store.run(fails)
    assert store.read(lambda reader: reader.destination("a")) == before


def test_destinations_in_trouble_are_listed_the_longest_first_and_those_that_are_well_are_not(
    store: Store,
) -> None:
    for name, since, failures in (("new", 9, 1), ("old", 1, 3), ("well", 0, 0), ("also old", 1, 1)):
        put(store, name, since_at=at(since), failures=failures)
    assert [each.name for each in store.read(lambda reader: reader.destinations())] == [
        "also old",
        "old",
        "new",
    ]


def test_destinations_are_forgotten_once_they_have_been_well_for_long(store: Store) -> None:
    for name, since, failures in (("a", 1, 0), ("b", 2, 0), ("troubled", 0, 1), ("just well", 50, 0)):
        put(store, name, since_at=at(since), failures=failures)

    def purge(limit: int) -> int:
        return store.run(lambda transaction: transaction.purge_destinations(at(50), limit))

    assert [purge(1), purge(5), purge(5)] == [1, 1, 0]
    left = store.run(lambda transaction: transaction.destinations(0))
    assert [each.name for each in left] == ["troubled", "just well"]


def test_backlog_counts_the_mail_in_lanes_that_a_destination_blocks(store: Store) -> None:
    submit(store, "b@example.net", "c@example.net", recipient("d@example.com", due=at(90)), "e@other.example")
    own = engine(store)
    shut = {domain: Room(0, at(60), "out") for domain in ("example.net", "example.com")}
    assert len(claim(store, own, rooms=shut)) == 1

    def backlog(name: str = "out", limit: int = 100) -> Backlog:
        return store.read(lambda reader: reader.backlog(name, limit))

    assert backlog() == Backlog(lanes=1, messages=2)
    claim(store, own, at(100), rooms={**shut, "example.net": Room(0, at(160), "out")})
    assert backlog() == Backlog(lanes=2, messages=3)
    assert backlog(limit=2) == Backlog(lanes=2, messages=2)
    assert backlog("elsewhere") == Backlog(lanes=0, messages=0)
    hold(store, Filter(ids=(1,)))
    assert backlog().messages == 2
    hold(store, ALL)
    assert backlog() == Backlog(lanes=0, messages=0)
    assert clean(store)


def test_unblocked_lanes_are_due_as_their_mail_is_and_count_no_more(store: Store) -> None:
    submit(store, "b@example.net")
    claim(store, engine(store), rooms={"example.net": Room(0, at(60), "out")})
    assert due(store) == at(60)
    assert store.run(lambda transaction: transaction.unblock("out", at(5), 10)) == 1
    assert due(store) == NOON
    assert store.read(lambda reader: reader.backlog("out", 9)) == Backlog(lanes=0, messages=0)
    assert store.run(lambda transaction: transaction.unblock("out", at(5), 10)) == 0
    assert clean(store)


def test_block_of_a_lane_is_told_also_once_it_is_over_and_gone_when_it_is_taken_away(store: Store) -> None:
    submit(store, "b@example.net")
    own, lane = engine(store), Lane(Priority.NORMAL, 1, "example.net", "")

    def told(asked: Lane = lane) -> Block | None:
        return store.read(lambda reader: reader.block(asked))

    assert told() is None
    claim(store, own, rooms={"example.net": Room(0, at(60), "out")})
    assert told() == Block(lane, at(60), "out")
    assert told(lane._replace(domain="other.example")) is None
    claim(store, own, at(90))
    assert told() == Block(lane, at(60), "out")
    store.run(lambda transaction: transaction.unblock("out", at(95), 10))
    assert told() is None


# --- shaping rules ----------------------------------------------------------------------------
def test_shaping_rules_come_by_position_then_in_the_order_made(store: Store) -> None:
    before = store.read(lambda reader: reader.settings())
    late = shaping_rule(store, position=1, domain=".example.net", per_minute=60, reason="they asked")
    first, second = shaping_rule(store), shaping_rule(store, mx="mx.example.net", per_connection=20)
    now = store.read(lambda reader: reader.settings())
    assert now.shaping_rules == (first, second, late)
    assert now.version > before.version
    assert (late.domain, late.per_minute, late.reason, late.actor) == (
        ".example.net",
        60,
        "they asked",
        "cli:op",
    )
    assert late.created_at == to_datetime(NOON)


def test_shaping_rule_names_a_transport_that_there_is(store: Store) -> None:
    with pytest.raises(NotFound, match="no transport 'out'"):
        shaping_rule(store, transport="out")
    store.run(
        lambda tx: tx.add_transport(Transport(id=0, name="out", kind=TransportKind.DIRECT), NOON),
    )
    rule = shaping_rule(store, transport="out")
    assert rule.transport == "out"
    with pytest.raises(Conflict, match=f"used by shaping rule {rule.id}"):
        store.run(lambda transaction: transaction.remove_transport("out"))
    store.run(lambda transaction: transaction.remove_shaping_rule(rule.id))
    store.run(lambda transaction: transaction.remove_transport("out"))


def test_removed_shaping_rule_leaves_nothing_behind(store: Store) -> None:
    rule, own = shaping_rule(store), engine(store)

    def use(transaction: Transaction) -> None:
        transaction.set_pace(rule.id, at(60))
        transaction.take_slot(rule.id, own, 1)

    store.run(use)
    assert store.run(lambda transaction: transaction.remove_shaping_rule(rule.id)) == rule
    assert store.read(lambda reader: reader.settings()).shaping_rules == ()
    with pytest.raises(NotFound, match=f"no shaping rule {rule.id}"):
        store.run(lambda transaction: transaction.remove_shaping_rule(rule.id))
    store.run(lambda transaction: transaction.free_slot(rule.id, own))  # what was under way by it ends later
    assert store.run(lambda transaction: transaction.pace(rule.id)) == 0
    assert shaping_rule(store).id > rule.id
    assert clean(store)


# --- what engines share -----------------------------------------------------------------------
def test_pace_of_a_rule_is_what_was_set_last(store: Store) -> None:
    one, other = shaping_rule(store), shaping_rule(store)
    assert store.run(lambda transaction: transaction.pace(one.id)) == 0
    for moment in (at(5), at(9)):
        store.run(lambda transaction, moment=moment: transaction.set_pace(one.id, moment))
    assert store.run(lambda transaction: transaction.pace(one.id)) == at(9)
    assert store.read(lambda reader: reader.pace(one.id)) == at(9)
    assert store.run(lambda transaction: transaction.pace(other.id)) == 0


def take(store: Store, rule_id: int, engine_id: int, limit: int) -> bool:
    return store.run(lambda transaction: transaction.take_slot(rule_id, engine_id, limit))


def free(store: Store, rule_id: int, engine_id: int) -> None:
    store.run(lambda transaction: transaction.free_slot(rule_id, engine_id))


def test_engines_share_the_connections_of_a_rule(store: Store) -> None:
    rule, one, two = shaping_rule(store).id, engine(store), engine(store)
    assert [take(store, rule, each, 3) for each in (one, two, one, two)] == [True, True, True, False]
    free(store, rule, one)
    assert [take(store, rule, two, 3), take(store, rule, one, 3)] == [True, False]
    for each in (one, two, two):
        free(store, rule, each)
    assert [take(store, rule, two, 3) for _ in range(4)] == [True, True, True, False]
    assert clean(store)


def test_rules_have_connections_of_their_own(store: Store) -> None:
    one, other, own = shaping_rule(store).id, shaping_rule(store).id, engine(store)
    assert [take(store, each, own, 1) for each in (one, other, one)] == [True, True, False]


def test_connection_that_was_not_taken_cannot_be_given_back(store: Store) -> None:
    rule, one, two = shaping_rule(store).id, engine(store), engine(store)
    assert take(store, rule, one, 1)
    free(store, rule, two)
    assert not take(store, rule, two, 1)


def test_connections_of_a_buried_engine_are_free_again(store: Store) -> None:
    rule, dead, other = shaping_rule(store).id, engine(store), engine(store)
    assert [take(store, rule, dead, 2) for _ in range(2)] == [True, True]
    assert not take(store, rule, other, 2)
    store.run(lambda transaction: transaction.bury_engine(dead, at(70)))
    assert [take(store, rule, other, 2) for _ in range(3)] == [True, True, False]
    assert clean(store)
