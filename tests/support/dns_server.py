"""A DNS server on loopback, UDP and TCP on one port, that answers as a recursive server would.

::

    zone = {
        "example.org": {"MX": ["10 mx.example.org."]},
        "mx.example.org": {"A": ["127.0.0.1"]},
        "www.example.org": {"CNAME": ["example.org."]},
        "broken.example": "SERVFAIL",
    }
    with DnsServer(zone) as dns:
        await Resolver(["127.0.0.1"], dns.port).route("example.org", allow_private=True)

A name that is not in the zone does not exist (NXDOMAIN); a name without the type asked for has no
such data. Instead of records a name, or one type of it, may have a trouble: "SERVFAIL", "REFUSED",
"TIMEOUT" (no answer at all), "GARBAGE" (bytes that are no message). The zone may be changed while
the server runs.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Literal

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

Trouble = Literal["SERVFAIL", "REFUSED", "TIMEOUT", "GARBAGE"]
Records = Mapping[str, "list[str] | Trouble"]
Zone = dict[str, "Records | Trouble"]

SOA = "ns.invalid. postmaster.invalid. 1 3600 600 86400 {minimum}"


class DnsServer:
    """Serves `zone` from a thread of its own until the `with` block ends.

    Args:
        zone: what to answer; names without a final dot.
        ttl: seconds, of every record.
        negative_ttl: seconds in the SOA of negative answers; None leaves the SOA out.
        authentic: set the AD bit.
        truncate: every UDP answer is cut and says so, so that TCP is needed.
        chase: put the whole CNAME chain into an answer; off, only its first step.
    """

    def __init__(
        self,
        zone: Zone,
        *,
        ttl: int = 300,
        negative_ttl: int | None = 60,
        authentic: bool = False,
        truncate: bool = False,
        chase: bool = True,
    ) -> None:
        self.zone = zone
        self.ttl = ttl
        self.negative_ttl = negative_ttl
        self.authentic = authentic
        self.truncate = truncate
        self.chase = chase
        self.delay = 0.0
        self.queries: list[tuple[str, str, str]] = []
        """(name, type, "udp" or "tcp") of every question that came, in order."""
        self._loop = asyncio.new_event_loop()
        self._udp, self._tcp = _sockets()
        self.port: int = self._udp.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._stop = asyncio.Event()
        self._ready = threading.Event()

    def count(self, name: str, rdtype: str | None = None) -> int:
        """Return how many questions came for `name` (and `rdtype`)."""
        return sum(n == name and rdtype in (None, t) for n, t, _ in self.queries)

    def __enter__(self) -> DnsServer:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        transport, _ = await self._loop.create_datagram_endpoint(lambda: _Udp(self), sock=self._udp)
        server = await asyncio.start_server(self._tcp_client, sock=self._tcp)
        self._ready.set()
        await self._stop.wait()
        transport.close()
        server.close()
        await server.wait_closed()

    async def _tcp_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            size = int.from_bytes(await reader.readexactly(2), "big")
            answer = self.answer(await reader.readexactly(size), "tcp")
            await asyncio.sleep(self.delay)
            if answer is not None:
                writer.write(len(answer).to_bytes(2, "big") + answer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def answer(self, wire: bytes, how: str) -> bytes | None:
        """Return the answer to one question, None for silence."""
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True).lower()
        rdtype = dns.rdatatype.to_text(question.rdtype)
        self.queries.append((name, rdtype, how))
        response = dns.message.make_response(query, recursion_available=True)
        if self.truncate and how == "udp":
            response.flags |= dns.flags.TC
            return response.to_wire()
        trouble = self._fill(response, name, rdtype)
        if trouble == "TIMEOUT":
            return None
        if trouble == "GARBAGE":
            return wire[:2] + b"\xff" * 20
        if self.authentic and trouble is None:
            response.flags |= dns.flags.AD
        return response.to_wire(max_size=65535)

    def _fill(self, response: dns.message.Message, name: str, rdtype: str) -> Trouble | None:
        for _ in range(20):
            entry = self.zone.get(name)
            if entry is None:
                response.set_rcode(dns.rcode.NXDOMAIN)
                break
            found = entry if isinstance(entry, str) else entry.get(rdtype, [])
            if isinstance(found, str):
                if found in ("SERVFAIL", "REFUSED"):
                    response.set_rcode(dns.rcode.from_text(found))
                return found
            alias = entry.get("CNAME") if isinstance(entry, Mapping) else None
            if found or alias is None:
                self._add(response, name, rdtype, found)
                break
            self._add(response, name, "CNAME", list(alias))
            name = alias[0].rstrip(".").lower()
            if not self.chase:
                return None
        if not any(rrset.rdtype == dns.rdatatype.from_text(rdtype) for rrset in response.answer):
            self._add_soa(response, name)
        return None

    def _add(self, response: dns.message.Message, name: str, rdtype: str, records: list[str]) -> None:
        if records:
            response.answer.append(dns.rrset.from_text(f"{name}.", self.ttl, "IN", rdtype, *records))

    def _add_soa(self, response: dns.message.Message, name: str) -> None:
        if self.negative_ttl is not None:
            text = SOA.format(minimum=self.negative_ttl)
            response.authority.append(
                dns.rrset.from_text(f"{name.rpartition('.')[2]}.", 86400, "IN", "SOA", text)
            )


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: DnsServer) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        answer = self._server.answer(data, "udp")
        if answer is not None:
            asyncio.get_running_loop().call_later(self._server.delay, self._transport.sendto, answer, addr)


def _sockets() -> tuple[socket.socket, socket.socket]:
    """Return a UDP and a TCP socket on one free loopback port."""
    for _ in range(50):
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            udp.bind(tcp.getsockname())
        except OSError:
            tcp.close()
            udp.close()
            continue
        udp.setblocking(False)
        tcp.setblocking(False)
        return udp, tcp
    raise RuntimeError("no port is free for both UDP and TCP")
