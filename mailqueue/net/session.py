"""An SMTP session over a connection that stands: send a message, another one, and quit.

The rule: whatever happens, `send` returns facts; it raises only for mistakes of its caller and
for content that cannot be read.

RFC 5321, with the machine of `mailqueue.mail.smtp`; RFC 8689 4.2.1 (REQUIRETLS), RFC 9422 4 (LIMITS).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from typing import Final, Protocol

from mailqueue.mail import codes
from mailqueue.mail.reply import Reply
from mailqueue.mail.smtp import (
    BodyWanted,
    Capabilities,
    Cause,
    Envelope,
    TransactionDone,
    TransactionResult,
    domain_of,
    fitting,
    lacks,
)
from mailqueue.net.wire import Wire

BLOCK: Final = 64 * 1024
"""Octets: content up to this size is written in one go, with the final dot; larger comes block by
block, by BDAT where the server takes it."""

_NOT_PROTECTED: Final = Reply(
    523,
    ("not sent to this server: it has to stay under TLS, and there is none with a verified certificate",),
    codes.ENCRYPTION_NEEDED,
)


class Content(Protocol):
    """A message's octets, line ends as CRLF."""

    @property
    def size(self) -> int:
        """Octets."""
        ...

    @property
    def data(self) -> bytes | None:
        """All of them. None: they come in `chunks`."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """Yield them in order, in chunks of any size; not asked for where `data` is given."""
        ...


class Session:
    """A connection on which messages can be sent, one after the other. Made by `connect.open_session`.

    Attributes:
        host: the server's name as it was asked for.
        ip: its address.
        port: its port.
        tls_version: such as 'TLSv1.3'. None: in the clear.
        tls_verified: how the server's name was verified. None: it was not.
        tls_fallback: why the session is in the clear though TLS was tried. None: it is not so.
        used: transactions begun so far.
        opened_at: seconds on the loop's clock (`loop.time()`) when the session came to stand.
        idle_since: seconds on the loop's clock (`loop.time()`) since when nothing is being sent.
    """

    __slots__ = (
        "_domains",
        "_wire",
        "host",
        "idle_since",
        "ip",
        "opened_at",
        "port",
        "tls_fallback",
        "tls_verified",
        "tls_version",
        "used",
    )

    def __init__(self, wire: Wire, *, host: str, ip: str, port: int) -> None:
        self._wire = wire
        self._domains: set[str] = set()  # of recipients named here
        self.host = host
        self.ip = ip
        self.port = port
        tls = wire.ssl_object
        self.tls_version = tls.version() if tls is not None else None
        self.tls_verified: str | None = None
        self.tls_fallback: str | None = None
        self.used = 0
        self.opened_at = self.idle_since = asyncio.get_running_loop().time()

    @property
    def capabilities(self) -> Capabilities:
        """What the server offers."""
        return self._wire.client.capabilities

    @property
    def usable(self) -> bool:
        """Whether a transaction may begin: none runs, the connection stands as far as is known, and it
        has not yet carried as many as the server allows.
        """
        most = self.capabilities.mail_max
        return self._stands and (most is None or self.used < most)

    @property
    def _stands(self) -> bool:
        return self._wire.client.usable and self._wire.open

    @property
    def before_final_dot(self) -> Callable[[], bool]:
        """Asked right before the end of a message is written; False ends the connection instead.

        The result then says `Cause.WITHHELD` and that no final dot was sent. It must not block.
        """
        return self._wire.before_final_dot

    @before_final_dot.setter
    def before_final_dot(self, ask: Callable[[], bool]) -> None:
        self._wire.before_final_dot = ask

    def fitting(self, recipients: Sequence[str]) -> Sequence[int]:
        """Return the indexes of the recipients that the next transaction may have, as the server limits it.

        Empty: all are of further domains, and this connection may carry no more; another is needed.
        """
        return fitting(recipients, self.capabilities, self._domains)

    def transcript(self) -> str:
        """Return what was said in the transaction that runs or ran last, for people; at most 16 KiB."""
        return self._wire.client.transcript()

    async def send(self, envelope: Envelope, content: Content) -> TransactionResult:
        """Send one message to its recipients and return the facts.

        A message that needs what the server or the session lacks is not sent; `result.lacks` says
        why. On a session that has ended, nothing is sent and `result.lost` says how it ended. A result
        without a reply to MAIL from a session that was used before means that the server had
        closed the idle connection: it is safe to try once more on another.

        Cancelling it breaks the connection off, and what became of the message is not told; call
        `abort` instead to get the facts.

        Raises:
            RuntimeError: another transaction runs on this session, or it is not `usable` though it has
                not ended (the server has begun to speak out of turn, or takes no more transactions).
            Exception: what `content.chunks()` raised; the connection is broken off without final dot.
        """
        refusal = self._lacks(envelope)
        if refusal is not None:
            return TransactionResult(lacks=refusal, rcpt=(None,) * len(envelope.recipients))
        if self._wire.client.ended:
            return TransactionResult(lost=self._wire.lost, rcpt=(None,) * len(envelope.recipients))
        if self.used == self.capabilities.mail_max:
            raise RuntimeError(f"the server takes no more than {self.used} transactions on a connection")
        self._wire.start(envelope, content.data if content.size <= BLOCK else None)
        self.used += 1
        if self.capabilities.rcpt_domain_max is not None:
            self._domains.update(map(domain_of, envelope.recipients))
        try:
            return await self._result(content)
        except BaseException:
            self._wire.give_up(Cause.ABORTED, "broken off")
            raise
        finally:
            self.idle_since = asyncio.get_running_loop().time()

    async def quit(self) -> None:
        """Say QUIT and close; a connection that cannot be spoken on is closed without."""
        if self._stands:
            await self._wire.quit()
        else:
            self.abort()

    def abort(self) -> None:
        """Close at once; a `send` that runs returns what is known."""
        self._wire.give_up(Cause.ABORTED, "broken off")

    def _lacks(self, envelope: Envelope) -> Reply | None:
        """Return the refusal of a message that needs what the session or the server lacks."""
        if envelope.require_tls and self.tls_verified is None:
            return _NOT_PROTECTED
        return lacks(envelope, self.capabilities)

    async def _result(self, content: Content) -> TransactionResult:
        event = await self._wire.next()
        if isinstance(event, BodyWanted):
            await self._stream(content)
            event = await self._wire.next()
        assert isinstance(event, TransactionDone), event
        return event.result

    async def _stream(self, content: Content) -> None:
        data = content.data
        blocks = content.chunks() if data is None else _blocks(data)
        try:
            async for block in blocks:
                if not await self._wire.send_block(block):
                    return
                await asyncio.sleep(0)  # a network that takes everything at once shall not have us to itself
        finally:
            if isinstance(blocks, AsyncGenerator):
                await blocks.aclose()
        await self._wire.end_body()


async def _blocks(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), BLOCK):
        yield data[start : start + BLOCK]
