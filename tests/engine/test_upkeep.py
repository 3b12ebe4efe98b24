"""What an engine does beside delivering: delay notices, purging, others' claims, marks, signs of life."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from support.clock import START, ManualTimer
from support.stage import MAIL, Stage
from support.trouble import in_trouble

from mailqueue.clock import DAY, HOUR, SECOND, to_datetime
from mailqueue.engine import liveness
from mailqueue.errors import NotFound
from mailqueue.model.engine import Identity
from mailqueue.model.message import Claimed
from mailqueue.model.rules import HoldRule
from mailqueue.store.base import ClaimRequest

MINUTES = timedelta(minutes=1)
ELSEWHERE = Identity(host="elsewhere", pid=1, process_start="", boot_id="", pid_namespace="")


@asynccontextmanager
async def at_work(stage: Stage, **settings: Any) -> AsyncIterator[ManualTimer]:
    """Let an engine work in this loop; its timer is in the test's hands."""
    timer = ManualTimer(stage.clock)
    engine = stage.new_engine(timer=timer, **settings)
    running = asyncio.create_task(engine.run())
    await until(lambda: bool(stage.queue.status().engines) and "sweep" in timer.upkeep)
    try:
        yield timer
    finally:
        engine.stop()
        await running


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


def sweep(stage: Stage, after: timedelta) -> None:
    """Let time pass, and an engine do its upkeep then."""
    stage.clock.advance(after)

    async def story() -> None:
        async with at_work(stage) as timer:
            await timer.upkeep["sweep"]()

    asyncio.run(story())


# --- delay notices -------------------------------------------------------------------------------
@pytest.fixture
def late(stage: Stage, receiver) -> int:
    """A message of 140 minutes that was tried three times, and is tried again after eight hours."""
    stage.relay(receiver.port)
    stage.queue.schedules.add(
        "steps", "1h, 1h, 6h*", lifetime=timedelta(days=5), warn_after=timedelta(hours=4)
    )
    receiver.at_rcpt = {"slow": ["450 4.2.0 Later"]}
    [message] = stage.submit("slow@example.com", schedule="steps")
    stage.deliver()
    stage.deliver(70 * MINUTES)  # a step may become a tenth longer
    stage.deliver(70 * MINUTES)
    assert len(stage.outcomes(message)) == 3
    return message


def test_delay_notice_is_given_once_after_four_hours_though_no_attempt_falls_there(stage: Stage, late):
    async def story() -> None:
        async with at_work(stage) as timer:
            await until(lambda: timer.armed is not None)
            assert timer.armed == START + 4 * HOUR, "the alarm is set for the notice"
            stage.clock.advance(99 * MINUTES)
            timer.ring()
            await asyncio.sleep(0.05)
            assert stage.queue.notices(late) == []
            for _ in range(3):
                stage.clock.advance(1 * MINUTES)
                timer.ring()
                await until(lambda: len(stage.queue.notices(late)) == 1)

    asyncio.run(story())
    assert len(stage.outcomes(late)) == 3, "nothing was tried meanwhile"
    [event] = [each for each in stage.queue.events(late) if each.notice_id is not None]
    assert (event.event, event.notice_id) == ("delayed", stage.queue.notices(late)[0].id)
    stage.deliver(timedelta(hours=5))
    assert len(stage.outcomes(late)) == 4
    notice = stage.notice(late)
    assert "Action: delayed" in notice
    assert "450 4.2.0 Later" in notice
    assert "Will-Retry-Until: Wed, 20 Jan 2027 08:00:00 +0000" in notice


def test_delay_notice_comes_with_the_attempt_that_fails_after_four_hours(stage: Stage, late):
    stage.deliver(timedelta(hours=7))
    assert len(stage.outcomes(late)) == 4
    assert [each.kind for each in stage.queue.notices(late)] == ["delayed"]


def test_delay_notice_waits_while_its_message_is_on_hold(stage: Stage, late):
    stage.queue.hold(late)
    stage.deliver(timedelta(hours=2))
    assert stage.queue.notices(late) == []
    stage.queue.release(late)
    stage.deliver()
    assert [each.kind for each in stage.queue.notices(late)] == ["delayed"]


def test_no_delay_notice_where_the_account_wants_none(stage: Stage, late):
    stage.queue.accounts.set("default", notices="none")
    stage.deliver(timedelta(hours=2))
    stage.queue.accounts.set("default", notices="keep")
    stage.deliver(timedelta(minutes=1))
    assert stage.queue.notices(late) == []


