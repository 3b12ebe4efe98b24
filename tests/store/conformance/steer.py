"""What every store promises about holds, rules, accounts, transports, routes and schedules."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from support.stored import (
    ALL,
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
    hold,
    mark_all,
    message,
    recipient,
    release,
    settle,
    state,
    submit,
)

from mailqueue.clock import DAY, HOUR, SECOND, to_datetime
from mailqueue.errors import Conflict, NotFound
from mailqueue.model.account import Notices, OnUncertain
from mailqueue.model.attempt import Category
from mailqueue.model.change import Change, RequireTls, Reroute, RescheduleAt, RescheduleBy
from mailqueue.model.filters import Filter
from mailqueue.model.lane import Block, Lane, Room
from mailqueue.model.rules import (
    AuthMechanism,
    HoldRule,
    ReplyRule,
    Route,
    Then,
    Tls,
    Transport,
    TransportKind,
)
from mailqueue.model.schedule import SHIPPED, Delays, Schedule
from mailqueue.model.settings import Settings
from mailqueue.model.settlement import Settlement, Wish, WishKind
from mailqueue.store.base import Lifted, Store, Unheeded


def settings(store: Store) -> Settings:
    return store.read(lambda reader: reader.settings())


# --- by hand ----------------------------------------------------------------------------------
def test_held_message_says_who_held_it_and_why_and_release_restores_its_schedule(store: Store) -> None:
    submit(store, recipient("b@example.net", due=at(50)))
    assert hold(store, Filter(ids=(1,))) == 1
    [mark] = message(store).holds
    assert (mark.rule_id, mark.actor, mark.reason) == (None, "cli:op", "a look")
    assert release(store, Filter(ids=(1,))) == 1
    assert message(store).holds == ()
    assert due(store) == at(50)
    assert events(store) == ["held", "released"]
    assert clean(store)


def test_holding_by_hand_what_is_held_by_hand_changes_nothing(store: Store) -> None:
    submit(store)
    assert hold(store) == 1
    assert hold(store) == 0
    assert events(store) == ["held"]
    assert release(store) == 1
    assert release(store) == 0
    assert clean(store)


@pytest.mark.parametrize("step", [1, 3, 100])
def test_hold_and_release_in_steps_reach_every_message_once(store: Store, step: int) -> None:
    for n in range(7):
        submit(store, f"b{n}@example.net", f"c{n}@example.com")
    assert hold(store, ALL, step=step) == 14
    assert store.read(lambda reader: reader.depth()).held == 14
    assert release(store, ALL, step=step) == 14
    assert store.read(lambda reader: reader.depth()).held == 0
    assert clean(store)


def test_hold_reaches_only_what_is_meant(store: Store) -> None:
    other = store.run(lambda transaction: transaction.add_account("shop", NOON))
    submit(store, "b@example.net", "c@example.net")
    submit(store, "d@example.net", account_id=other.id)
    assert hold(store, Filter(account="shop"), step=1) == 1
    assert [message(store, n).hold for n in (1, 2, 3)] == [False, False, True]
    assert hold(store, Filter(submission_id=1, ids=(2, 3, 99))) == 1
    assert [message(store, n).hold for n in (1, 2, 3)] == [False, True, True]
    assert release(store, Filter(account="default")) == 1
    assert clean(store)


# --- rules ------------------------------------------------------------------------------------
def test_rule_marks_what_was_queued_and_matches_in_steps(store: Store) -> None:
    for n in range(5):
        submit(store, f"b{n}@example.net", f"b{n}@example.com")
    rule = add_rule(store, recipient_domain="example.net", reason="moving")
    assert rule.marking
    submit(store, "late@example.net")
    assert mark_all(store, rule.id, step=3) == 5
    assert not settings(store).hold_rules[0].marking
    assert mark_all(store, rule.id) == 0
    assert store.read(lambda reader: reader.depth()).held == 5
    assert events(store, 1) == ["held"]
    assert clean(store)


@pytest.mark.parametrize(
    ("criteria", "matching"),
    [
        ({}, {1, 2, 3}),
        ({"sender": "a@example.org"}, {1, 2}),
        ({"sender_domain": "example.org"}, {1, 2}),
        ({"sender": ""}, {3}),
        ({"recipient": "b@example.net"}, {1}),
        ({"recipient_domain": "example.net", "sender_domain": "example.org"}, {1}),
        ({"account_id": 1}, {1, 2, 3}),
        ({"account_id": 2}, set()),
    ],
)
def test_every_criterion_of_a_rule_must_match(
    store: Store, criteria: dict[str, object], matching: set[int]
) -> None:
    store.run(lambda transaction: transaction.add_account("shop", NOON))
    submit(store, "b@example.net", "b@example.com")
    submit(store, "c@example.net", sender="")
    rule = add_rule(store, **criteria)
    mark_all(store, rule.id)
    assert {n for n in (1, 2, 3) if message(store, n).hold} == matching
    assert clean(store)


def test_rule_tells_how_many_messages_it_holds_until_they_are_released(store: Store) -> None:
    submit(store, "b@example.net", "c@example.net", "d@example.com")
    rules = [add_rule(store, recipient_domain="example.net"), add_rule(store), add_rule(store, sender="")]
    for rule in rules:
        mark_all(store, rule.id)

    def held() -> list[int]:
        return store.read(lambda reader: [reader.held_by_rule(rule.id) for rule in rules])

    assert held() == [2, 3, 0]
    release(store, Filter(ids=(1,)))
    assert held() == [1, 2, 0]
    assert clean(store)


def test_rule_marks_a_claimed_message_too_which_acts_after_the_attempt(store: Store) -> None:
    submit(store)
    taken = claim(store, engine(store))
    rule = add_rule(store)
    assert mark_all(store, rule.id) == 1
    store.run(lambda transaction: transaction.put_back(taken, at(1)))
    assert claim(store, engine(store), at(2)) == []
    assert clean(store)


def test_marks_of_a_removed_rule_stay_and_count_as_by_hand(store: Store) -> None:
    submit(store)
    rule = add_rule(store, reason="moving")
    mark_all(store, rule.id)
    gone = store.run(lambda transaction: transaction.remove_hold_rule(rule.id, actor="x", now=NOON))
    assert (gone.id, gone.reason) == (rule.id, "moving")
    assert settings(store).hold_rules == ()
    [mark] = message(store).holds
    assert mark.rule_id is None
    assert f"rule {rule.id}" in mark.reason
    assert "moving" in mark.reason
    assert hold(store) == 0
    assert release(store) == 1
    assert clean(store)


def test_released_message_is_exempt_from_the_rules_that_exist_and_from_no_later_one(store: Store) -> None:
    submit(store)
    first = add_rule(store)
    mark_all(store, first.id)
    assert store.read(lambda reader: reader.exempt_through(1)) == 0
    assert release(store) == 1
    assert store.read(lambda reader: reader.exempt_through(1)) == first.id
    assert len(claim(store, engine(store))) == 1
    second = add_rule(store)
    assert mark_all(store, second.id) == 1
    assert clean(store)


def test_rule_that_was_removed_marks_nothing_more_and_is_not_found(store: Store) -> None:
    submit(store)
    rule = add_rule(store)
    store.run(lambda transaction: transaction.remove_hold_rule(rule.id, actor="x", now=NOON))
    assert mark_all(store, rule.id) == 0
    with pytest.raises(NotFound, match=f"hold rule {rule.id}"):
        store.run(lambda transaction: transaction.remove_hold_rule(rule.id, actor="x", now=NOON))


# --- rules that end ---------------------------------------------------------------------------
def end(store: Store, rule_id: int, then: Then = Then.RELEASE, *, now: int = NOON) -> HoldRule:
    return store.run(
        lambda transaction: transaction.end_hold_rule(
            rule_id, then=then, per_minute=None, actor="cli:op", reason="done", next_at=at(1), now=now
        )
    )


def lift(store: Store, rule_id: int, *, most: int = 100, limit: int = 100) -> Lifted:
    return store.run(
        lambda transaction: transaction.lift_rule(rule_id, most=most, next_at=at(20), now=at(10), limit=limit)
    )


def test_rule_that_has_ended_marks_nothing_more_and_an_engine_is_to_see_to_it(store: Store) -> None:
    submit(store, recipient("b@example.net", due=at(500)))
    rule = add_rule(store)
    before = settings(store).version
    ended = end(store, rule.id)
    assert (ended.ended_at, ended.next_at) == (to_datetime(NOON), to_datetime(at(1)))
    assert (ended.ended_by, ended.ended_reason, ended.marking) == ("cli:op", "done", False)
    assert settings(store).version > before
    assert settings(store).hold_rules == (ended,)
    assert due(store) == at(1)
    assert [store.read(lambda reader, n=n: reader.ending_hold_rules(at(n))) for n in (0, 1)] == [
        [],
        [rule.id],
    ]  # type: ignore[misc]
    assert mark_all(store, rule.id) == 0
    assert len(claim(store, engine(store), at(500))) == 1
    assert end(store, rule.id, now=at(99)).ended_at == ended.ended_at
    assert clean(store)


def test_rule_that_ends_by_its_time_is_due_then_and_marks_nothing_from_then_on(store: Store) -> None:
    submit(store, recipient("b@example.net", due=at(500)))
    rule = add_rule(store, until=to_datetime(at(7)), then=Then.FAIL, per_minute=3)
    assert store.read(lambda reader: reader.hold_rules()) == [rule]
    assert settings(store).hold_rules == (rule,)
    assert due(store) == at(7)
    assert store.run(lambda transaction: transaction.mark_rule(rule.id, at(7), 100)).after is None
    assert message(store).holds == ()


@pytest.mark.parametrize(("most", "limit"), [(1, 100), (100, 2), (3, 3), (100, 100)])
def test_rule_lets_go_in_steps_and_goes_with_its_last_mark(store: Store, most: int, limit: int) -> None:
    submit(store, "b@example.net", "c@example.com", "d@example.net", "e@example.net")
    rule, other = add_rule(store), add_rule(store, recipient_domain="example.com")
    for each in (rule, other):
        mark_all(store, each.id)
    end(store, rule.id)
    freed, gone = [], 0
    while gone < 4:
        gone = lift(store, rule.id, most=most, limit=limit).rule.let_go
        freed.append(4 - store.read(lambda reader: reader.depth()).held)
    assert freed[-1] == 3
    assert all(after - before <= most for before, after in pairwise(freed))
    assert [mark.rule_id for mark in message(store, 2).holds] == [other.id]
    assert events(store, 1) == ["held", "released"]
    assert events(store, 2) == ["held", "held"]
    if limit == 2:  # there might have been more
        assert lift(store, rule.id).rule.let_go == 4
    with pytest.raises(NotFound, match=f"hold rule {rule.id}"):
        lift(store, rule.id)
    assert due(store) == NOON
    assert clean(store)


def test_rule_goes_on_when_it_is_told_where_it_has_released_any(store: Store) -> None:
    submit(store, "b@example.com", "c@example.net", "d@example.net")
    rule, other = add_rule(store), add_rule(store, recipient_domain="example.com")
    for each in (rule, other):
        mark_all(store, each.id)
    end(store, rule.id)
    assert lift(store, rule.id, limit=1).rule.next_at == to_datetime(at(1)), "no message went"
    assert lift(store, rule.id, limit=1).rule.next_at == to_datetime(at(20))


def test_what_a_rule_is_to_let_fail_keeps_its_mark_until_it_does(store: Store) -> None:
    submit(store, "b@example.net", "c@example.net", "d@example.com", "e@example.com")
    [running] = claim(store, engine(store), limit=1, rooms={"example.com": Room(0)})
    rule, other = add_rule(store), add_rule(store, recipient_domain="example.com")
    for each in (rule, other):
        mark_all(store, each.id)
    end(store, rule.id, Then.FAIL)
    done = lift(store, rule.id)
    assert running.id == 1
    assert (done.failing, done.rule.let_go) == ((2,), 3)
    assert [len(message(store, n).holds) for n in (1, 2, 3, 4)] == [0, 1, 1, 1]
    waiting = store.read(lambda reader: reader.waiting([2, 3]))
    kept = [replace(failed(each, at(11)), facts=None) for each in waiting]

    def fail(*settlements: Settlement) -> bool:
        return store.run(lambda transaction: transaction.fail_held(rule.id, settlements, []))

    assert not fail(*kept), "message 3 is held by another rule"
    assert fail(kept[0])
    assert [state(store, n).value for n in (2, 3)] == ["failed", "queued"]
    with pytest.raises(Unheeded):
        settle(store, deferred(running, again=at(99)))
    settle(store, delivered(running))
    assert lift(store, rule.id).rule.let_go == 4
    assert store.read(lambda reader: [each.id for each in reader.hold_rules()]) == [other.id]
    assert clean(store)


# --- settings ---------------------------------------------------------------------------------
RELAY = Transport(id=0, name="relay", kind=TransportKind.RELAY, host="smtp.example.org", port=587)
DIRECT = Transport(
    id=0, name="direct", kind=TransportKind.DIRECT, allow_private=True, tls=Tls.NONE, is_default=False
)


def test_new_store_has_the_default_account_the_shipped_schedules_and_no_transport(store: Store) -> None:
    now = settings(store)
    default = now.accounts["default"]
    assert (default.notices, default.schedule, default.strict) == (None, None, False)
    assert default.on_uncertain is OnUncertain.RETRY
    assert (default.retention, default.keep_content) == (30 * DAY, 7 * DAY)
    assert now.accounts_by_id == {default.id: default}
    assert now.schedules == SHIPPED
    assert now.default_transport() is None
    assert (now.routes, now.hold_rules) == ((), ())


def test_change_of_settings_raises_their_version_and_wakes(store: Store) -> None:
    before, wake = settings(store).version, store.read(lambda reader: reader.wake())
    store.run(lambda transaction: transaction.add_account("shop", NOON))
    assert settings(store).version > before
    assert store.settings().version == settings(store).version
    assert store.read(lambda reader: reader.wake()) > wake


def test_settings_changed_in_a_transaction_that_fails_are_as_before(store: Store) -> None:
    def job(transaction: object) -> None:
        transaction.add_account("shop", NOON)  # type: ignore[attr-defined]
        assert "shop" in transaction.settings().accounts  # type: ignore[attr-defined]
        raise Conflict("no")

    with pytest.raises(Conflict):
        store.run(job)
    store.run(lambda transaction: transaction.add_account("club", NOON))
    assert list(settings(store).accounts) == ["default", "club"]
    assert list(store.run(lambda transaction: transaction.settings().accounts)) == ["default", "club"]


def test_account_is_changed_whole_and_its_name_is_taken(store: Store) -> None:
    made = store.run(lambda transaction: transaction.add_account("shop", NOON))
    changed = replace(
        made,
        notices=Notices.QUEUE,
        schedule="otp",
        retention=DAY,
        keep_content=HOUR,
        on_uncertain=OnUncertain.HOLD,
        strict=True,
    )
    store.run(lambda transaction: transaction.set_account(changed))
    assert settings(store).accounts["shop"] == changed
    with pytest.raises(Conflict, match="shop"):
        store.run(lambda transaction: transaction.add_account("shop", NOON))
    with pytest.raises(NotFound, match="nobody"):
        store.run(lambda transaction: transaction.set_account(replace(made, id=77, name="nobody")))


def test_first_transport_becomes_the_default_and_another_may_take_that_over(store: Store) -> None:
    relay = store.run(lambda transaction: transaction.add_transport(RELAY, NOON))
    direct = store.run(lambda transaction: transaction.add_transport(DIRECT, NOON))
    assert (relay.is_default, direct.is_default) == (True, False)
    assert replace(direct, id=0) == DIRECT
    store.run(
        lambda transaction: transaction.set_transport(replace(direct, is_default=True, port=2525), NOON)
    )
    now = settings(store)
    assert now.default_transport() == replace(direct, is_default=True, port=2525)
    assert not now.transports["relay"].is_default


def test_transport_that_logs_in_is_read_back_as_it_was_made_and_shows_no_password(store: Store) -> None:
    wanted = Transport(
        id=0,
        name="provider",
        kind=TransportKind.SUBMISSIONS,
        host="smtp.example.org",
        port=465,
        tls=Tls.VERIFIED,
        username="anna",
        password="Gr\N{LATIN SMALL LETTER U WITH DIAERESIS}n' OR 1",
        auth=AuthMechanism.SCRAM_SHA_256,
        ca_file="/etc/ssl/own.pem",
    )
    made = store.run(lambda transaction: transaction.add_transport(wanted, NOON))
    assert replace(made, id=0, is_default=False) == wanted
    assert str(wanted.password) not in repr(settings(store))
    changed = replace(made, username="ben", password="other", auth=None, ca_file=None, tls=Tls.REQUIRED)
    store.run(lambda transaction: transaction.set_transport(changed, NOON))
    assert settings(store).transports["provider"] == changed
    bare = replace(changed, kind=TransportKind.SUBMISSION, username=None, password=None)
    store.run(lambda transaction: transaction.set_transport(bare, NOON))
    assert settings(store).transports["provider"] == bare


def test_transport_names_are_taken_once(store: Store) -> None:
    relay = store.run(lambda transaction: transaction.add_transport(RELAY, NOON))
    direct = store.run(lambda transaction: transaction.add_transport(DIRECT, NOON))
    with pytest.raises(Conflict, match="relay"):
        store.run(lambda transaction: transaction.add_transport(RELAY, NOON))
    with pytest.raises(Conflict, match="relay"):
        store.run(lambda transaction: transaction.set_transport(replace(direct, name="relay"), NOON))
    with pytest.raises(NotFound):
        store.run(lambda transaction: transaction.set_transport(replace(relay, id=99), NOON))


def test_transport_that_something_needs_is_not_removed(store: Store) -> None:
    store.run(lambda transaction: transaction.add_transport(RELAY, NOON))
    store.run(lambda transaction: transaction.add_transport(DIRECT, NOON))
    route = Route(id=0, position=0, sender_domain=None, recipient_domain=".example.net", transport="direct")
    made = store.run(lambda transaction: transaction.add_route(route, NOON))
    with pytest.raises(Conflict, match=f"route {made.id}"):
        store.run(lambda transaction: transaction.remove_transport("direct"))
    with pytest.raises(Conflict, match="default"):
        store.run(lambda transaction: transaction.remove_transport("relay"))
    store.run(lambda transaction: transaction.remove_route(made.id, NOON))
    store.run(lambda transaction: transaction.remove_transport("direct"))
    store.run(lambda transaction: transaction.remove_transport("relay"))
    assert settings(store).transports == {}
    with pytest.raises(NotFound, match="relay"):
        store.run(lambda transaction: transaction.remove_transport("relay"))


def test_routes_of_accounts_come_first_then_those_of_domains_whatever_their_position(store: Store) -> None:
    store.run(lambda transaction: transaction.add_transport(RELAY, NOON))
    plain = Route(id=0, position=0, sender_domain=None, recipient_domain=None, transport="relay")
    for route in (
        plain,
        replace(plain, position=3, recipient_domain="a.example", min_attempts=2),
        replace(plain, position=2, sender_domain="b.example"),
        replace(plain, position=9, account_id=1, min_attempts=7),
    ):
        made = store.run(lambda transaction, each=route: transaction.add_route(each, NOON))
        assert replace(made, id=0) == route
        assert made in settings(store).routes
    assert [each.id for each in settings(store).routes] == [4, 3, 2, 1]


def test_rules_about_replies_are_asked_by_position_and_change_the_version_of_the_settings(
    store: Store,
) -> None:
    first = ReplyRule(
        id=0,
        position=5,
        pattern=r"come back (later|in \d+)",
        code="4??",
        category=Category.GREYLISTED,
        permanent=False,
        note="a house of its own",
        actor="cli:op",
        created_at=to_datetime(NOON),
    )
    second = replace(first, position=1, code=None, permanent=None, category=Category.POLICY, note="")
    before = settings(store).version
    made = [
        store.run(lambda transaction, each=rule: transaction.add_reply_rule(each, NOON))
        for rule in (first, second, replace(first, permanent=True))
    ]
    now = settings(store)
    assert [replace(each, id=0) for each in made[:2]] == [first, second]
    assert now.reply_rules == (made[1], made[0], made[2])
    assert now.version > before
    assert store.run(lambda transaction: transaction.remove_reply_rule(made[0].id)) == made[0]
    assert settings(store).reply_rules == (made[1], made[2])
    assert settings(store).version > now.version
    with pytest.raises(NotFound, match="no reply rule"):
        store.run(lambda transaction: transaction.remove_reply_rule(made[0].id))


def test_routes_are_in_the_order_of_position_then_of_making(store: Store) -> None:
    store.run(lambda transaction: transaction.add_transport(RELAY, NOON))
    for position, domain in ((5, "a.example"), (0, "b.example"), (0, "c.example")):
        route = Route(id=0, position=position, sender_domain=None, recipient_domain=domain, transport="relay")
        store.run(lambda transaction, each=route: transaction.add_route(each, NOON))
    assert [each.recipient_domain for each in settings(store).routes] == [
        "b.example",
        "c.example",
        "a.example",
    ]
    with pytest.raises(NotFound, match="nowhere"):
        store.run(lambda transaction: transaction.add_route(replace(route, transport="nowhere"), NOON))
    with pytest.raises(NotFound, match="route 99"):
        store.run(lambda transaction: transaction.remove_route(99, NOON))


def test_own_schedule_is_read_back_as_it_was_made_beside_the_shipped_ones(store: Store) -> None:
    steps = Delays(steps=(5_000_000, 60_000_000), repeat=True)
    made = Schedule(
        name="demo",
        delays=steps,
        lifetime=HOUR,
        warn_after=None,
        classes={"dns": replace(steps, repeat=False)},
    )
    store.run(lambda transaction: transaction.add_schedule(made, NOON))
    found = settings(store).schedules
    assert found["demo"].delays == steps
    assert dict(found["demo"].classes) == {"dns": replace(steps, repeat=False)}
    assert (found["demo"].lifetime, found["demo"].warn_after) == (HOUR, None)
    assert set(found) == {*SHIPPED, "demo"}
    for name in ("demo", "standard"):
        with pytest.raises(Conflict, match=name):
            store.run(lambda transaction, n=name: transaction.add_schedule(replace(made, name=n), NOON))


# --- changes, and wishes for what is claimed --------------------------------------------------
def change(store: Store, wanted: Change, which: Filter = ALL, *, step: int = 100) -> tuple[int, int]:
    """Return how many messages changed, and on how many it acts after the running attempt."""
    changed, claimed, after = 0, 0, 0
    while True:
        done = store.run(
            lambda transaction, after=after: transaction.change(
                which, wanted, actor="cli:op", reason="a look", now=at(10), after=after, limit=step
            )
        )
        changed, claimed = changed + done.changed, claimed + done.in_delivery
        if done.after is None:
            return changed, claimed
        after = done.after


def test_changes_go_in_steps_and_leave_an_event_each(store: Store) -> None:
    submit(store, *(f"r{n}@example.net" for n in range(5)))
    assert change(store, Reroute("other"), step=2) == (5, 0)
    assert change(store, RequireTls(True), Filter(ids=(2,))) == (1, 0)
    assert change(store, RescheduleAt(at(60)), Filter(ids=(2,))) == (1, 0)
    found = message(store, 2)
    assert (found.transport, found.require_tls, found.next_attempt_at) == ("other", True, to_datetime(at(60)))
    told = store.read(lambda reader: reader.events(2))
    assert [each.data["verb"] for each in told] == ["reroute", "require_tls", "reschedule"]
    assert {(each.event.value, each.actor, each.reason) for each in told} == {("admin", "cli:op", "a look")}
    assert clean(store)


def test_rerouted_message_leaves_its_lane_for_another(store: Store) -> None:
    submit(store)
    store.run(lambda tx: tx.block([Block(Lane(1, 1, "example.net", ""), at(3600), "mx")]))
    assert claim(store, engine(store), at(11)) == []
    change(store, Reroute("other"))
    assert clean(store)
    [taken] = claim(store, engine(store), at(12))
    assert taken.transport == "other"


@pytest.mark.parametrize("back", ["settled", "put back", "engine dead"])
def test_change_of_a_claimed_message_acts_when_it_waits_again(store: Store, back: str) -> None:
    submit(store)
    engine_id = engine(store)
    [taken] = claim(store, engine_id)
    for wanted in (RescheduleAt(at(7200)), RescheduleBy(-3600 * SECOND), Reroute("other")):
        assert change(store, wanted) == (0, 1)
    assert message(store).state == "claimed"
    if back == "settled":
        assert settle(store, deferred(taken, at(20), again=at(300))) == frozenset()
    elif back == "put back":
        store.run(lambda transaction: transaction.put_back([taken]))
    else:
        store.run(lambda transaction: transaction.bury_engine(engine_id, at(20)))
    found = message(store)
    assert (found.state, found.transport) == ("queued", "other")
    assert found.next_attempt_at == to_datetime(at(3600))
    assert clean(store)
    assert claim(store, engine(store), at(3599)) == []
    assert len(claim(store, engine(store), at(3600))) == 1


def test_settlement_that_does_not_heed_a_wish_is_refused_whole_unless_it_delivers(store: Store) -> None:
    submit(store, "a@example.net", "b@example.net", "c@example.net")
    taken = claim(store, engine(store))
    wish = Wish(kind=WishKind.DROP, actor="cli:op", reason="enough")
    assert store.run(lambda transaction: transaction.wish([1, 2, 99], wish, at(5))) == [1, 2]
    with pytest.raises(Unheeded) as refused:
        settle(store, *(deferred(each, at(9), again=at(300)) for each in taken))
    assert refused.value.wishes == {1: wish, 2: wish}
    assert [message(store, n).state for n in (1, 2, 3)] == ["claimed"] * 3
    heeded = replace(failed(taken[0], at(9)), wish=wish)
    assert (
        settle(store, heeded, delivered(taken[1], at(9)), deferred(taken[2], at(9), again=at(300)))
        == frozenset()
    )
    assert [message(store, n).state for n in (1, 2, 3)] == ["failed", "delivered", "queued"]
    assert clean(store)


def test_message_with_a_wish_whose_claim_returns_is_not_tried_again(store: Store) -> None:
    submit(store)
    taken = claim(store, engine(store))
    wish = Wish(kind=WishKind.FAIL, actor="cli:op", reason="")
    store.run(lambda transaction: transaction.wish([1], wish, at(5)))
    store.run(lambda transaction: transaction.put_back(taken))
    assert claim(store, engine(store), at(9)) == []
    [waits] = store.read(lambda reader: reader.expired(at(9), 10))
    assert [each.id for each in store.read(lambda reader: reader.waiting([99, 1]))] == [waits.id] == [1]
