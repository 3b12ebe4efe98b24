"""An engine at work: what changes under it, what goes wrong in it, and how it ends."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from support.dns_server import DnsServer
from support.receiver import Receiver
from support.smtp_server import Peer
from support.stage import MAIL, ServerAt, Stage, wait_until

from mailqueue import AsyncQueue, Engine, Queue
from mailqueue.errors import StoreError
from mailqueue.model.settlement import Settlement
from mailqueue.net.hosts import MxHost, NextHops
from mailqueue.net.resolver import Resolver


@pytest.fixture
def queue(tmp_path) -> Iterator[Queue]:
    with Queue(tmp_path / "running.db") as opened:
        yield opened
        assert opened.check_integrity() == []


@pytest.fixture
def elsewhere(queue) -> Iterator[Queue]:
    """The same file, opened by somebody else."""
    with Queue(queue.path) as opened:
        yield opened


@pytest.fixture
def started(queue) -> Iterator[Any]:
    """Start engines; stop those that the test leaves running."""
    engines: list[Engine] = []

    def start(**settings: Any) -> Engine:
        engine = Engine(queue, **settings)
        engines.append(engine)
        engine.start()
        return engine

    yield start
    for engine in engines:
        engine.stop()


def submit(queue: Queue, *recipients: str, **more: Any) -> list[int]:
    made = queue.submit(MAIL, recipients=recipients or ["ben@example.com"], **more)
    return [message.id for message in made.messages]


def state(queue: Queue, message: int) -> str:
    return queue.show(message).state.value


def outcomes(queue: Queue, message: int) -> list[str]:
    return [attempt.outcome.value for attempt in queue.attempts(message)]


def wait_delivered(queue: Queue, *messages: int) -> None:
    wait_until(lambda: all(state(queue, each) == "delivered" for each in messages))


def at(receiver: Receiver) -> str:
    return f"127.0.0.1:{receiver.port}"


def execute(queue: Queue, statement: str) -> None:
    """Do something to the file that no verb does."""
    with closing(sqlite3.connect(queue.path, isolation_level=None)) as connection:
        connection.execute(statement)


# --- what changes under it -----------------------------------------------------------------------
def test_mail_that_waits_for_a_transport_goes_when_there_is_one(queue, elsewhere, receiver, started, caplog):
    [message] = submit(queue)
    started()
    wait_until(lambda: "no transport" in caplog.text)
    elsewhere.transports.add("relay", kind="relay", host="127.0.0.1", port=receiver.port)
    wait_delivered(queue, message)
    assert caplog.text.count("no transport") == 1


def test_mail_submitted_elsewhere_is_taken(queue, elsewhere, receiver, started):
    started(relay=at(receiver))
    for _ in range(3):
        wait_delivered(queue, *submit(elsewhere))


def test_a_changed_transport_and_a_new_route_act_on_the_next_message(queue, elsewhere, receiver, started):
    with Receiver() as moved, Receiver() as routed:
        elsewhere.transports.add("relay", kind="relay", host="127.0.0.1", port=receiver.port)
        started()
        wait_delivered(queue, *submit(queue))
        elsewhere.transports.set("relay", port=moved.port)
        wait_delivered(queue, *submit(elsewhere))
        elsewhere.transports.add("other", kind="relay", host="127.0.0.1", port=routed.port)
        elsewhere.routes.add("other", recipient_domain="example.com")
        wait_delivered(queue, *submit(elsewhere))
        assert [len(each.messages) for each in (receiver, moved, routed)] == [1, 1, 1]


def test_a_hold_rule_holds_and_a_release_frees(queue, elsewhere, receiver, started):
    started(relay=at(receiver))
    elsewhere.hold_rules.add(recipient_domain="example.com")
    [held] = submit(queue, "ben@example.com")
    wait_delivered(queue, *submit(queue, "ben@example.net"))
    assert (queue.show(held).hold, queue.show(held).attempts) == (True, 0)
    elsewhere.release(held)
    wait_delivered(queue, held)


def test_a_message_by_hand_on_hold_is_left_alone_until_released(queue, elsewhere, receiver, started):
    [held] = submit(queue)
    elsewhere.hold(held)
    started(relay=at(receiver))
    wait_delivered(queue, *submit(queue, "ben@example.net"))
    assert queue.show(held).attempts == 0
    elsewhere.release(held)
    wait_delivered(queue, held)


def test_the_alarm_brings_the_next_try(queue, receiver, started):
    queue.schedules.add("short", "0.1s*", lifetime=timedelta(hours=1))
    started(relay=at(receiver))
    [message] = submit(queue, "greylist@example.com", schedule="short")
    wait_delivered(queue, message)
    assert outcomes(queue, message) == ["deferred", "delivered"]


# --- what goes wrong in it -----------------------------------------------------------------------
def test_a_listener_that_fails_stops_nothing(queue, receiver, started, caplog):
    heard: list[int] = []

    def listener(settlement: Settlement) -> None:
        heard.append(settlement.message.id)
        raise ValueError("not now")

    started(relay=at(receiver), listener=listener)
    first = submit(queue)
    wait_delivered(queue, *first)
    second = submit(queue)
    wait_delivered(queue, *second)
    wait_until(lambda: len(heard) == 2)
    assert heard == first + second
    assert caplog.text.count("the listener failed at message") == 2


class Odd(Resolver):
    """A resolver that does what none should."""

    async def addresses(self, host: str) -> Any:
        raise ZeroDivisionError("a fault of ours")

    async def route(self, domain: str, *, allow_private: bool = False) -> Any:
        name = "mx\udcff.example" if domain == "odd.example" else "mx.example"
        host = MxHost(name=name, addresses=("127.0.0.1",), preference=0)
        return NextHops(domain=domain, hosts=(host,), key=name, implicit=True, authentic=False)


def test_a_fault_inside_an_attempt_defers_the_message(stage: Stage, receiver, caplog):
    stage.relay(receiver.port)
    [message] = stage.submit("ben@example.com")
    stage.deliver(resolver=Odd())
    assert stage.attempt(message).outcome == "deferred"
    assert "ZeroDivisionError" in (stage.attempt(message).error or "")
    assert "a fault of ours in an attempt" in caplog.text
    stage.deliver(timedelta(hours=1))
    assert stage.state(message) == "delivered"


def test_content_that_is_gone_defers_the_message_and_the_connection_is_used_on(tmp_path, receiver):
    stage = Stage(tmp_path / "queue.db")
    stage.relay(receiver.port)
    first, lost, last = (stage.submit("ben@example.com", account="default")[0] for _ in range(3))
    execute(stage.queue, "UPDATE mailqueue_content SET data = NULL, purged_at = 1 WHERE id = 2")
    stage.deliver(connections=1)
    assert [stage.state(each) for each in (first, lost, last)] == ["delivered", "queued", "delivered"]
    assert "its content is not to be had" in (stage.show(lost).last_error or "")
    assert receiver.connections == 1
    assert len(stage.queue.check_integrity()) == 1
    stage.queue.close()


def test_one_settlement_that_the_database_refuses_holds_up_no_other(queue, receiver, started, caplog):
    messages = [submit(queue)[0] for _ in range(4)]
    execute(
        queue,
        "CREATE TRIGGER refuse BEFORE INSERT ON mailqueue_attempt WHEN new.message_id = 2 "
        "BEGIN SELECT RAISE(ABORT, 'not this one'); END",
    )
    started(relay=at(receiver))
    wait_delivered(queue, *(each for each in messages if each != 2))
    wait_until(lambda: "message 2 cannot be settled yet" in caplog.text)
    assert state(queue, 2) == "claimed"
    execute(queue, "DROP TRIGGER refuse")
    wait_delivered(queue, 2)
    assert outcomes(queue, 2) == ["delivered"]
    assert len(receiver.messages) == 4


def test_a_settlement_that_makes_us_fail_is_left_to_the_next_engine(queue, receiver, started, caplog):
    queue.transports.add("mx", kind="direct", port=receiver.port, allow_private=True)
    [odd] = submit(queue, "ben@odd.example")
    others = [submit(queue, "ben@even.example")[0] for _ in range(3)]
    engine = started(resolver=Odd())
    wait_delivered(queue, *others)
    wait_until(lambda: f"message {odd} cannot be settled" in caplog.text)
    wait_delivered(queue, *submit(queue, "ben@even.example"))
    engine.stop()
    assert outcomes(queue, odd) == ["interrupted"], "it was sent, and nobody could write it down"
    assert state(queue, odd) == "queued"


NONSENSE = b"550-5.1.1 Gr\xc3\xbc\xc3\x9fe\r\n550-5.1.1 \xff\xfe \x00 \x1b[2J\r\n550 5.1.1 \xe4\r\n"


def test_whatever_octets_a_server_answers_are_kept_and_told(stage: Stage):
    def script(peer: Peer) -> None:
        peer.greets()
        peer.hears("MAIL")
        peer.says("250 ok")
        peer.hears("RCPT")
        peer.sends(NONSENSE)
        while peer.hears() != "QUIT":
            peer.says("250 ok")
        peer.says("221 bye")

    with ServerAt("127.0.0.1", 0, script) as server:
        stage.relay(server.port)
        [message] = stage.submit("ben@example.com")
        stage.deliver()
    assert stage.state(message) == "failed"
    assert "Grüße" in (stage.attempt(message).reply or "")
    assert len(stage.queue.notices(message)) == 1


# --- how it ends ---------------------------------------------------------------------------------
def test_what_is_being_tried_when_it_stops_is_finished(queue, receiver, started):
    receiver.final_delay = 0.3
    engine = started(relay=at(receiver))
    [message] = submit(queue)
    receiver.wait(1)
    engine.stop()
    assert outcomes(queue, message) == ["delivered"]
    assert queue.status().engines == ()


def test_a_dot_that_is_not_answered_in_time_leaves_the_message_uncertain(queue, receiver, started):
    receiver.final_delay = 60
    engine = started(relay=at(receiver), connections=1, drain=0.1)
    first, *others = (submit(queue)[0] for _ in range(5))
    receiver.wait(1)
    wait_until(lambda: queue.status().claimed == 5)
    engine.stop()
    assert outcomes(queue, first) == ["uncertain"]
    assert [(outcomes(queue, each), queue.show(each).attempts) for each in others] == [([], 0)] * 4, (
        "what was not begun is as it was"
    )
    assert {state(queue, each) for each in (first, *others)} == {"queued"}
    receiver.final_delay = 0
    started(relay=at(receiver))
    wait_delivered(queue, *others)
    assert state(queue, first) == "queued", "not before half an hour has passed"


def silent(peer: Peer) -> None:
    peer.hears_end()


def test_a_server_that_never_greets_does_not_keep_it_from_stopping(queue, started):
    with ServerAt("127.0.0.1", 0, silent) as server:
        queue.transports.add("relay", kind="relay", host="127.0.0.1", port=server.port)
        engine = started(drain=0.1)
        [message] = submit(queue)
        wait_until(lambda: bool(server.peers))
        engine.stop()
    [attempt] = queue.attempts(message)
    assert (attempt.outcome, attempt.category) == ("deferred", "interrupted")
    assert "broken off" in (attempt.error or "")


def test_a_name_server_that_never_answers_does_not_keep_it_from_stopping(queue, started):
    queue.transports.add("mx", kind="direct", allow_private=True)
    with DnsServer({"example.com": "TIMEOUT"}) as dns:
        engine = started(drain=0.1, resolver=Resolver(["127.0.0.1"], dns.port))
        [message] = submit(queue)
        wait_until(lambda: bool(dns.queries))
        engine.stop()
    assert (queue.show(message).state, outcomes(queue, message)) == ("queued", [])


def test_it_asks_no_other_server_when_it_has_to_stop(queue, started):
    def sits_on_the_dot(peer: Peer) -> None:
        peer.greets()
        peer.hears("MAIL")
        peer.hears_end()

    zone = {
        "example.com": {"MX": ["10 one.example.com.", "20 two.example.com."]},
        "one.example.com": {"A": ["127.0.0.1"]},
        "two.example.com": {"A": ["127.0.0.2"]},
    }
    with DnsServer(zone) as dns, ServerAt("127.0.0.1", 0, sits_on_the_dot) as one:
        with Receiver(host="127.0.0.2", port=one.port) as two:
            queue.transports.add("mx", kind="direct", port=one.port, allow_private=True)
            engine = started(drain=0.1, resolver=Resolver(["127.0.0.1"], dns.port))
            [message] = submit(queue)
            wait_until(lambda: bool(one.peers and one.peers[0].commands[1:]))
            engine.stop()
            assert outcomes(queue, message) == ["deferred"]
            assert two.connections == 0


def test_any_thread_may_stop_it_the_engine_s_own_too(queue, receiver, started):
    engine = started(relay=at(receiver))
    other = threading.Thread(target=engine.stop)
    other.start()
    other.join(10)
    assert not other.is_alive()
    assert queue.status().engines == ()

    itself = started(relay=at(receiver), listener=lambda _: itself.stop())
    [message] = submit(queue)
    wait_until(lambda: queue.status().engines == ())
    itself.stop()
    assert state(queue, message) == "delivered"


def test_it_can_be_started_again_but_not_twice(queue, receiver, started):
    engine = started(relay=at(receiver))
    with pytest.raises(RuntimeError, match="running already"):
        engine.start()
    with pytest.raises(RuntimeError, match="running already"):
        asyncio.run(engine.run())
    engine.stop()
    engine.stop()
    engine.start()
    wait_delivered(queue, *submit(queue))


def test_it_starts_when_the_database_can_be_had(tmp_path, receiver):
    path = tmp_path / "late" / "queue.db"
    engine = Engine(Queue(path), relay=at(receiver))
    for _ in range(2):
        with pytest.raises(StoreError, match="there is no folder"):
            engine.start()
        with pytest.raises(StoreError, match="there is no folder"):
            asyncio.run(engine.run())
    path.parent.mkdir()
    engine.start()
    engine.stop()


def test_it_lives_in_the_loop_of_the_application_and_ends_when_cancelled(tmp_path, receiver):
    receiver.final_delay = 0.2

    async def application() -> list[str]:
        async with AsyncQueue(tmp_path / "queue.db") as queue:
            running = asyncio.create_task(Engine(queue, relay=at(receiver)).run())
            submitted = await queue.submit(MAIL)
            await asyncio.to_thread(receiver.wait, 1)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert (await queue.status()).engines == ()
            return [each.outcome.value for each in await queue.attempts(submitted.messages[0].id)]

    assert asyncio.run(application()) == ["delivered"]


def test_another_thread_may_stop_it_in_the_loop_of_the_application(queue, receiver):
    engine = Engine(queue, relay=at(receiver))

    async def application() -> None:
        running = asyncio.create_task(engine.run())
        await asyncio.to_thread(wait_until, lambda: bool(queue.status().engines))
        await asyncio.to_thread(engine.stop)
        await running

    asyncio.run(application())
    assert queue.status().engines == ()


def test_an_application_that_just_ends_loses_nothing(queue, receiver):
    """Its loop cancels all that runs; the message that was on its way is marked, and tried again."""
    queue.schedules.add("short", "0.1s*; uncertain: 0.1s*", lifetime=timedelta(hours=1))
    receiver.final_delay = 0.5

    async def application() -> list[int]:
        running = asyncio.create_task(Engine(queue, relay=at(receiver), connections=1).run())
        messages = [submit(queue, schedule="short")[0] for _ in range(3)]
        await asyncio.to_thread(receiver.wait, 1)
        del running
        return messages

    messages = asyncio.run(application())
    assert {state(queue, each) for each in messages} <= {"queued", "delivered"}
    assert queue.status().engines == ()
    receiver.final_delay = 0
    engine = Engine(queue, relay=at(receiver))
    engine.start()
    wait_delivered(queue, *messages)
    engine.stop()
    times = Counter(got.message_id for got in receiver.messages)
    for message in messages:
        unsure = set(outcomes(queue, message)) & {"interrupted", "uncertain"}
        assert times[queue.show(message).message_id] == 1 or unsure


# --- once ----------------------------------------------------------------------------------------
def test_once_delivers_what_is_due_and_leaves_the_rest(stage: Stage, receiver):
    stage.relay(receiver.port)
    stage.deliver()
    due = stage.submit("ben@example.com", "unknown@example.com")
    [later] = stage.submit("greylist@example.com")
    stage.deliver()
    assert [stage.state(each) for each in due] == ["delivered", "failed"]
    assert stage.outcomes(later) == ["deferred"]
    stage.deliver()
    assert stage.outcomes(later) == ["deferred"]


def test_once_delivers_more_than_one_claim_takes(stage: Stage, receiver):
    stage.relay(receiver.port)
    messages = [
        each
        for part in range(5)
        for each in stage.submit(*(f"r{number}@d{number}.example" for number in range(part, 450, 5)))
    ]
    stage.deliver(window=100)
    assert {stage.state(each) for each in messages} == {"delivered"}
    assert len(messages) == 450
