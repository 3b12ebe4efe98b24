"""Whole stories: a script of the server, jumps of the clock, and what is expected in the end."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from support.clock import ManualClock, ManualTimer
from support.receiver import Receiver

from mailqueue import Engine, Queue

MAIL = b"From: anna@example.org\r\nTo: %s@example.com\r\nSubject: Hello\r\n\r\nHello, it is me.\r\n"


class Stage:
    """A queue on a manual clock, and a receiver that all mail is relayed to."""

    def __init__(self, path: Path, receiver: Receiver) -> None:
        self.clock = ManualClock()
        self.queue = Queue(path, clock=self.clock)
        self.receiver = receiver
        self.queue.transports.add("relay", kind="relay", host="127.0.0.1", port=receiver.port, tls="none")

    def submit(self, *localparts: str, **options: object) -> list[int]:
        content = MAIL % localparts[0].encode()
        recipients = [f"{each}@example.com" for each in localparts]
        submission = self.queue.submit(content, recipients=recipients, **options)  # type: ignore[arg-type]
        return [message.id for message in submission.messages]

    def deliver(self, after: timedelta | None = None) -> None:
        """Let the time pass, and the engine deliver what is due then."""
        if after is not None:
            self.clock.advance(after)
        engine = Engine(self.queue, hostname="mx.example.org", timer=ManualTimer(self.clock))
        asyncio.run(engine.run(once=True))

    def outcomes(self, message_id: int) -> list[str]:
        return [attempt.outcome.value for attempt in self.queue.attempts(message_id)]

    def state(self, message_id: int) -> str:
        return self.queue.show(message_id).state.value


@pytest.fixture
def receiver():
    with Receiver() as running:
        yield running


@pytest.fixture
def stage(tmp_path, receiver):
    made = Stage(tmp_path / "queue.db", receiver)
    yield made
    assert made.queue.check_integrity() == []
    made.queue.close()


def test_a_message_is_delivered_and_remembered(stage):
    [message_id] = stage.submit("anna")
    stage.deliver()
    [got] = stage.receiver.wait(1)
    assert got.recipients == ["anna@example.com"]
    assert got.content.endswith(b"\r\n\r\nHello, it is me.\r\n")
    message = stage.queue.retired.show(message_id)
    assert (message.state, message.attempts, message.next_attempt_at) == ("delivered", 1, None)
    [attempt] = stage.queue.attempts(message_id)
    assert (attempt.outcome, attempt.code, attempt.host) == ("delivered", 250, "127.0.0.1")
    assert attempt.size == message.size == len(got.content)
    assert [event.event for event in stage.queue.events(message_id)] == ["delivered"]


def test_greylisted_message_is_delivered_at_the_second_try(stage):
    [message_id] = stage.submit("greylist")
    stage.deliver()
    message = stage.queue.show(message_id)
    assert message.state == "queued"
    assert "451 4.7.1 Greylisted" in (message.last_error or "")
    stage.deliver(timedelta(minutes=4))
    assert stage.outcomes(message_id) == ["deferred"], "not before its time"
    stage.deliver(timedelta(minutes=2))
    assert stage.outcomes(message_id) == ["deferred", "delivered"]
    assert stage.queue.attempts(message_id)[0].category == "greylisted"


def test_a_refused_message_is_returned_with_a_notice(stage):
    [message_id] = stage.submit("unknown")
    stage.deliver()
    assert stage.state(message_id) == "failed"
    [notice] = stage.queue.notices(message_id)
    parsed = message_from_bytes(notice.content, policy=policy.default)
    assert parsed["To"] == "anna@example.org"
    assert parsed.get_content_type() == "multipart/report"
    text, status, original = parsed.iter_parts()
    assert "No such user here" in text.get_content()
    assert "5.1.1" in status.as_string()
    assert "Hello, it is me." in original.as_string()
    [failed] = [event for event in stage.queue.events(message_id) if event.event == "failed"]
    assert failed.notice_id == notice.id


def test_one_refused_recipient_does_not_touch_the_others(stage):
    ids = stage.submit("anna", "unknown", "bert")
    stage.deliver()
    assert [stage.state(each) for each in ids] == ["delivered", "failed", "delivered"]
    [got] = stage.receiver.wait(1)
    assert got.recipients == ["anna@example.com", "bert@example.com"]


def test_a_message_that_nobody_takes_for_five_days_expires_with_a_notice(stage):
    [message_id] = stage.submit("full")
    for _ in range(200):
        if stage.queue.show(message_id).state.retired:
            break
        stage.deliver(timedelta(hours=1))
    message = stage.queue.show(message_id)
    assert message.state == "expired"
    waited = message.retired_at - message.submitted_at
    assert timedelta(days=4, hours=20) < waited <= timedelta(days=5, hours=1)
    kinds = [notice.kind.value for notice in stage.queue.notices(message_id)]
    assert kinds == ["delayed", "failed"], "one warning, and the end"
    assert 30 < len(stage.outcomes(message_id)) < 50


def test_a_message_on_hold_goes_nowhere_until_released(stage):
    rule = stage.queue.hold_rules.add(recipient_domain="example.com", reason="looks odd")
    [message_id] = stage.submit("anna")
    stage.deliver(timedelta(days=1))
    assert stage.outcomes(message_id) == []
    assert stage.queue.explain(message_id).blocked_by == "hold"
    stage.queue.hold_rules.remove(rule.id)
    stage.deliver(timedelta(hours=1))
    assert stage.outcomes(message_id) == [], "removing the rule leaves its messages on hold"
    assert stage.queue.release(message_id).changed == 1
    stage.deliver()
    assert stage.state(message_id) == "delivered"


def test_a_reply_lost_after_the_final_dot_is_uncertain_and_tried_again_after_half_an_hour(stage):
    [message_id] = stage.submit("vanish")
    stage.deliver()
    assert stage.outcomes(message_id) == ["uncertain"]
    stage.deliver(timedelta(minutes=20))
    assert stage.outcomes(message_id) == ["uncertain"]
    stage.deliver(timedelta(minutes=15))
    assert stage.outcomes(message_id) == ["uncertain", "delivered"]
    first, second = stage.receiver.wait(2)
    assert first.message_id == second.message_id


def test_mail_waits_without_a_transport_and_says_so(tmp_path):
    clock = ManualClock()
    with Queue(tmp_path / "queue.db", clock=clock) as queue:
        [message] = queue.submit(MAIL % b"anna").messages
        asyncio.run(Engine(queue, timer=ManualTimer(clock)).run(once=True))
        explained = queue.explain(message.id)
        assert explained.blocked_by == "transport"
        assert "mailqueue transport add" in explained.summary
        assert queue.show(message.id).attempts == 0


def test_a_fail_transport_answers_for_the_world(stage):
    stage.queue.transports.add("no", kind="fail", reply="550 5.7.1 not from here")
    stage.queue.routes.add("no", recipient_domain=".example.net")
    submission = stage.queue.submit(MAIL % b"x", recipients=["x@sub.example.net", "y@example.com"])
    stage.deliver()
    refused, taken = (stage.queue.show(message.id) for message in submission.messages)
    assert (refused.state, taken.state) == ("failed", "delivered")
    assert "not from here" in (refused.last_error or "")
    [attempt] = stage.queue.attempts(refused.id)
    assert (attempt.transport, attempt.route_id, attempt.host) == ("no", 1, None)


def test_what_will_not_go_directly_goes_by_the_fallback_from_its_third_attempt_on(stage):
    stage.queue.transports.add("slow", kind="fail", reply="451 4.3.0 not now", default=True)
    way_out = stage.queue.routes.add("relay", min_attempts=2)
    [message_id] = stage.submit("anna")
    seen = [stage.queue.explain(message_id).transport]
    for _ in range(2):
        stage.deliver()
        seen.append(stage.queue.explain(message_id).transport)
        stage.clock.advance(timedelta(hours=1))
    stage.deliver()
    assert seen == ["slow", "slow", "relay"]
    assert stage.state(message_id) == "delivered"
    attempts = stage.queue.attempts(message_id)
    assert [(each.transport, each.route_id) for each in attempts] == [
        ("slow", None),
        ("slow", None),
        ("relay", way_out.id),
    ]


def test_notices_go_through_the_queue_where_the_account_says_so(stage):
    stage.queue.accounts.set("default", notices="queue")
    [message_id] = stage.submit("unknown")
    stage.deliver()
    stage.deliver()
    [got] = stage.receiver.wait(1)
    assert got.sender == ""
    assert got.recipients == ["anna@example.org"]
    assert b"Auto-Submitted: auto-replied" in got.content
    [notice] = stage.queue.notices(message_id)
    [carrier] = stage.queue.submission(notice.sent_as)
    assert carrier.state == "delivered"


def test_a_notice_that_fails_causes_no_other(stage):
    stage.queue.accounts.set("default", notices="queue")
    stage.queue.submit(MAIL % b"unknown", sender="unknown@example.com", recipients=["unknown@example.com"])
    for _ in range(3):
        stage.deliver()
    retired = stage.queue.retired.list().items
    assert sorted(message.sender for message in retired) == ["", "unknown@example.com"]
    assert {message.state.value for message in retired} == {"failed"}


def test_a_thousand_recipients_of_one_content_are_a_few_transactions(stage):
    recipients = [f"r{number}@example.com" for number in range(1000)]
    stage.queue.submit(MAIL % b"all", recipients=recipients)
    stage.deliver()
    got = stage.receiver.wait(10)
    assert sorted(each for one in got for each in one.recipients) == sorted(recipients)
    assert len(got) == 10


@pytest.mark.parametrize("wish", ["hold", "fail"])
def test_an_uncertain_message_is_held_or_failed_where_the_account_says_so(stage, wish):
    stage.queue.accounts.set("default", on_uncertain=wish)
    [message_id] = stage.submit("vanish")
    stage.deliver()
    stage.deliver(timedelta(hours=1))
    assert stage.outcomes(message_id) == ["uncertain"], "nobody sends it a second time unasked"
    message = stage.queue.show(message_id)
    if wish == "fail":
        assert message.state == "failed"
        [notice] = stage.queue.notices(message_id)
        assert b"may have arrived" in notice.content.replace(b"\r\n", b" ")
    else:
        [hold] = message.holds
        assert (message.state, hold.rule_id, hold.actor) == ("queued", None, "engine")
        assert "may have arrived" in hold.reason
        assert stage.queue.release(message_id).changed == 1
        stage.deliver()
        assert stage.outcomes(message_id) == ["uncertain", "delivered"]
