"""What would become of a message that is not submitted yet: what `plan` tells is what then happens."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta

import pytest
from support.net import Net
from support.receiver import Receiver
from support.stage import AtWork, Stage
from support.trouble import blocked, in_trouble

from mailqueue import AsyncQueue
from mailqueue.clock import DAY, from_datetime, to_datetime
from mailqueue.errors import InvalidSubmission, NotFound, QuotaExceeded
from mailqueue.model.explain import Gate
from mailqueue.model.lane import Priority
from mailqueue.model.lifecycle import State
from mailqueue.model.plan import Plan
from mailqueue.model.schedule import SHIPPED, times

ANN = {"sender": "anna@example.org", "recipient": "ann@example.com"}


def everything(stage: Stage) -> list[str]:
    """Return all that the file holds, as SQL."""
    with closing(sqlite3.connect(stage.queue.path)) as file:
        return list(file.iterdump())


def gates(found: tuple[Gate, ...]) -> list[tuple[object, ...]]:
    return [(each.gate, each.open, each.text, each.until) for each in found]


# --- what is planned is what happens -------------------------------------------------------------
def nothing(stage: Stage, receiver: Receiver) -> None:
    stage.queue.status()  # makes the file


def a_relay(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)


def rules_that_hold(stage: Stage, receiver: Receiver) -> None:
    a_relay(stage, receiver)
    stage.queue.hold_rules.add(recipient_domain="example.com", reason="odd")
    stage.queue.hold_rules.add(sender_domain="example.net", reason="another's")
    stage.queue.hold_rules.add(sender="anna@example.org", reason="wrong prices")


def a_route(stage: Stage, receiver: Receiver) -> None:
    a_relay(stage, receiver)
    stage.queue.transports.add("special", kind="relay", host="localhost", port=2525, tls="required")
    stage.queue.routes.add("special", sender_domain="example.org")


def a_destination_in_trouble(stage: Stage, receiver: Receiver) -> None:
    a_relay(stage, receiver)
    known = in_trouble(stage.queue, f"relay 127.0.0.1:{receiver.port}")
    blocked(stage.queue, known.name, "example.com")


def a_destination_with_all_it_takes(stage: Stage, receiver: Receiver) -> None:
    a_relay(stage, receiver)
    stage.submit("ben@example.com", not_before=timedelta(days=1))
    blocked(stage.queue, f"relay 127.0.0.1:{receiver.port}", "example.com")


def a_rate_that_is_used_up(stage: Stage, receiver: Receiver) -> None:
    a_relay(stage, receiver)
    stage.queue.shaping_rules.add(per_minute=1)
    stage.submit("ben@example.com")
    stage.deliver()


def a_quota_that_holds(stage: Stage, receiver: Receiver) -> None:
    a_relay(stage, receiver)
    stage.queue.accounts.set("default", messages_per_day=1, over_quota="hold")
    stage.submit("ben@example.com")


@pytest.mark.parametrize(
    "given",
    [
        nothing,
        a_relay,
        rules_that_hold,
        a_route,
        a_destination_in_trouble,
        a_destination_with_all_it_takes,
        a_rate_that_is_used_up,
        a_quota_that_holds,
    ],
)
@pytest.mark.parametrize("wishes", [{}, {"require_tls": True, "priority": "bulk"}])
def test_message_waits_where_it_was_planned_to(
    stage: Stage, receiver: Receiver, given: Callable[[Stage, Receiver], None], wishes: dict[str, object]
) -> None:
    given(stage, receiver)
    before = everything(stage)
    planned = stage.queue.plan(**ANN, **wishes)  # type: ignore[arg-type]
    assert everything(stage) == before, "nothing is stored"
    [message] = stage.submit(ANN["recipient"], **wishes)
    found, shown = stage.queue.explain(message), stage.show(message)
    assert planned.state == shown.state == State.QUEUED
    assert gates(planned.gates) == gates(found.gates)
    assert (planned.blocked_by, planned.summary) == (found.blocked_by, found.summary)
    assert (planned.earliest_attempt_at, planned.way) == (found.earliest_attempt_at, found.way)
    assert (planned.schedule, planned.give_up_at) == (shown.schedule, shown.give_up_at)
    assert (planned.priority, planned.recipient) == (shown.priority, shown.recipient)


def test_hosts_are_those_that_dns_names(stage: Stage) -> None:
    zone = {"example.com": {"MX": ["10 mx.example.com."]}, "mx.example.com": {"A": ["127.0.0.2"]}}
    net = Net(stage, zone, "127.0.0.2")  # type: ignore[arg-type]
    with net.servers:
        receiver = net.receives("127.0.0.2")
        planned = stage.queue.plan(**ANN, dns=stage.new_resolver())  # type: ignore[arg-type]
        assert planned.way is not None
        [host] = planned.way.hosts
        assert (host.name, host.port, host.preference) == ("mx.example.com", net.port, 10)
        assert planned.way.destination == "mx mx.example.com"
        [message] = stage.submit(ANN["recipient"])
        stage.deliver()
        assert stage.attempt(message).host == host.name
        assert receiver.count == 1
        asked = len(net.dns.queries)
        silent = stage.queue.plan(**ANN, dns=False).way  # type: ignore[arg-type]
        assert silent is not None
        assert (silent.hosts, len(net.dns.queries)) == ((), asked)


def test_hold_that_is_planned_names_no_message_to_release(stage: Stage) -> None:
    stage.queue.hold_rules.add()
    hold, *_ = stage.queue.plan(**ANN).gates  # type: ignore[arg-type]
    assert hold.frees == "mailqueue release ID"


def test_engine_at_work_with_a_relay_counts(stage: Stage, receiver: Receiver) -> None:
    with AtWork(stage, relay=f"127.0.0.1:{receiver.port}"):
        planned = stage.queue.plan(**ANN)  # type: ignore[arg-type]
    assert planned.way is not None
    assert planned.way.chosen_by == "engine"
    assert (planned.blocked_by, planned.earliest_attempt_at) == (None, to_datetime(stage.clock.now()))


# --- quotas --------------------------------------------------------------------------------------
def test_quota_that_refuses_is_told_as_submit_will(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    stage.queue.accounts.set("default", messages_per_day=1)
    assert stage.queue.plan(**ANN).over_quota is None  # type: ignore[arg-type]
    stage.submit("ben@example.com")
    planned = stage.queue.plan(**ANN)  # type: ignore[arg-type]
    with pytest.raises(QuotaExceeded) as refused:
        stage.submit(ANN["recipient"])
    assert (planned.state, planned.over_quota) == (None, str(refused.value))
    assert planned.summary == f"refused: {refused.value}"
    assert (planned.gates, planned.blocked_by, planned.earliest_attempt_at) == ((), None, None)
    assert planned.way is not None, "it is told all the same"
    assert planned.usage == stage.queue.accounts.show("default").usage


def test_quota_of_new_recipients_knows_whom_the_account_has_written_to(stage: Stage) -> None:
    stage.queue.accounts.set("default", new_recipients_per_day=1, over_quota="drop")
    stage.submit("ben@example.com")
    assert plan_for(stage, "ben@example.com").state == State.QUEUED
    planned = plan_for(stage, "ann@example.com")
    [message] = stage.submit("ann@example.com")
    assert planned.state == stage.show(message).state == State.CANCELED
    assert planned.summary == planned.over_quota == stage.show(message).last_error


def plan_for(stage: Stage, recipient: str) -> Plan:
    return stage.queue.plan(sender="anna@example.org", recipient=recipient)


# --- schedule ------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", [None, "otp", "mine"])
def test_first_times_are_those_of_the_schedule(stage: Stage, name: str | None) -> None:
    stage.queue.schedules.add("mine", "1s*", lifetime=timedelta(minutes=1))
    stage.queue.accounts.set("default", schedule="transactional")
    planned = stage.queue.plan(**ANN, schedule=name)  # type: ignore[arg-type]
    schedule = stage.queue.schedules.show(name or "transactional")
    assert planned.schedule == schedule.name
    assert [each // timedelta(microseconds=1) for each in planned.times] == times(schedule)[:10]
    assert from_datetime(planned.give_up_at) == stage.clock.now() + schedule.lifetime
    assert SHIPPED["standard"].lifetime == 5 * DAY


# --- what cannot be ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"sender": "anna@"}, "sender: 'anna@'"),
        ({"recipient": "ann"}, "recipient 1: 'ann'"),
        ({"sender": "@", "recipient": "@"}, "recipient 1: "),
        ({"priority": "urgent"}, "priority"),
    ],
)
def test_what_could_not_be_queued_is_refused_with_the_faults(
    stage: Stage, wrong: dict[str, str], told: str
) -> None:
    with pytest.raises(InvalidSubmission) as refused:
        stage.queue.plan(**{**ANN, **wrong})  # type: ignore[arg-type]
    assert any(told in each for each in refused.value.faults)


@pytest.mark.parametrize("what", ["account", "schedule", "transport"])
def test_what_a_plan_names_must_be_there(stage: Stage, what: str) -> None:
    with pytest.raises(NotFound, match=f"no {what} 'x'"):
        stage.queue.plan(**ANN, **{what: "x"})  # type: ignore[arg-type]


def test_addresses_are_told_as_they_are_stored(stage: Stage) -> None:
    planned = stage.queue.plan(sender="<>", recipient="Ann@BÜCHER.example", priority=Priority.BULK)
    assert (planned.sender, planned.recipient) == ("", "Ann@xn--bcher-kva.example")


def test_async_queue_plans_the_same(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)

    async def ask() -> Plan:
        async with AsyncQueue(stage.queue.path, clock=stage.clock) as queue:
            return await queue.plan(**ANN)  # type: ignore[arg-type]

    assert asyncio.run(ask()) == stage.queue.plan(**ANN)  # type: ignore[arg-type]
