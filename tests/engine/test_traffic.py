"""Destinations in trouble, their limits, and whose turn it is: stories with real servers and clock jumps."""

from __future__ import annotations

import signal
import sqlite3
from collections import Counter
from collections.abc import Callable
from datetime import timedelta

import pytest
from support.clock import SharedClock
from support.engine_process import EngineProcess
from support.net import Net
from support.receiver import SILENCE, Receiver
from support.stage import MAIL, AtWork, Stage, wait_until

from mailqueue.clock import MINUTE, SECOND, from_datetime
from mailqueue.engine import intake, pool
from mailqueue.model.engine import Identity
from mailqueue.net.resolver import Resolver
from mailqueue.store.base import Transaction

DOWN = "421 4.3.2 We are down for a moment"
UP = "220 receiver.example ESMTP"
A_WHILE = timedelta(minutes=20)  # longer than any block
ONE, TWO, THREE = "127.0.0.1", "127.0.0.2", "127.0.0.3"


def submit_many(stage: Stage, count: int, domains: int = 7, **more: object) -> list[int]:
    """Submit so many messages, each with a content of its own, to some domains in turn."""
    return [stage.submit(f"r{n}@d{n % domains}.example", **more)[0] for n in range(count)]


def attempts(stage: Stage, ids: list[int]) -> Counter[int]:
    """Return how many messages have used up how many attempts."""
    return Counter(stage.show(each).attempts for each in ids)


def states(stage: Stage, ids: list[int]) -> Counter[str]:
    return Counter(stage.state(each) for each in ids)


def block(stage: Stage, receiver: Receiver, count: int = 10, domains: int = 7, **more: object) -> list[int]:
    """Have the receiver's destination blocked by mail for it; return the ids of the mail."""
    receiver.greeting = DOWN
    ids = submit_many(stage, count, domains, **more)
    stage.deliver()
    assert stage.destination().blocked_until is not None
    return ids


def end_of_block(stage: Stage) -> None:
    """Move the clock to the moment at which the only block ends."""
    until = stage.destination().blocked_until
    assert until is not None
    stage.clock.advance(until - stage.clock.now())


# --- blocked -------------------------------------------------------------------------------------
def test_a_destination_that_fails_three_times_is_left_alone_and_the_others_use_up_no_attempts(
    stage, receiver
):
    stage.relay(receiver.port)
    receiver.greeting = DOWN
    ids = submit_many(stage, 60)
    stage.deliver()
    assert receiver.connections == 3
    assert attempts(stage, ids) == {0: 57, 1: 3}
    found = stage.destination()
    assert (found.name, found.failures) == (f"relay 127.0.0.1:{receiver.port}", 3)
    assert DOWN in found.last_error
    assert found.blocked_until == pytest.approx(stage.clock.now() + MINUTE, abs=6 * SECOND)


def test_mail_that_waits_for_its_destination_says_so(stage, receiver):
    stage.relay(receiver.port)
    ids = block(stage, receiver)
    found = stage.destination()
    waiting = [message for message in map(stage.show, ids) if message.attempts == 0]
    assert len(waiting) == 7
    for message in waiting:
        assert (message.state, message.blocked_by) == ("queued", found.name)
        assert message.blocked_until is not None
        assert from_datetime(message.blocked_until) == found.blocked_until
        assert message.next_attempt_at >= message.blocked_until


def test_new_mail_for_a_blocked_destination_costs_no_connection(stage, receiver):
    stage.relay(receiver.port)
    block(stage, receiver)
    later = submit_many(stage, 20, domains=13)
    stage.deliver(timedelta(seconds=30))
    assert receiver.connections == 3
    assert attempts(stage, later) == {0: 20}
    assert {stage.show(each).blocked_by for each in later} == {stage.destination().name}


def test_trouble_with_one_message_is_not_trouble_with_its_destination(stage, receiver):
    stage.relay(receiver.port)
    ids = [
        stage.submit(f"{each}@example.com")[0] for each in ("greylist", "full", "unknown", "spam", "retry")
    ]
    stage.deliver(connections=1)
    assert attempts(stage, ids) == {1: 5}
    assert stage.destinations() == {}


