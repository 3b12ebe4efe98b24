"""Post a webhook over HTTP, and tell what came of it.

The rule: nobody who can choose a URL, or what a name or a redirect leads to, makes this machine call
its own network. So an address is judged where its socket is made: what was judged is what is dialled,
however a name resolves the next time, while `Host`, SNI and the certificate go by the name.

RFC 9110 (15.4: 307 and 308 keep the method; 10.2.3: Retry-After). Only this file knows aiohttp, and
loads it at first use.
"""

from __future__ import annotations

import asyncio
import importlib
import socket
import ssl
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from mailqueue.net import signature
from mailqueue.net.contexts import verified
from mailqueue.net.hosts import ResolveFailure, is_public
from mailqueue.net.resolver import Resolver
from mailqueue.net.wire import reason_of

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession
    from aiohttp.abc import AbstractResolver
    from aiohttp.connector import AddrInfoType

TIMEOUT = 20.0
"""Seconds from the first look-up to the last octet kept of the answer, redirects included."""
KEPT = 512
"""Octets of an answer that are read."""
_REDIRECTS = 3
_KEEPING = (307, 308)
_IDLE = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Post:
    """What is posted, where, and by whom it is signed."""

    url: str
    """As `url_fault` takes it."""
    identity: str
    """`webhook-id`: the same at each attempt."""
    body: str
    """JSON."""
    secrets: tuple[str, ...]
    """Keys to sign with, one signature each."""
    authorization: str | None = None
    """Value of the header Authorization. None: there is none."""
    allow_private: bool = False
    """Whether loopback, private and other special addresses are called, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of one post."""

    status: int | None
    """HTTP status, of the last redirect's target. None: there was no answer."""
    text: str = ""
    """Up to 512 octets of the answer."""
    retry_after: str | None = None
    """The header Retry-After. None: there was none."""
    error: str | None = None
    """What went wrong, a line. None: nothing did, but the status may say no."""

    def summary(self) -> str:
        """Return in a line what it came to: the status and what went wrong, or what the answer says."""
        said = self.error or " ".join(self.text.split())[:200]
        return " ".join(str(each) for each in (self.status, said) if each)


def url_fault(url: str) -> str | None:
    """Return why webhooks cannot be posted to `url`. None: they can."""
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError as error:
        return str(error)
    if parts.scheme not in ("http", "https"):
        return "must begin with https:// or http://"
    if not parts.hostname or not port_is_fine or not url.isprintable() or " " in url:
        return "must be https://HOST[:PORT]/PATH"
    if "@" in parts.netloc:
        return "must not hold a password: that belongs into the Authorization header"
    return "must not have a fragment (#)" if parts.fragment else None


async def private_fault(url: str, resolver: Resolver) -> str | None:
    """Return why `url` leads to none but private addresses. None: it does not, or nobody can say now."""
    host = urlsplit(url).hostname or ""
    found = await resolver.addresses(host)
    if isinstance(found, ResolveFailure) or any(map(is_public, found)):
        return None
    return f"{host} is not a public address" if found == (host,) else f"{host} is {found[0]}, not public"


