"""A remote for measuring latency: takes mail and prints the moment at which each message's end has arrived.

Run as a process: prints its port, then a line per message with `time.monotonic_ns()` and the recipient.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast


class Session(asyncio.Protocol):
    """Answers what comes as fast as it can."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.buffer, self.in_data, self.recipient = b"", False, b""
        self.transport.write(b"220 remote.example.net ESMTP\r\n")

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self.buffer += data
        end = b"\r\n.\r\n" if self.in_data else b"\r\n"
        while end in self.buffer:
            line, _, self.buffer = self.buffer.partition(end)
            if self.in_data:
                self.in_data = False
                self.transport.write(b"250 2.0.0 taken\r\n")
                self.arrived(now)
            else:
                self.transport.write(self.answer(line))
            end = b"\r\n.\r\n" if self.in_data else b"\r\n"

    def arrived(self, now: int) -> None:
        print(now, self.recipient.decode(), flush=True)

    def answer(self, line: bytes) -> bytes:
        verb = line[:4].upper()
        if verb == b"EHLO":
            return b"250-remote.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 ENHANCEDSTATUSCODES\r\n"
        if verb == b"RCPT":
            self.recipient = line.partition(b"<")[2].partition(b">")[0]
        if verb == b"DATA":
            self.in_data = True
            return b"354 go on\r\n"
        if verb == b"QUIT":
            self.transport.close()
            return b"221 2.0.0 bye\r\n"
        return b"250 2.0.0 ok\r\n"


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Session, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # until the parent closes it, or dies


class Remote:
    """The process, and the moments it told of."""

    def __init__(self) -> None:
        command = [sys.executable, __file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())
        self._arrived: dict[str, int] = {}
        self._moved = threading.Condition()
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            moment, _, recipient = line.strip().partition(" ")
            with self._moved:
                self._arrived[recipient] = int(moment)
                self._moved.notify_all()

    def arrival(self, recipient: str, seconds: float = 10) -> int:
        """Return the moment (`time.monotonic_ns`) at which the message to `recipient` had come in whole."""
        with self._moved:
            if not self._moved.wait_for(lambda: recipient in self._arrived, seconds):
                raise TimeoutError(recipient)
            return self._arrived[recipient]

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(10)


@contextmanager
def remote() -> Iterator[Remote]:
    """A remote that ends with the block."""
    it = Remote()
    try:
        yield it
    finally:
        it.close()


if __name__ == "__main__":
    asyncio.run(serve())
