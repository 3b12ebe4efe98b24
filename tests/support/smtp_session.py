"""Sessions over real sockets, for tests: a loop, an envelope, a content, short deadlines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass
from typing import TypeVar

import uvloop

from mailqueue.mail.smtp import TIMEOUTS, Envelope, Phase
from mailqueue.net.connect import Security, Tls, open_session
from mailqueue.net.session import Session

LOOPS = ["asyncio", "uvloop"]
T = TypeVar("T")


def run(loop: str, play: Coroutine[object, object, T]) -> T:
    """Run a play under asyncio's own loop or uvloop's."""
    factory = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(asyncio.wait_for(play, 30))


def fast(**seconds: float) -> Mapping[Phase, float]:
    """Return the deadlines of RFC 5321, but for the phases named."""
    return {**TIMEOUTS, **{Phase(name): limit for name, limit in seconds.items()}}


async def opened(
    port: int,
    *,
    tls: Tls = Tls.OPPORTUNISTIC,
    timeouts: Mapping[Phase, float] = TIMEOUTS,
    host: str = "server.example",
    **security,
) -> Session:
    return await open_session(
        host,
        "127.0.0.1",
        port,
        hostname="client.example",
        security=Security(tls=tls, **security),
        timeouts=timeouts,
    )


def envelope(*recipients: str, **more) -> Envelope:
    named = recipients or ("b@receiver.example",)
    return Envelope(**{"sender": "a@sender.example", "recipients": named, "size": 100, **more})


@dataclass
class Whole:
    """Content in one piece."""

    data: bytes | None

    @property
    def size(self) -> int:
        return len(self.data or b"")

    def chunks(self) -> AsyncIterator[bytes]:
        raise AssertionError("it is all in data")


@dataclass
class Pieces:
    """Content that comes in pieces; tells how many were asked for, and whether it was closed."""

    pieces: list[bytes]
    asked: int = 0
    closed: bool = False
    fault: Exception | None = None
    data: None = None

    @property
    def size(self) -> int:
        return max(sum(map(len, self.pieces)), 10**6)

    async def chunks(self) -> AsyncIterator[bytes]:
        try:
            for piece in self.pieces:
                self.asked += 1
                yield piece
            if self.fault is not None:
                raise self.fault
        finally:
            self.closed = True


def content(data: bytes = b"Subject: hello\r\n\r\n.a dot\r\n") -> Whole:
    return Whole(data)
