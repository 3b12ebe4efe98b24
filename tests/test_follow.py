"""Events are told after their commit, in order; whoever goes on after the last it knows misses none."""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.receiver import Receiver
from support.stage import MAIL, Stage

from mailqueue import AsyncQueue, Engine, Queue
from mailqueue.errors import SettingError
from mailqueue.model.events import Event, EventKind


def submit(queue: Queue, extra: str = "") -> int:
    return queue.submit(MAIL, extra={"order": extra} if extra else None).messages[0].id


def test_events_are_followed_from_the_first_and_from_any_that_is_known(queue: Queue) -> None:
    message = submit(queue, "17")
    queue.hold(message, reason="a look first")
    queue.release(message)
    found = list(queue.follow(after=0, wait=False))
    assert [each.event for each in found] == ["held", "admin", "released", "admin"]
    assert found[0].message is not None
    assert (found[0].message.id, found[0].message.extra["order"]) == (message, "17")
    assert list(queue.follow(after=found[0].id, wait=False)) == found[1:]
    assert [each.event for each in queue.follow("released", after=0, wait=False)] == ["released"]
    assert list(queue.follow(wait=False)) == []


def test_event_that_there_is_not_is_refused_at_the_call(queue: Queue) -> None:
    with pytest.raises(SettingError, match="event 'sent': must be one of held, released"):
        queue.follow("sent")


def test_more_events_than_are_read_at_once_are_all_told(queue: Queue) -> None:
    messages = [submit(queue) for _ in range(450)]
    queue.hold(all=True)
    assert [each.message_id for each in queue.follow(after=0, wait=False)] == [*messages, None]


def test_message_that_has_been_purged_is_told_without_it(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    stage.submit("ben@example.com")
    stage.deliver()
    told = stage.queue.follow("delivered", after=0, wait=False)
    assert [each.message is None for each in told] == [False]


def test_new_events_of_another_process_are_told_while_somebody_waits(queue: Queue) -> None:
    message = submit(queue)
    told = queue.follow()
    code = f"from mailqueue import Queue; Queue({queue.path!r}).hold({message}, reason='from elsewhere')"
    child = subprocess.Popen([sys.executable, "-c", code])
    event = next(told)
    assert child.wait() == 0
    assert (event.event, event.message_id, event.reason) == ("held", message, "from elsewhere")


def test_events_are_followed_in_an_event_loop(tmp_path: Path) -> None:
    async def story() -> list[str]:
        async with AsyncQueue(tmp_path / "queue.db") as queue:
            made = await queue.submit(MAIL)
            known = [each.event.value async for each in queue.follow(after=0, wait=False)]
            told = queue.follow(after=0)
            await queue.hold(made.messages[0].id)
            known.append((await anext(told)).event.value)
            return known

    assert asyncio.run(story()) == ["held"]


def test_subscribers_of_an_engine_are_called_in_order_with_what_travelled_along(
    stage: Stage, receiver: Receiver
) -> None:
    receiver.at_rcpt = {"cid": ["550 5.1.1 Nobody"]}
    stage.relay(receiver.port)
    engine = stage.new_engine()
    told: list[tuple[str, str, bool]] = []
    awaited: list[int | None] = []

    @engine.on("delivered", EventKind.FAILED)
    def note(event: Event) -> None:
        assert event.message is not None
        beside = threading.current_thread() is not threading.main_thread()
        told.append((event.event, event.message.extra["n"], beside))

    @engine.on()
    async def count(event: Event) -> None:
        awaited.append(event.message_id)

    messages = [
        stage.submit(f"{to}@example.com", extra={"n": str(number)})[0]
        for number, to in enumerate(("ann", "ben", "cid"))
    ]
    asyncio.run(engine.run(once=True))
    assert sorted(told) == [("delivered", "0", True), ("delivered", "1", True), ("failed", "2", True)]
    assert sorted(awaited, key=str) == messages
    assert [number for _, number, _ in told] == [
        event.message.extra["n"] for event in stage.queue.follow(after=0, wait=False) if event.message
    ]


def test_subscriber_that_fails_is_logged_and_the_others_are_told(
    stage: Stage, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    stage.relay(receiver.port)
    engine = stage.new_engine()
    told: list[int | None] = []

    @engine.on("delivered")
    def fail(event: Event) -> None:
        raise ValueError("no")

    engine.on("delivered")(lambda event: told.append(event.message_id))
    [message] = stage.submit("ben@example.com")
    with caplog.at_level(logging.ERROR, "mailqueue.engine"):
        asyncio.run(engine.run(once=True))
    assert told == [message]
    assert "a subscriber failed at event" in caplog.text


def test_nobody_subscribes_to_an_engine_that_runs(queue: Queue) -> None:
    engine = Engine(queue)
    engine.start()
    try:
        with pytest.raises(RuntimeError, match="subscribe before"):
            engine.on("failed")
        with pytest.raises(SettingError, match="event 'lost'"):
            engine.on("lost")
    finally:
        engine.stop()


def test_command_line_tells_of_events_a_line_each(queue: Queue) -> None:
    message = submit(queue)
    queue.hold(message, reason="a look first")
    follow = [sys.executable, "-m", "mailqueue", "follow", "--db", queue.path, "--after", "0", "--no-wait"]
    shown = subprocess.run(follow, capture_output=True, text=True, check=True)
    assert f"message {message}  ben@example.com  held by python: a look first" in shown.stdout
    shown = subprocess.run(
        [
            sys.executable,
            "-m",
            "mailqueue",
            "follow",
            "--db",
            queue.path,
            "--after",
            "0",
            "--no-wait",
            "--json",
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    line, change = shown.stdout.splitlines()
    assert json.loads(change)["data"] == {"verb": "hold", "messages": 1, "ids": [message]}
    found = json.loads(line)
    assert (found["event"], found["message"]["id"]) == ("held", message)