def test_a_success_between_failures_makes_them_count_anew(stage, receiver):
    stage.relay(receiver.port)
    receiver.greeting = DOWN
    submit_many(stage, 2)
    stage.deliver()
    assert stage.destination().failures == 2
    receiver.greeting = UP
    submit_many(stage, 1)
    stage.deliver()
    assert stage.destinations() == {}
    receiver.greeting = DOWN
    submit_many(stage, 2)
    stage.deliver()
    assert stage.destination().blocked_until is None


def test_a_relay_to_which_our_password_may_not_be_shown_is_left_alone(stage, receiver):
    stage.relay(receiver.port, username="us", password="secret")
    ids = submit_many(stage, 20)
    stage.deliver()
    assert "TLS is required" in stage.destination().last_error
    assert attempts(stage, ids) == {0: 17, 1: 3}


# --- the canary ----------------------------------------------------------------------------------
def test_one_message_tries_it_at_the_end_of_each_block_and_blocks_grow_to_a_quarter_of_an_hour(
    stage, receiver
):
    stage.relay(receiver.port)
    ids = block(stage, receiver, 30)
    blocks = []
    for canary in range(1, 9):
        end_of_block(stage)
        stage.clock.advance(-1)
        stage.deliver()
        assert receiver.connections == 2 + canary, "not a microsecond too early"
        stage.deliver(timedelta(microseconds=1))
        assert receiver.connections == 3 + canary
        blocks.append((stage.destination().blocked_until or 0) - stage.clock.now())
    for block_length, minutes in zip(blocks, (2, 4, 8, 15, 15, 15, 15, 15), strict=True):
        assert block_length == pytest.approx(minutes * MINUTE, rel=0.11)
    assert sum(stage.show(each).attempts for each in ids) == 3 + 8


def test_when_nobody_waits_at_the_end_of_a_block_the_next_message_is_the_canary(stage, receiver):
    stage.relay(receiver.port)
    block(stage, receiver, 3)
    submit_many(stage, 5)
    stage.deliver(timedelta(minutes=2))
    assert receiver.connections == 4


def test_of_two_engines_one_sends_the_canary(stage, receiver):
    stage.relay(receiver.port)
    block(stage, receiver, 60)
    receiver.greeting = SILENCE
    with AtWork(stage, drain=0.1) as one, AtWork(stage, drain=0.1) as two:
        end_of_block(stage)
        one.after(0)
        two.after(0)
        wait_until(lambda: receiver.connections == 4)
        for _ in range(3):
            stage.submit("new@d1.example")
            one.after(SECOND)
            two.after(SECOND)
        assert receiver.connections == 4


def test_of_two_processes_one_sends_the_canary(tmp_path, receiver):
    clock = SharedClock(tmp_path / "clock")
    stage = Stage(tmp_path / "queue.db", clock=clock)
    stage.relay(receiver.port)
    block(stage, receiver, 60)
    receiver.greeting = SILENCE
    path, settings = tmp_path / "queue.db", {"drain": 0.1}
    with (
        EngineProcess(path, clock=clock, **settings) as one,
        EngineProcess(path, clock=clock, **settings) as two,
    ):
        end_of_block(stage)
        stage.submit("new@d1.example")  # which wakes them
        wait_until(lambda: receiver.connections == 4)
        for engine in (one, two):
            engine.signal(signal.SIGCONT)
        for number in range(10):
            clock.advance(SECOND)
            ids = [stage.submit(f"new{number}@d{each}.example")[0] for each in range(7)]
        wait_until(lambda: all(stage.show(each).blocked_until for each in ids))
        assert receiver.connections == 4
    stage.close()


def test_a_canary_that_is_taken_lets_everything_flow_and_begins_with_one_connection(
    stage, receiver, monkeypatch
):
    monkeypatch.setattr(pool, "GROW_ABOVE", 0.0)
    stage.relay(receiver.port)
    ids = block(stage, receiver, 150, domains=50)
    opened: list[int] = []
    receiver.greeting = UP
    receiver.at_rcpt = Noting(lambda: receiver.open, opened)
    end_of_block(stage)
    stage.deliver()
    assert states(stage, ids) == {"delivered": 147, "queued": 3}, "three have a time of their own"
    assert stage.destinations() == {}
    assert opened[0] == 1
    assert all(now <= before + 1 for before, now in enumerate(opened)), "one more with each success"
    assert max(opened) > 2
    stage.deliver(A_WHILE)
    assert states(stage, ids) == {"delivered": 150}
    assert attempts(stage, ids) == {1: 147, 2: 3}


