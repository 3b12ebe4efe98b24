"""How hold rules end: by their time or removed, at once or so many a minute, whoever is there to do it."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.clock import START, SharedClock
from support.engine_process import EngineProcess
from support.receiver import Receiver
from support.stage import MAIL, AtWork, Stage, wait_until
from support.stored import claim, deferred, delivered, engine

from mailqueue import Queue
from mailqueue.clock import SECOND, to_datetime
from mailqueue.engine import holdrules
from mailqueue.engine.settle import Settler, Work
from mailqueue.errors import NotFound, SettingError
from mailqueue.model.rules import HoldRule, Then
from mailqueue.store.base import Unheeded

HOUR = timedelta(hours=1)


def held(stage: Stage, messages: list[int]) -> list[int]:
    return [each for each in messages if stage.show(each).hold]


def events(stage: Stage, message: int) -> list[tuple[str, str | None, str | None]]:
    return [(each.event.value, each.actor, each.reason) for each in stage.queue.events(message)]


def admin_events(queue: Queue) -> list[tuple[str | None, object, str | None]]:
    """Return actor, verb and reason of what ended rules, in order."""
    found = reversed(queue.changes().items)
    told = [(each.actor, each.data.get("verb"), each.reason) for each in found]
    return [each for each in told if each[1] in ("holdrules remove", "holdrules end", None)]


def gone(stage: Stage, rule: HoldRule) -> bool:
    return all(each.id != rule.id for each in stage.queue.hold_rules.list())


async def see_to_ends_thrice(stage: Stage, tell: Callable[[Work], None]) -> None:
    """Do at the same time what three engines do about rules that end."""
    store, clock = stage.queue.store, stage.clock
    settler = Settler(store, clock, "mx.example.org")
    await asyncio.gather(*(holdrules.see_to_ends(store, settler, clock, tell) for _ in range(3)))


# --- removed with a release ----------------------------------------------------------------------
def test_removal_with_release_frees_what_only_the_rule_holds_and_says_who_did_it(stage: Stage) -> None:
    queue = stage.queue
    alone, both, by_hand = stage.submit("a@example.com", "b@example.net", "c@example.com")
    rule = queue.hold_rules.add(reason="odd")
    other = queue.hold_rules.add(recipient_domain="example.net")
    queue.hold(by_hand)
    left = queue.hold_rules.remove(rule.id, release=True, actor="ben", reason="all is well")
    assert (left.let_go, left.ended_by, left.ended_reason) == (3, "python:ben", "all is well")
    assert gone(stage, rule)
    assert held(stage, [alone, both, by_hand]) == [both, by_hand]
    assert [mark.rule_id for mark in stage.show(both).holds] == [other.id]
    assert [mark.by for mark in stage.show(by_hand).holds] == ["by hand"]
    why = f"hold rule {rule.id} removed: all is well"
    assert events(stage, alone)[-1] == ("released", "python:ben", why)
    assert queue.events(alone)[-1].data == {"rule": rule.id}
    assert [each for each, _, _ in events(stage, both)] == ["held", "held"]
    assert admin_events(queue) == [
        ("python:ben", "holdrules remove", "all is well"),
        ("python:ben", None, f"hold rule {rule.id} holds nothing any more"),
    ]


def test_release_keeps_the_schedule_of_messages(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    [late] = stage.submit("a@example.com", not_before=timedelta(hours=3))
    due = stage.show(late).next_attempt_at
    stage.queue.hold_rules.remove(stage.queue.hold_rules.add().id, release=True)
    assert (stage.show(late).hold, stage.show(late).next_attempt_at) == (False, due)
    stage.deliver(3 * HOUR)
    assert stage.state(late) == "delivered"


def test_engine_finishes_a_release_whose_caller_died(stage: Stage, receiver: Receiver) -> None:
    """The caller's process died after the second of three steps."""
    messages = stage.submit(*(f"r{number}@example.com" for number in range(2500)))
    rule = stage.queue.hold_rules.add()
    now = stage.clock.now()
    end = partial(holdrules._end, rule_id=rule.id, per_minute=None, actor="cli:ben", reason="", now=now)
    stage.queue.store.run(end)
    stage.queue.store.run(partial(holdrules._step, rule_id=rule.id, now=now))
    assert stage.queue.hold_rules.show(rule.id).let_go == 1000
    assert stage.queue.hold_rules.held(rule.id) == 1500
    [new] = stage.submit("new@example.com")
    assert not stage.show(new).hold
    stage.relay(receiver.port)
    with AtWork(stage):
        wait_until(lambda: gone(stage, rule))
    assert stage.queue.status().held == 0
    released = [[each for each, _, _ in events(stage, one)].count("released") for one in messages[::100]]
    assert released == [1] * 25


