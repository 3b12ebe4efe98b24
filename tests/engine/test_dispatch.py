"""Connections: opened, shared, kept, and given up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest
from support.receiver import Receiver
from support.smtp_server import PIPELINING, Peer, Script, taking
from support.stage import MAIL, ServerAt, Stage, wait_until

from mailqueue import Engine, Queue
from mailqueue.engine import dispatch, pool

HOUR = 3600.0


def per_connection(receiver: Receiver) -> dict[int, int]:
    return dict(Counter(message.connection for message in receiver.messages))


def submit_singly(stage: Stage, count: int) -> list[int]:
    return [stage.submit(f"r{number}@d{number % 7}.example")[0] for number in range(count)]


# --- how many ------------------------------------------------------------------------------------
def test_one_connection_carries_one_message_after_the_other(stage, receiver):
    stage.relay(receiver.port)
    messages = submit_singly(stage, 20)
    stage.deliver(connections=1)
    assert {stage.state(each) for each in messages} == {"delivered"}
    assert receiver.connections == 1
    assert receiver.commands.count("QUIT") == 1
    assert receiver.commands[-1] == "QUIT"


def test_a_connection_is_closed_after_a_hundred_messages(stage, receiver):
    stage.relay(receiver.port)
    submit_singly(stage, 205)
    stage.deliver(connections=1)
    assert per_connection(receiver) == {1: 100, 2: 100, 3: 5}
    assert receiver.commands.count("QUIT") == 3


def test_a_connection_is_closed_when_it_has_grown_old(stage, receiver, monkeypatch):
    monkeypatch.setattr(pool, "KEEP_FOR", 0.0)
    stage.relay(receiver.port)
    submit_singly(stage, 3)
    stage.deliver(connections=1)
    assert per_connection(receiver) == {1: 1, 2: 1, 3: 1}


def test_an_engine_that_runs_once_leaves_nothing_that_is_due(stage, receiver):
    stage.relay(receiver.port)
    stage.queue.submit_many([MAIL] * 100)  # more of one lane than are on their way at once
    stage.deliver(per_lane=30)
    assert stage.queue.status().queued == 0


def test_a_destination_has_no_more_connections_at_once_than_it_may(stage, receiver):
    receiver.final_delay = 0.05
    stage.relay(receiver.port)
    submit_singly(stage, 60)
    stage.deliver(connections=3)
    assert receiver.most_open == 3
    assert len(receiver.messages) == 60


def test_a_destination_that_is_fast_has_no_more_connections_than_it_needs(stage, receiver, monkeypatch):
    monkeypatch.setattr(pool, "GROW_ABOVE", 60.0)  # whatever waits, two are fast enough
    stage.relay(receiver.port)
    submit_singly(stage, 60)
    stage.deliver()
    assert receiver.most_open == pool.START
    assert len(receiver.messages) == 60


def test_all_destinations_together_have_no_more_connections_than_they_may(stage, monkeypatch):
    monkeypatch.setattr(dispatch, "KEEP_IDLE", HOUR)  # an idle connection must make room
    with Receiver() as one, Receiver() as two, Receiver() as three:
        receivers = {"one": one, "two": two, "three": three}
        for name, receiver in receivers.items():
            stage.queue.transports.add(name, kind="relay", host="127.0.0.1", port=receiver.port)
            stage.queue.routes.add(name, recipient_domain=f"{name}.example")
        open_at_once: list[int] = []
        for receiver in receivers.values():
            receiver.at_rcpt = Counting(receivers.values(), open_at_once)
        for name in receivers:
            for number in range(4):
                stage.submit(f"r{number}@{name}.example")
        stage.deliver(connections=4, total_connections=2)
    assert [len(each.messages) for each in receivers.values()] == [4, 4, 4]
    assert 1 <= max(open_at_once) <= 2


def test_destinations_that_want_more_connections_than_there_are_have_an_equal_share(stage):
    with Receiver() as one, Receiver() as two:
        for name, receiver in (("one", one), ("two", two)):
            receiver.final_delay = 0.03
            stage.queue.transports.add(name, kind="relay", host="127.0.0.1", port=receiver.port)
            stage.queue.routes.add(name, recipient_domain=f"{name}.example")
            for number in range(60):
                stage.submit(f"r{number}@{name}.example")
        stage.deliver(connections=20, total_connections=10)
    assert [len(each.messages) for each in (one, two)] == [60, 60]
    assert max(one.most_open, two.most_open) == 4  # one of ten is left for others


class Counting(dict):
    """Scripts that refuse nobody and note how many connections are open."""

    def __init__(self, receivers, seen: list[int]) -> None:
        self._receivers, self._seen = list(receivers), seen

    def get(self, name, default=None):
        self._seen.append(sum(each.open for each in self._receivers))
        return default


# --- kept while there is nothing to send ---------------------------------------------------------
class Running:
    """An engine at work in its thread, on the machine's clock."""

    def __init__(self, queue: Queue, port: int, **settings: object) -> None:
        self.queue = queue
        self.engine = Engine(queue, relay=f"127.0.0.1:{port}", **{"connections": 1, **settings})  # type: ignore[arg-type]

    def __enter__(self) -> Running:
        self.engine.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.engine.stop()

    def deliver(self, recipient: str = "ben@example.com") -> int:
        """Submit a message and wait until it is over; it must have taken one attempt."""
        message = self.queue.submit(MAIL, recipients=[recipient]).messages[0].id
        wait_until(lambda: self.queue.show(message).state.retired)
        assert [each.outcome.value for each in self.queue.attempts(message)] == ["delivered"]
        assert self.queue.show(message).attempts == 1
        return message