class Noting(dict):
    """Scripts that refuse nobody, and note something at each RCPT."""

    def __init__(self, what: Callable[[], int], seen: list[int]) -> None:
        self._what, self._seen = what, seen

    def get(self, name, default=None):
        self._seen.append(self._what())
        return default


def test_more_lanes_than_are_unblocked_in_a_step_all_flow_again(stage, receiver, monkeypatch):
    monkeypatch.setattr("mailqueue.engine.traffic._UNBLOCKED", 10)
    stage.relay(receiver.port)
    ids = block(stage, receiver, 60, domains=60)
    receiver.greeting = UP
    end_of_block(stage)
    with AtWork(stage) as work:
        work.after(0)
        wait_until(lambda: states(stage, ids)["delivered"] == 57)


def test_the_other_engine_hears_that_a_destination_is_well_again(stage, receiver):
    stage.relay(receiver.port)
    block(stage, receiver)
    with AtWork(stage) as other:
        other.after(0)
        receiver.greeting = UP
        end_of_block(stage)
        stage.deliver()
        [message] = stage.submit("new@d1.example")
        wait_until(lambda: stage.state(message) == "delivered")


class Faulty(Resolver):
    """Fails by a fault of its own when it is asked for the first time."""

    async def addresses(self, host: str) -> tuple[str, ...]:
        self.asked = getattr(self, "asked", 0) + 1
        if self.asked == 1:
            raise RuntimeError("a fault")
        return (host,)


def test_a_canary_that_comes_to_nothing_by_our_own_fault_makes_room_for_another(stage, receiver):
    stage.relay(receiver.port)
    ids = block(stage, receiver, 6, domains=1)
    receiver.greeting = UP
    end_of_block(stage)
    stage.deliver(resolver=Faulty())
    assert [stage.outcomes(each) for each in ids[3:]] == [["deferred"], ["delivered"], ["delivered"]]
    assert "fault of mailqueue's own" in (stage.attempt(ids[3]).error or "")
    assert stage.destinations() == {}


def test_a_canary_that_is_broken_off_says_nothing_and_leaves_it_to_the_next_engine(stage, receiver):
    stage.relay(receiver.port)
    ids = block(stage, receiver)
    receiver.greeting = SILENCE
    end_of_block(stage)
    with AtWork(stage, drain=0.1) as work:
        work.after(0)
        wait_until(lambda: receiver.connections == 4)
    found = stage.destination()
    assert (found.failures, found.canary_at) == (3, None)
    receiver.greeting = UP
    stage.deliver()
    assert states(stage, ids)["delivered"] == 6
    assert stage.destinations() == {}


# --- the end of a lifetime -----------------------------------------------------------------------
def test_mail_whose_lifetime_is_over_while_its_destination_is_blocked_expires_without_being_tried(
    stage, receiver
):
    stage.relay(receiver.port)
    block(stage, receiver, 3)
    ids = [stage.submit(f"code{n}@d{n % 3}.example", schedule="otp")[0] for n in range(50)]
    stage.deliver()
    for _ in range(6):
        end_of_block(stage)
        before = receiver.connections
        stage.deliver()
    assert states(stage, ids) == {"expired": 50}
    assert receiver.connections - before <= 1
    never_tried = [each for each in ids if not any(one.host for one in stage.queue.attempts(each))]
    assert len(never_tried) >= 44
    attempt = stage.attempt(never_tried[-1])
    assert (attempt.outcome, attempt.host) == ("deferred", None)
    notice = stage.notice(never_tried[-1])
    assert "in trouble" in " ".join(notice.split())
    assert "421 4.3.2" in notice


def test_mail_beyond_its_lifetime_expires_in_all_lanes_and_not_only_in_the_canary_s(
    stage, receiver, monkeypatch
):
    monkeypatch.setattr(intake, "_CLAIM", 5)
    stage.relay(receiver.port)
    block(stage, receiver, 40, domains=40)  # these are older, and have their time
    ids = [stage.submit(f"code{n}@d{n}.example", schedule="otp")[0] for n in range(40)]
    stage.deliver()
    for _ in range(3):
        end_of_block(stage)
        stage.deliver()
    assert states(stage, ids) == {"queued": 40}, "seven minutes have passed"
    end_of_block(stage)
    before = receiver.connections
    stage.deliver()
    assert states(stage, ids) == {"expired": 40}
    assert receiver.connections == before + 1


