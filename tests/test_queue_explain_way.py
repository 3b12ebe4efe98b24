"""Which way a message would go, as `explain` tells it: what an engine then does is what was told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta

import pytest
from support.dns_server import DnsServer, Zone
from support.net import Net
from support.receiver import Receiver
from support.stage import MAIL, AtWork, Stage, wait_until
from support.trouble import in_trouble

from mailqueue import AsyncQueue, Queue
from mailqueue.clock import to_datetime
from mailqueue.engine import explain as explaining
from mailqueue.model.explain import Explanation, Gate
from mailqueue.model.rules import Tls, TransportKind
from mailqueue.model.way import ChosenBy, NextHost, Way
from mailqueue.net.hosts import NextHops, ResolveFailure
from mailqueue.net.resolver import Resolver

ZONE: Zone = {
    "example.com": {"MX": ["20 mx2.example.com.", "10 mx1.example.com."]},
    "mx1.example.com": {"A": ["127.0.0.2"], "AAAA": ["::1"]},
    "mx2.example.com": {"A": ["127.0.0.3"]},
    "same.example": {"MX": ["10 mx1.example.com.", "10 mx2.example.com."]},
    "bare.example": {"A": ["127.0.0.4"]},
    "nomail.example": {"MX": ["0 ."]},
    "broken.example": "SERVFAIL",
    "silent.example": "TIMEOUT",
}


@pytest.fixture
def net(stage: Stage) -> Iterator[Net]:
    """Mail goes to MX hosts, at a port where nobody listens yet."""
    stage.resolver = {"timeout": 0.5}
    made = Net(stage, dict(ZONE), "127.0.0.2", "127.0.0.3", "127.0.0.4")
    with made.servers:
        yield made


@pytest.fixture
def direct(stage: Stage, net: Net) -> Stage:
    return stage


@pytest.fixture
def dns(net: Net) -> DnsServer:
    return net.dns


def explain(stage: Stage, message: int) -> Explanation:
    return stage.queue.explain(message, dns=stage.new_resolver())


def way(stage: Stage, message: int) -> Way:
    found = explain(stage, message).way
    assert found is not None
    return found


def gate(found: Explanation, kind: str) -> Gate:
    return next(each for each in found.gates if each.gate == kind)


# --- hosts ---------------------------------------------------------------------------------------
def test_mail_that_goes_directly_is_told_its_hosts_in_the_order_of_preference(
    direct: Stage, net: Net
) -> None:
    [message] = direct.submit("ann@example.com")
    assert way(direct, message) == Way(
        transport="mx",
        kind=TransportKind.DIRECT,
        chosen_by=ChosenBy.DEFAULT,
        route_id=None,
        destination="mx mx1.example.com,mx2.example.com",
        hosts=(
            NextHost(name="mx1.example.com", port=net.port, preference=10, addresses=("127.0.0.2", "::1")),
            NextHost(name="mx2.example.com", port=net.port, preference=20, addresses=("127.0.0.3",)),
        ),
        error=None,
        tls=Tls.OPPORTUNISTIC,
        require_tls=None,
        reply=None,
    )


def test_engine_tries_the_hosts_that_were_told_and_knows_the_destination_by_that_name(
    direct: Stage, net: Net
) -> None:
    [message] = direct.submit("ann@example.com")
    told = way(direct, message)
    with Receiver(host="127.0.0.3", port=net.port):
        direct.deliver()
    attempt = direct.attempt(message)
    last = told.hosts[1]
    assert (attempt.outcome, attempt.host, attempt.address) == (
        "delivered",
        last.name,
        f"{last.addresses[0]}:{last.port}",
    )
    [late] = direct.submit("ann@example.com")
    direct.deliver()
    assert direct.destination().name == way(direct, late).destination


def test_domain_without_mx_is_its_own_host(direct: Stage) -> None:
    [message] = direct.submit("ann@bare.example")
    [host] = way(direct, message).hosts
    assert (host.name, host.preference, host.addresses) == ("bare.example", None, ("127.0.0.4",))


def test_address_literal_is_told_without_asking_dns(direct: Stage, dns: DnsServer) -> None:
    [message] = direct.submit("ann@[127.0.0.9]")
    [host] = way(direct, message).hosts
    assert (host.name, host.addresses, dns.queries) == ("127.0.0.9", ("127.0.0.9",), [])


def test_relay_is_told_with_its_port_and_addresses(stage: Stage) -> None:
    stage.queue.transports.add("relay", kind="relay", host="localhost", port=2525)
    [message] = stage.submit("ann@example.com")
    found = stage.queue.explain(message).way
    assert found is not None
    [host] = found.hosts
    assert (host.name, host.port, host.preference) == ("localhost", 2525, None)
    assert "127.0.0.1" in host.addresses
    assert found.destination == "relay localhost:2525"
    silent = stage.queue.explain(message, dns=False).way
    assert silent is not None
    assert [(each.name, each.port, each.addresses) for each in silent.hosts] == [("localhost", 2525, ())]
    assert (silent.destination, silent.error) == (found.destination, None)


def test_nothing_is_asked_of_dns_where_that_is_not_wished(direct: Stage, dns: DnsServer) -> None:
    [message] = direct.submit("ann@example.com")
    found = direct.queue.explain(message, dns=False).way
    assert found is not None
    assert (found.hosts, found.destination, found.error, dns.queries) == ((), None, None, [])


# --- where there is no host ----------------------------------------------------------------------
@pytest.mark.parametrize(
    ("domain", "told", "outcome"),
    [
        ("gone.example", "5.1.2 gone.example does not exist", "failed"),
        ("nomail.example", "5.1.10 nomail.example takes no mail: it has a null MX (RFC 7505)", "failed"),
        (
            "broken.example",
            "4.4.3 asking for the MX of broken.example: the name server answered SERVFAIL",
            "deferred",
        ),
        (
            "silent.example",
            "4.4.3 asking for the MX of silent.example: no name server answered within 0.5 s",
            "deferred",
        ),
    ],
)
def test_what_dns_says_of_a_domain_without_hosts_is_told_as_its_attempt_will(
    direct: Stage, domain: str, told: str, outcome: str
) -> None:
    [message] = direct.submit(f"ann@{domain}")
    found = way(direct, message)
    assert (found.hosts, found.error) == ((), told)
    direct.deliver()
    attempt = direct.attempt(message)
    assert (attempt.outcome, attempt.error) == (outcome, told.partition(" ")[2])


def test_domain_of_which_dns_says_nothing_is_a_destination_in_trouble(direct: Stage) -> None:
    [message] = direct.submit("ann@broken.example")
    known = in_trouble(direct.queue, "mx broken.example")
    found = explain(direct, message)
    assert found.way is not None
    assert found.way.destination == known.name
    assert not gate(found, "destination").open


def test_relay_that_has_no_address_is_told_with_the_reason(stage: Stage) -> None:
    stage.queue.transports.add("relay", kind="relay", host="a..b", port=25)
    [message] = stage.submit("ann@example.com")
    found = stage.queue.explain(message).way
    assert found is not None
    assert [(each.name, each.addresses) for each in found.hosts] == [("a..b", ())]
    assert found.error is not None
    assert found.error.startswith("4.4.3 a..b has no address: ")


def test_name_server_that_is_slow_holds_nobody_up(
    direct: Stage, dns: DnsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explaining, "LOOK_FOR", 0.1)
    dns.delay = 0.4
    [message] = direct.submit("ann@example.com")
    found = way(direct, message)
    assert (found.hosts, found.error) == ((), "4.4.3 no answer within 0.1 s")


def test_fault_in_asking_dns_hides_nothing_else_that_is_told(direct: Stage) -> None:
    class Faulty(Resolver):
        async def route(self, domain: str, *, allow_private: bool = False) -> NextHops | ResolveFailure:
            raise ValueError(domain)

    [message] = direct.submit("ann@example.com")
    found = direct.queue.explain(message, dns=Faulty())
    assert found.blocked_by == "engine"
    assert found.way is not None
    assert found.way.error == "4.4.3 a fault of mailqueue's own: ValueError('example.com')"


# --- which transport -----------------------------------------------------------------------------
def test_what_has_chosen_the_transport_is_told(direct: Stage, receiver: Receiver) -> None:
    direct.relay(receiver.port)
    route = direct.queue.routes.add("relay", recipient_domain="shop.example")
    later = direct.queue.routes.add("relay", min_attempts=1)
    routed, other = direct.submit("ann@shop.example", "ann@example.com")
    [named] = direct.submit("ann@shop.example", transport="mx")
    assert [(way(direct, each).chosen_by, way(direct, each).route_id) for each in (routed, other, named)] == [
        ("route", route.id),
        ("default", None),
        ("message", None),
    ]
    direct.deliver()
    assert direct.outcomes(other) == ["deferred"]
    assert (way(direct, other).chosen_by, way(direct, other).route_id) == ("route", later.id)
    direct.deliver(timedelta(minutes=20))
    assert [each.route_id for each in direct.queue.attempts(other)] == [None, later.id]


def test_engine_that_was_given_a_relay_takes_all_mail_there(stage: Stage, receiver: Receiver) -> None:
    stage.queue.transports.add("other", kind="fail", reply="550 5.7.1 not from here")
    [message] = stage.submit("ann@example.com", transport="other", not_before=timedelta(hours=1))
    with AtWork(stage, relay=f"127.0.0.1:{receiver.port}") as work:
        found = stage.queue.explain(message)
        assert found.way is not None
        assert (found.way.chosen_by, found.way.transport) == ("engine", "relay")
        assert [(each.name, each.port) for each in found.way.hosts] == [("127.0.0.1", receiver.port)]
        assert found.way.destination == f"relay 127.0.0.1:{receiver.port}"
        told = gate(found, "transport").text
        assert told == "transport relay (relay), which the engine takes for all mail"
        assert gate(found, "engine").text.endswith(f": all mail to 127.0.0.1:{receiver.port})")
        [engine] = stage.queue.status().engines
        assert engine.relay == f"127.0.0.1:{receiver.port}"
        work.after(timedelta(hours=1))
        wait_until(lambda: stage.state(message) == "delivered")
    assert stage.attempt(message).transport == "relay"


def test_where_engines_differ_the_settings_are_told(stage: Stage, receiver: Receiver) -> None:
    """Whichever comes first takes it; the gate of the engines says that one has a relay."""
    stage.relay(receiver.port)
    [message] = stage.submit("ann@example.com", not_before=timedelta(hours=1))
    with AtWork(stage, relay="[::1]:2525"), AtWork(stage):
        found = stage.queue.explain(message)
    assert found.way is not None
    assert found.way.chosen_by == "default"
    assert ": all mail to [::1]:2525, " in gate(found, "engine").text


def test_message_without_a_transport_and_one_that_is_retired_have_no_way(
    stage: Stage, receiver: Receiver
) -> None:
    [message] = stage.submit("ann@example.com")
    assert stage.queue.explain(message).way is None
    stage.relay(receiver.port)
    stage.deliver()
    assert stage.queue.explain(message).way is None


# --- TLS -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "wish", "tls"),
    [
        ("relay", None, "required"),
        ("relay", False, "required"),
        ("relay", True, "verified"),
        ("direct", None, "required"),
        ("direct", False, "opportunistic"),
    ],
)
def test_tls_is_told_as_the_wish_of_the_message_makes_it(
    stage: Stage, kind: str, wish: bool | None, tls: str
) -> None:
    host = "127.0.0.1" if kind == "relay" else None
    stage.queue.transports.add("out", kind=kind, host=host, tls="required")
    [message] = stage.submit("ann@[127.0.0.9]", require_tls=wish)
    found = stage.queue.explain(message).way
    assert found is not None
    assert (found.tls, found.require_tls, found.reply) == (tls, wish, None)


def test_direct_mail_that_has_to_stay_under_tls_goes_nowhere(direct: Stage, dns: DnsServer) -> None:
    [message] = direct.submit("ann@example.com", require_tls=True)
    found = way(direct, message)
    assert (found.kind, found.hosts, found.tls, found.error) == (TransportKind.FAIL, (), None, None)
    assert found.reply is not None
    direct.deliver()
    assert found.reply.removeprefix("550 5.7.10 ") in (direct.attempt(message).reply or "")
    assert dns.queries == []


# --- the destination, and its limits -------------------------------------------------------------
def test_trouble_of_a_set_of_hosts_is_told_before_an_engine_has_looked_up_the_domain(direct: Stage) -> None:
    [message] = direct.submit("ann@same.example")
    known = in_trouble(direct.queue, "mx mx1.example.com,mx2.example.com")
    found = explain(direct, message)
    shut = gate(found, "destination")
    assert (found.blocked_by, shut.open, shut.until) == (
        "destination",
        False,
        to_datetime(known.blocked_until or 0),
    )
    assert gate(found, "rate").open, "what is in trouble is not too much at once"


def test_message_over_the_rate_of_a_shaping_rule_goes_when_it_was_told(direct: Stage, net: Net) -> None:
    rule = direct.queue.shaping_rules.add(mx="mx2.example.com", per_minute=1)
    both = [direct.submit(f"ann@{domain}")[0] for domain in ("example.com", "same.example")]
    assert gate(explain(direct, both[1]), "rate").text == f"shaping rule {rule.id} lets 1 a minute go"
    with Receiver(host="127.0.0.2", port=net.port):
        direct.deliver()
        [second] = [each for each in both if direct.state(each) == "queued"]
        found = explain(direct, second)
        shut = gate(found, "rate")
        assert (found.blocked_by, shut.open) == ("rate", False)
        assert shut.until is not None
        assert shut.text == f"shaping rule {rule.id} lets 1 a minute go: the next at {shut.until:%F %TZ}"
        wait = shut.until - to_datetime(direct.clock.now())
        direct.deliver(wait - timedelta(seconds=1))
        assert direct.state(second) == "queued"
        direct.deliver(timedelta(seconds=1))
        assert direct.state(second) == "delivered"


def test_rate_of_a_rule_with_room_keeps_nothing_back(stage: Stage, receiver: Receiver) -> None:
    stage.relay(receiver.port)
    stage.queue.shaping_rules.add(connections=1)
    [message] = stage.submit("ann@example.com")
    found = stage.queue.explain(message)
    assert gate(found, "rate").text == "no limit keeps it back"


# --- who asks ------------------------------------------------------------------------------------
def test_application_inside_its_event_loop_is_answered_too(direct: Stage) -> None:
    [message] = direct.submit("ann@example.com")

    async def ask() -> Way | None:
        return direct.queue.explain(message, dns=direct.new_resolver()).way

    assert asyncio.run(ask()) == way(direct, message)


def test_async_queue_tells_the_same(direct: Stage) -> None:
    async def ask() -> tuple[Explanation, Explanation]:
        async with AsyncQueue(direct.queue.path) as queue:
            [message] = (await queue.submit(MAIL, recipients=["ann@example.com"])).messages
            resolver = direct.new_resolver()
            return await queue.explain(message.id, dns=resolver), queue.sync.explain(message.id, dns=resolver)

    one, other = asyncio.run(ask())
    assert one == other
    assert one.way is not None
    assert len(one.way.hosts) == 2


def test_explain_changes_nothing(direct: Stage) -> None:
    [message] = direct.submit("ann@example.com")
    before = direct.show(message)
    explain(direct, message)
    assert direct.show(message) == before
    with Queue(direct.queue.path) as other:
        assert other.destinations.list() == []
