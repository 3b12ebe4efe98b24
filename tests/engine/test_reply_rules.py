"""What servers say decides when mail is tried again: by their words, and by the operator's rules."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from support.clock import ManualClock, ManualTimer
from support.receiver import Receiver

from mailqueue import AsyncQueue, Engine, Queue
from mailqueue.errors import NotFound, ParseError, SettingError
from mailqueue.model.schedule import SHIPPED

LETTER = b"From: shop@example.org\r\nSubject: Hello\r\n\r\nHello.\r\n"


class Stage:
    """A queue on a manual clock, and a receiver that says what it is told to say."""

    def __init__(self, path: Path, receiver: Receiver) -> None:
        self.clock = ManualClock()
        self.queue = Queue(path, clock=self.clock)
        self.queue.transports.add("relay", kind="relay", host="127.0.0.1", port=receiver.port, tls="none")

    def submit(self, localpart: str) -> int:
        return self.queue.submit(LETTER, recipients=[f"{localpart}@example.com"]).messages[0].id

    def deliver(self, after: timedelta = timedelta(0)) -> None:
        self.clock.advance(after)
        asyncio.run(
            Engine(self.queue, hostname="mx.example.org", timer=ManualTimer(self.clock)).run(once=True)
        )


SCRIPTS = {
    "odd": ["550 5.7.1 Greylisted, come back in 5 minutes", "250 ok"],
    "gone": ["450 4.1.1 User unknown", "450 4.1.1 User unknown"],
    "gateway": ["550 5.7.1 Held by Corp Gateway", "250 ok"],
    "full": ["452 Mailbox is full", "452 Mailbox is full", "250 ok"],
}


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    with Receiver(at_rcpt=SCRIPTS) as receiver:
        made = Stage(tmp_path / "queue.db", receiver)
        yield made
        assert made.queue.check_integrity() == []
        made.queue.close()


def test_a_refusal_that_says_greylisted_is_delivered_at_the_second_try(stage: Stage) -> None:
    message = stage.submit("odd")
    stage.deliver()
    [first] = stage.queue.attempts(message)
    assert (first.outcome, first.category, first.code, first.enhanced) == (
        "deferred",
        "greylisted",
        550,
        "4.7.1",
    )
    stage.deliver(timedelta(minutes=6))
    assert stage.queue.show(message).state == "delivered"


def test_the_steps_are_those_of_what_the_words_say(stage: Stage) -> None:
    """452 without an enhanced code is a full disk by its code, and a full mailbox by its words."""
    message = stage.submit("full")
    stage.deliver()
    found = stage.queue.show(message)
    assert stage.queue.attempts(message)[0].category == "mailbox_full"
    assert found.next_attempt_at is not None
    wait = found.next_attempt_at - found.submitted_at
    step = timedelta(microseconds=SHIPPED["standard"].classes["mailbox_full"].steps[0])
    assert step * 0.9 <= wait <= step * 1.1


def test_an_own_rule_acts_on_the_next_reply_and_no_more_when_it_is_gone(stage: Stage) -> None:
    rule = stage.queue.reply_rules.add(
        "corp gateway", category="greylisted", permanent=False, note="it lets it through later", actor="ann"
    )
    assert (rule.id, rule.actor, rule.permanent) == (1, "python:ann", False)
    first = stage.submit("gateway")
    stage.deliver()
    assert stage.queue.attempts(first)[0].outcome == "deferred"
    stage.deliver(timedelta(minutes=6))
    assert stage.queue.show(first).state == "delivered"
    assert stage.queue.reply_rules.remove(1) == rule
    assert stage.queue.classify("550 5.7.1 Held by Corp Gateway").permanent
    assert stage.queue.reply_rules.list() == ()


def test_an_own_rule_may_give_up_early(stage: Stage) -> None:
    stage.queue.reply_rules.add("user unknown", category="mailbox_unknown", code="450", permanent=True)
    message = stage.submit("gone")
    stage.deliver()
    found = stage.queue.show(message)
    assert (found.state, found.attempts) == ("failed", 1)
    [notice] = stage.queue.notices(message)
    assert notice.kind == "failed"


def test_an_own_rule_judges_the_transport_that_refuses_too(tmp_path: Path) -> None:
    with Queue(tmp_path / "queue.db") as queue:
        queue.transports.add("no", kind="fail", reply="550 5.7.1 not from here")
        queue.reply_rules.add("not from here", category="content", permanent=False)
        message = queue.submit(LETTER, recipients=["a@example.com"]).messages[0].id
        asyncio.run(Engine(queue).run(once=True))
        [attempt] = queue.attempts(message)
        assert (attempt.outcome, attempt.category) == ("deferred", "content")


def test_rules_are_asked_by_position_then_in_the_order_made(stage: Stage) -> None:
    add = stage.queue.reply_rules.add
    late = add("odd", category="policy", position=1)
    early, second = add("odd", category="content"), add("odd", category="system")
    assert stage.queue.reply_rules.list() == (early, second, late)
    assert stage.queue.classify("550 odd").rule == str(early.id)


def test_a_rule_or_a_reply_that_cannot_be_is_refused(stage: Stage) -> None:
    add = stage.queue.reply_rules.add
    for wrong, told in (
        ({"category": "greylist"}, "category: must be one of"),
        ({"category": "ok"}, "category: no refusal is 'ok'"),
        ({"category": "policy", "code": "2??"}, "code: must be"),
    ):
        with pytest.raises(SettingError, match=told):
            add("x", **wrong)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="take too long"):
        add("(a*)*", category="policy")
    with pytest.raises(NotFound, match="reply rule 9"):
        stage.queue.reply_rules.remove(9)
    with pytest.raises(ParseError, match="no refusal"):
        stage.queue.classify("250 ok")
    with pytest.raises(SettingError, match="phase"):
        stage.queue.classify("550 no", phase="later")
    assert stage.queue.reply_rules.list() == ()


def test_awaited_it_is_the_same(tmp_path: Path) -> None:
    async def story() -> None:
        async with AsyncQueue(tmp_path / "queue.db") as queue:
            made = await queue.reply_rules.add("odd", category="content")
            assert (await queue.classify("550 odd", phase="final")).rule == str(made.id)
            assert await queue.reply_rules.list() == (made,)
            await queue.reply_rules.remove(made.id)

    asyncio.run(story())
