"""DNS look-ups, cached by TTL and made once however many ask at the same time.

Every end of a look-up is a value, never an exception: records, no such name, or trouble. Only
this file knows dnspython, and loads it when the first look-up is made.

RFC 1035; RFC 2308 (negative answers), RFC 9520 (failures), RFC 6840 5.7 (the AD bit in a query).
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, assert_never

from mailqueue.clock import SECOND, Clock

if TYPE_CHECKING:
    import dns.asyncresolver
    import dns.message
    import dns.rdata

RecordType = Literal["MX", "A", "AAAA"]

MAX_TTL = 24 * 3600
"""Seconds that records are believed at most, whatever their TTL."""
MAX_NEGATIVE_TTL = 15 * 60
"""Seconds that "no such name" and "no such record" are believed at most: a mended domain is soon seen."""
TROUBLE_TTL = 5
"""Seconds that a failed look-up is not made again (RFC 9520 3.2: from 1 s to 5 min)."""
_MAX_CHAIN = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One record of an answer."""

    value: str
    """An IP address, or of MX the lower-case host name without a final dot: empty for the root."""
    preference: int
    """MX only, else 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The name exists."""

    name: str
    """The name at the end of its CNAMEs, lower case, no final dot."""
    records: tuple[Record, ...]
    """Empty: the name has no records of this type."""
    authentic: bool
    ttl: int
    """Seconds, already capped; 0: not to be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """The name does not exist (NXDOMAIN), or cannot exist in DNS."""

    reason: str
    ttl: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Nobody said whether the name exists: SERVFAIL, a timeout, no server."""

    reason: str
    ttl: int = TROUBLE_TTL


Answer = Found | Missing | Trouble
_Key = tuple[str, RecordType]


