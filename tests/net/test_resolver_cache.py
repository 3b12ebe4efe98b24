"""What is asked once and what is asked again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from support.dns_server import DnsServer, Zone

from mailqueue.clock import SECOND
from mailqueue.net.hosts import NextHops, ResolveFailure
from mailqueue.net.lookup import MAX_NEGATIVE_TTL, MAX_TTL, TROUBLE_TTL
from mailqueue.net.resolver import Resolver

ZONE: Zone = {
    "example.org": {"MX": ["10 mx.example.net."]},
    "example.com": {"MX": ["10 mx.example.net."]},
    "mx.example.net": {"A": ["45.0.0.1"]},
}


class MovedClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.seconds = 1_000_000.0

    def now(self) -> int:
        return int(self.seconds * SECOND)


def story(
    dns: DnsServer, tell: Callable[[Resolver, MovedClock], Awaitable[None]], cache_size: int = 1000
) -> None:
    async def run() -> None:
        clock = MovedClock()
        resolver = Resolver(["127.0.0.1"], dns.port, 1.0, clock=clock, cache_size=cache_size)
        try:
            await tell(resolver, clock)
        finally:
            await resolver.close()

    with dns:
        asyncio.run(run())


def test_answer_is_kept_for_its_ttl():
    dns = DnsServer(dict(ZONE), ttl=300)

    async def tell(resolver: Resolver, clock: MovedClock) -> None:
        for _ in range(3):
            assert isinstance(await resolver.route("example.org"), NextHops)
        assert dns.count("example.org", "MX") == 1
        clock.seconds += 299
        await resolver.route("example.org")
        assert dns.count("example.org") == 1
        clock.seconds += 1
        await resolver.route("example.org")
        assert dns.count("example.org") == 2

    story(dns, tell)


def test_changed_zone_is_seen_after_the_ttl():
    dns = DnsServer(dict(ZONE), ttl=60)

    async def tell(resolver: Resolver, clock: MovedClock) -> None:
        await resolver.route("example.org")
        dns.zone["example.org"] = {"MX": ["10 new.example.net."]}
        dns.zone["new.example.net"] = {"A": ["45.0.0.2"]}
        clock.seconds += 61
        found = await resolver.route("example.org")
        assert isinstance(found, NextHops)
        assert found.key == "new.example.net"

    story(dns, tell)


def test_hosts_that_many_domains_share_are_looked_up_once():
    dns = DnsServer(dict(ZONE))

    async def tell(resolver: Resolver, clock: MovedClock) -> None:
        await resolver.route("example.org")
        await resolver.route("example.com")
        assert dns.count("mx.example.net", "A") == 1

    story(dns, tell)


def test_huge_ttl_is_capped_at_a_day():
    dns = DnsServer(dict(ZONE), ttl=10_000_000)

    async def tell(resolver: Resolver, clock: MovedClock) -> None:
        await resolver.route("example.org")
        clock.seconds += MAX_TTL
        await resolver.route("example.org")
        assert dns.count("example.org") == 2

    story(dns, tell)


def test_zero_ttl_is_asked_for_every_time():
    dns = DnsServer(dict(ZONE), ttl=0)

    async def tell(resolver: Resolver, clock: MovedClock) -> None:
        await resolver.route("example.org")
        await resolver.route("example.org")
        assert dns.count("example.org") == 2

    story(dns, tell)


def test_missing_domain_is_remembered_as_long_as_its_zone_says():
    dns = DnsServer({}, negative_ttl=60)

    async def tell(resolver: Resolver, clock: MovedClock) -> None:
        for _ in range(2):
            assert isinstance(await resolver.route("gone.example"), ResolveFailure)
        clock.seconds += 59
        await resolver.route("gone.example")
        assert dns.count("gone.example") == 1
        clock.seconds += 1
        await resolver.route("gone.example")
        assert dns.count("gone.example") == 2

    story(dns, tell)


def test_missing_records_are_remembered_and_capped():
    dns = DnsServer({"example.org": {"A": ["45.0.0.1"]}}, ttl=10**6, negative_ttl=10**6)

    async def tell(resolver: Resolver, clock: MovedClock) -> None:
        await resolver.route("example.org")
        await resolver.route("example.org")
        assert dns.count("example.org", "MX") == dns.count("example.org", "AAAA") == 1
        clock.seconds += MAX_NEGATIVE_TTL
        await resolver.route("example.org")
        assert dns.count("example.org", "MX") == dns.count("example.org", "AAAA") == 2
        assert dns.count("example.org", "A") == 1

    story(dns, tell)


def test_missing_domain_without_soa_is_not_remembered():
    dns = DnsServer({}, negative_ttl=None)

    async def tell(resolver: Resolver, clock: MovedClock) -> None:
        await resolver.route("gone.example")
        await resolver.route("gone.example")
        assert dns.count("gone.example") == 2

    story(dns, tell)


def test_trouble_is_remembered_for_seconds_and_mends():
    dns = DnsServer(dict(ZONE) | {"example.org": "SERVFAIL"})

    async def tell(resolver: Resolver, clock: MovedClock) -> None:
        await resolver.route("example.org")
        asked = dns.count("example.org")
        dns.zone["example.org"] = ZONE["example.org"]
        assert isinstance(await resolver.route("example.org"), ResolveFailure)
        assert dns.count("example.org") == asked
        clock.seconds += TROUBLE_TTL
        assert isinstance(await resolver.route("example.org"), NextHops)

    story(dns, tell)


def test_clock_that_is_set_back_does_not_keep_answers_for_ever():
    dns = DnsServer(dict(ZONE))

    async def tell(resolver: Resolver, clock: MovedClock) -> None:
        await resolver.route("example.org")
        clock.seconds -= 3600
        await resolver.route("example.org")
        assert dns.count("example.org") == 2

    story(dns, tell)


def test_many_at_once_for_one_domain_are_one_query():
    dns = DnsServer(dict(ZONE))
    dns.delay = 0.05

    async def tell(resolver: Resolver, clock: MovedClock) -> None:
        found = await asyncio.gather(*(resolver.route("example.org") for _ in range(100)))
        assert {type(hops) for hops in found} == {NextHops}
        assert sorted((name, kind) for name, kind, _ in dns.queries) == [
            ("example.org", "MX"),
            ("mx.example.net", "A"),
            ("mx.example.net", "AAAA"),
        ]

    story(dns, tell)


def test_caller_who_gives_up_takes_nothing_from_the_others():
    dns = DnsServer(dict(ZONE))
    dns.delay = 0.05

    async def tell(resolver: Resolver, clock: MovedClock) -> None:
        impatient = asyncio.create_task(resolver.route("example.org"))
        patient = asyncio.create_task(resolver.route("example.org"))
        await asyncio.sleep(0)
        impatient.cancel()
        assert isinstance(await patient, NextHops)
        assert impatient.cancelled()
        assert dns.count("example.org") == 1

    story(dns, tell)


def test_cache_is_bounded_and_forgets_the_least_used():
    zone: Zone = {f"d{n}.example": {"MX": ["0 ."]} for n in range(10)}
    dns = DnsServer(zone)

    async def tell(resolver: Resolver, clock: MovedClock) -> None:
        for n in range(5):
            await resolver.route(f"d{n}.example")
        await resolver.route("d0.example")
        await resolver.route("d5.example")
        await resolver.route("d0.example")
        assert dns.count("d0.example") == 1
        await resolver.route("d1.example")
        assert dns.count("d1.example") == 2

    story(dns, tell, cache_size=5)


def test_closing_ends_what_is_under_way():
    dns = DnsServer({"example.org": "TIMEOUT"})

    async def tell(resolver: Resolver, clock: MovedClock) -> None:
        waiting = asyncio.create_task(resolver.route("example.org"))
        while not dns.queries:
            await asyncio.sleep(0.01)
        await resolver.close()
        assert isinstance((await asyncio.gather(waiting, return_exceptions=True))[0], asyncio.CancelledError)

    story(dns, tell)


def test_relay_addresses_are_kept_for_half_a_minute():
    dns = DnsServer({})

    async def tell(resolver: Resolver, clock: MovedClock) -> None:
        first = await resolver.addresses("localhost")
        assert isinstance(first, tuple)
        assert await resolver.addresses("localhost") is first
        clock.seconds += 30
        again = await resolver.addresses("localhost")
        assert again is not first
        assert again == first

    story(dns, tell)