class Poster:
    """Posts webhooks; for one event loop. Connections are kept for the next post.

    Args:
        resolver: where hosts are; its system names are used, as for relays.
        timeout: seconds for one post in all.
        context: TLS; None: certificates that the system trusts.
    """

    def __init__(
        self, resolver: Resolver, *, timeout: float = TIMEOUT, context: ssl.SSLContext | None = None
    ) -> None:
        self._resolver = resolver
        self._timeout = timeout
        self._context = context
        self._sessions: dict[bool, ClientSession] = {}

    async def post(self, post: Post, at: datetime) -> Answer:
        """Post once, and follow redirects that keep the method; `at` is when that is, for the signature."""
        if not _load.cache_info().currsize:
            await asyncio.to_thread(_load)  # it takes a while
        import aiohttp

        try:
            async with asyncio.timeout(self._timeout):
                return await self._follow(post, at)
        except TimeoutError:
            error = f"no answer within {self._timeout:g} s"
        except aiohttp.ClientConnectorCertificateError as fault:
            error = reason_of(fault.certificate_error)
        except aiohttp.ClientConnectorError as fault:
            error = reason_of(fault.os_error)
        except (aiohttp.ClientError, OSError, ValueError) as fault:
            error = reason_of(fault)
        return Answer(status=None, error=error)

    async def close(self) -> None:
        """Close the connections that are kept."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def _follow(self, post: Post, at: datetime) -> Answer:
        headers = _headers(post, at)
        url = post.url
        for _ in range(_REDIRECTS + 1):
            async with self._session(post.allow_private).post(
                url, data=post.body.encode(), headers=headers, allow_redirects=False
            ) as response:
                target = response.headers.get("Location")
                if response.status not in _KEEPING or target is None:
                    return await _answer(response)
            url, old = urljoin(url, target), url
            fault = _redirect_fault(old, url)
            if fault is not None:
                return Answer(status=response.status, error=f"redirected to {url[:200]}: {fault}")
            if _origin(old) != _origin(url):
                headers.pop("Authorization", None)  # it is for whom it was given to
        return Answer(status=response.status, error=f"redirected more than {_REDIRECTS} times")

    def _session(self, allow_private: bool) -> ClientSession:
        if allow_private not in self._sessions:
            self._sessions[allow_private] = self._open(allow_private)
        return self._sessions[allow_private]

    def _open(self, allow_private: bool) -> ClientSession:
        import aiohttp

        connector = aiohttp.TCPConnector(
            resolver=_names(self._resolver),
            use_dns_cache=False,  # the resolver has its own
            socket_factory=_any_socket if allow_private else _public_socket,
            ssl=self._context or verified(None),
            limit=0,  # whoever posts counts
            keepalive_timeout=_IDLE,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )


@cache
def _load() -> str:
    """Load what takes long to load; return our name in User-Agent."""
    importlib.import_module("aiohttp")
    verified(None)
    return f"mailqueue/{version('mailqueue')}"


def _headers(post: Post, at: datetime) -> dict[str, str]:
    headers = signature.headers(post.identity, at, post.body, post.secrets)
    headers["Content-Type"] = "application/json"
    headers["Accept-Encoding"] = "identity"
    headers["User-Agent"] = _load()
    if post.authorization is not None:
        headers["Authorization"] = post.authorization
    return headers


async def _answer(response: ClientResponse) -> Answer:
    """Read what is kept of an answer; a longer one costs the connection."""
    kept = b""
    while len(kept) < KEPT and (more := await response.content.read(KEPT - len(kept))):
        kept += more
    if not response.content.at_eof():
        response.close()
    return Answer(
        status=response.status,
        text=kept.decode(errors="replace").replace("\0", "\ufffd"),
        retry_after=response.headers.get("Retry-After"),
    )


def _redirect_fault(old: str, new: str) -> str | None:
    if urlsplit(old).scheme == "https" and urlsplit(new).scheme == "http":
        return "it would go on without TLS"
    return url_fault(new)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.lower()


def _names(resolver: Resolver) -> AbstractResolver:
    """Return the resolver in the form that aiohttp asks."""
    from aiohttp.abc import AbstractResolver, ResolveResult

    class Names(AbstractResolver):
        async def resolve(
            self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
        ) -> list[ResolveResult]:
            found = await resolver.addresses(host)
            if isinstance(found, ResolveFailure):
                raise OSError(found.text)
            return [
                ResolveResult(
                    hostname=host,
                    host=address,
                    port=port,
                    family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                    proto=0,
                    flags=socket.AI_NUMERICHOST,
                )
                for address in found
            ]

        async def close(self) -> None:
            """Leave it to whoever made the resolver."""

    return Names()


def _any_socket(target: AddrInfoType) -> socket.socket:
    family, kind, proto, _, _ = target
    made = socket.socket(family, kind, proto)
    made.setblocking(False)
    return made


def _public_socket(target: AddrInfoType) -> socket.socket:
    address = str(target[4][0])
    if not is_public(address):
        raise OSError(f"{address} is not a public address")
    return _any_socket(target)