class Lookups:
    """Asks name servers; safe to use from many tasks of one event loop.

    Args:
        nameservers: IP addresses; None reads the system's /etc/resolv.conf at the first look-up,
            and again after a look-up that no server answered.
        port: of the name servers.
        timeout: seconds for one look-up, all servers and tries together.
        clock: tells when a cached answer is too old.
        cache_size: answers kept; the one unused for longest goes first.
        parallel: look-ups that may be under way at once.
        trust_ad: whether to believe the AD bit; None believes it of loopback servers only.
    """

    def __init__(
        self,
        nameservers: Sequence[str] | None,
        *,
        port: int,
        timeout: float,
        clock: Clock,
        cache_size: int,
        parallel: int,
        trust_ad: bool | None,
    ) -> None:
        self._nameservers = nameservers
        self._port = port
        self._timeout = timeout
        self._clock = clock
        self._cache_size = cache_size
        self._slots = asyncio.Semaphore(parallel)
        self._trust_ad = trust_ad
        self._stub: dns.asyncresolver.Resolver | None = None
        self._cache: OrderedDict[_Key, tuple[int, Answer]] = OrderedDict()
        self._under_way: dict[_Key, asyncio.Task[Answer]] = {}

    async def find(self, name: str, kind: RecordType) -> Answer:
        """Return what DNS says of `name` (lower case, no final dot), from the cache while its TTL runs."""
        key = (name, kind)
        cached = self._cached(key)
        if cached is not None:
            return cached
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(self._fetch(key))
            task.add_done_callback(lambda _: self._under_way.pop(key, None))
        return await asyncio.shield(task)  # one caller who gives up must not take the answer from the others

    async def find_all(self, keys: Sequence[tuple[str, RecordType]]) -> list[Answer]:
        """Return what DNS says of several names at once, in their order."""
        known = [answer for key in keys if (answer := self._cached(key)) is not None]
        if len(known) == len(keys):
            return known  # most often; tasks would cost ten times as much
        return await asyncio.gather(*(self.find(*key) for key in keys))

    async def close(self) -> None:
        """End the look-ups that are under way; their callers are cancelled."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _cached(self, key: _Key) -> Answer | None:
        entry = self._cache.get(key)
        if entry is None:
            return None
        stored, answer = entry
        if not 0 <= self._clock.now() - stored < answer.ttl * SECOND:
            del self._cache[key]
            return None
        self._cache.move_to_end(key)
        return answer

    async def _fetch(self, key: _Key) -> Answer:
        async with self._slots:
            answer = await self._follow(*key)
        if answer.ttl > 0:
            self._cache[key] = (self._clock.now(), answer)
            while len(self._cache) > self._cache_size:
                self._cache.popitem(last=False)
        return answer

    async def _follow(self, name: str, kind: RecordType) -> Answer:
        """Ask for `name`, and for what its CNAME names where the server did not do that itself."""
        ttl, authentic, asked = MAX_TTL, True, name
        for _ in range(_MAX_CHAIN):
            answer = await self._ask(asked, kind)
            match answer:
                case Found():
                    ttl, authentic = min(ttl, answer.ttl), authentic and answer.authentic
                    if answer.records or answer.name == asked:
                        return Found(name=answer.name, records=answer.records, authentic=authentic, ttl=ttl)
                    asked = answer.name
                case Missing() | Trouble():
                    return answer
                case _:
                    assert_never(answer)
        return Trouble(reason=f"its aliases (CNAME) do not end after {_MAX_CHAIN} steps")

    async def _ask(self, name: str, kind: RecordType) -> Answer:
        import dns.exception
        import dns.name
        import dns.resolver

        if not name:
            return Missing(reason="(empty) is no domain name", ttl=MAX_NEGATIVE_TTL)
        try:
            qname = dns.name.from_text(name + ".", idna_codec=dns.name.IDNA_2008_UTS_46)
        except (dns.exception.DNSException, UnicodeError) as error:
            return Missing(reason=f"is no domain name ({error})", ttl=MAX_NEGATIVE_TTL)
        try:
            answer = await self._resolver().resolve(qname, kind, raise_on_no_answer=False, search=False)
        except dns.resolver.NXDOMAIN as error:
            return Missing(reason="does not exist", ttl=_ttl(error.kwargs["responses"][qname], negative=True))
        except (dns.exception.DNSException, OSError) as error:
            if self._nameservers is None:
                self._stub = None  # the machine may have moved to another network since resolv.conf was read
            return Trouble(reason=_reason(error, self._timeout))
        response = answer.response
        records = tuple(_record(rdata) for rdata in answer.rrset or ())
        return Found(
            name=_text(answer.canonical_name),
            records=records,
            authentic=self._believed(response),
            ttl=_ttl(response, negative=not records),
        )

    def _resolver(self) -> dns.asyncresolver.Resolver:
        import dns.asyncresolver
        import dns.flags

        if self._stub is None:
            stub = dns.asyncresolver.Resolver(configure=self._nameservers is None)
            if self._nameservers is not None:
                stub.nameservers = list(self._nameservers)
            stub.port = self._port
            stub.lifetime = self._timeout
            stub.timeout = min(2.0, self._timeout / 2)
            stub.use_edns(0, 0, 1232)
            stub.flags = dns.flags.RD | dns.flags.AD
            self._stub = stub
        return self._stub

    def _believed(self, response: dns.message.Message) -> bool:
        import dns.flags

        if not response.flags & dns.flags.AD:
            return False
        if self._trust_ad is not None:
            return self._trust_ad
        servers = self._resolver().nameservers
        return all(ipaddress.ip_address(str(server)).is_loopback for server in servers)


def _record(rdata: dns.rdata.Rdata) -> Record:
    from dns.rdtypes.ANY.MX import MX

    if isinstance(rdata, MX):
        return Record(value=_text(rdata.exchange), preference=rdata.preference)
    return Record(value=str(ipaddress.ip_address(rdata.to_text())), preference=0)


def _text(name: object) -> str:
    return str(name).rstrip(".").lower()


def _ttl(response: dns.message.Message, *, negative: bool) -> int:
    """Return the seconds to keep an answer; 0 for a negative one without SOA (RFC 2308 5)."""
    from dns.rdtypes.ANY.SOA import SOA

    ttl = min((rrset.ttl for rrset in response.answer), default=MAX_TTL)
    if not negative:
        return min(ttl, MAX_TTL)
    told = [
        min(rrset.ttl, soa.minimum) for rrset in response.authority for soa in rrset if isinstance(soa, SOA)
    ]
    return min(ttl, MAX_NEGATIVE_TTL, *told) if told else 0


def _reason(error: Exception, timeout: float) -> str:
    import dns.resolver

    match error:
        case dns.resolver.LifetimeTimeout():
            return f"no name server answered within {timeout:g} s"
        case dns.resolver.NoNameservers():
            said = [str(entry[3]) or type(entry[3]).__name__ for entry in error.kwargs.get("errors", ())]
            return "the name server answered " + (", ".join(dict.fromkeys(said)) or "nothing of use")
        case dns.resolver.NoResolverConfiguration():
            return "this machine names no name server"
        case _:
            return f"the look-up failed ({str(error) or type(error).__name__})"
