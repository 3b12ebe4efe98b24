"""What every store promises about claims, engines, and claims that return."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from support.stored import (
    FALLBACK,
    IDENTITY,
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
    hold,
    mark_all,
    message,
    outcomes,
    recipient,
    release,
    settle,
    state,
    submit,
)

from mailqueue.clock import to_datetime
from mailqueue.model.attempt import OutcomeKind
from mailqueue.model.filters import Filter
from mailqueue.model.lane import Block, Priority, Room
from mailqueue.model.lifecycle import State
from mailqueue.model.rules import Transport, TransportKind
from mailqueue.store.base import Store, Transaction


def test_claim_tells_all_that_an_attempt_needs_and_commits_the_fallback_time(store: Store) -> None:
    submit(store, "b@example.net", sender="")
    own = engine(store)
    [taken] = claim(store, own, at(1))
    assert (taken.sender, taken.recipient, taken.domain) == ("", "b@example.net", "example.net")
    assert (taken.engine_id, taken.claim, taken.attempts) == (own, 1, 1)
    assert (taken.schedule, taken.submitted_at, taken.warn_at) == ("standard", NOON, None)
    assert not taken.is_notice
    assert not taken.uncertain
    found = message(store, taken.id)
    assert (found.state, found.attempts) == (State.CLAIMED, 1)
    assert found.claimed_at == to_datetime(at(1))
    assert found.next_attempt_at == to_datetime(at(1) + FALLBACK)
    assert clean(store)


def test_claimed_message_is_not_claimed_again(store: Store) -> None:
    submit(store)
    assert len(claim(store, engine(store))) == 1
    assert claim(store, engine(store), at(9999)) == []


def test_message_is_not_claimed_before_its_time(store: Store) -> None:
    submit(store, recipient("b@example.net", due=at(60)))
    own = engine(store)
    assert claim(store, own, at(59.999)) == []
    assert due(store) == at(60)
    assert len(claim(store, own, at(60))) == 1


def test_of_a_lane_that_is_shut_only_what_is_beyond_its_lifetime_is_claimed(store: Store) -> None:
    old, new = (replace(recipient(f"{n}@example.net", due=at(n)), give_up_at=at(60 * n)) for n in (1, 2))
    submit(store, new, old)
    own = engine(store)
    shut = {"example.net": Room(0, at(500), "out mx.example.net", overdue=True)}
    [taken] = claim(store, own, at(60), rooms=shut)
    assert taken.recipient == "1@example.net"
    assert claim(store, own, at(499), rooms=shut) == [], "the lane is blocked"
    assert due(store) == at(500)
    assert [each.recipient for each in claim(store, own, at(500), rooms=shut)] == ["2@example.net"]
    assert clean(store)


def test_a_lane_that_is_shut_stays_in_line_while_it_may_have_more_that_is_beyond_its_lifetime(
    store: Store,
) -> None:
    submit(store, *(replace(recipient(f"{n}@example.net"), give_up_at=at(1)) for n in range(25)))
    own = engine(store)
    shut = {"example.net": Room(0, at(500), "out mx.example.net", overdue=True)}
    taken = [len(claim(store, own, at(2), per_lane=10, rooms=shut)) for _ in range(4)]
    assert taken == [10, 10, 5, 0]
    assert clean(store)


def test_oldest_due_goes_first_within_a_lane(store: Store) -> None:
    for seconds in (30, 10, 20):
        submit(store, recipient(f"b{seconds}@example.net", due=at(seconds)))
    own = engine(store)
    first = claim(store, own, at(60), limit=2)
    assert [each.recipient for each in first] == ["b10@example.net", "b20@example.net"]
    assert [each.recipient for each in claim(store, own, at(60))] == ["b30@example.net"]


def test_no_destination_gets_more_of_a_claim_than_it_may(store: Store) -> None:
    submit(store, *(f"b{n}@example.net" for n in range(10)))
    submit(store, *(f"c{n}@example.com" for n in range(2)))
    taken = claim(store, engine(store), per_lane=3)
    assert Counter(each.domain for each in taken) == {"example.net": 3, "example.com": 2}


def test_destination_that_has_more_goes_to_the_end_of_the_line_even_while_the_clock_stands(
    store: Store,
) -> None:
    submit(store, *(f"b{n}@big.example" for n in range(50)))
    submit(store, "c@small.example")
    own = engine(store)
    order = [claim(store, own, limit=5, per_lane=5)[0].domain for _ in range(3)]
    assert order == ["big.example", "small.example", "big.example"]


def test_every_one_of_many_due_destinations_gets_its_turn(store: Store) -> None:
    for n in range(300):
        submit(store, *(f"b{copy}@d{n:03}.example" for copy in range(3)))
    own, seen = engine(store), Counter[str]()
    turns = 0
    while len(seen) < 300:
        seen.update(each.domain for each in claim(store, own, limit=20, per_lane=1))
        turns += 1
    assert turns == 15
    assert set(seen.values()) == {1}


def test_skipped_destination_costs_the_others_nothing_and_keeps_its_mail(store: Store) -> None:
    submit(store, *(f"b{n}@busy.example" for n in range(5)))
    submit(store, recipient("c@free.example", due=at(1)))
    own = engine(store)
    assert [each.domain for each in claim(store, own, at(2), rooms={"busy.example": Room(0)})] == [
        "free.example"
    ]
    assert len(claim(store, own, at(2))) == 5


def test_many_skipped_destinations_do_not_hide_the_ones_behind_them(store: Store) -> None:
    names = [f"d{n:03}.example" for n in range(120)]
    for name in names:
        submit(store, f"b@{name}")
    own = engine(store)
    taken = claim(store, own, rooms=dict.fromkeys(names[:100], Room(0)))
    assert {each.domain for each in taken} == set(names[100:])
    assert clean(store)


def test_destination_is_due_with_the_next_message_after_the_due_ones_are_claimed(store: Store) -> None:
    submit(store, "b@example.net", recipient("c@example.net", due=at(90)))
    claim(store, engine(store), at(1))
    assert due(store) == at(90)
    assert clean(store)


def test_message_on_hold_is_not_claimed_and_nothing_is_due(store: Store) -> None:
    submit(store)
    hold(store)
    assert due(store) is None
    assert claim(store, engine(store)) == []
    release(store)
    assert due(store) == NOON
    assert len(claim(store, engine(store))) == 1


def test_rule_that_is_still_marking_holds_candidates_of_a_claim_at_once(store: Store) -> None:
    submit(store, "b@example.net", "c@example.net")
    submit(store, "b@example.com")
    rule = add_rule(store, recipient="b@example.net", reason="moving")
    taken = claim(store, engine(store))
    assert {each.recipient for each in taken} == {"c@example.net", "b@example.com"}
    held = message(store, 1)
    assert [each.rule_id for each in held.holds] == [rule.id]
    assert events(store, 1) == ["held"]
    assert mark_all(store, rule.id) == 0
    assert clean(store)


def test_message_that_two_marking_rules_match_has_two_marks(store: Store) -> None:
    submit(store)
    first = add_rule(store, recipient_domain="example.net")
    second = add_rule(store)
    assert claim(store, engine(store)) == []
    assert [each.rule_id for each in message(store).holds] == [first.id, second.id]
    assert clean(store)


def test_released_message_is_claimed_though_the_rule_is_still_marking(store: Store) -> None:
    submit(store)
    rule = add_rule(store)
    release(store, Filter(ids=(1,)))
    assert mark_all(store, rule.id) == 0
    assert len(claim(store, engine(store))) == 1
    assert clean(store)


# --- priorities, accounts, transports that messages name --------------------------------------
def test_interactive_mail_goes_before_normal_and_bulk_goes_last(store: Store) -> None:
    for priority in (Priority.BULK, Priority.NORMAL, Priority.INTERACTIVE):
        submit(store, *(recipient(f"{priority}{n}@example.net", priority=priority) for n in range(3)))
    own = engine(store)
    order = [each.priority for _ in range(3) for each in claim(store, own, limit=3)]
    assert order == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert clean(store)


def test_full_window_of_bulk_leaves_room_for_what_goes_before_it(store: Store) -> None:
    submit(store, *(recipient(f"bulk{n}@example.net", priority=Priority.BULK) for n in range(9)))
    submit(store, recipient("code@example.net", priority=Priority.INTERACTIVE))
    taken = claim(store, engine(store), room=(5, 5, 2))
    assert [each.recipient.partition("@")[0] for each in taken] == ["code", "bulk0", "bulk1"]


def test_accounts_share_a_claim_however_much_one_of_them_has(store: Store) -> None:
    other = store.run(lambda transaction: transaction.add_account("other", NOON)).id
    submit(store, *(f"b{n}@d{n % 40}.example" for n in range(200)))
    submit(store, *(f"c{n}@later.example" for n in range(30)), account_id=other)
    taken = claim(store, engine(store), at(1), limit=20)
    assert Counter(each.account_id for each in taken) == {1: 10, other: 10}


def test_what_one_account_leaves_the_others_get(store: Store) -> None:
    other = store.run(lambda transaction: transaction.add_account("other", NOON)).id
    submit(store, *(f"b{n}@d{n % 40}.example" for n in range(200)))
    submit(store, "c@later.example", account_id=other)
    taken = claim(store, engine(store), limit=20)
    assert Counter(each.account_id for each in taken) == {1: 19, other: 1}


def test_more_accounts_than_a_claim_has_room_for_have_their_turns_one_after_the_other(store: Store) -> None:
    accounts = [1]
    for n in range(9):
        made = store.run(lambda transaction, n=n: transaction.add_account(f"a{n}", NOON))  # type: ignore[misc]
        accounts.append(made.id)
    for account in accounts:
        submit(store, *(f"b{n}@example.net" for n in range(9)), account_id=account)
    own, last, seen = engine(store), 0, []
    for _ in range(5):
        taken = claim(store, own, limit=4, after_account=last)
        seen += [each.account_id for each in taken]
        last = taken[-1].account_id
    assert Counter(seen) == dict.fromkeys(accounts, 2)


def test_mail_that_names_its_transport_waits_in_a_lane_of_its_own(store: Store) -> None:
    submit(store, "b@example.net", recipient("c@example.net", transport="smarthost"))
    [own_way] = claim(store, engine(store), limit=1, rooms={"example.net": Room(1)})
    [other] = claim(store, 1)
    assert {(each.recipient, each.transport) for each in (own_way, other)} == {
        ("b@example.net", ""),
        ("c@example.net", "smarthost"),
    }
    assert own_way.lane != other.lane


# --- lanes that are blocked -------------------------------------------------------------------
def test_lane_of_which_nothing_is_wanted_for_a_while_is_not_looked_at_before(store: Store) -> None:
    submit(store, "b@example.net", "c@example.com")
    own = engine(store)
    taken = claim(store, own, rooms={"example.net": Room(0, at(60), "out example.net")})
    assert [each.domain for each in taken] == ["example.com"]
    assert due(store) == at(60)
    found = message(store)
    assert (found.next_attempt_at, found.blocked_until) == (to_datetime(at(60)), to_datetime(at(60)))
    assert found.blocked_by == "out example.net"
    assert claim(store, own, at(59)) == []
    assert len(claim(store, own, at(60))) == 1
    assert clean(store)


def test_new_mail_for_a_blocked_lane_waits_with_the_rest(store: Store) -> None:
    submit(store)
    own = engine(store)
    assert claim(store, own, rooms={"example.net": Room(0, at(60), "out")}) == []
    submit(store, recipient("c@example.net", due=at(1)))
    assert due(store) == at(60)
    assert claim(store, own, at(59)) == []
    assert len(claim(store, own, at(60))) == 2
    assert clean(store)


def test_claims_put_back_into_a_blocked_lane_are_due_as_before_and_wait_for_the_end_of_the_block(
    store: Store,
) -> None:
    submit(store, "b@example.net", recipient("c@example.net", due=at(2)))
    own = engine(store)
    taken = claim(store, own, at(5))

    def back(transaction: Transaction) -> None:
        transaction.put_back(taken)
        transaction.block([Block(taken[0].lane, at(60), "out")])

    store.run(back)
    assert due(store) == at(60)
    assert claim(store, own, at(59)) == []
    again = claim(store, own, at(60))
    assert [(each.recipient, each.due_at, each.attempts) for each in again] == [
        ("b@example.net", NOON, 1),
        ("c@example.net", at(2), 1),
    ]
    assert clean(store)


def test_lanes_of_a_destination_that_takes_mail_again_are_looked_at_so_many_at_a_time(store: Store) -> None:
    for n in range(5):
        submit(store, f"b@d{n}.example")
    submit(store, "b@other.example")
    own = engine(store)
    blocked = {f"d{n}.example": Room(0, at(60), "out") for n in range(5)}
    assert claim(store, own, rooms={**blocked, "other.example": Room(0, at(60), "elsewhere")}) == []
    assert store.run(lambda transaction: transaction.unblock("out", at(10), 3)) == 3
    assert len(claim(store, own, at(10))) == 3
    assert store.run(lambda transaction: transaction.unblock("out", at(11), 3)) == 2
    assert {each.domain for each in claim(store, own, at(11))} <= set(blocked)
    assert message(store, 6).blocked_by == "elsewhere"
    assert clean(store)


def test_change_of_a_route_has_blocked_lanes_looked_at(store: Store) -> None:
    submit(store)
    own = engine(store)
    assert claim(store, own, rooms={"example.net": Room(0, at(60), "out")}) == []
    made = store.run(
        lambda transaction: transaction.add_transport(
            Transport(id=0, name="out", kind=TransportKind.DIRECT), at(5)
        )
    )
    assert (made.name, due(store)) == ("out", NOON)
    assert clean(store)
    assert len(claim(store, own, at(5))) == 1


# --- claims that return -----------------------------------------------------------------------
def test_claim_that_was_never_begun_returns_without_counting(store: Store) -> None:
    submit(store)
    own = engine(store)
    taken = claim(store, own)
    store.run(lambda transaction: transaction.put_back(taken, at(5)))
    assert (state(store), message(store).attempts) == (State.QUEUED, 0)
    [again] = claim(store, own, at(5))
    assert (again.attempts, again.claim) == (1, 2)
    assert clean(store)


def test_claim_that_is_no_longer_ours_is_not_put_back(store: Store) -> None:
    submit(store)
    dead, other = engine(store), engine(store)
    [lost] = claim(store, dead)
    store.run(lambda transaction: transaction.bury_engine(dead, at(60)))
    [again] = claim(store, other, at(600))
    store.run(lambda transaction: transaction.put_back([lost], at(601)))
    assert state(store) is State.CLAIMED
    settle(store, delivered(again, at(602)))
    assert clean(store)


def test_dead_engines_claims_return_at_their_fallback_time_as_interrupted(store: Store) -> None:
    submit(store, "b@example.net", "c@example.com")
    dead = engine(store)
    claim(store, dead, at(1))
    assert store.run(lambda transaction: transaction.bury_engine(dead, at(70))) == 2
    assert store.read(lambda reader: reader.engines()) == []
    found = message(store)
    assert (found.state, found.claimed_at) == (State.QUEUED, None)
    assert found.next_attempt_at == to_datetime(at(1) + FALLBACK)
    assert found.last_error is not None
    assert outcomes(store) == [(1, "interrupted")]
    assert due(store) == at(1) + FALLBACK
    [again, _] = claim(store, engine(store), at(1) + FALLBACK)
    assert (again.attempts, again.uncertain) == (2, True)
    assert clean(store)


def test_buried_engine_learns_it_from_its_heartbeat_and_its_number_is_not_used_again(store: Store) -> None:
    own = engine(store)
    assert store.run(lambda transaction: transaction.heartbeat(own, at(10)))
    assert store.read(lambda reader: reader.engines())[0].heartbeat_at == to_datetime(at(10))
    store.run(lambda transaction: transaction.bury_engine(own, at(70)))
    assert not store.run(lambda transaction: transaction.heartbeat(own, at(71)))
    assert store.run(lambda transaction: transaction.bury_engine(own, at(72))) == 0
    assert engine(store) > own


def test_engine_is_noted_with_the_relay_that_takes_all_its_mail(store: Store) -> None:
    engine(store)
    store.run(lambda transaction: transaction.register_engine(IDENTITY, NOON, "mx.example.net:25"))
    found = store.read(lambda reader: reader.engines())
    assert [each.relay for each in found] == [None, "mx.example.net:25"]


@pytest.mark.parametrize(("kind", "maybe"), [(OutcomeKind.UNCERTAIN, True), (OutcomeKind.DEFERRED, False)])
def test_later_claim_says_whether_the_receiver_may_have_the_message(
    store: Store, kind: OutcomeKind, maybe: bool
) -> None:
    submit(store)
    own = engine(store)
    [taken] = claim(store, own)
    settle(store, deferred(taken, at(1), again=at(30), kind=kind))
    [again] = claim(store, own, at(30))
    assert again.uncertain is maybe
