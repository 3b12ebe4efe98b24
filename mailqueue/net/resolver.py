"""Finds the hosts that take mail for a domain, and the addresses of a relay.

What cannot be resolved is a `ResolveFailure`, never an exception: it travels to the history like
a server's reply. "No such thing" is permanent only when a name server said so; whenever a
look-up that matters got no answer, the failure is temporary.

RFC 5321 5.1 (MX, implicit MX, order), RFC 7505 (null MX), RFC 2181 10.3, RFC 6724 (by getaddrinfo).
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import assert_never

from mailqueue.clock import SECOND, Clock, SystemClock
from mailqueue.mail import codes
from mailqueue.net.hosts import (
    MAX_HOSTS,
    MxHost,
    NextHops,
    ResolveFailure,
    is_public,
    mx_set_key,
    parse_ip,
    parse_literal,
    pick_addresses,
    take_in_turn,
)
from mailqueue.net.lookup import Answer, Found, Lookups, Missing, Record, RecordType, Trouble

RELAY_TTL = 30
"""Seconds that a relay's addresses are kept: the system's resolver tells no TTL."""
_CANDIDATES = 2 * MAX_HOSTS
"""Hosts of an MX set that are looked up: MAX_HOSTS even when some are dead, not hundreds."""
_RELAYS_KEPT = 1000


class Resolver:
    """Resolves for one event loop; look-ups are cached and shared by all its tasks.

    Args:
        nameservers: IP addresses of recursive name servers; None takes the system's.
        port: of the name servers.
        timeout: seconds for one look-up, tries at all servers included.
        ipv6_first: dial a host's IPv6 address before its IPv4 one. Off by default: many
            receivers judge unknown IPv6 senders more strictly. The other family is the next try.
        trust_ad: believe the AD bit of the name servers; None believes loopback servers only.
        rng: shuffles hosts of equal preference, and addresses.
        clock: for the TTLs.
        cache_size: answers kept (about 600 bytes each).
        parallel: look-ups that may be under way at once.
    """

    def __init__(
        self,
        nameservers: Sequence[str] | None = None,
        port: int = 53,
        timeout: float = 10.0,
        *,
        ipv6_first: bool = False,
        trust_ad: bool | None = None,
        rng: random.Random | None = None,
        clock: Clock | None = None,
        cache_size: int = 20_000,
        parallel: int = 256,
    ) -> None:
        self._timeout = timeout
        self._ipv6_first = ipv6_first
        self._rng = rng if rng is not None else random.Random()
        self._clock: Clock = clock if clock is not None else SystemClock()
        self._lookups = Lookups(
            nameservers,
            port=port,
            timeout=timeout,
            clock=self._clock,
            cache_size=cache_size,
            parallel=parallel,
            trust_ad=trust_ad,
        )
        self._relays: OrderedDict[str, tuple[int, tuple[str, ...]]] = OrderedDict()

    async def route(self, domain: str, *, allow_private: bool = False) -> NextHops | ResolveFailure:
        """Return the hosts that take mail for `domain`, in the order to try them this time.

        Args:
            domain: what stands behind the @: a name (A-labels; U-labels are encoded) or an
                address literal in brackets, which is dialled without DNS.
            allow_private: dial loopback, private and other special addresses that DNS or an
                address literal names. Off, nobody who can choose a recipient can make this
                machine dial its own network.

        Failures: 5.1.2 the domain does not exist or has neither MX nor address; 5.1.10 null MX;
        5.4.4 the MX names no host that can be dialled. That is final as null MX is: the domain's
        own zone says so, and no outage explains it. 4.4.3 DNS gave no answer, for the domain or
        for a host that might have done.
        """
        domain = domain.rstrip(".").lower()
        if domain.startswith("["):
            return self._literal(domain, allow_private)
        answer = await self._lookups.find(domain, "MX")
        match answer:
            case Found(records=()):
                return await self._implicit(domain, answer, allow_private)
            case Found():
                return await self._explicit(domain, answer, allow_private)
            case Missing():
                return _failure(domain, codes.BAD_SYSTEM, f"{domain} {answer.reason}")
            case Trouble():
                return _failure(
                    domain, codes.DIRECTORY_FAILURE, f"asking for the MX of {domain}: {answer.reason}"
                )
            case _:
                assert_never(answer)

    async def addresses(self, host: str) -> tuple[str, ...] | ResolveFailure:
        """Return the addresses of a relay that someone named, in the order to dial them.

        The system's resolver is asked, so that /etc/hosts and `localhost` work. Private addresses
        are as good as others here. An IP address, with brackets or without, is returned as it is.
        A failure is always temporary (4.4.3): a wrong setting must not return everybody's mail.
        """
        host = host.rstrip(".").lower()
        literal = parse_ip(host)
        if literal is not None:
            return (literal,)
        kept = self._relays.get(host)
        if kept is not None and 0 <= self._clock.now() - kept[0] < RELAY_TTL * SECOND:
            return kept[1]
        found = await self._system_addresses(host)
        if isinstance(found, tuple):
            self._relays[host] = (self._clock.now(), found)
            self._relays.move_to_end(host)
            while len(self._relays) > _RELAYS_KEPT:
                self._relays.popitem(last=False)
        return found

    async def close(self) -> None:
        """End the look-ups that are under way; whoever waits for one is cancelled."""
        await self._lookups.close()

    def _literal(self, domain: str, allow_private: bool) -> NextHops | ResolveFailure:
        address = parse_literal(domain)
        if address is None:
            return _failure(domain, codes.BAD_SYSTEM, f"{domain} is no address literal that can be dialled")
        if not (allow_private or is_public(address)):
            return _failure(domain, codes.BAD_SYSTEM, f"{domain} is not a public address")
        host = MxHost(name=address, addresses=(address,), preference=0)
        key = f"[{address}]"
        return NextHops(domain=domain, hosts=(host,), key=key, implicit=True, authentic=False)

    async def _implicit(self, domain: str, answer: Found, allow_private: bool) -> NextHops | ResolveFailure:
        (found,) = await self._hosts([Record(value=answer.name, preference=0)], allow_private)
        match found:
            case MxHost():
                return NextHops(
                    domain=domain,
                    hosts=(found,),
                    key=mx_set_key([found.name]),
                    implicit=True,
                    authentic=answer.authentic,
                )
            case Trouble():
                return _failure(domain, codes.DIRECTORY_FAILURE, f"{domain} has no MX, and {found.reason}")
            case str():
                return _failure(domain, codes.BAD_SYSTEM, f"{domain} has no MX, and {found}")
            case _:
                assert_never(found)

    async def _explicit(self, domain: str, answer: Found, allow_private: bool) -> NextHops | ResolveFailure:
        candidates = self._ordered(answer.records)
        if not candidates:
            text = f"{domain} takes no mail: it has a null MX (RFC 7505)"
            return _failure(domain, codes.NULL_MX, text)
        found = await self._hosts(candidates[:_CANDIDATES], allow_private)
        hosts = tuple(host for host in found if isinstance(host, MxHost))[:MAX_HOSTS]
        if not hosts:
            return _no_host(domain, [host for host in found if not isinstance(host, MxHost)])
        key = mx_set_key(record.value for record in candidates)
        return NextHops(domain=domain, hosts=hosts, key=key, implicit=False, authentic=answer.authentic)

    def _ordered(self, records: Iterable[Record]) -> list[Record]:
        """Return the hosts by preference, equals shuffled, each once; the root names no host."""
        ranked = sorted(records, key=lambda record: (record.preference, self._rng.random()))
        first: dict[str, Record] = {}
        for record in ranked:
            if record.value:
                first.setdefault(record.value, record)
        return list(first.values())

    async def _hosts(self, records: Sequence[Record], allow_private: bool) -> list[MxHost | Trouble | str]:
        """Return each host with its addresses, or why it has none; a string says it will stay so."""
        keys: list[tuple[str, RecordType]] = []
        for record in records:
            keys += [(record.value, "A"), (record.value, "AAAA")]
        answers = await self._lookups.find_all(keys)
        pairs = zip(answers[::2], answers[1::2], strict=True)
        return [self._host(record, *pair, allow_private) for record, pair in zip(records, pairs, strict=True)]

    def _host(self, record: Record, v4: Answer, v6: Answer, allow_private: bool) -> MxHost | Trouble | str:
        name = record.value
        if parse_ip(name) is not None:
            return f"{name} is an address where a host name must be"
        known = [_values(v4), _values(v6)]
        allowed = [[address for address in family if allow_private or is_public(address)] for family in known]
        addresses = pick_addresses(*allowed, rng=self._rng, ipv6_first=self._ipv6_first)
        if addresses:
            return MxHost(name=name, addresses=addresses, preference=record.preference)
        for answer in (v4, v6):
            if isinstance(answer, Trouble):
                return Trouble(reason=f"asking for the addresses of {name}: {answer.reason}")
        if any(known):
            return f"{name} has no public address, only {', '.join((known[0] + known[1])[:2])}"
        return f"{name} {v4.reason}" if isinstance(v4, Missing) else f"{name} has no address"

    async def _system_addresses(self, host: str) -> tuple[str, ...] | ResolveFailure:
        loop = asyncio.get_running_loop()
        asking = loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        try:
            found = await asyncio.wait_for(asking, self._timeout)
        except TimeoutError:
            reason = f"no answer within {self._timeout:g} s"
        except (OSError, UnicodeError) as error:
            reason = str(error.strerror or error) if isinstance(error, OSError) else str(error)
        else:
            v4 = [str(entry[4][0]) for entry in found if entry[0] == socket.AF_INET]
            v6 = [str(entry[4][0]) for entry in found if entry[0] == socket.AF_INET6]
            first_is_v6 = bool(found) and found[0][0] == socket.AF_INET6
            return take_in_turn([v6, v4] if first_is_v6 else [v4, v6])
        return _failure(host, codes.DIRECTORY_FAILURE, f"{host} has no address: {reason}")


def _values(answer: Answer) -> list[str]:
    return [record.value for record in answer.records] if isinstance(answer, Found) else []


def _no_host(domain: str, reasons: Sequence[Trouble | str]) -> ResolveFailure:
    troubles = [reason.reason for reason in reasons if isinstance(reason, Trouble)]
    if troubles:
        return _failure(domain, codes.DIRECTORY_FAILURE, f"no host of {domain} is known: {troubles[0]}")
    said = "; ".join(str(reason) for reason in reasons[:3])
    text = f"the MX of {domain} names no host that can take mail: {said}"
    return _failure(domain, codes.ROUTING.with_class(5), text)


def _failure(domain: str, enhanced: codes.EnhancedCode, text: str) -> ResolveFailure:
    return ResolveFailure(domain=domain, permanent=enhanced.cls == 5, enhanced=enhanced, text=text)