def test_one_delay_notice_tells_of_all_recipients_of_a_submission(stage: Stage, receiver):
    stage.relay(receiver.port)
    messages = stage.submit("full@example.com", "full-2@example.com", "ben@example.com")
    stage.deliver()
    stage.deliver(timedelta(hours=2))
    stage.deliver(timedelta(hours=2))
    [notice] = stage.queue.notices(messages[0])
    assert stage.queue.notices(messages[1]) == [notice]
    told = notice.content.decode()
    assert "rfc822; full@example.com" in told
    assert "rfc822; full-2@example.com" in told
    assert "rfc822; ben@example.com" not in told
    assert stage.queue.notices(messages[2]) == []


# --- purging -------------------------------------------------------------------------------------
def test_history_goes_when_the_retention_of_its_account_is_over(stage: Stage, receiver):
    stage.relay(receiver.port)
    stage.queue.accounts.add("brief")
    stage.queue.accounts.set("brief", retention=timedelta(days=1))
    [brief] = stage.submit("unknown@example.com", account="brief")
    [kept] = stage.submit("ben@example.com")
    stage.deliver()
    sweep(stage, timedelta(hours=23))
    assert stage.state(brief) == "failed"
    sweep(stage, timedelta(hours=2))
    for gone in (stage.show, stage.queue.attempts, stage.queue.notices, stage.queue.dump):
        with pytest.raises(NotFound):
            gone(brief)
    assert stage.state(kept) == "delivered"
    sweep(stage, timedelta(days=27))
    assert stage.state(kept) == "delivered"
    sweep(stage, timedelta(days=3))
    with pytest.raises(NotFound):
        stage.show(kept)
    assert stage.submit("ben@example.com") == [kept + 1], "ids are not used again"


def test_much_history_goes_in_one_sweep(stage: Stage, receiver):
    stage.relay(receiver.port)
    stage.submit(*(f"r{number}@example.com" for number in range(450)))
    stage.deliver()
    sweep(stage, timedelta(days=31))
    assert stage.queue.retired.list().items == ()


def test_delivered_content_goes_at_once_and_dump_says_so(stage: Stage, receiver):
    stage.relay(receiver.port)
    [message] = stage.submit("ben@example.com")
    assert stage.queue.dump(message).endswith(b"\r\n\r\nHello, it is me.\r\n")
    stage.deliver()
    with pytest.raises(NotFound, match="purged at 2027-01-15T08:00:00"):
        stage.queue.dump(message)


def test_content_stays_while_a_recipient_needs_it_and_seven_days_after_a_failure(stage: Stage, receiver):
    stage.relay(receiver.port)
    delivered, failed, waiting = stage.submit("a@example.com", "unknown@example.com", "full@example.com")
    stage.deliver()
    assert [stage.state(each) for each in (delivered, failed, waiting)] == ["delivered", "failed", "queued"]
    sweep(stage, timedelta(days=4))
    assert stage.queue.dump(delivered) == stage.queue.dump(waiting)
    stage.deliver(timedelta(days=2))  # over five days: this is its last
    assert stage.state(waiting) == "expired"
    sweep(stage, timedelta(days=6, hours=23))
    assert stage.queue.dump(failed)
    sweep(stage, timedelta(hours=2))
    with pytest.raises(NotFound, match="purged at 2027-01-28T09:00:00"):
        stage.queue.dump(failed)
    assert stage.state(failed) == "failed"
    assert "Hello, it is me." in stage.queue.notices(failed)[0].content.decode(), (
        "the notice has its own copy"
    )


def test_content_is_kept_for_as_long_as_the_account_says(stage: Stage, receiver):
    stage.relay(receiver.port)
    stage.queue.accounts.set("default", keep_content=timedelta(0))
    [message] = stage.submit("unknown@example.com")
    stage.deliver()
    sweep(stage, timedelta(seconds=1))
    with pytest.raises(NotFound, match="purged"):
        stage.queue.dump(message)


def test_idempotency_keys_are_kept_for_a_day(stage: Stage):
    first = stage.queue.submit(MAIL, idempotency_key="order-7")
    sweep(stage, timedelta(hours=23, minutes=59))
    assert stage.queue.submit(MAIL, idempotency_key="order-7") == replace(first, replayed=True)
    sweep(stage, timedelta(minutes=2))
    assert not stage.queue.submit(MAIL, idempotency_key="order-7").replayed


