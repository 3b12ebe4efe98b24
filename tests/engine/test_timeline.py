"""One line of time for each message: who did what, when, and why."""

from __future__ import annotations

from datetime import timedelta

import pytest
from support.receiver import Receiver
from support.stage import Stage, wait_until

from mailqueue.errors import NotFound


def told(stage: Stage, message: int) -> list[tuple[str, str | None, str | None]]:
    return [(each.what, each.actor, each.text) for each in stage.queue.timeline(message)]


def test_timeline_tells_of_submission_hold_attempts_and_notice(stage: Stage, receiver: Receiver) -> None:
    receiver.at_rcpt["ann"] = ["451 4.7.1 come back later", "550 5.1.1 nobody here"]
    stage.relay(receiver.port)
    [message] = stage.submit("ann@example.com", actor="shop")
    stage.clock.advance(timedelta(minutes=1))
    stage.queue.hold(message, reason="asked by ann", actor="cleo")
    stage.clock.advance(timedelta(minutes=1))
    stage.queue.release(message, actor="cleo")
    stage.deliver()
    stage.deliver(timedelta(minutes=6))
    assert told(stage, message) == [
        ("submitted", "python:shop", "Hello"),
        ("held", "python:cleo", "asked by ann"),
        ("released", "python:cleo", None),
        ("attempted", None, "deferred at 127.0.0.1: 451 4.7.1 come back later"),
        ("delayed", None, "451 4.7.1 come back later"),
        ("attempted", None, "failed at 127.0.0.1: 550 5.1.1 nobody here"),
        ("failed", None, "550 5.1.1 nobody here"),
    ]
    found = stage.queue.timeline(message)
    assert [each.attempt for each in found if each.what == "attempted"] == [1, 2]
    assert found[-1].notice_id == stage.queue.notices(message)[0].id
    assert [each.at for each in found] == sorted(each.at for each in found)


def test_message_that_is_being_delivered_says_so(stage: Stage, receiver: Receiver) -> None:
    receiver.final_delay = 0.5
    stage.relay(receiver.port)
    [message] = stage.submit("ann@example.com")
    engine = stage.new_engine()
    engine.start()
    wait_until(lambda: stage.state(message) == "claimed")
    assert told(stage, message)[-1] == ("attempted", None, "in delivery")
    engine.stop()
    assert [each.what for each in stage.queue.timeline(message)] == ["submitted", "attempted", "delivered"]


def test_message_that_is_not_there_has_no_timeline(stage: Stage) -> None:
    with pytest.raises(NotFound, match="there is no message 7"):
        stage.queue.timeline(7)
