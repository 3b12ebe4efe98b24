"""Where the mail of many domains goes when all of them are on this machine: a resolver without DNS."""

from __future__ import annotations

from collections.abc import Callable

from mailqueue.net.hosts import MxHost, NextHops, ResolveFailure
from mailqueue.net.resolver import Resolver


class Loopback(Resolver):
    """Says of each domain that it is its own mail host, at the address that `address` gives it."""

    def __init__(self, address: Callable[[str], str]) -> None:
        super().__init__()
        self._address = address

    async def route(self, domain: str, *, allow_private: bool = False) -> NextHops | ResolveFailure:
        host = MxHost(name=domain, addresses=(self._address(domain),), preference=0)
        return NextHops(domain=domain, hosts=(host,), key=domain, implicit=True, authentic=False)