# --- another way ---------------------------------------------------------------------------------
def test_mail_that_may_go_another_way_goes_it_while_the_direct_way_is_blocked(stage, receiver):
    stage.relay(receiver.port)
    with Receiver() as fallback:
        stage.queue.transports.add("smarthost", kind="relay", host=ONE, port=fallback.port)
        stage.queue.routes.add("smarthost", min_attempts=1)
        ids = block(stage, receiver, 10, domains=1)
        stage.deliver(timedelta(seconds=30))
        assert attempts(stage, ids) == {0: 7, 1: 3}
        until = stage.destination().blocked_until
        for seven in ids[3:]:
            assert from_datetime(stage.show(seven).next_attempt_at) == until
        for _ in range(12):
            stage.deliver(timedelta(minutes=1))
        assert states(stage, ids)["delivered"] >= 3
        assert len(fallback.messages) == states(stage, ids)["delivered"]
        for _ in range(20):
            stage.deliver(A_WHILE)
        assert states(stage, ids) == {"delivered": 10}, (
            "each failed once as canary, and went the other way then"
        )
        assert len(receiver.messages) == 0


def test_a_new_route_lets_mail_flow_at_once(stage, receiver):
    stage.relay(receiver.port)
    ids = block(stage, receiver, 20)
    with Receiver() as other:
        stage.queue.transports.add("other", kind="relay", host=ONE, port=other.port)
        stage.queue.routes.add("other", recipient_domain="d1.example")
        stage.deliver()
        assert {each.recipients[0].partition("@")[2] for each in other.messages} == {"d1.example"}
        assert states(stage, ids)["delivered"] == len(other.messages) > 0
        assert receiver.connections == 3


def test_a_new_default_transport_lets_mail_flow_at_once(stage, receiver):
    stage.relay(receiver.port)
    ids = block(stage, receiver, 20)
    with Receiver() as other, AtWork(stage):
        stage.queue.transports.add("other", kind="relay", host=ONE, port=other.port, default=True)
        wait_until(lambda: states(stage, ids)["delivered"] == 17)
        assert receiver.connections == 3


def test_a_transport_that_is_mended_lets_mail_flow_at_once(stage, receiver):
    stage.relay(receiver.port)
    ids = block(stage, receiver, 20)
    with Receiver() as other:
        stage.queue.transports.set("relay", port=other.port)
        stage.deliver()
        assert states(stage, ids) == {"delivered": 17, "queued": 3}
        assert receiver.connections == 3


# --- DNS -----------------------------------------------------------------------------------------
def test_a_domain_of_which_dns_says_nothing_is_in_trouble_itself(stage):
    net = Net(stage, {"broken.example": "SERVFAIL", "fine.example": {"A": [ONE]}}, ONE)
    with net.servers:
        receiver = net.receives(ONE)
        ids = [stage.submit(f"r{n}@broken.example")[0] for n in range(30)]
        fine = stage.submit("ben@fine.example")
        stage.deliver()
        found = stage.destination()
        assert (found.name, found.failures) == ("mx broken.example", 3)
        assert "SERVFAIL" in found.last_error
        assert attempts(stage, ids) == {0: 27, 1: 3}
        assert states(stage, fine) == {"delivered": 1}

        asked = net.dns.count("broken.example")
        stage.deliver(timedelta(seconds=30))
        assert net.dns.count("broken.example") == asked
        for _ in range(3):
            end_of_block(stage)
            stage.deliver()
        assert sum(stage.show(each).attempts for each in ids) == 6, "one of them asks for all"

        net.zone["broken.example"] = {"A": [ONE]}
        end_of_block(stage)
        stage.deliver()
        assert stage.destinations() == {}
        assert states(stage, ids)["delivered"] >= 24
        stage.deliver(timedelta(hours=1))
        assert states(stage, ids) == {"delivered": 30}
        assert len(receiver.messages) == 31


def test_domains_that_lead_to_the_same_hosts_are_in_trouble_together(stage):
    zone = {f"d{n}.example": {"MX": ["10 b.mx.example.", "5 a.mx.example."]} for n in range(20)}
    zone |= {"a.mx.example": {"A": [ONE]}, "b.mx.example": {"A": [TWO]}}
    net = Net(stage, zone, ONE, TWO)
    with net.servers:
        first, second = net.receives(ONE, greeting=DOWN), net.receives(TWO, greeting=DOWN)
        ids = [stage.submit(f"ben@d{n}.example")[0] for n in range(20)]
        stage.deliver()
        assert stage.destination().name == "mx a.mx.example,b.mx.example"
        assert (first.connections, second.connections) == (3, 3)
        assert attempts(stage, ids) == {0: 17, 1: 3}
        second.greeting = UP
        end_of_block(stage)
        stage.deliver()
        assert states(stage, ids)["delivered"] == 17


