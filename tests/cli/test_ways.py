"""Which way a message goes, at the command line: `explain`, and `plan` of one that is not there yet."""

from __future__ import annotations

from functools import partial

import pytest
from support.command import Command
from support.dns_server import DnsServer, Zone

from mailqueue.engine import explain as explaining
from mailqueue.net.resolver import Resolver

ANN = ("--sender", "shop@example.org", "--to", "ann@example.net")
ZONE: Zone = {
    "example.net": {"MX": ["20 mx2.example.net.", "10 mx1.example.net."]},
    "mx1.example.net": {"A": ["198.51.100.25"], "AAAA": ["2001:db8:1234:5678:9abc:def0:1234:5678"]},
    "mx2.example.net": {"A": ["198.51.100.26"]},
}


def ask(dns: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have this server asked, and not that of the machine."""
    monkeypatch.setattr(explaining, "Resolver", partial(Resolver, ["127.0.0.1"], dns.port))


def wide(text: str) -> int:
    return max(map(len, text.splitlines()))


def test_explain_tells_hosts_and_tls_for_people_and_for_programs(
    mailqueue: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailqueue("transport", "add", "mx", "--kind", "direct", "--allow-private")
    mailqueue("route", "add", "mx", "--recipient-domain", "example.net")
    mailqueue.submit("ann@example.net")
    with DnsServer(ZONE) as dns:
        ask(dns, monkeypatch)
        told, found = mailqueue("explain", 1), mailqueue.json("explain", 1)["way"]
    assert wide(told) <= 80
    assert "by   transport mx, by route 1\n" in told
    assert "     mx2.example.net:25 (preference 20): 198.51.100.26\n" in told
    assert "TLS  opportunistic: where it is offered, else in the clear\n" in told
    hosts = [
        {
            "name": "mx1.example.net",
            "port": 25,
            "preference": 10,
            "addresses": ["198.51.100.25", "2001:db8:1234:5678:9abc:def0:1234:5678"],
        },
        {"name": "mx2.example.net", "port": 25, "preference": 20, "addresses": ["198.51.100.26"]},
    ]
    assert found == {
        "transport": "mx",
        "kind": "direct",
        "chosen_by": "route",
        "route_id": 1,
        "destination": "mx mx1.example.net,mx2.example.net",
        "hosts": hosts,
        "error": None,
        "tls": "opportunistic",
        "require_tls": None,
        "reply": None,
    }


def test_explain_asks_no_dns_where_that_is_not_wished(
    mailqueue: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailqueue("transport", "add", "mx", "--kind", "direct")
    mailqueue.submit("ann@example.net")
    with DnsServer(ZONE) as dns:
        ask(dns, monkeypatch)
        told = mailqueue("explain", 1, "--no-dns")
        assert mailqueue.json("explain", 1, "--no-dns")["way"]["hosts"] == []
        assert dns.queries == []
    assert "to   the MX hosts of the recipient's domain; DNS was not asked\n" in told


def test_explain_tells_what_dns_said_where_there_is_no_host(
    mailqueue: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    mailqueue("transport", "add", "mx", "--kind", "direct")
    mailqueue.submit("ann@gone.example")
    with DnsServer(ZONE) as dns:
        ask(dns, monkeypatch)
        assert "to   nowhere now: 5.1.2 gone.example does not exist\n" in mailqueue("explain", 1)


RELAY = "--kind relay --host 127.0.0.1"


@pytest.mark.parametrize(
    ("options", "wish", "told"),
    [
        (f"{RELAY}:2525", "", "to 127.0.0.1:2525 TLS opportunistic: where it is offered, else in the clear"),
        (f"{RELAY} --tls none", "", "to 127.0.0.1:25 TLS none: in the clear"),
        ("--kind relay --host ::1 --tls required", "", "to [::1]:25 TLS required, with any certificate"),
        (RELAY, "--require-tls", "TLS verified: required, with a certificate for the host; REQUIRETLS"),
        (RELAY, "--tls-optional", "else in the clear; TLS-Required: No"),
        ("--kind direct", "--require-tls", "to nowhere: the answer is 550 5.7.10 it has to stay under TLS"),
    ],
)
def test_explain_tells_how_a_named_host_is_reached_and_how_much_tls_it_takes(
    mailqueue: Command, options: str, wish: str, told: str
) -> None:
    mailqueue("transport", "add", "out", *options.split())
    mailqueue("submit", "--to", "ann@example.net", *wish.split(), input="From: a@example.org\n\nHi\n")
    people = mailqueue("explain", 1)
    assert wide(people) <= 80
    assert "by transport out, the default to " in " ".join(people.split())
    assert told in " ".join(people.split())


# --- plan ----------------------------------------------------------------------------------------
def test_plan_tells_gates_hosts_quota_and_times(mailqueue: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    mailqueue("transport", "add", "mx", "--kind", "direct", "--allow-private")
    mailqueue("account", "set", "default", "--messages-per-day", 5)
    mailqueue("holdrules", "add", "--recipient-domain", "example.net", "--reason", "wrong prices")
    with DnsServer(ZONE) as dns:
        ask(dns, monkeypatch)
        told = mailqueue("plan", *ANN, "--priority", "bulk")
        found = mailqueue.json("plan", *ANN, "--priority", "bulk")
    assert wide(told) <= 80
    lines = " ".join(told.split())
    for part in (
        "mail shop@example.org -> ann@example.net account default submit queued: on hold by rule 1",
        "opened by: mailqueue release ID",
        "mx2.example.net:25 (preference 20): 198.51.100.26",
        "messages a day 0 of 5 used",
        "schedule standard: at once, 5m, 20m, 50m, 1h50m, 3h50m ...; given up in 5d",
        "priority bulk",
        "earliest attempt: not by itself",
    ):
        assert part in lines
    assert found["way"]["destination"] == "mx mx1.example.net,mx2.example.net"
    assert (found["state"], found["blocked_by"], found["gates"][0]["gate"]) == ("queued", "hold", "hold")
    assert found["times"][:3] == ["0s", "5m", "20m"]
    assert found["usage"] == [
        {"quota": "messages", "limit": 5, "used": 0, "waiting": 0, "opens_at": None},
    ]
    assert mailqueue.json("list")["items"] == []


def test_plan_tells_that_a_quota_refuses_it(mailqueue: Command) -> None:
    mailqueue("transport", "add", "relay", "--kind", "relay", "--host", "127.0.0.1")
    mailqueue("account", "set", "default", "--messages-per-day", 1)
    mailqueue.submit("ben@example.net")
    told = mailqueue("plan", *ANN)
    assert "submit   refused: account 'default' is over its quota of messages" in told
    assert "WAITS" not in told
    found = mailqueue.json("plan", *ANN)
    assert (found["state"], found["gates"], found["earliest_attempt_at"]) == (None, [], None)


@pytest.mark.parametrize(
    ("wish", "tls"), [((), "none"), (("--require-tls", "yes"), "verified"), (("--require-tls", "no"), "none")]
)
def test_plan_heeds_the_wish_about_tls(mailqueue: Command, wish: tuple[str, ...], tls: str) -> None:
    mailqueue("transport", "add", "relay", "--kind", "relay", "--host", "127.0.0.1", "--tls", "none")
    assert mailqueue.json("plan", *ANN, "--transport", "relay", *wish)["way"]["tls"] == tls


def test_plan_of_what_cannot_be_queued_says_why(mailqueue: Command) -> None:
    assert "sender: 'a@'" in mailqueue.fails(3, "plan", "--sender", "a@", "--to", "ann@example.net")
    assert "no schedule 'x'" in mailqueue.fails(4, "plan", *ANN, "--schedule", "x")
    assert "--to" in mailqueue.fails(2, "plan", "--sender", "a@example.org")
