"""Moves octets between the SMTP machine and a connection, and keeps the time.

The rule: what ends a message is written in one go with the question whether we may still send
it, and every wait but the idle one has a deadline.

Two clocks would be one too many: a connection has one deadline, which each reply moves on, and
one timer, which looks at it now and then. So a message costs no timer at all.

RFC 5321 4.5.3.2 (timeouts).
"""

from __future__ import annotations

import asyncio
import math
import os
import ssl
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import cast

from mailqueue.mail.smtp import (
    BodyWanted,
    Cause,
    Client,
    Ended,
    Envelope,
    Event,
    Lost,
    Phase,
    TransactionDone,
)


def reason_of(error: BaseException) -> str:
    """Return what an error of the network or of TLS says, one line, without numbers and addresses."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS: certificate verify failed: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}".replace("_", " ").lower().replace("tls:", "TLS:", 1)
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return " ".join(str(error).split()) or type(error).__name__


class Wire(asyncio.Protocol):
    """One connection, driven by what the machine says.

    Attributes:
        client: the machine.
        before_final_dot: asked right before the end of a message is written; False ends the
            connection instead (`Cause.WITHHELD`).
        lost: how the connection ended. None: it has not, or by QUIT.
    """

    __slots__ = (
        "_answer",
        "_body",
        "_closed",
        "_deadline",
        "_loop",
        "_room",
        "_tick",
        "_timeouts",
        "_timer",
        "_told",
        "_transport",
        "_waiter",
        "before_final_dot",
        "client",
        "lost",
    )

    def __init__(self, client: Client, timeouts: Mapping[Phase, float]) -> None:
        self.client = client
        self.before_final_dot: Callable[[], bool] = _always
        self.lost: Lost | None = None
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._room: asyncio.Future[None] | None = None  # resolved when the network takes octets again
        self._answer: asyncio.Future[None] | None = None  # resolved when the machine has heard something
        self._body: bytes | None = None  # the content, if it goes out in one go
        self._told: deque[Event] = deque()  # events that nobody has waited for yet
        self._waiter: asyncio.Future[Event] | None = None
        self._timeouts = timeouts
        self._deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._tick = min(timeouts.values())  # no deadline that is set later can come before the next look

    # --- what the session asks for ------------------------------------------------------------

    async def next(self) -> Event:
        """Return the next event, but for `BodyWanted` where `start` was given the content."""
        if self._told:
            return self._told.popleft()
        self._waiter = self._loop.create_future()
        try:
            return await self._waiter
        finally:
            self._waiter = None

    def start(self, envelope: Envelope, body: bytes | None) -> None:
        """Begin a transaction; `body` goes out at once when it is wanted, None means that it comes in blocks.

        Raises:
            RuntimeError: the session is not usable.
        """
        self.client.start(envelope, in_blocks=body is None)
        self._body = body
        self._flush()
        self._restart_clock()

    async def send_block(self, block: bytes) -> bool:
        """Send a block of the content and wait until the network has taken it.

        Before that it waits for answers where too many chunks are without one.

        Returns whether more is wanted: False when the connection or the server has given up.
        """
        while self.client.wants_body and not self.client.takes_block:
            await self._hear()
        if not self.client.wants_body:
            return False
        self.client.send_body(block)
        self._flush()
        self._restart_clock()
        if self._room is not None:
            await self._room
            self._restart_clock()
        return self.client.wants_body

    async def end_body(self) -> None:
        """Send the final dot or the last chunk, if it is still wanted and we still may."""
        while self.client.wants_body and not self.client.takes_end:
            await self._hear()
        if self.client.wants_body and self._may_end():
            self.client.end_body()
            self._flush()
            self._restart_clock()

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Make the handshake that the server waits for, naming `host` (SNI), and go on under TLS.

        If it fails, the connection ends with `Cause.TLS`.
        """
        assert self._transport is not None
        try:
            transport = await self._loop.start_tls(
                self._transport,
                self,
                context,
                server_hostname=host,
                ssl_handshake_timeout=2 * self._timeouts[Phase.TLS],  # our own deadline comes first
                ssl_shutdown_timeout=self._timeouts[Phase.QUIT],
            )
        except (OSError, ValueError) as error:
            self.give_up(Cause.TLS, reason_of(error))
            return
        if transport is None or self.client.ended:  # it broke without an error
            self.give_up(Cause.TLS, "the connection was closed in the handshake")
            return
        self._use(transport)
        self.client.tls_established()
        self._flush()
        self._restart_clock()

    async def quit(self) -> None:
        """Say QUIT and wait until the connection is closed, as long as QUIT may take."""
        self.client.quit()
        self._flush()
        self._restart_clock()
        await self._closed

    def give_up(self, cause: Cause, reason: str) -> None:
        """Break the connection off, if it stands; a transaction that runs ends with what is known."""
        self._handle(self.client.give_up(cause, reason))

    @property
    def open(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def ssl_object(self) -> ssl.SSLObject | None:
        """The TLS layer; None in the clear."""
        assert self._transport is not None
        return cast("ssl.SSLObject | None", self._transport.get_extra_info("ssl_object"))

    # --- what the loop tells ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the greeting."""
        self._use(cast(asyncio.Transport, transport))
        self._restart_clock()

    def data_received(self, data: bytes) -> None:
        """Hand octets to the machine and do what it says."""
        client = self.client
        before = client.replies
        self._handle(client.receive(data))
        self._flush()
        if client.replies != before:
            self._restart_clock()

    def eof_received(self) -> None:
        """Take note that the server closed."""
        self._handle(self.client.receive_eof())

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the connection is gone."""
        if exc is None:
            self._handle(self.client.receive_eof())
        else:
            self.give_up(Cause.TLS if isinstance(exc, ssl.SSLError) else Cause.CLOSED, reason_of(exc))
        self.resume_writing()
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        """Take note that octets lie here that the network did not take at once."""
        if self._room is None:
            self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        """Take note that the network has taken all."""
        if self._room is not None:
            if not self._room.done():
                self._room.set_result(None)
            self._room = None

    # --- inside -------------------------------------------------------------------------------

    async def _hear(self) -> None:
        """Wait until the machine has heard something."""
        self._answer = self._loop.create_future()
        try:
            await self._answer
        finally:
            self._answer = None

    def _use(self, transport: asyncio.Transport) -> None:
        # So that writing is paused whenever anything is left here, and a block counts as sent when
        # nothing is: the final dot shall not lie about and leave after the claim has run out.
        transport.set_write_buffer_limits(high=0)
        self._transport = transport

    def _flush(self) -> None:
        data = self.client.data_to_send()
        if data and self._transport is not None:
            self._transport.write(data)

    def _handle(self, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, BodyWanted) and self._body is not None:
                self._send_at_once(self._body)
                continue
            if isinstance(event, TransactionDone):
                self._body = None
            elif isinstance(event, Ended):
                self._end(event.lost)
            self._tell(event)
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(None)

    def _send_at_once(self, body: bytes) -> None:
        if self._may_end():
            self.client.send_body(body)
            self.client.end_body()

    def _may_end(self) -> bool:
        if not self.open:  # not told yet, but what is written would go nowhere
            self.give_up(Cause.CLOSED, "the connection was closed before the final dot")
            return False
        if not self.before_final_dot():
            self.give_up(Cause.WITHHELD, "the final dot was kept back")
            return False
        return True

    def _tell(self, event: Event) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(event)
        else:
            self._told.append(event)

    def _end(self, lost: Lost | None) -> None:
        self.lost = lost
        self._deadline = math.inf
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._transport is None:
            return
        self._flush()  # QUIT, if the server refused us
        if lost is None:
            self._transport.close()
        else:  # nobody shall wait for the rest, nor for the end of TLS
            self._transport.abort()

    def _restart_clock(self) -> None:
        phase = self.client.phase
        limit = self._timeouts.get(phase)
        if phase is Phase.BODY and self._room is None:
            limit = None  # it is our turn: our own disk is not the server's fault
        if limit is None or self.client.ended:
            self._deadline = math.inf
            return
        now = self._loop.time()
        self._deadline = now + limit
        if self._timer is None:
            self._timer = self._loop.call_at(min(self._deadline, now + self._tick), self._look)

    def _look(self) -> None:
        """Look at the deadline; come again if there is one."""
        self._timer = None
        if self._deadline == math.inf:
            return
        now = self._loop.time()
        if now < self._deadline:
            self._timer = self._loop.call_at(min(self._deadline, now + self._tick), self._look)
            return
        phase = self.client.phase
        self.give_up(Cause.TIMEOUT, f"it took longer than {self._timeouts[phase]:g} s")


def _always() -> bool:
    return True