# --- limits --------------------------------------------------------------------------------------
LIMITED = "450 4.7.1 Sending rate limited, slow down"


@pytest.mark.parametrize("answer", [LIMITED, "451 4.7.650 The mail server has been temporarily rate limited"])
def test_five_messages_in_a_row_that_are_told_of_a_limit_block_a_destination_of_direct(stage, answer):
    net = Net(stage, {"example.com": {"A": [ONE]}}, ONE)
    with net.servers:
        receiver = net.receives(ONE, at_rcpt={"limited": [answer]})
        ids = [stage.submit(f"limited-{n}@example.com")[0] for n in range(4)]
        stage.deliver(connections=1)
        assert stage.destinations() == {}
        assert attempts(stage, ids) == {1: 4}
        ids = [stage.submit(f"limited-{n}@example.com")[0] for n in range(4, 20)]
        stage.deliver(connections=1)
        assert stage.destination().failures == 3
        assert attempts(stage, ids) == {0: 11, 1: 5}
        before = receiver.connections
        end_of_block(stage)
        stage.deliver()
        assert attempts(stage, ids) == {0: 10, 1: 6}, "the canary is told the same, so it stays shut"
        assert receiver.connections == before + 1
        receiver.at_rcpt = {}
        end_of_block(stage)
        stage.deliver()
        assert states(stage, ids)["delivered"] == 10


def test_a_limit_of_a_few_messages_among_successes_blocks_nothing(stage):
    net = Net(stage, {"example.com": {"A": [ONE]}}, ONE)
    with net.servers:
        net.receives(ONE, at_rcpt={"limited": [LIMITED]})
        for n in range(12):
            stage.submit(f"limited-{n}@example.com" if n % 4 else f"fine-{n}@example.com")
        stage.deliver(connections=1)
        assert stage.destinations() == {}


def test_a_limit_that_messages_meet_one_by_one_is_counted_as_well(stage):
    net = Net(stage, {"example.com": {"A": [ONE]}}, ONE)
    with net.servers:
        net.receives(ONE, at_rcpt={"limited": [LIMITED]})
        with AtWork(stage):
            for n in range(5):
                [message] = stage.submit(f"limited-{n}@example.com")
                wait_until(lambda: stage.outcomes(message) == ["deferred"])  # noqa: B023
            wait_until(lambda: bool(stage.destinations()))


def test_a_relay_that_tells_messages_of_a_limit_is_not_left_alone_for_it(stage, receiver):
    """It speaks of single senders and recipients; there is no other way for their mail."""
    stage.relay(receiver.port)
    receiver.at_rcpt = {"limited": [LIMITED]}
    ids = [stage.submit(f"limited-{n}@example.com")[0] for n in range(20)]
    stage.deliver()
    assert attempts(stage, ids) == {1: 20}
    assert stage.destinations() == {}


@pytest.mark.parametrize("localpart", ["shutdown", "421"])
def test_a_server_that_closes_with_421_three_times_is_left_alone(stage, receiver, localpart):
    stage.relay(receiver.port)
    ids = [stage.submit(f"{localpart}@d{n}.example", content=MAIL + b"%d" % n)[0] for n in range(20)]
    receiver.at_rcpt = {"shutdown": ["421 4.7.0 Too many connections from you"]}
    stage.deliver()
    assert stage.destination().failures == 3
    assert attempts(stage, ids) == {0: 17, 1: 3}


# --- stopping ------------------------------------------------------------------------------------
def test_an_engine_that_stops_while_its_destination_is_blocked_leaves_all_as_it_was(stage, receiver):
    stage.relay(receiver.port)
    ids = block(stage, receiver, 40)
    with AtWork(stage) as work:
        more = submit_many(stage, 20, domains=9)
        work.after(SECOND)
        wait_until(lambda: all(stage.show(each).blocked_until for each in more))
    assert attempts(stage, ids + more) == {0: 57, 1: 3}
    assert states(stage, ids + more) == {"queued": 60}
    receiver.greeting = UP
    end_of_block(stage)
    stage.deliver()
    assert states(stage, ids + more)["delivered"] >= 50


