"""What becomes of mail that a person fails, drops, reschedules, reroutes, or asks other TLS for."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from support.receiver import Receiver
from support.stage import MAIL, Stage, free_port, wait_until

from mailqueue import Engine, Queue
from mailqueue.clock import SECOND, to_datetime
from mailqueue.errors import NotFound, SettingError
from mailqueue.mail import dsn
from mailqueue.model.engine import Identity
from mailqueue.model.explain import Steered
from mailqueue.store.base import ClaimRequest

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)


@pytest.fixture
def relayed(stage: Stage, receiver: Receiver) -> Stage:
    stage.relay(receiver.port)
    receiver.at_data = {"later": ["451 4.3.0 Not now"] * 5}
    return stage


def told(stage: Stage, message: int) -> list[tuple[str, str | None, str | None]]:
    return [(each.event.value, each.actor, each.reason) for each in stage.queue.events(message)]


# --- fail and drop -------------------------------------------------------------------------------
def test_message_failed_by_hand_sends_the_notice_that_is_owed(relayed: Stage, receiver: Receiver):
    messages = relayed.submit("ann@example.com", "ben@example.com")
    done = relayed.queue.fail(messages, reason="a mistake", actor="anna")
    assert done == Steered(changed=2, unchanged=0, retired=())
    for each in messages:
        found = relayed.show(each)
        assert (found.state, found.attempts, found.last_error) == ("failed", 0, "given up by hand")
        assert told(relayed, each) == [
            ("admin", "python:anna", "a mistake"),
            ("failed", "python:anna", "a mistake"),
        ]
    [notice] = relayed.queue.notices(messages[0])
    assert relayed.queue.notices(messages[1]) == [notice], "one notice for both"
    recipients = dsn.parse(notice.content).recipients
    assert [(each.action, str(each.status)) for each in recipients] == [("failed", "5.7.1")] * 2
    assert recipients[0].status_comment == "given up by an administrator"
    assert b"a mistake" not in notice.content, "the reason is for the history"
    relayed.deliver()
    assert relayed.outcomes(messages[0]) == []


def test_notices_that_a_failure_by_hand_queues_are_not_failed_with_it(relayed: Stage, receiver: Receiver):
    relayed.queue.accounts.set("default", notices="queue")
    made = [relayed.submit("ann@example.com")[0] for _ in range(150)]
    assert relayed.queue.fail(all=True).changed == 150
    assert {relayed.state(each) for each in made} == {"failed"}
    assert relayed.queue.count(state="queued", sender="") == 150


def test_dropped_message_sends_no_notice(relayed: Stage, receiver: Receiver):
    message, other = relayed.submit("later@example.com", "ben@example.com")
    relayed.queue.hold(message)
    assert relayed.queue.drop([message], reason="nobody wants it").changed == 1
    relayed.deliver(10 * MINUTE)
    assert (relayed.state(message), relayed.state(other)) == ("canceled", "delivered")
    assert relayed.queue.notices(message) == []
    assert told(relayed, message)[-2:] == [
        ("admin", "python", "nobody wants it"),
        ("canceled", "python", "nobody wants it"),
    ]
    assert relayed.queue.drop([message]) == Steered(changed=0, unchanged=0, retired=(message,))


def test_notice_of_what_is_failed_after_an_attempt_tells_of_it(relayed: Stage):
    [message] = relayed.submit("later@example.com")
    relayed.deliver()
    relayed.queue.fail(message)
    assert relayed.show(message).last_error == "given up by hand; at last: 451 4.3.0 Not now"
    [about] = dsn.parse(relayed.queue.notices(message)[-1].content).recipients
    assert about.diagnostic is not None
    assert about.diagnostic.value == "451 4.3.0 Not now"


@pytest.mark.parametrize(
    ("verb", "state", "notices"), [("fail", "failed", ["failed"]), ("drop", "canceled", [])]
)
def test_message_in_delivery_is_given_up_when_it_is_settled_unless_it_was_delivered(
    tmp_path: Path, receiver: Receiver, verb: str, state: str, notices: list[str]
):
    receiver.final_delay = 0.3
    receiver.at_data = {"later": ["451 4.3.0 Not now"]}
    with Queue(tmp_path / "running.db") as queue:
        engine = Engine(queue, relay=f"127.0.0.1:{receiver.port}")
        for_later = queue.submit(MAIL, recipients=["later@example.com"]).messages[0].id
        goes = queue.submit(MAIL, recipients=["ben@example.com"]).messages[0].id
        waits = queue.submit(MAIL, recipients=["eva@example.com"], not_before=HOUR).messages[0].id
        engine.start()
        receiver.wait(2)
        done = getattr(queue, verb)([for_later, goes, waits], reason="enough", actor="anna")
        assert done == Steered(changed=1, unchanged=0, retired=(), in_delivery=2)
        wait_until(
            lambda: (
                queue.status().queued == 0
                or all(queue.show(each).state.retired for each in (for_later, goes))
            )
        )
        engine.stop()
        assert queue.show(for_later).state == state
        assert [each.outcome.value for each in queue.attempts(for_later)] == ["deferred"]
        assert [each.kind.value for each in queue.notices(for_later)] == notices
        assert queue.show(goes).state == "delivered"
        assert queue.show(waits).state == state
        last = queue.events(for_later)[-1]
        assert (last.actor, last.reason) == ("python:anna", "enough")
        assert queue.check_integrity() == []


def test_many_more_than_one_step_takes_are_dropped(relayed: Stage):
    made = relayed.submit(*(f"r{n}@example.com" for n in range(250)))
    assert relayed.queue.drop(all=True).changed == 250
    assert {relayed.state(each) for each in made} == {"canceled"}


def test_message_whose_engine_died_is_given_up_as_somebody_wished(relayed: Stage, receiver: Receiver):
    [message] = relayed.submit("ann@example.com")
    store, now = relayed.queue.store, relayed.clock.now()
    engine = store.run(
        lambda tx: tx.register_engine(
            Identity(host="gone", pid=1, process_start=1, boot_id="", pid_namespace=""), now
        )
    )
    room = ClaimRequest(engine_id=engine, now=now, limit=1, per_lane=1, room=(1, 1, 1))
    assert len(store.run(lambda tx: tx.claim(room))) == 1
    assert relayed.queue.drop(message, actor="anna").in_delivery == 1
    store.run(lambda tx: tx.bury_engine(engine, now))
    relayed.deliver(HOUR)
    assert (relayed.state(message), receiver.messages) == ("canceled", [])
    assert relayed.queue.events(message)[-1].actor == "python:anna"
    assert relayed.queue.notices(message) == []


# --- when ----------------------------------------------------------------------------------------
def test_rescheduled_message_is_tried_at_its_new_time(relayed: Stage):
    [message] = relayed.submit("ann@example.com")
    now = to_datetime(relayed.clock.now())
    assert relayed.queue.reschedule(message, at=2 * HOUR).changed == 1
    assert relayed.show(message).next_attempt_at == now + 2 * HOUR
    relayed.queue.reschedule(message, by=-HOUR, reason="sooner", actor="anna")
    assert relayed.show(message).next_attempt_at == now + HOUR
    relayed.deliver(59 * MINUTE)
    assert relayed.state(message) == "queued"
    relayed.deliver(MINUTE)
    assert relayed.state(message) == "delivered"
    assert ("admin", "python:anna", "sooner") in told(relayed, message)


def test_no_message_is_rescheduled_into_the_past_or_beyond_its_lifetime(relayed: Stage):
    [message] = relayed.submit("ann@example.com")
    found = relayed.show(message)
    relayed.queue.reschedule(message, at=timedelta(days=400))
    assert relayed.show(message).next_attempt_at == found.give_up_at
    relayed.queue.reschedule(message, by=timedelta(days=-30))
    assert relayed.show(message).next_attempt_at == to_datetime(relayed.clock.now())
    for wrong in ({}, {"at": HOUR, "by": HOUR}):
        with pytest.raises(SettingError, match="at or by"):
            relayed.queue.reschedule(message, **wrong)
    with pytest.raises(SettingError, match="by: must be at most"):
        relayed.queue.reschedule(message, by=timedelta.max)
    with pytest.raises(SettingError, match="time zone"):
        relayed.queue.reschedule(message, at=datetime(2027, 1, 15))


def test_message_in_delivery_is_rescheduled_and_rerouted_after_the_running_attempt(
    tmp_path: Path, receiver: Receiver
):
    receiver.final_delay = 0.3
    receiver.at_data = {"later": ["451 4.3.0 Not now"]}
    with Queue(tmp_path / "running.db") as queue:
        queue.transports.add("relay", kind="relay", host="127.0.0.1", port=receiver.port)
        queue.transports.add("other", kind="relay", host="127.0.0.1", port=receiver.port)
        engine = Engine(queue)
        engine.start()
        message = queue.submit(MAIL, recipients=["later@example.com"]).messages[0].id
        receiver.wait(1)
        at = to_datetime(queue.clock.now() + 7200 * SECOND)
        expected = Steered(changed=0, unchanged=0, retired=(), in_delivery=1)
        assert queue.reschedule(message, at=at) == expected
        assert queue.reroute(message, via="other") == expected
        wait_until(lambda: len(queue.attempts(message)) == 1)
        engine.stop()
        found = queue.show(message)
        assert (found.state, found.next_attempt_at, found.transport) == ("queued", at, "other")
        assert queue.check_integrity() == []


# --- by which way, how safely --------------------------------------------------------------------
def test_rerouted_mail_of_a_blocked_destination_flows_at_once(stage: Stage, receiver: Receiver):
    stage.relay(free_port("127.0.0.1"))
    stage.queue.transports.add("other", kind="relay", host="127.0.0.1", port=receiver.port)
    [first] = stage.submit("ann@example.com")
    for _ in range(4):
        stage.deliver(10 * MINUTE)
    waits = stage.submit("ben@example.com", "eva@example.com")
    stage.deliver()
    assert {stage.state(each) for each in waits} == {"queued"}
    assert stage.queue.reroute(via="other", recipient="@example.com").changed == 3
    assert stage.queue.check_integrity() == []
    stage.deliver()
    assert {stage.state(each) for each in waits} == {"delivered"}
    assert stage.show(first).transport == "other"
    assert stage.queue.reroute(first, via="").changed == 1
    with pytest.raises(NotFound, match="no transport 'nowhere'"):
        stage.queue.reroute(first, via="nowhere")


def test_tls_can_be_required_of_what_waits(relayed: Stage):
    [message] = relayed.submit("ann@example.com")
    relayed.queue.require_tls(message, value=True)
    assert relayed.show(message).require_tls is True
    relayed.deliver()
    assert relayed.state(message) == "failed", "the relay has no TLS"
    [other] = relayed.submit("ben@example.com", require_tls=True)
    relayed.queue.require_tls(other, value=None)
    relayed.deliver()
    assert relayed.state(other) == "delivered"


# --- which, and what would happen ----------------------------------------------------------------
@pytest.mark.parametrize(
    ("verb", "arguments", "would"),
    [
        ("hold", {}, "put on hold"),
        ("release", {}, "released"),
        ("fail", {}, "failed for good, with the notice"),
        ("drop", {}, "without a notice"),
        ("reschedule", {"by": -HOUR}, "tried next 1h earlier"),
        ("reschedule", {"at": to_datetime(1_800_000_000 * SECOND)}, "tried next at 2027-01-15T08:00:00"),
        ("reroute", {"via": "relay"}, "sent by relay"),
        ("reroute", {"via": ""}, "as the routes say"),
        ("require_tls", {"value": True}, "REQUIRETLS"),
        ("require_tls", {"value": False}, "TLS-Required: No"),
        ("require_tls", {"value": None}, "as the transport has it"),
    ],
)
def test_verb_without_selection_is_refused_and_a_dry_run_changes_nothing(
    relayed: Stage, verb: str, arguments: dict[str, object], would: str
):
    made = relayed.submit(*(f"r{n}@example.com" for n in range(12)))
    act = getattr(relayed.queue, verb)
    with pytest.raises(SettingError, match="which messages"):
        act(**arguments)
    before = [relayed.show(each) for each in made]
    done = act(sender="@example.org", dry_run=True, **arguments)
    assert done.changed == 0
    assert done.preview.messages == 12
    assert [each.id for each in done.preview.sample] == made[:10]
    assert would in done.preview.would
    assert [relayed.show(each) for each in made] == before
    assert all(relayed.queue.events(each) == [] for each in made)
