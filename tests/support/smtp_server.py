"""An SMTP server on a real socket that does what a test writes down, line by line.

A script is a function that is given the server's end of one connection, a `Peer`; the first
connection gets the first script, and so on, the last script is for all that follow::

    def busy(peer):
        peer.says("421 too busy")

    with SmtpServer(busy, taking()) as server:
        ...  # connect to 127.0.0.1, server.port, twice
    assert server.peers[1].commands[1] == "MAIL FROM:<a@sender.example>"

Each connection has its own thread, so a test may be synchronous or not. What goes wrong in a script
is raised when the block is left. `Receiver` in `support.receiver` is the server for tests that do
not care about single lines.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import socket
import ssl
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

PATIENCE = 20.0  # seconds after which a read of a script gives up: a test never hangs
PIPELINING = ("PIPELINING", "SIZE 0", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES")


class Gone(Exception):
    """The client closed the connection while the script wanted to read."""


class Peer:
    """The server's end of one connection.

    Attributes:
        commands: command lines read, in order.
        contents: contents read, dots removed, in order.
        gone: set when the client has closed and the script noticed.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE)
        self.sock = sock
        self.commands: list[str] = []
        self.contents: list[bytes] = []
        self.gone = threading.Event()
        self._buffer = b""

    # --- the server speaks

    def says(self, *lines: str) -> None:
        """Send lines, with CRLF."""
        self.sends("".join(f"{line}\r\n" for line in lines).encode())

    def sends(self, data: bytes) -> None:
        self.sock.sendall(data)

    def drips(self, data: bytes, pause: float = 0.02) -> None:
        """Send octets one at a time, until the client has enough."""
        with contextlib.suppress(OSError):
            for octet in data:
                self.sends(bytes([octet]))
                time.sleep(pause)

    # --- the client speaks

    def hears(self, start: str = "") -> str:
        """Read a command and return it; it must begin with `start`."""
        line = self._until(b"\r\n").decode()
        self.commands.append(line)
        assert line.upper().startswith(start.upper()), f"expected {start!r}, got {line!r}"
        return line

    def hears_content(self) -> bytes:
        """Read up to the final dot and return the content."""
        stuffed = b"\r\n"  # the line end of DATA: the dot may be all there is
        searched = 0
        while (end := stuffed.find(b"\r\n.\r\n", max(0, searched - 4))) < 0:
            searched = len(stuffed)
            stuffed += self._some()
        self._buffer = stuffed[end + 5 :]
        content = stuffed[: end + 2].replace(b"\r\n.", b"\r\n")[2:]
        self.contents.append(content)
        return content

    def hears_chunk(self) -> bytes:
        """Read a BDAT command and the chunk behind it, and return the chunk."""
        return self.reads_chunk(self.hears("BDAT "))

    def reads_chunk(self, command: str) -> bytes:
        """Read the chunk behind a BDAT command that was heard."""
        size, chunk = int(command.split()[1]), b""
        while len(chunk) < size:
            some = self._some()
            chunk, self._buffer = chunk + some[: size - len(chunk)], some[size - len(chunk) :]
        return chunk

    def hears_chunks(self) -> bytes:
        """Take chunks up to the last one, which is not answered, and return the content."""
        chunks = [self.hears_chunk()]
        while not self.commands[-1].endswith(" LAST"):
            self.says(f"250 2.0.0 {len(chunks[-1])} octets")
            chunks.append(self.hears_chunk())
        self.contents.append(b"".join(chunks))
        return self.contents[-1]

    def hears_end(self) -> bytes:
        """Read until the client closes and return what came."""
        with contextlib.suppress(OSError):
            while data := self.sock.recv(65536):
                self._buffer += data
        self.gone.set()
        rest, self._buffer = self._buffer, b""
        return rest

    def _until(self, end: bytes) -> bytes:
        data = self._some()
        while end not in data:
            data += self._some()
        found, _, self._buffer = data.partition(end)
        return found

    def _some(self) -> bytes:
        if self._buffer:
            data, self._buffer = self._buffer, b""
            return data
        try:
            data = self.sock.recv(65536)
        except (ConnectionError, ssl.SSLError):
            data = b""
        if not data:
            self.gone.set()
            raise Gone(f"after {self.commands}")
        return data

    # --- both

    def greets(self, *extensions: str) -> None:
        """Greet, hear EHLO, offer extensions."""
        self.says("220 server.example ESMTP")
        self.offers(*extensions)

    def offers(self, *extensions: str) -> None:
        """Hear EHLO, offer extensions."""
        self.hears("EHLO ")
        lines = ["server.example", *extensions]
        self.says(*(f"250-{line}" for line in lines[:-1]), f"250 {lines[-1]}")

    def takes(self, recipients: int = 1, *, final: str = "250 2.0.0 taken") -> None:
        """Go through one transaction and take it; the client may pipeline or not."""
        self.hears("MAIL ")
        self.says("250 2.1.0 ok")
        for _ in range(recipients):
            self.hears("RCPT ")
            self.says("250 2.1.5 ok")
        self.hears("DATA")
        self.says("354 go on")
        self.hears_content()
        self.says(final)

    def starts_tls(self, *, wants_ours: bool = False) -> None:
        """Make the handshake (see `certificate_context`)."""
        context = certificate_context(wants_ours=wants_ours)
        self.sock = context.wrap_socket(self.sock, server_side=True)

    # --- the end

    def closes(self) -> None:
        self.sock.close()

    def resets(self) -> None:
        """Close so that the client gets a reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


Script = Callable[[Peer], None]


def taking(messages: int = 1, *, extensions: Iterable[str] = PIPELINING, recipients: int = 1) -> Script:
    """Return a script that takes so many messages and hears QUIT."""

    def script(peer: Peer) -> None:
        peer.greets(*extensions)
        for _ in range(messages):
            peer.takes(recipients)
        peer.hears("QUIT")
        peer.says("221 bye")

    return script


class SmtpServer:
    """Listens on loopback and plays scripts.

    Attributes:
        port: where it listens, on 127.0.0.1.
        peers: connections so far, in order.
    """

    def __init__(self, *scripts: Script) -> None:
        self._scripts = scripts
        self._faults: list[BaseException] = []
        self._threads: list[threading.Thread] = []
        self.peers: list[Peer] = []

    def __enter__(self) -> SmtpServer:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._run(self._listen)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
        self._listener.close()
        if self._faults and kind is None:
            raise self._faults[0]

    def _listen(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            script = self._scripts[min(len(self.peers), len(self._scripts) - 1)]
            self.peers.append(Peer(sock))
            self._run(functools.partial(self._play, script, self.peers[-1]))

    def _play(self, script: Script, peer: Peer) -> None:
        try:
            script(peer)
        except BaseException as fault:  # told when the block is left
            self._faults.append(fault)
        finally:
            peer.sock.close()

    def _run(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()


@functools.cache
def certificate_context(*, wants_ours: bool = False) -> ssl.SSLContext:
    """Return a server's TLS context with a self-signed certificate for server.example.

    With `wants_ours` it refuses clients without a certificate, which under TLS 1.3 they learn only
    after the handshake.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server.example")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("server.example")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "server.pem")
        path.write_bytes(pem)
        context.load_cert_chain(path)
    if wants_ours:
        context.verify_mode = ssl.CERT_REQUIRED
    return context
