"""Where mail for a domain goes, asked of a real name server on loopback."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest
from support.dns_server import DnsServer, Trouble, Zone

from mailqueue.mail import codes
from mailqueue.net.hosts import NextHops, ResolveFailure
from mailqueue.net.resolver import Resolver

T = TypeVar("T")

# Addresses that count as public; nothing is ever sent to them, they are only data in a zone.
A1, A2, A3 = "45.0.0.1", "45.0.0.2", "45.0.0.3"
V6 = "2a10::1"


def ask(server: DnsServer, use: Callable[[Resolver], Awaitable[T]], **settings: object) -> T:
    """Run `use` with a resolver that asks `server`."""

    async def run() -> T:
        options: dict[str, object] = {"timeout": 5.0, "rng": random.Random(1)} | settings
        resolver = Resolver(["127.0.0.1"], server.port, **options)  # type: ignore[arg-type]
        try:
            return await use(resolver)
        finally:
            await resolver.close()

    return asyncio.run(run())


def route(
    zone: Zone,
    domain: str,
    *,
    server: dict[str, object] | None = None,
    allow_private: bool = False,
    **settings: object,
) -> NextHops | ResolveFailure:
    """Ask a server of `zone` where mail for `domain` goes."""
    with DnsServer(zone, **(server or {})) as dns:  # type: ignore[arg-type]
        return ask(dns, lambda resolver: resolver.route(domain, allow_private=allow_private), **settings)


def names(found: NextHops | ResolveFailure) -> list[str]:
    assert isinstance(found, NextHops), found
    return [host.name for host in found.hosts]


def test_hosts_come_by_preference():
    zone: Zone = {
        "example.org": {"MX": ["20 b.example.org.", "10 a.example.org.", "30 c.example.org."]},
        "a.example.org": {"A": [A1]},
        "b.example.org": {"A": [A2]},
        "c.example.org": {"A": [A3]},
    }
    found = route(zone, "Example.ORG.")
    assert names(found) == ["a.example.org", "b.example.org", "c.example.org"]
    assert [host.preference for host in found.hosts] == [10, 20, 30]
    assert found.domain == "example.org"
    assert not found.implicit


def test_hosts_of_equal_preference_share_the_load():
    mx = [f"10 m{n}.example.org." for n in range(4)] + ["20 last.example.org."]
    zone: Zone = {"example.org": {"MX": mx}, "last.example.org": {"A": [A2]}}
    zone |= {f"m{n}.example.org": {"A": [A1]} for n in range(4)}

    async def many(resolver: Resolver) -> list[list[str]]:
        return [names(await resolver.route("example.org")) for _ in range(60)]

    with DnsServer(zone) as dns:
        orders = ask(dns, many)
    assert {order[0] for order in orders} == {f"m{n}.example.org" for n in range(4)}
    assert {order[-1] for order in orders} == {"last.example.org"}


def test_domain_without_mx_is_its_own_host():
    found = route({"example.org": {"A": [A1]}}, "example.org")
    assert names(found) == ["example.org"]
    assert found.implicit
    assert found.key == "example.org"


def test_mx_of_an_alias_is_the_mx_of_its_target():
    zone: Zone = {
        "www.example.org": {"CNAME": ["w.example.net."]},
        "w.example.net": {"CNAME": ["example.org."]},
        "example.org": {"MX": ["10 mx.example.org."]},
        "mx.example.org": {"CNAME": ["real.example.org."]},
        "real.example.org": {"A": [A1]},
    }
    for chase in (True, False):
        found = route(zone, "www.example.org", server={"chase": chase})
        assert names(found) == ["mx.example.org"]
        assert found.hosts[0].addresses == (A1,)


def test_alias_of_a_domain_without_mx_leads_to_the_target_itself():
    zone: Zone = {"www.example.org": {"CNAME": ["host.example.net."]}, "host.example.net": {"A": [A1]}}
    for chase in (True, False):
        found = route(zone, "www.example.org", server={"chase": chase})
        assert names(found) == ["host.example.net"]
        assert found.implicit


def test_aliases_that_go_in_a_circle_are_a_temporary_failure():
    zone: Zone = {"a.example": {"CNAME": ["b.example."]}, "b.example": {"CNAME": ["a.example."]}}
    for chase in (True, False):
        found = route(zone, "a.example", server={"chase": chase})
        assert isinstance(found, ResolveFailure)
        assert (found.permanent, found.enhanced) == (False, codes.DIRECTORY_FAILURE)


@pytest.mark.parametrize(
    ("domain", "address"),
    [
        (f"[{A1}]", A1),
        (f"[IPv6:{V6}]", V6),
        ("[ipv6:2A10:0:0::1]", V6),
    ],
)
def test_address_literal_is_dialled_without_dns(domain: str, address: str):
    with DnsServer({}) as dns:
        found = ask(dns, lambda resolver: resolver.route(domain))
        assert dns.queries == []
    assert isinstance(found, NextHops)
    assert found.hosts[0].addresses == (address,)
    assert found.key == f"[{address}]"


@pytest.mark.parametrize("domain", ["[300.0.0.1]", "[IPv6:zz]", "[x400:foo]", "[]", f"[{V6}]", "[45.0.0.1"])
def test_address_literal_that_cannot_be_dialled_is_a_bad_address(domain: str):
    found = route({}, domain)
    assert isinstance(found, ResolveFailure)
    assert (found.permanent, found.enhanced) == (True, codes.BAD_SYSTEM)


def test_address_literal_of_this_machine_is_refused_unless_allowed():
    refused = route({}, "[127.0.0.1]")
    assert isinstance(refused, ResolveFailure)
    assert "not a public address" in refused.text
    assert names(route({}, "[127.0.0.1]", allow_private=True)) == ["127.0.0.1"]


def test_null_mx_is_permanent():
    found = route({"example.org": {"MX": ["0 ."], "A": [A1]}}, "example.org")
    assert isinstance(found, ResolveFailure)
    assert (found.permanent, found.enhanced) == (True, codes.NULL_MX)
    assert "RFC 7505" in found.text


def test_root_among_other_hosts_is_passed_over():
    zone: Zone = {"example.org": {"MX": ["0 .", "10 mx.example.org."]}, "mx.example.org": {"A": [A1]}}
    assert names(route(zone, "example.org")) == ["mx.example.org"]


@pytest.mark.parametrize(
    ("zone", "domain", "enhanced", "words"),
    [
        ({}, "example.org", "5.1.2", "does not exist"),
        ({"example.org": {"TXT": ['"x"']}}, "example.org", "5.1.2", "has no address"),
        ({"a.example": {"CNAME": ["gone.example."]}}, "a.example", "5.1.2", "does not exist"),
        ({}, "a..b", "5.1.2", "is no domain name"),
        ({}, "", "5.1.2", "is no domain name"),
        ({}, "x" * 64 + ".example", "5.1.2", "is no domain name"),
        ({}, ("x" * 60 + ".") * 5 + "example", "5.1.2", "is no domain name"),
        ({"example.org": {"MX": ["10 gone.example.org."]}}, "example.org", "5.4.4", "does not exist"),
        ({"example.org": {"MX": ["10 127.0.0.1."]}}, "example.org", "5.4.4", "where a host name must be"),
        ({"example.org": "SERVFAIL"}, "example.org", "4.4.3", "SERVFAIL"),
        ({"example.org": "REFUSED"}, "example.org", "4.4.3", "REFUSED"),
        ({"example.org": {"MX": "SERVFAIL", "A": [A1]}}, "example.org", "4.4.3", "SERVFAIL"),
        ({"example.org": {"A": "SERVFAIL"}}, "example.org", "4.4.3", "SERVFAIL"),
        (
            {"example.org": {"MX": ["10 a.example.", "20 b.example."]}, "b.example": {"A": "SERVFAIL"}},
            "example.org",
            "4.4.3",
            "b.example",
        ),
    ],
)
def test_domain_that_leads_nowhere_says_why(zone: Zone, domain: str, enhanced: str, words: str):
    found = route(zone, domain)
    assert isinstance(found, ResolveFailure)
    assert str(found.enhanced) == enhanced
    assert found.permanent == enhanced.startswith("5")
    assert words in found.text


@pytest.mark.parametrize("trouble", ["TIMEOUT", "GARBAGE"])
def test_name_server_that_says_nothing_of_use_is_a_temporary_failure(trouble: Trouble):
    found = route({"example.org": trouble}, "example.org", timeout=0.2)
    assert isinstance(found, ResolveFailure)
    assert (found.permanent, found.enhanced) == (False, codes.DIRECTORY_FAILURE)
    assert "within 0.2 s" in found.text


def test_one_dead_host_does_not_hide_the_others():
    zone: Zone = {
        "example.org": {"MX": ["10 dead.example.org.", "20 gone.example.org.", "30 mx.example.org."]},
        "dead.example.org": "SERVFAIL",
        "mx.example.org": {"A": [A1], "AAAA": "SERVFAIL"},
    }
    assert names(route(zone, "example.org")) == ["mx.example.org"]


def test_at_most_five_hosts_are_tried_and_dead_ones_make_room():
    mx = [f"{n} m{n}.example.org." for n in range(12)]
    zone: Zone = {"example.org": {"MX": mx}}
    zone |= {f"m{n}.example.org": {"A": [A1]} for n in range(12) if n not in (1, 3)}
    assert names(route(zone, "example.org")) == [f"m{n}.example.org" for n in (0, 2, 4, 5, 6)]


def test_two_addresses_of_a_host_are_of_both_families():
    zone: Zone = {"example.org": {"A": [A1, A2, A3], "AAAA": [V6, "2a10::2"]}}
    found = route(zone, "example.org")
    assert isinstance(found, NextHops)
    first, second = found.hosts[0].addresses
    assert first in (A1, A2, A3)
    assert second in (V6, "2a10::2")
    found = route(zone, "example.org", ipv6_first=True)
    assert ":" in found.hosts[0].addresses[0]
    assert ":" not in found.hosts[0].addresses[1]


def test_host_of_one_family_gives_two_of_its_addresses():
    found = route({"example.org": {"A": [A1, A2, A3]}}, "example.org")
    assert isinstance(found, NextHops)
    assert len(set(found.hosts[0].addresses)) == 2


def test_domain_that_points_at_this_machine_is_refused_for_good():
    zone: Zone = {
        "example.org": {"MX": ["10 mx.example.org."]},
        "mx.example.org": {"A": ["127.0.0.1", "10.1.2.3"], "AAAA": ["::1"]},
    }
    found = route(zone, "example.org")
    assert isinstance(found, ResolveFailure)
    assert (found.permanent, str(found.enhanced)) == (True, "5.4.4")
    assert "no public address" in found.text
    allowed = route(zone, "example.org", allow_private=True)
    assert names(allowed) == ["mx.example.org"]


def test_private_addresses_are_left_out_beside_public_ones():
    zone: Zone = {
        "example.org": {"MX": ["10 in.example.org.", "20 out.example.org."]},
        "in.example.org": {"A": ["192.168.1.1"]},
        "out.example.org": {"A": ["169.254.169.254", A1]},
    }
    found = route(zone, "example.org")
    assert names(found) == ["out.example.org"]
    assert found.hosts[0].addresses == (A1,)


def test_domains_of_the_same_hosts_have_the_same_key_whatever_the_order():
    zone: Zone = {
        "one.example": {"MX": ["10 a.example.net.", "10 b.example.net."]},
        "two.example": {"MX": ["5 B.example.net.", "7 a.example.net."]},
        "three.example": {"MX": ["5 b.example.net."]},
        "a.example.net": {"A": [A1]},
        "b.example.net": {"A": [A2]},
    }

    async def keys(resolver: Resolver) -> list[str]:
        found = [await resolver.route(f"{n}.example") for n in ("one", "two", "three")]
        return [hops.key for hops in found if isinstance(hops, NextHops)]

    with DnsServer(zone) as dns:
        one, two, three = ask(dns, keys)
    assert one == two == "a.example.net,b.example.net"
    assert three == "b.example.net"


def test_international_domain_is_asked_for_by_its_a_label():
    zone: Zone = {"xn--bcher-kva.example": {"A": [A1]}}
    assert names(route(zone, "Bücher.example")) == ["xn--bcher-kva.example"]


def test_cut_answer_is_asked_for_again_by_tcp():
    zone: Zone = {"example.org": {"MX": ["10 mx.example.org."]}, "mx.example.org": {"A": [A1]}}
    with DnsServer(zone, truncate=True) as dns:
        found = ask(dns, lambda resolver: resolver.route("example.org"))
        assert ("example.org", "MX", "tcp") in dns.queries
    assert names(found) == ["mx.example.org"]


@pytest.mark.parametrize(
    ("authentic", "trust_ad", "believed"),
    [
        (True, None, True),
        (True, False, False),
        (True, True, True),
        (False, None, False),
        (False, True, False),
    ],
)
def test_signed_answer_is_believed_of_a_trusted_server_only(
    authentic: bool, trust_ad: bool | None, believed: bool
):
    zone: Zone = {"example.org": {"MX": ["10 mx.example.org."]}, "mx.example.org": {"A": [A1]}}
    found = route(zone, "example.org", server={"authentic": authentic}, trust_ad=trust_ad)
    assert isinstance(found, NextHops)
    assert found.authentic is believed


def test_relay_is_found_by_the_systems_own_names():
    with DnsServer({}) as dns:
        found = ask(dns, lambda resolver: resolver.addresses("LocalHost"))
        assert dns.queries == []
    assert isinstance(found, tuple)
    assert "127.0.0.1" in found


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::1", "::1"),
        ("[::1]", None),
        ("[IPv6:::1]", "::1"),
        ("[10.0.0.1]", "10.0.0.1"),
    ],
)
def test_relay_by_address_is_taken_as_it_is(host: str, address: str | None):
    with DnsServer({}) as dns:
        found = ask(dns, lambda resolver: resolver.addresses(host))
    assert found == ((address or "::1"),)


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".example", "bad\x00host"])
def test_relay_that_has_no_address_is_a_temporary_failure(host: str):
    with DnsServer({}) as dns:
        found = ask(dns, lambda resolver: resolver.addresses(host), timeout=1.0)
    assert isinstance(found, ResolveFailure)
    assert (found.permanent, found.enhanced) == (False, codes.DIRECTORY_FAILURE)
