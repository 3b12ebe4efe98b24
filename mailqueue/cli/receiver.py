"""The receiver of `mailqueue demo`: a small SMTP server on loopback that acts three receivers.

The rule: it takes mail for anybody and keeps none; what it answers depends on the local part of the
recipient alone. RFC 5321, with PIPELINING (RFC 2920), ENHANCEDSTATUSCODES (RFC 2034), 8BITMIME (RFC 6152).
"""

from __future__ import annotations

import asyncio
import re
from types import TracebackType
from typing import Self

_PATH = re.compile(rb"(?:TO|FROM):\s*<([^>]*)>", re.IGNORECASE)
_EHLO = "250-receiver.demo.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES"
_LIMIT = 2**20


class Receiver:
    """A receiver on a free port of loopback, inside the running event loop.

    Addresses `later@...` are greylisted: refused for now at first, taken after that. `nobody@...` is
    refused for good. Everybody else is taken.

    Attributes:
        port: where it listens.
        taken: how many messages it took.
    """

    def __init__(self) -> None:
        self.port = 0
        self.taken = 0
        self._seen: set[bytes] = set()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=_LIMIT)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None:
            self._server.close()
        for writer in list(self._open):
            writer.close()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            await self._talk(reader, writer)
        except (OSError, EOFError, ValueError):
            pass  # the client went away, or sent a line without end
        finally:
            self._open.discard(writer)
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        recipients: list[bytes] = []
        writer.write(b"220 receiver.demo.example ESMTP\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"DATA" and recipients:
                writer.write(b"354 Go ahead\r\n")
                while await reader.readuntil(b"\n") != b".\r\n":
                    pass
            reply = self._reply(verb, line, recipients)
            if verb in (b"MAIL", b"RSET", b"EHLO", b"DATA"):
                recipients.clear()
            writer.write(reply.encode() + b"\r\n")
            await writer.drain()
            if verb == b"QUIT":
                return

    def _reply(self, verb: bytes, line: bytes, recipients: list[bytes]) -> str:
        match verb:
            case b"EHLO" | b"HELO":
                return _EHLO
            case b"MAIL" | b"RSET" | b"NOOP":
                return "250 2.0.0 Ok"
            case b"RCPT":
                return self._recipient(line, recipients)
            case b"DATA" if recipients:
                self.taken += 1
                return f"250 2.0.0 Ok: message {self.taken} taken"
            case b"DATA":
                return "554 5.5.1 No valid recipients"
            case b"QUIT":
                return "221 2.0.0 Bye"
            case _:
                return "502 5.5.1 Not known here"

    def _recipient(self, line: bytes, recipients: list[bytes]) -> str:
        found = _PATH.search(line)
        address = found[1] if found else b""
        if address.startswith(b"nobody@"):
            return f"550 5.1.1 <{address.decode('ascii', 'replace')}>: no such mailbox here"
        if address.startswith(b"later@") and address not in self._seen:
            self._seen.add(address)
            return "451 4.7.1 Greylisted, please try again in a moment"
        recipients.append(address)
        return "250 2.1.5 Ok"