def test_a_message_in_delivery_is_released_too(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    [message] = stage.submit("a@example.com")
    store = stage.queue.store
    [claimed] = claim(store, engine(store, START), START)
    rule = stage.queue.hold_rules.add()
    assert stage.show(message).hold
    stage.queue.hold_rules.remove(rule.id, release=True)
    assert (stage.show(message).hold, stage.state(message)) == (False, "claimed")
    store.run(lambda transaction: transaction.put_back((claimed,)))
    stage.deliver()
    assert stage.outcomes(message) == ["delivered"]


# --- so many a minute ----------------------------------------------------------------------------
def test_paced_release_goes_on_through_restarts_and_never_catches_up(stage: Stage) -> None:
    messages = stage.submit(*(f"r{number}@example.com" for number in range(20)))
    rule = stage.queue.hold_rules.add()
    left = stage.queue.hold_rules.remove(rule.id, release=True, per_minute=6)
    assert left.next_at == to_datetime(START)
    assert len(held(stage, messages)) == 20, "engines do it"
    for after, freed in ((0, 1), (9, 1), (10, 2), (15, 2), (20, 3), (3600, 4), (3605, 4), (3610, 5)):
        stage.clock.advance(START + after * SECOND - stage.clock.now())
        stage.deliver()
        assert held(stage, messages) == messages[freed:], after
        assert stage.queue.hold_rules.show(rule.id).let_go == freed
    for _ in range(15):
        stage.deliver(timedelta(seconds=10))
    assert held(stage, messages) == []
    assert gone(stage, rule)


def test_alarm_is_set_for_the_next_step_of_a_paced_release(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    stage.submit("a@example.com", "b@example.com", "c@example.com")
    rule = stage.queue.hold_rules.add()
    with AtWork(stage) as engine:
        stage.queue.hold_rules.remove(rule.id, release=True, per_minute=2)
        for left in (2, 1):
            ring_until(engine, lambda left=left: stage.queue.hold_rules.held(rule.id) == left)  # type: ignore[misc]
            then = stage.clock.now() + 30 * SECOND
            assert stage.queue.hold_rules.show(rule.id).next_at == to_datetime(then)
            wait_until(lambda then=then: engine._timer.armed == then)  # type: ignore[misc]
            stage.clock.advance(30 * SECOND)
        ring_until(engine, lambda: gone(stage, rule))


def ring_until(engine: AtWork, condition: Callable[[], bool]) -> None:
    """Let the alarm ring when it is due, until something has come about."""

    def rung() -> bool:
        armed = engine._timer.armed
        if armed is not None and armed <= engine._clock.now() + SECOND // 10:
            engine.after(0)
        return condition()

    wait_until(rung)


def test_paced_release_keeps_its_pace_where_nothing_can_go_so_that_no_alarm_is_set(stage: Stage) -> None:
    messages = stage.submit("a@example.com", "b@example.com")
    rule = stage.queue.hold_rules.add()
    stage.queue.hold_rules.remove(rule.id, release=True, per_minute=60)
    with AtWork(stage) as engine:
        timer, running = engine._timer, engine.engine._running
        wait_until(lambda: len(held(stage, messages)) == 1)
        assert timer.armed is None
        stage.clock.advance(SECOND)
        asyncio.run_coroutine_threadsafe(timer.upkeep["hold rules"](), running._loop).result(20)
        assert held(stage, messages) == []


def test_several_engines_keep_to_the_pace_together(stage: Stage) -> None:
    messages = stage.submit(*(f"r{number}@example.com" for number in range(40)))
    rule = stage.queue.hold_rules.add()
    stage.queue.hold_rules.remove(rule.id, release=True, per_minute=120)

    left = []
    for _ in range(8):
        asyncio.run(see_to_ends_thrice(stage, lambda work: None))
        left.append(len(held(stage, messages)))
        stage.clock.advance(SECOND // 2)
    assert left == [38, 38, 36, 36, 34, 34, 32, 32]


def test_two_engines_at_work_let_go_as_many_as_one(stage: Stage) -> None:
    messages = stage.submit(*(f"r{number}@example.com" for number in range(20)))
    rule = stage.queue.hold_rules.add()
    with AtWork(stage) as one, AtWork(stage) as other:
        stage.queue.hold_rules.remove(rule.id, release=True, per_minute=60)
        for freed in range(1, 6):
            looks = [
                asyncio.run_coroutine_threadsafe(
                    each._timer.upkeep["hold rules"](), each.engine._running._loop
                )
                for each in (one, other, other, one)
            ]
            for look in looks:
                look.result(20)
            assert held(stage, messages) == messages[freed:]
            stage.clock.advance(SECOND)


def test_what_others_hold_as_well_costs_no_pace(stage: Stage) -> None:
    both = stage.submit(*(f"r{number}@example.net" for number in range(5)))
    [alone] = stage.submit("b@example.com")
    [last] = stage.submit("c@example.com")
    rule = stage.queue.hold_rules.add()
    other = stage.queue.hold_rules.add(recipient_domain="example.net")
    stage.queue.hold_rules.remove(rule.id, release=True, per_minute=1)
    stage.deliver()
    assert held(stage, [alone, last]) == [last]
    assert {mark.rule_id for each in both for mark in stage.show(each).holds} == {other.id}
    assert stage.queue.hold_rules.held(rule.id) == 1
    assert stage.queue.hold_rules.show(rule.id).let_go == 6


def test_paced_release_is_stopped_by_removing_the_rule_again(stage: Stage) -> None:
    messages = stage.submit(*(f"r{number}@example.com" for number in range(3)))
    rule = stage.queue.hold_rules.add(reason="odd")
    stage.queue.hold_rules.remove(rule.id, release=True, per_minute=1)
    stage.deliver()
    stage.queue.hold_rules.remove(rule.id, actor="ben", reason="not yet")
    assert gone(stage, rule)
    stage.deliver(HOUR)
    assert held(stage, messages) == messages[1:]
    [mark] = stage.show(messages[1]).holds
    assert (mark.by, mark.reason) == ("by hand", f"rule {rule.id}, removed since: odd")
    assert admin_events(stage.queue)[-1] == ("python:ben", "holdrules remove", "not yet")


def test_another_pace_does_not_let_messages_go_sooner_than_it_says(stage: Stage) -> None:
    messages = stage.submit(*(f"r{number}@example.com" for number in range(5)))
    rules = stage.queue.hold_rules
    rule = rules.add()
    rules.remove(rule.id, release=True, per_minute=1)
    stage.deliver()
    for _ in range(3):
        assert rules.remove(rule.id, release=True, per_minute=2).next_at == to_datetime(START + 30 * SECOND)
        stage.deliver()
    assert held(stage, messages) == messages[1:]
    stage.deliver(timedelta(seconds=30))
    assert held(stage, messages) == messages[2:]
    rules.remove(rule.id, release=True)
    assert held(stage, messages) == []
    assert gone(stage, rule)


def test_a_rule_that_ends_goes_when_its_last_messages_are_released_by_hand(stage: Stage) -> None:
    stage.submit("a@example.com", "b@example.com", "c@example.com")
    rule = stage.queue.hold_rules.add()
    stage.queue.hold_rules.remove(rule.id, release=True, per_minute=1)
    stage.deliver()
    stage.queue.release(all=True)
    stage.deliver(timedelta(minutes=1))
    assert gone(stage, rule)


def test_engine_that_is_killed_in_the_middle_leaves_the_rest_to_the_next(tmp_path: Path) -> None:
    clock = SharedClock(tmp_path / "clock")
    with Queue(tmp_path / "queue.db", clock=clock) as queue:
        recipients = [f"r{number}@example.com" for number in range(30)]
        messages = [each.id for each in queue.submit(MAIL, recipients=recipients).messages]
        rule = queue.hold_rules.add()
        queue.hold_rules.remove(rule.id, release=True, per_minute=60)
        for _ in range(2):
            with EngineProcess(tmp_path / "queue.db", clock=clock) as engine:
                wait_until(lambda: queue.hold_rules.show(rule.id).next_at > to_datetime(clock.now()))  # type: ignore[operator]
                engine.kill()
            clock.advance(timedelta(hours=1))
        assert queue.hold_rules.show(rule.id).let_go == 2
        assert queue.hold_rules.held(rule.id) == 28
        queue.hold_rules.remove(rule.id, release=True)
        assert queue.status().held == 0
        assert [sum(each.event == "released" for each in queue.events(one)) for one in messages] == [1] * 30
        assert queue.check_integrity() == []


# --- by their time -------------------------------------------------------------------------------
def test_a_rule_holds_nothing_new_from_its_end_on_though_no_engine_has_looked(stage: Stage) -> None:
    rule = stage.queue.hold_rules.add(until=HOUR, reason="maintenance")
    assert rule.until == to_datetime(START) + HOUR == rule.next_at
    [before] = stage.submit("a@example.com")
    stage.clock.advance(HOUR - timedelta(microseconds=1))
    [last] = stage.submit("b@example.com")
    stage.clock.advance(1)
    [after] = stage.submit("c@example.com")
    assert held(stage, [before, last, after]) == [before, last]
    assert stage.queue.hold_rules.list() == (rule,)


def test_what_a_rule_has_not_marked_yet_goes_from_its_end_on(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    [message] = stage.submit("a@example.com")
    rule = stage.queue.hold_rules.add(until=HOUR, recipient_domain="example.net")
    wanted = HoldRule(
        id=0,
        account_id=None,
        sender_domain=None,
        sender=None,
        recipient_domain="example.com",
        recipient=None,
        reason="",
        actor="cli:anna",
        created_at=to_datetime(START),
        marking=True,
        until=rule.until,
    )
    made = stage.queue.store.run(lambda transaction: transaction.add_hold_rule(wanted, START))
    stage.clock.advance(HOUR)
    marked = stage.queue.store.run(lambda transaction: transaction.mark_rule(made.id, stage.clock.now(), 100))
    assert (marked.changed, marked.after) == (0, None)
    stage.deliver()
    assert stage.state(message) == "delivered"
    assert stage.queue.hold_rules.list() == ()


def test_at_its_end_a_rule_releases_what_it_holds_and_the_alarm_rings_for_it(
    stage: Stage, receiver: Receiver
) -> None:
    stage.relay(receiver.port)
    [message] = stage.submit("a@example.com")
    with AtWork(stage) as engine:
        wait_until(lambda: stage.state(message) == "delivered")
        rule = stage.queue.hold_rules.add(until=HOUR, reason="maintenance")
        [message] = stage.submit("b@example.com")
        wait_until(lambda: engine._timer.armed == START + 3600 * SECOND)
        stage.clock.advance(HOUR)
        ring_until(engine, lambda: stage.state(message) == "delivered")
    why = f"hold rule {rule.id} has ended: maintenance"
    assert events(stage, message)[1] == ("released", None, why)
    assert admin_events(stage.queue)[0] == (None, "holdrules end", "maintenance")
    assert gone(stage, rule)


def test_at_its_end_a_rule_releases_so_many_a_minute_where_it_says_so(stage: Stage) -> None:
    messages = stage.submit(*(f"r{number}@example.com" for number in range(4)))
    end = datetime.fromtimestamp(START / SECOND, UTC) + HOUR
    rule = stage.queue.hold_rules.add(until=end, per_minute=2)
    for freed in (1, 2, 3, 4):
        stage.deliver(HOUR if freed == 1 else timedelta(seconds=30))
        assert held(stage, messages) == messages[freed:]
    assert gone(stage, rule)


def test_at_its_end_a_rule_fails_what_only_it_holds_with_a_notice(stage: Stage) -> None:
    stage.queue.accounts.set("default", notices="keep")
    alone, both = stage.submit("a@example.com", "b@example.net", sender="ann@example.org")
    other = stage.queue.hold_rules.add(recipient_domain="example.net")
    rule = stage.queue.hold_rules.add(until=HOUR, then="fail", reason="stolen password")
    stage.deliver(HOUR)
    assert stage.state(alone) == "failed"
    why = f"hold rule {rule.id} has ended: stolen password"
    assert [(each, actor, reason) for each, actor, reason in events(stage, alone)[-2:]] == [
        ("admin", None, why),
        ("failed", None, why),
    ]
    assert f"given up: {why}" in (stage.show(alone).last_error or "")
    assert "a@example.com" in stage.notice(alone)
    assert stage.queue.attempts(alone) == []
    assert [mark.rule_id for mark in stage.show(both).holds] == [other.id]
    assert gone(stage, rule)


def test_failing_goes_in_steps_by_several_engines_with_one_notice_for_each_submission(stage: Stage) -> None:
    submissions = [stage.submit(*(f"r{n}@example.com" for n in range(30))) for _ in range(10)]
    messages = [each for submission in submissions for each in submission]
    rule = stage.queue.hold_rules.add(until=HOUR, then=Then.FAIL)
    stage.clock.advance(HOUR)
    told: list[int] = []

    def tell(work: Work) -> None:
        told.extend(each.message.id for each in work.settlements)

    asyncio.run(see_to_ends_thrice(stage, tell))
    assert sorted(told) == messages, "each is told of once"
    assert {stage.state(each) for each in messages} == {"failed"}
    assert {len(stage.queue.notices(each)) for each in messages} == {1}
    assert gone(stage, rule)


def test_a_message_in_delivery_fails_at_the_end_of_its_rule_unless_it_is_delivered(
    stage: Stage, receiver: Receiver
) -> None:
    good, bad = stage.submit("a@example.com", "b@example.com")
    store = stage.queue.store
    claimed = claim(store, engine(store, START), START)
    rule = stage.queue.hold_rules.add(until=HOUR, then="fail")
    stage.clock.advance(HOUR)
    now = stage.clock.now()
    store.run(partial(holdrules._step, rule_id=rule.id, now=now))
    assert gone(stage, rule)
    store.run(lambda transaction: transaction.settle([delivered(claimed[0], now)], []))
    assert stage.state(good) == "delivered"
    settler = Settler(store, stage.clock, "mx.example.org")
    work = Work((deferred(claimed[1], now, again=now + SECOND),), ())
    with pytest.raises(Unheeded) as refused:
        store.run(lambda transaction: transaction.settle(work.settlements, work.notices))
    again = settler.again(work, refused.value)
    store.run(lambda transaction: transaction.settle(again.settlements, again.notices))
    assert stage.state(bad) == "failed"
    assert events(stage, bad)[-1][1:] == (None, f"hold rule {rule.id} has ended")


def test_what_somebody_keeps_while_it_is_to_fail_does_not_fail(stage: Stage) -> None:
    """Between the look at a message and the write, somebody holds it by hand, or removes the rule."""
    kept, failed = stage.submit("a@example.com", "b@example.com")
    rule = stage.queue.hold_rules.add(until=HOUR, then="fail")
    stage.clock.advance(HOUR)
    now, store = stage.clock.now(), stage.queue.store
    lifted = store.run(partial(holdrules._step, rule_id=rule.id, now=now))
    assert lifted is not None
    assert lifted.failing == (kept, failed)
    stage.queue.hold(kept)
    settler = Settler(store, stage.clock, "mx.example.org")
    asyncio.run(holdrules._fail(store, settler, lifted, lambda work: pytest.fail("nothing has failed")))
    assert held(stage, [kept, failed]) == [kept, failed]
    stage.deliver()
    assert [stage.state(each) for each in (kept, failed)] == ["queued", "failed"]
    assert [mark.by for mark in stage.show(kept).holds] == ["by hand"]


def test_at_its_end_a_rule_leaves_its_messages_on_hold_where_it_says_so(stage: Stage) -> None:
    [message] = stage.submit("a@example.com")
    rule = stage.queue.hold_rules.add(until=HOUR, then="keep", reason="odd")
    stage.deliver(HOUR)
    assert gone(stage, rule)
    [mark] = stage.show(message).holds
    assert (mark.by, mark.reason) == ("by hand", f"rule {rule.id}, removed since: odd")
    assert admin_events(stage.queue) == [(None, "holdrules end", "odd")]


def test_a_rule_of_which_the_end_has_begun_can_be_given_another(stage: Stage) -> None:
    messages = stage.submit(*(f"r{number}@example.com" for number in range(150)))
    rule = stage.queue.hold_rules.add(until=HOUR, then="fail")
    stage.clock.advance(HOUR)
    store = stage.queue.store
    store.run(partial(holdrules._step, rule_id=rule.id, now=stage.clock.now()))
    stage.queue.hold_rules.remove(rule.id, release=True, actor="ben")
    assert {stage.state(each) for each in messages} == {"queued"}
    assert held(stage, messages) == []


def test_notice_for_a_sender_whose_rule_has_just_gone_is_not_held(stage: Stage, receiver: Receiver) -> None:
    stage.queue.accounts.set("default", notices="queue")
    stage.relay(receiver.port)
    [message] = stage.submit("a@example.com", sender="ann@example.org")
    keeps = stage.queue.hold_rules.add(recipient_domain="example.org", until=HOUR, then="keep")
    fails = stage.queue.hold_rules.add(until=HOUR, then="fail", sender="ann@example.org")
    stage.deliver(HOUR)
    assert stage.state(message) == "failed"
    assert gone(stage, keeps)
    assert gone(stage, fails)
    assert [each.recipient for each in stage.queue.retired.list(recipient="ann@example.org").items] == [
        "ann@example.org"
    ]


# --- what is refused, and what is told -----------------------------------------------------------
@pytest.mark.parametrize(
    ("end", "told"),
    [
        ({"until": timedelta(0)}, "until: must be in the future"),
        ({"until": datetime(2020, 1, 1, tzinfo=UTC)}, "until: must be in the future"),
        ({"until": datetime(2030, 1, 1)}, "until: .*time zone"),
        ({"until": HOUR, "then": "drop"}, "then: must be one of release, fail, keep"),
        ({"then": "fail"}, "give until"),
        ({"per_minute": 5}, "goes with until"),
        ({"until": HOUR, "then": "fail", "per_minute": 5}, "goes with until, and then release"),
        ({"until": HOUR, "per_minute": 0}, "per-minute: must be 1 to 60000"),
        ({"until": HOUR, "per_minute": 60_001}, "per-minute: must be 1 to 60000"),
    ],
)
def test_an_end_that_cannot_be_is_refused(stage: Stage, end: dict[str, object], told: str) -> None:
    with pytest.raises(SettingError, match=told):
        stage.queue.hold_rules.add(**end)  # type: ignore[arg-type]
    assert stage.queue.hold_rules.list() == ()


def test_a_removal_that_cannot_be_is_refused(stage: Stage) -> None:
    rule = stage.queue.hold_rules.add()
    with pytest.raises(SettingError, match="per-minute: goes with release"):
        stage.queue.hold_rules.remove(rule.id, per_minute=3)
    with pytest.raises(SettingError, match="per-minute: must be 1 to 60000"):
        stage.queue.hold_rules.remove(rule.id, release=True, per_minute=0)
    with pytest.raises(NotFound, match="no hold rule 9"):
        stage.queue.hold_rules.remove(9, release=True)
    assert stage.queue.hold_rules.list() == (rule,)


def test_explain_tells_when_a_rule_lets_go_of_a_message_and_what_becomes_of_it(stage: Stage) -> None:
    rules, explain = stage.queue.hold_rules, stage.queue.explain
    messages = stage.submit(*(f"r{number}@example.com" for number in range(5)))
    end = to_datetime(START) + HOUR

    def told(message: int = messages[0]) -> tuple[str, datetime | None]:
        gate = explain(message).gates[0]
        return gate.text.partition(" (python) ")[2], gate.until

    for then, opens, words in (
        ("release", end, "until 2027-01-15 09:00:00Z, when it is released"),
        ("fail", None, "until 2027-01-15 09:00:00Z, when it fails if nothing else holds it"),
        ("keep", None, "until 2027-01-15 09:00:00Z, when it stays on hold by hand"),
    ):
        rule = rules.add(until=HOUR, then=then)
        assert told() == (words, opens)
        rules.remove(rule.id, release=True)
    rule = rules.add(until=HOUR, per_minute=2)
    assert told(messages[4]) == (
        "until 2027-01-15 09:02:00Z or so, when it is released, as 2 a minute are",
        end + timedelta(minutes=2),
    )
    rules.remove(rule.id, release=True, per_minute=1)
    stage.deliver()
    assert told(messages[1])[1] == to_datetime(START) + timedelta(minutes=1)
    assert told(messages[4])[1] == to_datetime(START) + timedelta(minutes=4)
    stage.queue.hold(messages[4])
    assert explain(messages[4]).gates[0].until is None
    other = rules.add(until=timedelta(minutes=5), then="fail")
    assert explain(messages[1]).gates[0].until is None, "the last to let go of it lets it fail"
    assert f"by rule {other.id}" in explain(messages[1]).summary


def test_status_knows_when_a_rule_ends(stage: Stage) -> None:
    stage.queue.hold_rules.add(until=HOUR)
    stage.submit("a@example.com")
    assert stage.queue.status().next_attempt_at == to_datetime(START) + HOUR


# --- whatever holds what -------------------------------------------------------------------------
DOMAINS = ["example.com", "example.net", "example.org"]
ends = st.sampled_from(["keep", "release", "paced", "stopped", "time", "time-fail", "time-keep"])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    mails=st.lists(st.sampled_from(DOMAINS), min_size=1, max_size=6),
    rules=st.lists(st.tuples(st.none() | st.sampled_from(DOMAINS), ends), min_size=1, max_size=4),
    by_hand=st.sets(st.integers(0, 5)),
)
def test_a_message_is_free_once_nothing_holds_it_and_fails_only_where_one_rule_alone_does(
    mails: list[str], rules: list[tuple[str | None, str]], by_hand: set[int]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        stage = Stage(Path(folder) / "queue.db")
        messages = [stage.submit(f"r@{domain}")[0] for domain in mails]
        marks = {each: set[object]() for each in messages}
        failed = set[int]()
        for number in by_hand & set(range(len(mails))):
            stage.queue.hold(messages[number])
            marks[messages[number]].add("hand")
        for domain, end in rules:
            then = end.partition("-")[2] or "release"
            until = {"until": HOUR, "then": then} if end.startswith("time") else {}
            rule = stage.queue.hold_rules.add(recipient_domain=domain, **until)
            mine = [
                each
                for each, of in zip(messages, mails, strict=True)
                if domain in (None, of) and each not in failed
            ]
            for each in mine:
                marks[each].add(rule.id)
            alone = [each for each in mine if marks[each] == {rule.id}]
            match end:
                case "keep" | "time-keep":
                    mine = []
                case "time-fail":
                    failed |= set(alone)
                case "stopped":  # the first is released, and what others hold as well before the second
                    mine = mine[: mine.index(alone[1])] if len(alone) > 1 else mine
            for each in mine:
                marks[each].discard(rule.id)
            if end.startswith("time"):
                stage.deliver(HOUR)
            else:
                pace = 60 if end in ("paced", "stopped") else None
                stage.queue.hold_rules.remove(rule.id, release=end != "keep", per_minute=pace)
            if end == "paced":
                for _ in alone:
                    stage.deliver(timedelta(seconds=1))
                stage.deliver()
            elif end == "stopped":
                stage.deliver()
                if not gone(stage, rule):
                    stage.queue.hold_rules.remove(rule.id)
            assert gone(stage, rule)
        assert {each for each in messages if stage.state(each) == "failed"} == failed
        for each in messages:
            left = 0 if each in failed else len(marks[each])
            assert len(stage.show(each).holds) == left
        stage.close()
