"""The server of `mailqueue incoming listen`: takes what comes to return addresses, by LMTP or SMTP.

The rule: mail is answered 250 only once it is on disk. It takes mail for its own domains and no other, and
keeps no more of it in memory than is looked at, however long its lines are.

RFC 5321 (SMTP), RFC 2033 (LMTP: an answer for each recipient).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from aiosmtpd.lmtp import LMTP
from aiosmtpd.smtp import SMTP, Envelope, Session

from mailqueue.errors import AddressError, StoreError
from mailqueue.mail import address
from mailqueue.mail.mime import MAX_MESSAGE

logger = logging.getLogger("mailqueue.incoming")

MOST_CONNECTIONS = 20
"""Connections at once; more are told to come back."""
MOST_RECIPIENTS = 100
"""Recipients of one message; more are told to come in another."""
LINE = 64 * 1024
"""Octets of a line that are read at once."""
IDLE = 300
"""Seconds that a client may take between two commands, or two pieces of a message (RFC 5321 4.5.3.2.7)."""
GRACE = 10
"""Seconds in which messages that are being taken may end once it stops."""


class Takes(Protocol):
    """Takes in a message for one address: `AsyncQueue.incoming`."""

    async def __call__(self, raw: bytes, *, recipient: str | None, sender: str | None) -> Any:  # noqa: ANN401
        """Return once it is on disk. Raises StoreError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What the listener is to do."""

    domains: frozenset[str]
    """Domains that it takes mail for, in A-labels."""
    hostname: str
    """What it calls itself."""
    max_size: int
    """Octets of a message; larger ones are refused."""
    lmtp: bool
    """LMTP, else SMTP."""


class Handler:
    """Answers the commands that decide something; aiosmtpd calls its methods by their names.

    Attributes:
        open: the connections that there are.
    """

    def __init__(self, take: Takes, wanted: Wanted) -> None:
        self._take = take
        self._wanted = wanted
        self.open: set[Reception] = set()

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, to: str, options: Sequence[str]
    ) -> str:
        """Take a recipient of our domains."""
        try:
            domain = address.parse(to).domain
        except AddressError:
            return "553 5.1.3 This address cannot be read"
        if domain not in self._wanted.domains:
            return "550 5.7.1 No mail for this domain is taken here"
        if len(envelope.rcpt_tos) >= MOST_RECIPIENTS:
            return "452 4.5.3 Too many recipients, send the message again for the others"
        envelope.rcpt_tos.append(to)
        return "250 2.1.5 Ok"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Take a message in, for each of its recipients."""
        replies = [await self._taken(envelope, each) for each in envelope.rcpt_tos]
        return self.answered(replies)

    def answered(self, replies: Sequence[str]) -> str:
        """Return what is said where it is known what became of each recipient: by LMTP, of each."""
        if self._wanted.lmtp:
            return "\r\n".join(replies)  # RFC 2033 4.2
        return next((each for each in replies if not each.startswith("2")), replies[0])

    async def _taken(self, envelope: Envelope, recipient: str) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        sender = (envelope.mail_from or "").removeprefix("<").removesuffix(">")
        try:
            await self._take(content, recipient=recipient, sender=sender)
        except StoreError as error:
            logger.warning("what came in has to wait: %s", error)
            return "451 4.3.0 It cannot be stored now, try again later"
        except Exception as error:
            return await self.handle_exception(error)
        return "250 2.0.0 Taken"

    async def handle_exception(self, error: Exception) -> str:
        """Answer where something went wrong that should not: the client keeps the message."""
        logger.exception("a fault of ours in taking what came in", exc_info=error)
        return "451 4.3.0 Something is wrong here, try again later"


class Reception(SMTP):
    """A connection that keeps only the beginning of a message, and reads the rest in pieces.

    Attributes:
        taking: a message is being read or stored.
    """

    line_length_limit = LINE
    __ident__ = "mailqueue"
    event_handler: Handler
    taking = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, and be counted."""
        super().connection_made(transport)
        self.event_handler.open.add(self)

    def connection_lost(self, error: Exception | None) -> None:
        """End."""
        self.event_handler.open.discard(self)
        super().connection_lost(error)

    async def smtp_DATA(self, arg: str | None) -> None:
        """Take a message."""
        if await self.check_helo_needed():
            return
        if arg or self.envelope is None or not self.envelope.rcpt_tos:
            await self.push("501 5.5.4 DATA takes nothing" if arg else "503 5.5.1 There is no recipient")
            return
        self.taking = True
        try:
            await self.push("354 Go ahead")
            await self.push(await self._answer(self.envelope))
        finally:
            self.taking = False
            self._set_post_data_state()  # type: ignore[no-untyped-call]

    async def _answer(self, envelope: Envelope) -> str:
        assert self.session is not None
        size = await self._read_content(envelope)
        if self.data_size_limit and size > self.data_size_limit:
            refused = f"552 5.3.4 A message may have {self.data_size_limit} octets here"
            return self.event_handler.answered([refused] * len(envelope.rcpt_tos))
        return await self.event_handler.handle_DATA(self, self.session, envelope)

    async def _read_content(self, envelope: Envelope) -> int:
        """Read up to the final dot and keep the beginning; return how many octets it has (RFC 5321 4.5.2)."""
        kept, size, begins = bytearray(), 0, True
        while True:
            try:
                piece = await self._reader.readuntil(b"\r\n")
            except asyncio.LimitOverrunError as error:
                piece = await self._reader.read(error.consumed)
            if begins and piece == b".\r\n":
                break
            octets = piece[1:] if begins and piece.startswith(b".") else piece
            begins = piece.endswith(b"\r\n")
            if size // LINE != (size + len(octets)) // LINE:
                self._reset_timeout()
            size += len(octets)
            kept += octets[: max(0, MAX_MESSAGE - len(kept))]
        envelope.content = bytes(kept)
        return size


class LmtpReception(Reception, LMTP):
    """The same by LMTP."""


class _Full(asyncio.Protocol):
    """Tells a client that there are too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(b"421 4.3.2 Too many connections, try again later\r\n")
        transport.close()


class Listener:
    """Listens until it is stopped.

    Args:
        take: takes a message in.
        wanted: what to do.
    """

    def __init__(self, take: Takes, wanted: Wanted) -> None:
        self._handler = Handler(take, wanted)
        self._wanted = wanted
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Begin to listen. Returns where. Raises OSError: that is taken, or not ours."""
        self._server = await asyncio.get_running_loop().create_server(self._protocol, host, port)
        found = self._server.sockets[0].getsockname()
        return found[0], found[1]

    def _protocol(self) -> asyncio.BaseProtocol:
        if len(self._handler.open) >= MOST_CONNECTIONS:
            return _Full()
        return (LmtpReception if self._wanted.lmtp else Reception)(
            self._handler,
            data_size_limit=self._wanted.max_size,
            enable_SMTPUTF8=True,
            hostname=self._wanted.hostname,
            timeout=IDLE,
            loop=asyncio.get_running_loop(),
        )

    async def stop(self) -> None:
        """Listen no more; what is being taken may end."""
        if self._server is not None:
            self._server.close()
        for _ in range(GRACE * 20):
            if not any(each.taking for each in self._handler.open):
                break
            await asyncio.sleep(0.05)
        for each in tuple(self._handler.open):
            if each.transport is not None:
                cast(asyncio.Transport, each.transport).write(b"421 4.3.2 Closing\r\n")
                each.transport.close()
        await asyncio.sleep(0)
