"""Destinations in trouble and limits, by Python's door: looked at, tried again, made and removed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from support.receiver import Receiver
from support.stage import MAIL, Stage, free_port, wait_until
from support.trouble import blocked, in_trouble

from mailqueue import Engine, Queue
from mailqueue.clock import MINUTE, from_datetime, to_datetime
from mailqueue.engine.liveness import this_process
from mailqueue.errors import MailqueueError, NotFound, SettingError


# --- a host that nobody answers at ---------------------------------------------------------------
def test_mail_for_a_host_that_is_down_waits_for_it_and_goes_when_an_operator_says_so(stage: Stage) -> None:
    port = free_port("127.0.0.1")
    stage.relay(port)
    name = f"relay 127.0.0.1:{port}"
    messages = [number for n in range(6) for number in stage.submit(f"ann@d{n}.example")]
    stage.deliver()
    [found] = stage.queue.destinations.list()
    assert found == stage.queue.destinations.show(name)
    assert (found.name, found.canary_at) == (name, None)
    assert found.failures >= 3
    assert "refused" in found.last_error
    assert found.blocked_until is not None
    late = stage.submit("ben@late.example")[0]
    stage.deliver()
    waiting = stage.show(late)
    assert (waiting.attempts, waiting.blocked_by) == (0, name)
    assert waiting.blocked_until is not None
    found = stage.queue.destinations.show(name)
    assert found.lanes == found.messages > 0
    explained = stage.queue.explain(late)
    assert explained.blocked_by == "destination"
    assert f"destination {name} in trouble since 2027-01-15 08:00:00Z: " in explained.summary
    assert f"one message tries it at {waiting.blocked_until:%Y-%m-%d %H:%M}" in explained.summary
    shut = next(each for each in explained.gates if not each.open)
    assert (shut.until, shut.frees) == (waiting.blocked_until, f"mailqueue destinations retry '{name}'")

    with Receiver(port=port):
        done = stage.queue.destinations.retry(name, actor="anna")
        assert (done.blocked_until, done.lanes, done.messages) == (None, 0, 0)
        assert done.failures == found.failures
        assert stage.queue.explain(late).blocked_by == "engine"
        stage.deliver()
        assert stage.state(late) == "delivered"
        stage.deliver(timedelta(minutes=10))
    assert {stage.state(each) for each in messages} == {"delivered"}
    assert stage.queue.destinations.list() == []
    assert stage.queue.destinations.show(name).failures == 0
    change = stage.queue.changes(limit=1).items[0]
    assert (change.actor, change.data) == ("python:anna", {"verb": "destinations retry", "name": name})


def test_engine_at_work_hears_of_a_retry_at_once(tmp_path: Path) -> None:
    """The block is longer than this test waits."""
    port = free_port("127.0.0.1")
    with Queue(tmp_path / "running.db") as queue:
        queue.transports.add("relay", kind="relay", host="127.0.0.1", port=port)
        for n in range(3):
            queue.submit(MAIL, recipients=[f"ann@d{n}.example"])
        engine = Engine(queue)
        engine.start()
        try:
            wait_until(lambda: any(each.blocked_until for each in queue.destinations.list()))
            [late] = queue.submit(MAIL, recipients=["ben@late.example"]).messages
            wait_until(lambda: queue.show(late.id).blocked_by is not None)
            with Receiver(port=port):
                queue.destinations.retry(f"relay 127.0.0.1:{port}")
                wait_until(lambda: queue.show(late.id).state == "delivered")
                wait_until(lambda: queue.destinations.list() == [])
        finally:
            engine.stop()


# --- retry ---------------------------------------------------------------------------------------
def test_retry_frees_all_that_waits_there_and_nothing_else_in_steps(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailqueue.engine.shaping.STEP", 2)
    domains = [f"d{n}.example" for n in range(5)]
    messages = stage.submit(*(f"ann@{domain}" for domain in (*domains, "other.example")))
    in_trouble(stage.queue, "out mx:25", canary_at=stage.clock.now())
    in_trouble(stage.queue, "elsewhere")
    blocked(stage.queue, "out mx:25", *domains)
    blocked(stage.queue, "elsewhere", "other.example")
    assert stage.queue.destinations.show("out mx:25").lanes == 5
    done = stage.queue.destinations.retry("out mx:25")
    assert (done.lanes, done.blocked_until, done.canary_at) == (0, None, None)
    assert [stage.show(each).blocked_by for each in messages] == [None] * 5 + ["elsewhere"]
    assert stage.queue.destinations.show("elsewhere").blocked_until is not None


def test_retry_leaves_alone_what_is_in_trouble_again_meanwhile(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailqueue.engine.shaping.STEP", 2)
    domains = [f"d{n}.example" for n in range(5)]
    stage.submit(*(f"ann@{domain}" for domain in domains))
    known = in_trouble(stage.queue, "out mx:25")
    blocked(stage.queue, "out mx:25", *domains)
    run, steps = stage.queue.store.run, []

    def run_and_fail(job):  # type: ignore[no-untyped-def]
        steps.append(run(job))
        run(lambda transaction: transaction.put_destination(known))
        return steps[-1]

    monkeypatch.setattr(stage.queue.store, "run", run_and_fail)
    done = stage.queue.destinations.retry("out mx:25")
    assert [each.changed for each in steps] == [2, 0]
    assert (done.lanes, done.blocked_until) == (3, to_datetime(known.blocked_until or 0))


def test_destination_of_which_nothing_is_known_is_not_found_and_the_nearest_is_named(stage: Stage) -> None:
    in_trouble(stage.queue, "relay mx.example.net:25")
    for verb in (stage.queue.destinations.show, stage.queue.destinations.retry):
        with pytest.raises(NotFound, match=r"did you mean 'relay mx\.example\.net:25'"):
            verb("relay mx.example.net")
    with pytest.raises(NotFound, match=r"no destination in trouble 'x'$"):
        stage.queue.destinations.show("x")


# --- explain -------------------------------------------------------------------------------------
def test_explain_tells_of_the_message_that_is_trying(stage: Stage) -> None:
    stage.relay(25)
    [message] = stage.submit("ann@example.com")
    known = in_trouble(stage.queue, "relay 127.0.0.1:25", canary_at=stage.clock.now() + MINUTE)
    blocked(stage.queue, known.name, "example.com", minutes=2)
    stage.clock.advance(timedelta(minutes=1))
    explained = stage.queue.explain(message)
    assert explained.blocked_by == "destination"
    assert "one message has been trying it since 2027-01-15 08:01:00Z" in explained.summary
    assert explained.earliest_attempt_at is None  # for no engine is running
    now = stage.clock.now()
    stage.queue.store.run(lambda transaction: transaction.register_engine(this_process(), now))
    explained = stage.queue.explain(message)
    assert explained.earliest_attempt_at == to_datetime(stage.clock.now() + MINUTE)


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ({"blocked_until": None, "failures": 1}, "it is tried all the same"),
        ({"canary_at": None}, "one message may try it now"),
    ],
)
def test_explain_tells_of_trouble_that_keeps_no_mail_back(
    stage: Stage, state: dict[str, object], told: str
) -> None:
    stage.relay(25)
    [message] = stage.submit("ann@example.com")
    in_trouble(stage.queue, "relay 127.0.0.1:25", **state)
    stage.clock.advance(timedelta(minutes=2))
    explained = stage.queue.explain(message)
    assert explained.blocked_by == "engine"
    assert any(told in gate.text for gate in explained.gates if gate.gate == "destination")


def test_explain_tells_that_a_destination_in_good_health_has_all_that_it_takes(stage: Stage) -> None:
    stage.relay(25)
    [message] = stage.submit("ann@example.com")
    blocked(stage.queue, "relay 127.0.0.1:25", "example.com")
    assert stage.queue.explain(message).summary == (
        "destination relay 127.0.0.1:25 has all it takes at once; asked again at 2027-01-15 08:01:00Z"
    )
    stage.clock.advance(timedelta(minutes=1))
    assert stage.queue.explain(message).blocked_by == "engine"


def test_explain_tells_of_the_limit_where_trouble_alone_keeps_no_mail_back(stage: Stage) -> None:
    stage.relay(25)
    [message] = stage.submit("ann@example.com")
    known = in_trouble(stage.queue, "relay 127.0.0.1:25", blocked_until=None, failures=1)
    blocked(stage.queue, known.name, "example.com")
    assert "has all it takes at once" in stage.queue.explain(message).summary


def test_explain_tells_first_of_the_messages_own_time_where_that_is_later(
    stage: Stage, receiver: Receiver
) -> None:
    stage.relay(receiver.port)
    [message] = stage.submit("greylist@example.com")
    stage.deliver()
    known = in_trouble(stage.queue, f"relay 127.0.0.1:{receiver.port}")
    blocked(stage.queue, known.name, "example.com")
    explained = stage.queue.explain(message)
    assert explained.blocked_by == "backoff"
    assert [each.gate.value for each in explained.gates if not each.open] == [
        "backoff",
        "destination",
        "engine",
    ]
    due = stage.show(message).next_attempt_at
    assert due is not None
    assert from_datetime(due) > (known.blocked_until or 0)


# --- shaping rules -------------------------------------------------------------------------------
def test_shaping_rules_are_made_listed_shown_and_removed(stage: Stage) -> None:
    stage.relay(25)
    rules = stage.queue.shaping_rules
    wide = rules.add(mx=".Example.NET", connections=2, position=1, reason="they asked", actor="anna")
    assert (wide.mx, wide.actor, wide.created_at) == (
        ".example.net",
        "python:anna",
        to_datetime(stage.clock.now()),
    )
    named = rules.add(transport="relay", domain="bücher.example", per_connection=20, per_minute=60)
    assert named.domain == "xn--bcher-kva.example"
    assert rules.list() == (named, wide)
    assert rules.show(wide.id) == wide
    assert rules.remove(wide.id) == wide
    assert rules.list() == (named,)
    for verb in (rules.show, rules.remove):
        with pytest.raises(NotFound, match=f"no shaping rule {wide.id}"):
            verb(wide.id)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "needs a limit: connections, per-connection, per-minute"),
        ({"domain": "example.net"}, "needs a limit"),
        ({"connections": 0}, "connections: must be 1 to 1000000, not 0"),
        ({"per_connection": -1}, "per-connection: must be 1"),
        ({"connections": 1, "per_minute": 10**6 + 1}, "per-minute: must be 1 to 1000000, not 1000001"),
        ({"connections": 1, "domain": "not a name"}, "domain: 'not a name': a space at position 4"),
        ({"connections": 1, "domain": ""}, "domain: ''"),
        ({"connections": 1, "mx": "mx..example"}, "mx: 'mx..example': "),
        ({"connections": 1, "mx": "."}, "mx: '.'"),
    ],
)
def test_shaping_rule_that_cannot_be_is_refused_with_its_name_and_not_stored(
    stage: Stage, given: dict[str, object], told: str
) -> None:
    with pytest.raises(SettingError) as refused:
        stage.queue.shaping_rules.add(**given)  # type: ignore[arg-type]
    assert told in str(refused.value)
    assert stage.queue.shaping_rules.list() == ()


def test_shaping_rule_for_a_transport_that_is_not_there_names_the_nearest(stage: Stage) -> None:
    stage.relay(25)
    with pytest.raises(MailqueueError, match="no transport 'rely'; did you mean 'relay'"):
        stage.queue.shaping_rules.add(transport="rely", connections=1)


def test_shaping_rule_counts_for_a_host_however_its_transport_spells_it(
    stage: Stage, receiver: Receiver
) -> None:
    stage.queue.transports.add("relay", kind="relay", host="LocalHost", port=receiver.port)
    stage.queue.shaping_rules.add(mx="localhost", per_minute=1)
    messages = [stage.submit(f"ann@d{n}.example")[0] for n in range(2)]
    stage.deliver()
    assert sorted(stage.state(each) for each in messages) == ["delivered", "queued"]
    stage.deliver(timedelta(minutes=1))
    assert {stage.state(each) for each in messages} == {"delivered"}
