"""A remote for measuring TLS: takes mail after STARTTLS, or in the clear, and counts it; keeps nothing.

Run as a process with the paths of a certificate and its key, or with none: prints its port; when its standard
input ends, what it counted.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import remote
from common import loop_factory


def certificate(home: Path) -> tuple[str, str]:
    """Make a certificate (ECDSA, P-256), signed by itself. Returns its path and its key's."""
    paths = str(home / "certificate.pem"), str(home / "key.pem")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=remote"
    subprocess.run([*command.split(), "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True)
    return paths


class Session(remote.Session):
    """Counts messages instead of telling of each."""

    context: ssl.SSLContext | None
    counts: Counter[str]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.encrypted = False
        self.counts["connections"] += 1

    def arrived(self, now: int) -> None:
        self.counts["under TLS" if self.encrypted else "in the clear"] += 1

    def answer(self, line: bytes) -> bytes:
        verb = line[:8].upper()
        if verb[:4] == b"EHLO" and self.context and not self.encrypted:
            return b"250-remote.example.net\r\n250 STARTTLS\r\n"
        if verb == b"STARTTLS" and self.context:
            self.handshake = asyncio.create_task(self.encrypt())
            return b"220 2.0.0 go on\r\n"
        return super().answer(line)

    async def encrypt(self) -> None:
        assert self.context
        loop = asyncio.get_running_loop()
        made = await loop.start_tls(self.transport, self, self.context, server_side=True)
        if made is not None:
            self.transport, self.encrypted = made, True
            self.counts["handshakes"] += 1


async def serve(paths: list[str]) -> None:
    Session.counts, Session.context = Counter(), None
    if paths:
        Session.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        Session.context.load_cert_chain(*paths)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Session, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # until the parent closes it, or dies
    print(json.dumps(Session.counts))


class TlsRemote:
    """The process, and what it counted, once it has been closed."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        command = [sys.executable, __file__, *paths]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())
        self.counts: Counter[str] = Counter()

    def close(self) -> None:
        said, _ = self._process.communicate(timeout=10)
        self.counts.update(json.loads(said))


@contextmanager
def tls_remote(*paths: str) -> Iterator[TlsRemote]:
    """A remote that ends with the block; without `paths` it does without TLS."""
    it = TlsRemote(paths)
    try:
        yield it
    finally:
        it.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=loop_factory("uvloop")) as runner:
        runner.run(serve(sys.argv[1:]))
