"""Why a message waits, and what happened to it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, timedelta
from pathlib import Path

from support.receiver import Receiver
from support.stage import MAIL, Stage, wait_until

from mailqueue import Engine, Queue
from mailqueue.engine.liveness import this_process
from mailqueue.model.lane import Priority


# --- explain -------------------------------------------------------------------------------------
def gate(stage: Stage, message: int) -> tuple[str | None, str]:
    explained = stage.queue.explain(message)
    blocked = explained.blocked_by
    return (None if blocked is None else blocked.value), explained.summary


def test_explain_names_the_first_gate_that_is_shut(stage: Stage, receiver: Receiver) -> None:
    [message] = stage.submit("greylist@example.com")
    stage.queue.hold(message, reason="odd", actor="anna")
    assert gate(stage, message) == ("hold", "on hold by hand (python:anna: odd)")
    assert stage.queue.explain(message).earliest_attempt_at is None
    rule = stage.queue.hold_rules.add(reason="all")
    assert f"by rule {rule.id} (python: all)" in gate(stage, message)[1]
    stage.queue.hold_rules.remove(rule.id)
    stage.queue.release(message)
    assert gate(stage, message)[0] == "transport"
    stage.relay(receiver.port)
    assert gate(stage, message) == ("engine", "no engine is running")
    assert stage.queue.explain(message).transport == "relay"


def test_explain_tells_of_a_rule_that_has_not_come_to_the_message_yet(
    stage: Stage, receiver: Receiver
) -> None:
    """Its maker died before all that was queued was marked: a claim marks what it meets."""
    stage.relay(receiver.port)
    held, released, other = stage.submit("ann@example.com", "ben@example.com", "carl@example.net")
    made = replace(stage.queue.hold_rules.add(reason="odd"), recipient_domain="example.com")
    stage.queue.hold_rules.remove(made.id)
    stage.queue.release(all=True)
    rule = stage.queue.store.run(lambda tx: tx.add_hold_rule(made, stage.clock.now()))
    stage.queue.release(released)
    assert stage.show(held).hold is False
    assert gate(stage, held) == ("hold", f"on hold by rule {rule.id} (python: odd)")
    assert [gate(stage, each)[0] for each in (released, other)] == ["engine", "engine"]
    stage.deliver()
    assert [stage.state(each) for each in (held, released, other)] == ["queued", "delivered", "delivered"]
    assert gate(stage, held) == ("hold", f"on hold by rule {rule.id} (python: odd)")


def test_explain_tells_of_the_wait_after_a_reply(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    [message] = stage.submit("greylist@example.com")
    stage.deliver()
    kind, summary = gate(stage, message)
    assert kind == "backoff"
    assert "after attempt 1: 451 4.7.1 Greylisted, please try again later" in summary
    explained = stage.queue.explain(message)
    shut = next(each for each in explained.gates if not each.open)
    assert shut.until == stage.show(message).next_attempt_at
    stage.clock.advance(timedelta(hours=1))
    assert gate(stage, message)[0] == "engine"


def test_explain_tells_that_a_message_is_not_yet_due(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    [message] = stage.submit("ben@example.com")
    stage.clock.advance(timedelta(minutes=-1))  # another machine's clock may be behind
    kind, summary = gate(stage, message)
    assert (kind, summary) == ("not_due", "not due before 2027-01-15 08:00:00Z")


def work(stage: Stage) -> None:
    """Note an engine as at work, so that nothing is said of its absence."""
    stage.queue.store.run(lambda tx: tx.register_engine(this_process(), stage.clock.now()))


def test_explain_tells_of_a_future_release_and_what_comes_after_it(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    work(stage)
    [message] = stage.submit("greylist@example.com", not_before=timedelta(hours=2))
    assert gate(stage, message) == ("not_due", "future release: not before 2027-01-15 10:00:00Z")
    assert stage.queue.explain(message).earliest_attempt_at == stage.show(message).not_before
    stage.deliver(timedelta(hours=2))
    assert gate(stage, message)[0] == "backoff"


def test_explain_tells_when_a_message_expires_and_what_goes_first(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    work(stage)
    receiver.at_rcpt = {"slow": ["450 4.3.0 Later"]}
    [message] = stage.submit("slow@example.com", expires_at=timedelta(minutes=20), priority="interactive")
    stage.deliver()
    explained = stage.queue.explain(message)
    assert (explained.priority, explained.expires_at) == (
        Priority.INTERACTIVE,
        stage.show(message).expires_at,
    )
    assert explained.summary.endswith("450 4.3.0 Later; it expires at 2027-01-15 08:20:00Z")
    assert explained.earliest_attempt_at == stage.show(message).next_attempt_at
    stage.clock.advance(timedelta(minutes=20))
    assert stage.queue.explain(message).earliest_attempt_at is None, "it expires before an engine takes it"
    stage.deliver()
    explained = stage.queue.explain(message)
    assert (explained.state, explained.expires_at) == ("expired", None)
    assert "its time was over; at last: 450 4.3.0 Later; it waits for nothing" in explained.summary


def test_explain_names_the_transport_that_a_message_names(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    stage.queue.transports.add("mx", kind="direct")
    [message] = stage.submit("ben@example.com", transport="mx", require_tls=True)
    explained = stage.queue.explain(message)
    assert explained.transport == "mx"
    assert "transport mx (direct), which the message names, where what has to stay under TLS is refused" in [
        each.text for each in explained.gates
    ]


def test_explain_tells_of_a_running_attempt(tmp_path: Path, receiver: Receiver) -> None:
    receiver.final_delay = 0.3
    with Queue(tmp_path / "running.db") as queue:
        queue.transports.add("relay", kind="relay", host="127.0.0.1", port=receiver.port)
        engine = Engine(queue)
        engine.start()
        message = queue.submit(MAIL).messages[0].id
        receiver.wait(1)
        explained = queue.explain(message)
        assert explained.blocked_by == "lease"
        assert "in delivery by the engine with pid" in explained.summary
        wait_until(lambda: queue.show(message).state == "delivered")
        assert queue.explain(message).gates == ()
        engine.stop()
        assert queue.explain(message).summary.startswith("delivered at 2")


def test_explain_tells_that_nothing_blocks(tmp_path: Path) -> None:
    """The engine is at work and has its hands full: its window is one message."""
    with Receiver(final_delay=0.3) as receiver, Queue(tmp_path / "running.db") as queue:
        queue.transports.add("relay", kind="relay", host="127.0.0.1", port=receiver.port)
        engine = Engine(queue, window=1)
        engine.start()
        queue.submit(MAIL)
        second = queue.submit(MAIL).messages[0].id
        receiver.wait(1)
        explained = queue.explain(second)
        assert explained.blocked_by is None
        assert explained.summary == "due now: the engine takes it at its next look"
        assert explained.earliest_attempt_at is not None
        engine.stop()


def test_explain_tells_what_became_of_a_retired_message(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    [message] = stage.submit("unknown@example.com")
    stage.deliver()
    kind, summary = gate(stage, message)
    assert kind is None
    assert summary.startswith("failed at 2027-01-15 08:00:00Z: 550 5.1.1 No such user here")


# --- events and notices --------------------------------------------------------------------------
def test_events_and_notices_tell_the_story(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    [message] = stage.submit("unknown@example.com")
    stage.queue.hold(message)
    stage.queue.release(message)
    stage.deliver()
    events = stage.queue.events(message)
    assert [each.event for each in events] == ["held", "released", "failed"]
    assert events[-1].actor is None
    assert events[-1].data == {"attempts": 1, "category": "mailbox_unknown", "status": "5.1.1"}
    [notice] = stage.queue.notices(message)
    assert (notice.id, notice.kind, notice.sent_as) == (events[-1].notice_id, "failed", None)
    assert all(each.at.tzinfo is UTC for each in events)


def test_an_account_that_wants_no_notices_has_events_only(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    stage.queue.accounts.set("default", notices="none")
    [message] = stage.submit("unknown@example.com")
    stage.deliver()
    assert stage.queue.notices(message) == []
    assert [each.event for each in stage.queue.events(message)] == ["failed"]
