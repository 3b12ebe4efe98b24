"""Several engines on one file: each message once, and what one leaves behind the others take over."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.engine_process import EngineProcess
from support.receiver import Receiver

from mailqueue import Engine, Queue
from mailqueue.errors import DatabaseBusy

SHORT = {"heartbeat": 0.2, "dot_guard": 0.5, "dead_after": 1.0}


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[Queue]:
    with Queue(tmp_path / "queue.db") as opened:
        opened.schedules.add("short", "0.1s*; uncertain: 0.1s*", lifetime=timedelta(hours=1))
        yield opened


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def submit(queue: Queue, count: int) -> list[int]:
    """Submit messages `<1@example.org>` and so on; return their ids."""
    contents = (
        f"From: a@example.org\r\nTo: b{n}@d{n % 7}.example\r\nMessage-ID: <{n}@example.org>\r\n\r\n{n}\r\n"
        for n in range(1, count + 1)
    )
    return [queue.submit(each.encode(), schedule="short").messages[0].id for each in contents]


def wait_until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.02)


def all_retired(queue: Queue) -> bool:
    status = queue.status()
    return status.queued == status.claimed == 0


def times_received(receiver: Receiver) -> Counter[str]:
    return Counter(message.message_id for message in receiver.messages)


def outcomes(queue: Queue, message_id: int) -> list[str]:
    return [attempt.outcome.value for attempt in queue.attempts(message_id)]


def test_three_engines_on_one_file_deliver_every_message_once(queue: Queue, receiver: Receiver) -> None:
    engines = [Engine(Queue(queue.path), relay=f"127.0.0.1:{receiver.port}") for _ in range(3)]
    for engine in engines:
        engine.start()
    ids = submit(queue, 150)
    wait_until(lambda: all_retired(queue))
    for engine in engines:
        engine.stop()
    assert set(times_received(receiver).values()) == {1}
    assert len(receiver.messages) == 150
    assert {queue.show(each).state.value for each in ids} == {"delivered"}
    assert queue.status().engines == ()


def test_what_a_killed_engine_was_trying_is_interrupted_and_tried_again(
    queue: Queue, receiver: Receiver
) -> None:
    receiver.final_delay = 60
    with EngineProcess(Path(queue.path), receiver.port) as killed:
        [message] = submit(queue, 1)
        receiver.wait(1)
        killed.kill()
    receiver.final_delay = 0
    engine = Engine(queue, relay=f"127.0.0.1:{receiver.port}")
    engine.start()
    wait_until(lambda: all_retired(queue))
    engine.stop()
    assert outcomes(queue, message) == ["interrupted", "delivered"]
    assert times_received(receiver) == {"<1@example.org>": 2}


def test_an_engine_that_slept_past_its_heartbeat_sends_no_final_dot(queue: Queue, receiver: Receiver) -> None:
    """The receiver sits on the final dot of its first message; the others are claimed and wait behind it."""
    receiver.final_delay = 3
    with EngineProcess(Path(queue.path), receiver.port, connections=1, **SHORT) as sleeper:
        ids = submit(queue, 20)
        on_the_dot = receiver.wait(1)[0].message_id
        first = next(each for each in ids if queue.show(each).message_id == on_the_dot)
        wait_until(lambda: queue.status().claimed == 20)
        put_to_sleep(sleeper, queue)
        receiver.final_delay = 0
        time.sleep(SHORT["dead_after"] + 0.2)
        engine = Engine(queue, relay=f"127.0.0.1:{receiver.port}", **SHORT)
        engine.start()  # it finds the sleeper dead, and takes over
        wait_until(lambda: all_retired(queue))
        time.sleep(1.5)  # the receiver has answered the dot by now
        sleeper.signal(signal.SIGCONT)
        wait_until(lambda: len(queue.status().engines) == 2)  # awake, under a number of its own
        [late] = submit_late(queue)
        wait_until(lambda: all_retired(queue))
        engine.stop()
        assert sleeper.stop() == 0

    times = times_received(receiver)
    assert times.pop(on_the_dot) == 2
    assert set(times.values()) == {1}
    assert "interrupted" in outcomes(queue, first)
    assert {queue.show(each).state.value for each in (*ids, late)} == {"delivered"}
    assert queue.check_integrity() == []


def put_to_sleep(sleeper: EngineProcess, queue: Queue) -> None:
    """Stop a process, but not inside a write transaction: there it would block every writer (decision 17)."""
    for number in range(100):
        sleeper.signal(signal.SIGSTOP)
        try:
            with Queue(queue.path, busy_timeout=0.3) as probe:
                probe.accounts.add(f"probe-{number}")
        except DatabaseBusy:
            sleeper.signal(signal.SIGCONT)
            time.sleep(0.05)
        else:
            return
    raise TimeoutError("the engine was writing whenever it was stopped")


def submit_late(queue: Queue) -> list[int]:
    return [queue.submit(b"From: a@example.org\r\nTo: b@example.net\r\n\r\nlate\r\n").messages[0].id]
