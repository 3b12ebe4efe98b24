"""What a submission says of when it goes, for how long, what goes first and by which way: whole stories."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from support.clock import START, ManualTimer
from support.receiver import Receiver
from support.stage import Stage

from mailqueue.clock import HOUR, to_datetime
from mailqueue.engine.liveness import this_process
from mailqueue.engine.settle import Settler, Work
from mailqueue.errors import Conflict
from mailqueue.mail import dsn
from mailqueue.model.settlement import Settlement
from mailqueue.store.base import ClaimRequest, Reader, Store

MINUTE, HOURS, DAYS = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def relayed(stage: Stage, receiver: Receiver) -> Stage:
    """A stage whose mail goes to the receiver, which puts off what is for `slow`."""
    receiver.at_rcpt = {"slow": ["450 4.3.0 Later"]}
    stage.relay(receiver.port)
    return stage


def arrived(receiver: Receiver) -> list[str]:
    """Return the local parts of the recipients, in the order of their arrival."""
    return [to.partition("@")[0] for message in receiver.messages for to in message.recipients]


def kinds(stage: Stage, message: int) -> list[str]:
    return [notice.kind.value for notice in stage.queue.notices(message)]


# --- not before ----------------------------------------------------------------------------------
def test_future_release_goes_at_its_moment_and_not_before(relayed: Stage, receiver: Receiver):
    [message] = relayed.submit("ben@example.com", not_before=2 * HOURS)
    assert relayed.show(message).not_before == to_datetime(START + 2 * HOUR)
    relayed.deliver()
    relayed.deliver(2 * HOURS - timedelta(microseconds=1))
    assert relayed.outcomes(message) == []
    relayed.deliver(timedelta(microseconds=1))
    assert relayed.outcomes(message) == ["delivered"]
    assert arrived(receiver) == ["ben"]


def test_moment_that_is_past_is_at_once(relayed: Stage):
    [message] = relayed.submit("ben@example.com", not_before=to_datetime(START - HOUR))
    assert relayed.show(message).not_before is None
    relayed.deliver()
    assert relayed.outcomes(message) == ["delivered"]


def test_lifetime_and_delay_notice_count_from_the_moment_of_release(relayed: Stage):
    relayed.queue.schedules.add("steps", "2h*", lifetime=8 * HOURS, warn_after=4 * HOURS)
    [message] = relayed.submit("slow@example.com", not_before=30 * DAYS, schedule="steps")
    assert relayed.show(message).give_up_at == to_datetime(START) + 30 * DAYS + 8 * HOURS
    relayed.deliver(30 * DAYS)
    relayed.deliver(3 * HOURS)
    assert kinds(relayed, message) == []
    relayed.deliver(1 * HOURS)
    notice = relayed.notice(message)
    assert "Future-Release-Request: until;2027-02-14T08:00:00Z" in notice
    assert "Will-Retry-Until: Sun, 14 Feb 2027 16:00:00 +0000" in notice
    relayed.deliver(5 * HOURS)
    assert relayed.state(message) == "expired"
    [told] = dsn.parse(relayed.queue.notices(message)[-1].content).recipients
    assert told.status_comment == "given up after 9h and 3 attempts", "counted from its release"


# --- priority ------------------------------------------------------------------------------------
def test_interactive_mail_overtakes_a_thousand_bulk_messages(relayed: Stage, receiver: Receiver):
    newsletter = [f"r{number}@example.com" for number in range(1000)]
    relayed.submit(*newsletter, priority="bulk")
    relayed.submit("usual@example.com")
    relayed.submit("code@example.com", priority="interactive")
    relayed.deliver(connections=1, window=100)
    order = arrived(receiver)
    assert sorted(order) == sorted(["usual", "code", *(f"r{number}" for number in range(1000))])
    assert set(order[:2]) == {"code", "usual"}


# --- expires at ----------------------------------------------------------------------------------
def test_message_on_hold_expires_at_its_moment_with_a_notice(relayed: Stage):
    messages = relayed.submit("ann@example.com", "ben@example.com", expires_at=1 * HOURS)
    relayed.queue.hold(messages[0])
    relayed.queue.hold(messages[1])
    relayed.deliver(59 * MINUTE)
    assert {relayed.state(each) for each in messages} == {"queued"}
    settled: list[Settlement] = []
    relayed.deliver(1 * MINUTE, listener=settled.append)
    assert [(each.message.id, each.facts) for each in settled] == [(each, None) for each in messages]
    for each in messages:
        found = relayed.show(each)
        assert (found.state, found.attempts, found.hold) == ("expired", 0, False)
        assert found.last_error == "its time was over before it was tried"
        assert relayed.outcomes(each) == []
        event = relayed.queue.events(each)[-1]
        assert (event.event, event.data["reason"]) == ("failed", "expired")
    [notice] = relayed.queue.notices(messages[0])
    assert relayed.queue.notices(messages[1]) == [notice], "one notice for both"
    told = dsn.parse(notice.content)
    assert [(each.action, str(each.status)) for each in told.recipients] == [("failed", "4.4.7")] * 2
    assert told.recipients[0].status_comment == "given up after 1h, before any attempt"
    assert told.recipients[0].last_attempt is None


def test_notice_of_what_expires_on_hold_tells_of_the_last_attempt(relayed: Stage):
    [message] = relayed.submit("slow@example.com", expires_at=1 * HOURS)
    relayed.deliver()
    relayed.queue.hold(message)
    relayed.deliver(1 * HOURS)
    assert relayed.outcomes(message) == ["deferred"]
    assert relayed.show(message).last_error == "its time was over; at last: 450 4.3.0 Later"
    [told] = dsn.parse(relayed.queue.notices(message)[-1].content).recipients
    assert told.status_comment == "given up after 1h and 1 attempt"
    assert told.diagnostic is not None
    assert told.diagnostic.value == "450 4.3.0 Later"
    assert told.last_attempt == START


def test_notice_of_what_expires_says_that_it_may_have_arrived(relayed: Stage):
    [message] = relayed.submit("vanish@example.com", expires_at=1 * HOURS)
    relayed.deliver()
    relayed.queue.hold(message)
    relayed.deliver(1 * HOURS)
    assert "may have arrived" in relayed.notice(message).replace("\r\n", " ")


def test_message_is_not_sent_once_it_has_expired_though_no_engine_was_there(
    relayed: Stage, receiver: Receiver
):
    [message] = relayed.submit("code@example.com", expires_at=10 * MINUTE)
    [other] = relayed.submit("ben@example.com")
    relayed.deliver(11 * MINUTE)
    assert (relayed.state(message), relayed.state(other)) == ("expired", "delivered")
    assert arrived(receiver) == ["ben"]


def test_message_that_fails_at_its_last_try_before_it_expires_is_given_up_then(relayed: Stage):
    [message] = relayed.submit("slow@example.com", expires_at=12 * MINUTE)
    assert relayed.show(message).give_up_at == to_datetime(START) + 12 * MINUTE
    relayed.deliver()
    assert relayed.state(message) == "queued"
    relayed.deliver(6 * MINUTE)  # the next try would be a quarter of an hour later
    assert (relayed.state(message), relayed.outcomes(message)) == ("expired", ["deferred"] * 2)


def test_expiry_never_lengthens_the_lifetime_of_the_schedule(relayed: Stage):
    [message] = relayed.submit("full@example.com", schedule="otp", expires_at=2 * HOURS)
    assert relayed.show(message).give_up_at == to_datetime(START) + 10 * MINUTE


def test_more_expire_than_one_step_takes(relayed: Stage):
    messages = relayed.submit(
        *(f"r{n}@example.com" for n in range(250)), expires_at=1 * HOURS, not_before=MINUTE
    )
    relayed.deliver(1 * HOURS)
    assert {relayed.state(each) for each in messages} == {"expired"}


def test_running_engine_is_woken_when_a_message_expires(relayed: Stage):
    [message] = relayed.submit("ben@example.com", expires_at=1 * HOURS)
    relayed.queue.hold(message)
    timer = ManualTimer(relayed.clock)

    async def story() -> None:
        engine = relayed.new_engine(timer=timer)
        running = asyncio.create_task(engine.run())
        async with asyncio.timeout(20):
            while timer.armed != START + HOUR:
                await asyncio.sleep(0.005)
            relayed.clock.advance(1 * HOURS)
            timer.ring()
            while relayed.state(message) != "expired":
                await asyncio.sleep(0.005)
        engine.stop()
        await running

    asyncio.run(story())
    assert kinds(relayed, message) == ["failed"]


def test_mail_without_a_transport_expires_all_the_same(stage: Stage):
    [message] = stage.submit("ben@example.com", expires_at=1 * HOURS)
    stage.deliver(1 * HOURS)
    assert stage.state(message) == "expired"


class Meanwhile:
    """A store in which something happens right after the first look at it."""

    def __init__(self, store: Store, happens: Callable[[], object]) -> None:
        self._store = store
        self._happens: list[Callable[[], object]] = [happens]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def read(self, question: Callable[[Reader], Any]) -> Any:
        found = self._store.read(question)
        if self._happens:
            self._happens.pop()()
        return found


def test_message_that_an_engine_has_just_claimed_expires_by_its_attempt(relayed: Stage):
    [claimed] = relayed.submit("ann@example.com", "ben@example.com", expires_at=1 * HOURS)[:1]
    other = claimed + 1
    relayed.queue.hold(other)
    store = relayed.queue.store
    engine_id = store.run(lambda transaction: transaction.register_engine(this_process(), START))
    request = ClaimRequest(engine_id=engine_id, now=START, limit=9, per_lane=9, room=[9] * 3)
    meanwhile = Meanwhile(store, lambda: store.run(lambda transaction: transaction.claim(request)))
    relayed.clock.advance(1 * HOURS)
    done: list[Work] = []
    settler = Settler(meanwhile, relayed.clock, "mx.example.org")  # type: ignore[arg-type]
    asyncio.run(settler.expire(done.append))
    assert (relayed.state(claimed), relayed.state(other)) == ("claimed", "expired")
    assert [[each.message.id for each in work.settlements] for work in done] == [[other]]
    assert kinds(relayed, claimed) == []
    [told] = dsn.parse(relayed.queue.notices(other)[0].content).recipients
    assert told.final_recipient.value == "ben@example.com", "the notice tells of that one alone"


# --- max attempts, delay notices -----------------------------------------------------------------
def test_message_is_given_up_after_so_many_attempts(relayed: Stage):
    [message] = relayed.submit("slow@example.com", max_attempts=3)
    for _ in range(3):
        assert relayed.state(message) == "queued"
        relayed.deliver(1 * HOURS)
    assert (relayed.state(message), len(relayed.outcomes(message))) == ("expired", 3)
    assert "given up after 3h and 3 attempts" in relayed.notice(message).replace("\r\n", " ")


@pytest.mark.parametrize(
    ("after", "told"),
    [(None, ["delayed"]), (timedelta(0), []), (9 * HOURS, []), (1 * HOURS, ["delayed"])],
    ids=["as the schedule says", "none", "later", "sooner"],
)
def test_sender_is_told_of_a_delay_as_the_submission_says(
    relayed: Stage, after: timedelta | None, told: list[str]
):
    [message] = relayed.submit("full@example.com", warn_after=after)
    relayed.deliver()
    relayed.deliver(2 * HOURS)
    assert kinds(relayed, message) == (["delayed"] if after == HOURS else [])
    relayed.deliver(3 * HOURS)
    assert kinds(relayed, message) == told


# --- transport -----------------------------------------------------------------------------------
def test_message_takes_the_transport_that_it_names_whatever_the_routes_say(relayed: Stage):
    relayed.queue.transports.add("no", kind="fail", reply="550 5.7.1 not from here")
    relayed.queue.routes.add("relay", recipient_domain="example.com")
    [named] = relayed.submit("ann@example.com", transport="no")
    [routed] = relayed.submit("ben@example.com")
    assert relayed.queue.explain(named).transport == "no"
    with pytest.raises(Conflict, match="1 message in the queue names transport 'no'"):
        relayed.queue.transports.remove("no")
    relayed.deliver()
    assert (relayed.state(named), relayed.state(routed)) == ("failed", "delivered")
    attempt = relayed.attempt(named)
    assert (attempt.transport, attempt.route_id) == ("no", None)
    relayed.queue.transports.remove("no")


def test_relay_of_an_engine_outweighs_the_transport_that_a_message_names(relayed: Stage, receiver: Receiver):
    relayed.queue.transports.add("no", kind="fail", reply="550 5.7.1 not from here")
    [message] = relayed.submit("ann@example.com", transport="no")
    relayed.deliver(relay=f"127.0.0.1:{receiver.port}")
    assert relayed.state(message) == "delivered"


def test_messages_of_one_content_with_different_transports_go_apart(relayed: Stage, receiver: Receiver):
    with Receiver() as second:
        relayed.queue.transports.add("second", kind="relay", host="127.0.0.1", port=second.port)
        relayed.submit("ann@example.com", transport="second")
        relayed.submit("ben@example.com")
        relayed.deliver()
        assert (arrived(second), arrived(receiver)) == (["ann"], ["ben"])
