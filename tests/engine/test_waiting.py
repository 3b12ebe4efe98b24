"""Whose turn it is among the batches that wait for a connection of their destination."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st
from support.claims import claimed

from mailqueue.engine.waiting import Waiting
from mailqueue.model.lane import Priority
from mailqueue.model.message import Claimed
from mailqueue.model.rules import Transport, TransportKind
from mailqueue.policy.batch import Batch

OUT = Transport(id=1, name="out", kind=TransportKind.DIRECT)
INTERACTIVE, NORMAL, BULK = Priority


def batch(*ids: int, priority: int = NORMAL, account: int = 1) -> Batch:
    """Return a batch of messages with these ids."""
    messages = tuple(claimed(id=each, priority=priority, account_id=account) for each in ids)
    return Batch(transport=OUT, route_id=None, destination="example.org", smtputf8=False, messages=messages)


def line(*batches: Batch) -> Waiting:
    waiting = Waiting()
    for each in batches:
        waiting.add(each)
    return waiting


def ids(found: Batch | list[Claimed]) -> list[int]:
    return [each.id for each in (found.messages if isinstance(found, Batch) else found)]


def empty(waiting: Waiting) -> list[list[int]]:
    """Return the ids of all batches, in their turns."""
    found = []
    while waiting:
        found.append(ids(waiting.pop()))
    return found


def test_interactive_mail_goes_before_normal_mail_and_that_before_bulk():
    waiting = line(batch(1, priority=BULK), batch(2), batch(3, priority=INTERACTIVE))
    assert waiting.top is INTERACTIVE
    assert empty(waiting) == [[3], [2], [1]]


def test_mail_of_one_account_goes_in_the_order_in_which_it_came():
    assert empty(line(batch(1), batch(2), batch(3))) == [[1], [2], [3]]


def test_accounts_take_turns():
    waiting = line(
        batch(1), batch(2), batch(3), batch(4, account=2), batch(5, account=3), batch(6, account=2)
    )
    assert empty(waiting) == [[1], [4], [5], [2], [6], [3]]


def test_an_account_that_comes_late_waits_for_one_turn_of_each_other():
    waiting = line(batch(1), batch(2), batch(3, account=2))
    waiting.pop()
    waiting.add(batch(4, account=3))
    assert empty(waiting) == [[3], [2], [4]]


def test_what_could_not_go_is_the_next_again():
    waiting = line(batch(1), batch(2), batch(3, account=2))
    waiting.add_first(waiting.pop())
    assert empty(waiting) == [[1], [3], [2]]


def test_what_could_not_go_is_the_next_again_when_it_was_the_last_of_its_account():
    waiting = line(batch(1), batch(2, account=2))
    waiting.add_first(waiting.pop())
    assert empty(waiting) == [[1], [2]]


def test_what_is_taken_out_leaves_the_others_in_their_order():
    waiting = line(
        batch(1, 2), batch(3), batch(4, account=2), batch(5, priority=BULK), batch(6, priority=INTERACTIVE)
    )
    waiting.pop()
    assert ids(waiting.take(lambda message: message.id in (2, 3, 5))) == [2, 3, 5]
    assert empty(waiting) == [[1], [4]]


def test_a_line_from_which_all_was_taken_is_empty():
    waiting = line(batch(1), batch(2, account=2))
    assert len(waiting.take(lambda message: True)) == 2
    assert not waiting


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from(list(Priority)), st.integers(1, 4), st.integers(1, 3)),
        st.tuples(st.just("pop"), st.just(NORMAL), st.just(0), st.just(0)),
        st.tuples(st.just("put back"), st.just(NORMAL), st.just(0), st.integers(1, 3)),
        st.tuples(st.just("take"), st.just(NORMAL), st.integers(1, 4), st.just(0)),
    ),
    max_size=60,
)


@given(steps)
def test_whatever_happens_every_message_leaves_the_line_once(script):
    waiting, here, gone, last = Waiting(), set[int](), list[int](), 0
    for what, priority, account, size in script:
        match what:
            case "add":
                new = range(last + 1, last + size + 1)
                last += size
                waiting.add(batch(*new, priority=priority, account=account))
                here.update(new)
            case "pop" if waiting:
                gone += ids(waiting.pop())
            case "put back" if waiting:
                popped = waiting.pop()
                gone += ids(popped)[:size]
                if len(popped.messages) > size:
                    waiting.add_first(replace(popped, messages=popped.messages[size:]))
            case "take":
                gone += ids(waiting.take(lambda message: message.account_id == account))  # noqa: B023
        assert bool(waiting) == (len(gone) < len(here))
    for each in empty(waiting):
        gone += each
    assert sorted(gone) == sorted(here)


@given(st.lists(st.tuples(st.sampled_from(list(Priority)), st.integers(1, 5)), max_size=80))
def test_nobody_has_a_second_turn_before_each_other_of_the_same_priority_had_one(added):
    waiting = line(*(batch(n, priority=priority, account=who) for n, (priority, who) in enumerate(added, 1)))
    left = dict(enumerate(added, 1))
    while waiting:
        priorities = {priority for priority, _ in left.values()}
        round_of = {who for priority, who in left.values() if priority == min(priorities)}
        served = []
        for _ in round_of:
            priority, who = left.pop(ids(waiting.pop())[0])
            assert priority == min(priorities)
            served.append(who)
        assert set(served) == round_of