def test_an_engine_that_stops_while_mail_is_paced_leaves_all_as_it_was(stage, receiver):
    stage.relay(receiver.port)
    stage.queue.shaping_rules.add(transport="relay", per_minute=60)
    ids = submit_many(stage, 30)
    with AtWork(stage) as work:
        for number in range(3):
            receiver.wait(number + 1)
            work.after(SECOND)
    done = states(stage, ids)["delivered"]
    assert 3 <= done <= 4
    assert attempts(stage, ids) == {0: 30 - done, 1: done}
    assert states(stage, ids) == {"delivered": done, "queued": 30 - done}


def test_an_engine_that_stops_while_domains_are_looked_up_leaves_all_as_it_was(stage):
    net = Net(stage, {}, ONE)
    net.dns.delay = 0.5
    stage.resolver = {"timeout": 0.2}
    with net.servers:
        ids = submit_many(stage, 30, domains=30)
        with AtWork(stage, drain=0.05):
            wait_until(lambda: len(net.dns.queries) >= 30)
    assert attempts(stage, ids) == {0: 30}
    assert states(stage, ids) == {"queued": 30}


def test_an_engine_that_stops_while_a_destination_hangs_counts_what_it_tried_only(stage, receiver):
    stage.relay(receiver.port)
    receiver.greeting = SILENCE
    ids = submit_many(stage, 30)
    with AtWork(stage, drain=0.05):
        wait_until(lambda: receiver.connections == 2)
    assert attempts(stage, ids) == {0: 28, 1: 2}
    assert stage.destinations() == {}, "it was us who broke it off"


# --- holds ---------------------------------------------------------------------------------------
def test_a_hold_rule_reaches_messages_that_wait_in_an_engine_and_have_not_begun(stage, receiver):
    stage.relay(receiver.port)
    receiver.final_delay = 0.3
    ids = submit_many(stage, 30, domains=1)
    with AtWork(stage, connections=1):
        receiver.wait(1)
        wait_until(lambda: stage.queue.status().claimed > 20)
        stage.queue.hold_rules.add(recipient_domain="d0.example", reason="looks odd")
        wait_until(lambda: stage.queue.status().claimed == 0)
        assert stage.queue.status().held >= 27
    held = [each for each in ids if stage.show(each).hold]
    assert attempts(stage, held) == {0: len(held)}
    assert states(stage, [each for each in ids if each not in held]) == {"delivered": 30 - len(held)}


# --- shaping: connections ------------------------------------------------------------------------
def test_two_engines_share_the_connections_that_a_rule_allows(stage, receiver):
    stage.relay(receiver.port)
    stage.queue.shaping_rules.add(connections=3)
    receiver.final_delay = 0.01
    ids = submit_many(stage, 120, domains=20)
    with AtWork(stage) as one, AtWork(stage) as two:
        while states(stage, ids) != {"delivered": 120}:
            for work in (one, two):
                work.after(SECOND)
    assert receiver.most_open == 3
    assert len(receiver.messages) == 120


def test_connections_of_a_dead_engine_come_back_when_it_is_buried(stage, receiver):
    stage.relay(receiver.port)
    rule = stage.queue.shaping_rules.add(connections=2)
    dead = take_all_slots(stage, rule.id)
    ids = submit_many(stage, 10)
    stage.deliver()
    assert attempts(stage, ids) == {0: 10}
    assert receiver.connections == 0
    stage.queue.store.run(lambda tx: tx.bury_engine(dead, stage.clock.now()))
    stage.deliver(timedelta(seconds=2))
    assert states(stage, ids) == {"delivered": 10}
    stage.deliver()
    assert slots_taken(stage) == 0


def take_all_slots(stage: Stage, rule_id: int) -> int:
    """Have an engine that does nothing take both connections of a rule; return its id."""
    me = Identity(host="elsewhere", pid=1, process_start="", boot_id="", pid_namespace="")

    def job(tx: Transaction) -> int:
        engine = tx.register_engine(me, stage.clock.now())
        assert [tx.take_slot(rule_id, engine, 2) for _ in range(3)] == [True, True, False]
        return engine

    return stage.queue.store.run(job)