@pytest.fixture
def queue(tmp_path) -> Iterator[Queue]:
    with Queue(tmp_path / "running.db") as opened:
        yield opened


def test_a_kept_connection_takes_the_next_message(queue, receiver):
    with Running(queue, receiver.port) as running:
        running.deliver()
        running.deliver()
        assert receiver.connections == 1
    assert receiver.commands[-1] == "QUIT"
    wait_until(lambda: receiver.open == 0)


def test_an_idle_connection_is_closed_after_a_while(queue, receiver, monkeypatch):
    assert dispatch.KEEP_IDLE == 5.0
    monkeypatch.setattr(dispatch, "KEEP_IDLE", 0.1)
    with Running(queue, receiver.port) as running:
        running.deliver()
        wait_until(lambda: receiver.open == 0)
        assert receiver.commands[-1] == "QUIT"
        running.deliver()
        assert receiver.connections == 2


def test_a_server_that_closes_an_idle_connection_costs_nothing(queue, receiver):
    with Running(queue, receiver.port) as running:
        running.deliver()
        receiver._loop.call_soon_threadsafe(receiver.close_connections)
        wait_until(lambda: receiver.open == 0)
        running.deliver()
    assert receiver.connections == 2
    assert len(receiver.messages) == 2


def closes_at_mail(peer: Peer) -> None:
    peer.hears("MAIL")
    peer.closes()


def closes_down_at_mail(peer: Peer) -> None:
    peer.hears("MAIL")
    peer.says("421 4.4.2 You have been idle for too long")
    peer.hears_end()


def closes_down_at_rcpt(peer: Peer) -> None:
    peer.hears("MAIL")
    peer.says("250 ok")
    peer.hears("RCPT")
    peer.says("421 4.3.2 Shutting down")
    peer.hears_end()


def closes_at_data(peer: Peer) -> None:
    peer.hears("MAIL")
    peer.says("250 ok")
    peer.hears("RCPT")
    peer.says("250 ok")
    peer.hears("DATA")
    peer.resets()


def after_one(then: Script) -> Script:
    def script(peer: Peer) -> None:
        peer.greets(*PIPELINING)
        peer.takes()
        then(peer)

    return script


@pytest.mark.parametrize("then", [closes_at_mail, closes_down_at_mail, closes_down_at_rcpt, closes_at_data])
def test_a_kept_connection_that_breaks_before_the_content_is_no_attempt(queue, then):
    with ServerAt("127.0.0.1", 0, after_one(then), taking()) as server:
        with Running(queue, server.port) as running:
            running.deliver()
            running.deliver()
    assert [len(peer.contents) for peer in server.peers] == [1, 1]


def vanishes_after_the_dot(peer: Peer) -> None:
    peer.hears("MAIL")
    peer.says("250 ok")
    peer.hears("RCPT")
    peer.says("250 ok")
    peer.hears("DATA")
    peer.says("354 go on")
    peer.hears_content()
    peer.resets()


def test_a_kept_connection_that_breaks_after_the_dot_leaves_the_message_uncertain(queue):
    with ServerAt("127.0.0.1", 0, after_one(vanishes_after_the_dot), taking()) as server:
        with Running(queue, server.port) as running:
            running.deliver()
            message = queue.submit(MAIL).messages[0].id
            wait_until(lambda: bool(queue.attempts(message)))
            [attempt] = queue.attempts(message)
            assert attempt.outcome == "uncertain"
            assert queue.show(message).state == "queued"
        assert len(server.peers) == 1


def test_a_server_that_wants_few_messages_on_a_connection_gets_few(queue, receiver):
    receiver.close_after = 2
    with Running(queue, receiver.port) as running:
        for _ in range(5):
            running.deliver()
    assert per_connection(receiver) == {1: 2, 2: 2, 3: 1}


def test_a_changed_transport_is_dialled_anew(queue, receiver):
    with Receiver() as other:
        queue.transports.add("relay", kind="relay", host="127.0.0.1", port=receiver.port)
        engine = Engine(queue)
        engine.start()
        for port in (receiver.port, other.port):
            queue.transports.set("relay", port=port)
            message = queue.submit(MAIL).messages[0].id
            wait_until(lambda: queue.show(message).state.retired)  # noqa: B023
        engine.stop()
        assert (len(receiver.messages), len(other.messages)) == (1, 1)