def test_content_that_no_submission_took_goes_after_an_hour(stage: Stage):
    store = stage.queue.store
    content = store.run(lambda tx: tx.begin_content(600_000, stage.clock.now()))
    store.run(lambda tx: tx.append_content(content, 0, b"x" * 1000))
    sweep(stage, timedelta(minutes=59))
    assert store.read(lambda reader: reader.content_chunk(content, 0))
    sweep(stage, timedelta(minutes=2))
    with pytest.raises(NotFound):
        store.read(lambda reader: reader.content_chunk(content, 0))


def test_destination_that_is_well_is_forgotten_after_a_day(stage: Stage):
    in_trouble(stage.queue, "relay mx:25", failures=0, blocked_until=None)
    sweep(stage, timedelta(hours=23))
    assert stage.queue.destinations.show("relay mx:25").failures == 0
    sweep(stage, timedelta(hours=2))
    with pytest.raises(NotFound):
        stage.queue.destinations.show("relay mx:25")


def test_trouble_with_a_destination_that_nobody_tries_any_more_is_over_after_a_day(stage: Stage):
    in_trouble(stage.queue, "relay old:25")
    in_trouble(stage.queue, "relay new:25", blocked_until=stage.clock.now() + DAY)
    sweep(stage, timedelta(hours=24))
    assert len(stage.queue.destinations.list()) == 2
    sweep(stage, timedelta(minutes=2))
    assert [each.name for each in stage.queue.destinations.list()] == ["relay new:25"]
    assert stage.queue.destinations.show("relay old:25").last_error == "451 4.4.1 no connection"


# --- what other engines left ---------------------------------------------------------------------
def claimed_by(stage: Stage, identity: Identity) -> list[Claimed]:
    """Let an engine of another process claim all that is due, and say no more."""

    def job(tx: Any) -> list[Claimed]:
        engine = tx.register_engine(identity, stage.clock.now())
        request = ClaimRequest(
            engine_id=engine, now=stage.clock.now(), limit=100, per_lane=100, room=(100,) * 3
        )
        return tx.claim(request)

    return stage.queue.store.run(job)


def test_claims_of_an_engine_without_a_sign_of_life_return_and_are_due_at_their_fallback(stage, receiver):
    stage.relay(receiver.port)
    [message] = stage.submit("unknown@example.com")
    assert len(claimed_by(stage, ELSEWHERE)) == 1
    sweep(stage, timedelta(seconds=59))
    assert stage.state(message) == "claimed"
    sweep(stage, timedelta(seconds=2))
    assert (stage.state(message), stage.outcomes(message)) == ("queued", ["interrupted"])
    assert "may have the message or not" in (stage.show(message).last_error or "")
    stage.deliver()
    assert stage.outcomes(message) == ["interrupted"], "it is not tried at once"
    assert stage.show(message).next_attempt_at == stage.show(message).submitted_at + 5 * MINUTES
    stage.deliver(5 * MINUTES)
    assert stage.outcomes(message) == ["interrupted", "failed"]
    assert "may have arrived" in " ".join(stage.notice(message).split())


def test_claims_return_at_once_when_the_process_is_gone_from_this_machine(stage: Stage):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    here = liveness.this_process()
    there = replace(here, pid=process.pid, process_start=liveness._process_start(process.pid))
    [message] = stage.submit("ben@example.com")
    stage.queue.hold_rules.add(recipient_domain="elsewhere.example")
    claimed_by(stage, there)
    sweep(stage, timedelta(seconds=1))
    assert stage.state(message) == "claimed"
    process.communicate(b"\n")
    sweep(stage, timedelta(seconds=1))
    assert (stage.state(message), stage.outcomes(message)) == ("queued", ["interrupted"])


def test_an_engine_takes_over_before_it_begins(stage: Stage, receiver):
    stage.relay(receiver.port)
    [message] = stage.submit("ben@example.com")
    claimed_by(stage, ELSEWHERE)
    stage.deliver(6 * MINUTES)
    assert stage.outcomes(message) == ["interrupted", "delivered"]