def slots_taken(stage: Stage) -> int:
    connection = sqlite3.connect(stage.queue.path)
    [(taken,)] = connection.execute("SELECT coalesce(sum(taken), 0) FROM mailqueue_slot")
    connection.close()
    return taken


def test_destinations_that_share_a_rule_share_its_connections_fairly(stage):
    """One has very much mail, the other a little: the little one does not wait for the end of the other."""
    with Receiver() as busy, Receiver() as quiet:
        for name, receiver in (("busy", busy), ("quiet", quiet)):
            stage.queue.transports.add(name, kind="relay", host=ONE, port=receiver.port)
            stage.queue.routes.add(name, recipient_domain=f"{name}.example")
        stage.queue.shaping_rules.add(connections=1)
        before: list[int] = []
        quiet.at_rcpt = Noting(lambda: len(busy.messages), before)
        for n in range(500):
            stage.submit(f"r{n}@busy.example")
        few = [stage.submit(f"r{n}@quiet.example")[0] for n in range(3)]
        with AtWork(stage) as work:
            while states(stage, few) != {"delivered": 3}:
                work.after(SECOND)
        assert max(before) <= 300, "connections in turn, of a hundred messages each"


def test_a_connection_carries_no_more_messages_than_a_rule_allows(stage, receiver):
    stage.relay(receiver.port)
    stage.queue.shaping_rules.add(domain=".d1.example", per_connection=3)
    for n in range(7):
        stage.submit(f"r{n}@d1.example")
    for n in range(7):
        stage.submit(f"r{n}@d2.example")
    stage.deliver(connections=1)
    carried: dict[int, list[str]] = {}
    for message in receiver.messages:
        carried.setdefault(message.connection, []).append(message.recipients[0].partition("@")[2])
    assert sorted(map(len, carried.values())) == [1, 3, 3, 7]
    assert all(len(set(each)) == 1 for each in carried.values()), "a rule has connections of its own"


# --- shaping: messages a minute ------------------------------------------------------------------
def test_two_engines_together_send_no_more_messages_a_minute_than_a_rule_allows(stage, receiver):
    stage.relay(receiver.port)
    stage.queue.shaping_rules.add(transport="relay", per_minute=30)
    ids = submit_many(stage, 60, domains=10)
    with AtWork(stage) as one, AtWork(stage) as two:
        for number in range(200):
            (one, two)[number % 2].after(SECOND if number > 1 else 0)
            wait_until(lambda: settled(stage))
            if states(stage, ids) == {"delivered": 60}:
                break
    went = sorted(from_datetime(stage.attempt(each).started_at) for each in ids)
    for first, moment in enumerate(went):
        assert sum(moment <= other < moment + MINUTE for other in went[first:]) <= 30
    assert went[-1] - went[0] <= 60 / 30 * MINUTE * 1.5, "and it is used to a good part"
    assert attempts(stage, ids) == {1: 60}


def settled(stage: Stage) -> bool:
    return stage.queue.status().claimed == 0


def test_mail_that_waited_for_its_turn_beyond_its_lifetime_is_tried_all_the_same(stage, receiver):
    stage.relay(receiver.port)
    stage.queue.shaping_rules.add(per_minute=1)
    ids = [stage.submit(f"code{n}@d{n}.example", schedule="otp")[0] for n in range(3)]
    stage.deliver()
    for _ in range(2):
        stage.deliver(timedelta(minutes=11))
    assert states(stage, ids) == {"delivered": 3}


def test_accounts_and_domains_take_turns_where_messages_are_counted(stage, receiver):
    """Two accounts, one with very much mail for a domain that comes first in every order."""
    stage.relay(receiver.port)
    stage.queue.accounts.add("loud")
    stage.queue.accounts.add("soft")
    stage.queue.shaping_rules.add(per_minute=60)
    for n in range(100):
        stage.submit(f"r{n}@a.example", account="loud")
    for n in range(3):
        stage.submit(f"r{n}@b.example", account="loud")
        stage.submit(f"r{n}@a.example", account="soft")
        stage.submit(f"r{n}@c.example", account="soft")
    with AtWork(stage) as work:
        for _ in range(60):
            work.after(SECOND)
            wait_until(lambda: settled(stage))
    got = Counter(
        (stage.show(each.id).account, each.recipient.partition("@")[2])
        for each in stage.queue.retired.list(limit=500).items
    )
    assert got["loud", "b.example"] == 3
    assert got["soft", "a.example"] == 3
    assert got["soft", "c.example"] == 3
    assert got["loud", "a.example"] >= 25