def test_a_settlement_that_comes_too_late_adds_its_attempt_and_a_delivery_counts_all_the_same(
    stage: Stage, receiver
):
    """The engine is buried while its receiver sits on two final dots; one is taken then, one refused."""
    receiver.final_delay = 0.5
    receiver.at_data = {"refused": ["550 5.7.1 No"]}
    stage.relay(receiver.port)
    delivered, refused = stage.submit("ben@example.com")[0], stage.submit("refused@example.com")[0]

    async def story() -> None:
        async with at_work(stage):
            await until(lambda: len(receiver.messages) == 2)
            [engine] = stage.queue.status().engines
            stage.queue.store.run(lambda tx: tx.bury_engine(engine.id, stage.clock.now()))
            assert stage.state(delivered) == stage.state(refused) == "queued"
            await until(lambda: len(stage.outcomes(delivered)) == len(stage.outcomes(refused)) == 2)

    asyncio.run(story())
    assert (stage.state(delivered), stage.outcomes(delivered)) == ("delivered", ["interrupted", "delivered"])
    assert (stage.state(refused), stage.outcomes(refused)) == ("queued", ["interrupted", "failed"])
    assert stage.queue.notices(refused) == [], "it is not over"


# --- signs of life -------------------------------------------------------------------------------
def test_a_buried_engine_begins_anew_and_sends_nothing_under_its_old_claims(stage: Stage, receiver):
    receiver.final_delay = 60
    stage.relay(receiver.port)
    [first, *others] = (stage.submit("ben@example.com")[0] for _ in range(5))

    async def story() -> None:
        async with at_work(stage, connections=1) as timer:
            await until(lambda: len(receiver.messages) == 1 and stage.queue.status().claimed == 5)
            [engine] = stage.queue.status().engines
            stage.queue.store.run(lambda tx: tx.bury_engine(engine.id, stage.clock.now()))
            receiver.final_delay = 0
            await timer.upkeep["heartbeat"]()
            await until(lambda: stage.outcomes(first) == ["interrupted", "uncertain"])
            [anew] = stage.queue.status().engines
            assert anew.id > engine.id
            assert len(receiver.messages) == 1
            stage.clock.advance(6 * MINUTES)
            timer.ring()
            await until(lambda: {stage.state(each) for each in (first, *others)} == {"delivered"})

    asyncio.run(story())
    times = Counter(got.message_id for got in receiver.messages)
    assert times.pop(stage.show(first).message_id) == 2
    assert set(times.values()) == {1}


def test_without_a_sign_of_life_for_too_long_no_final_dot_is_sent(stage: Stage, receiver):
    stage.relay(receiver.port)

    async def story() -> None:
        async with at_work(stage, heartbeat=0.01, dot_guard=0.02) as timer:
            await asyncio.sleep(0.03)  # nobody rings for the heartbeat
            [message] = stage.submit("ben@example.com")
            await until(lambda: bool(stage.outcomes(message)))
            assert (stage.attempt(message).outcome, stage.attempt(message).category) == (
                "deferred",
                "interrupted",
            )
            assert receiver.messages == []
            assert timer.upkeep.keys() >= {"heartbeat", "look", "sweep"}

    asyncio.run(story())


def test_signs_of_life_are_written(stage: Stage):
    async def story() -> None:
        async with at_work(stage) as timer:
            stage.clock.advance(10 * SECOND)
            await timer.upkeep["heartbeat"]()
            [engine] = stage.queue.status().engines
            assert engine.heartbeat_at - engine.started_at == timedelta(seconds=10)

    asyncio.run(story())


# --- marks ---------------------------------------------------------------------------------------
def test_marking_goes_on_where_the_maker_of_a_hold_rule_left_off(stage: Stage, receiver):
    """The maker's process died right after the commit that made the rule: it acts, and marks nothing yet."""
    messages = stage.submit(*(f"r{number}@example.com" for number in range(2500)))
    [other] = stage.submit("ben@example.net")
    wanted = HoldRule(
        id=0,
        account_id=None,
        sender_domain=None,
        sender=None,
        recipient_domain="example.com",
        recipient=None,
        reason="odd",
        actor="cli:anna",
        created_at=to_datetime(stage.clock.now()),
        marking=True,
    )
    rule = stage.queue.store.run(lambda tx: tx.add_hold_rule(wanted, stage.clock.now()))
    assert stage.queue.hold_rules.show(rule.id).marking
    assert stage.queue.status().held == 0
    stage.relay(receiver.port)
    sweep(stage, timedelta(seconds=1))
    assert not stage.queue.hold_rules.show(rule.id).marking
    assert stage.queue.status().held == 2500
    assert {stage.show(each).attempts for each in messages[::250]} == {0}
    assert [hold.rule_id for hold in stage.show(messages[-1]).holds] == [rule.id]
    stage.deliver()
    assert stage.state(other) == "delivered"
    assert len(receiver.messages) == 1