# --- shaping: which mail -------------------------------------------------------------------------
def test_a_rule_for_hosts_counts_for_all_domains_that_lead_there(stage):
    zone = {f"d{n}.example": {"MX": ["10 mx.big.example."]} for n in range(10)}
    zone |= {"mx.big.example": {"A": [ONE]}, "other.example": {"A": [TWO]}}
    net = Net(stage, zone, ONE, TWO)
    with net.servers:
        big, other = net.receives(ONE, final_delay=0.01), net.receives(TWO, final_delay=0.01)
        stage.queue.shaping_rules.add(mx=".big.example", connections=1)
        for n in range(30):
            stage.submit(f"r{n}@d{n % 10}.example")
            stage.submit(f"r{n}@other.example")
        stage.deliver()
        assert (len(big.messages), len(other.messages)) == (30, 30)
        assert big.most_open == 1
        assert big.connections == 1, "ten domains, one connection"
        assert other.most_open > 1


def test_a_rule_for_a_transport_counts_for_its_mail_only(stage, receiver):
    stage.relay(receiver.port)
    receiver.final_delay = 0.01
    with Receiver(final_delay=0.01) as other:
        stage.queue.transports.add("other", kind="relay", host=ONE, port=other.port)
        stage.queue.routes.add("other", recipient_domain=".other.example")
        stage.queue.shaping_rules.add(transport="other", connections=1)
        for n in range(30):
            stage.submit(f"r{n}@other.example")
            stage.submit(f"r{n}@d{n}.example")
        stage.deliver()
        assert (len(other.messages), len(receiver.messages)) == (30, 30)
        assert other.most_open == 1
        assert receiver.most_open > 1


def test_a_rule_that_is_made_while_mail_flows_acts_at_the_next_claim(stage, receiver):
    stage.relay(receiver.port)
    receiver.final_delay = 0.05
    with AtWork(stage, connections=4):
        submit_many(stage, 40, domains=4)
        receiver.wait(10)
        rule = stage.queue.shaping_rules.add(per_minute=60)
        ids = submit_many(stage, 10, domains=4)
        receiver.wait(41)
        wait_until(lambda: settled(stage))
        assert len(receiver.messages) <= 42
        stage.queue.shaping_rules.remove(rule.id)
        wait_until(lambda: states(stage, ids) == {"delivered": 10})


# --- interactive mail ----------------------------------------------------------------------------
def test_an_interactive_message_goes_before_all_bulk_that_has_not_begun(stage, receiver):
    stage.relay(receiver.port)
    receiver.final_delay = 0.3
    for n in range(10):
        stage.submit(*(f"r{n}.{m}@d{m % 5}.example" for m in range(100)), priority="bulk")
    with AtWork(stage, connections=2):
        receiver.wait(1)
        begun = receiver.connections
        stage.submit("code@d1.example", priority="interactive")
        wait_until(lambda: any("code" in each.recipients[0] for each in receiver.messages))
        order = ["code" in each.recipients[0] for each in receiver.messages]
        assert order.index(True) <= begun + 1
    assert receiver.most_open <= 3, "it may have one connection more"


def test_bulk_for_a_destination_that_hangs_delays_no_other_mail(stage, receiver):
    with Receiver(greeting=SILENCE) as hangs:
        stage.queue.transports.add("hangs", kind="relay", host=ONE, port=hangs.port)
        stage.queue.transports.add("fine", kind="relay", host=ONE, port=receiver.port)
        stage.queue.routes.add("fine", recipient_domain="fine.example")
        stage.queue.accounts.add("other")
        settings = {"window": 400, "per_lane": 100, "connections": 4, "drain": 0.05}
        for n in range(500):
            stage.submit(f"r{n}@d{n % 30}.example", priority="bulk")
        with AtWork(stage, **settings) as work:
            wait_until(lambda: hangs.connections == 2)
            work.after(0)
            ids = [
                *stage.submit("code@fine.example", priority="interactive"),
                *stage.submit("mail@fine.example", account="other"),
                *stage.submit("news@fine.example", account="other", priority="bulk"),
                *stage.submit("more@fine.example", priority="bulk"),
            ]
            wait_until(lambda: states(stage, ids) == {"delivered": 4})
