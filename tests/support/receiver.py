"""An SMTP receiver on loopback: in a thread for tests, or as a process of its own.

In a thread, with what it got as a list, and a script of replies per recipient::

    with Receiver(at_rcpt={"slow": ["450 4.2.0 Not now", "250 2.1.5 Ok"]}) as receiver:
        ...                                 # deliver to 127.0.0.1:receiver.port
        assert receiver.wait(1)[0].recipients == ["slow@example.org"]

A script belongs to the letters that a localpart starts with (`slow-17@...` is `slow`): the replies
for an address's first try, its second, and so on; the last one stays. SCRIPTS has some ready
(`greylist`, `unknown`, `full` ...). A localpart that is three digits is answered with that code.
Instead of a reply, DROP closes the connection and SILENCE says nothing.

As a process it prints its port and ends with its parent. A line of JSON per message is on disk before
the 250 to the message's final dot; messages that are complete at the same time share one fsync::

    python tests/support/receiver.py --log FILE [--greylist] [--refuse REGEX] ... (see --help)
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

DROP = "DROP"
SILENCE = "SILENCE"
OK_RCPT = "250 2.1.5 Recipient ok"
OK_DATA = "250 2.0.0 Ok: taken"
EXTENSIONS = ("PIPELINING", "SIZE 52428800", "8BITMIME", "SMTPUTF8", "ENHANCEDSTATUSCODES", "DSN")
SCRIPTS: Mapping[str, Sequence[str]] = {
    "greylist": ["451 4.7.1 Greylisted, please try again later", OK_RCPT],
    "unknown": ["550 5.1.1 No such user here"],
    "full": ["452 4.2.2 Mailbox full"],
    "policy": ["550 5.7.1 Refused by policy"],
    "shutdown": ["421 4.3.2 Going down", OK_RCPT],
}
DATA_SCRIPTS: Mapping[str, Sequence[str]] = {
    "spam": ["554 5.7.1 Looks like spam"],
    "retry": ["451 4.3.0 Try again later", OK_DATA],
    "vanish": [DROP, OK_DATA],
    "mute": [SILENCE, OK_DATA],
}
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(<[^>\r\n]*>)", re.I | re.M)
_PATH = re.compile(rb"<([^>]*)>\s*(.*)")
_MAX_LINE = 16_384


@dataclass(kw_only=True)
class Received:
    """One message as it came over the wire, dots removed, line ends as sent."""

    sender: str
    sender_options: str
    recipients: list[str] = field(default_factory=list)
    recipient_options: list[str] = field(default_factory=list)
    content: bytes = b""
    connection: int = 0
    answered: str = ""
    """What was said to the final dot; DROP or SILENCE when nothing was."""

    @property
    def message_id(self) -> str:
        """The Message-ID of its header block, "" without."""
        found = _MESSAGE_ID.search(self.content.partition(b"\r\n\r\n")[0])
        return found[1].decode("utf-8", "replace") if found else ""

    def line(self) -> str:
        """Return the message as a line of the log."""
        digest = hashlib.sha256(self.content).hexdigest()
        told = {"message_id": self.message_id, "sender": self.sender, "recipients": self.recipients}
        return json.dumps({**told, "sha256": digest, "answered": self.answered[:3]}) + "\n"


@dataclass(kw_only=True)
class Receiver:
    """An SMTP server; its settings may be changed while it runs."""

    at_rcpt: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Scripts beside SCRIPTS, by localpart: replies to RCPT."""
    at_data: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Scripts beside DATA_SCRIPTS, by localpart of any recipient: replies to the final dot."""
    extensions: Sequence[str] = EXTENSIONS
    greeting: str = "220 receiver.example ESMTP"
    """421 closes the connection; SILENCE says nothing."""
    breaks_tls: bool = False
    """Offer STARTTLS, and close the connection instead of the handshake."""
    greylist: bool = False
    """Answer 451 to the first RCPT of each sender and recipient."""
    refuse: str | None = None
    """Answer 550 to recipients in which this regular expression is found."""
    final_delay: float = 0.0
    """Seconds between the final dot (the message is in the log then) and the answer to it."""
    close_after: int = 0
    """Answer 421 to the MAIL that follows this many messages of a connection; 0 never."""
    max_recipients: int = 0
    """Answer 452 to further recipients of a transaction; 0 never."""
    drop_every: int = 0
    """Take every nth message and close the connection without an answer; 0 never."""
    log: str | None = None
    fsync: bool = True
    keep: bool = True
    """Whether `messages` remembers what came."""
    host: str = "127.0.0.1"
    port: int = 0
    """0 takes a free one."""

    def __post_init__(self) -> None:
        self.messages: list[Received] = []
        self.count = 0
        self.connections = 0
        self.open = 0
        self.most_open = 0
        self.commands: list[str] = []
        """Every command line of every connection, in order of arrival (with `keep`)."""
        self._tries: Counter[tuple[str, str]] = Counter()
        self._pending: list[tuple[_Session, Received]] = []
        self._sessions: set[_Session] = set()
        self._arrived = threading.Condition()
        self._log = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if self.log else None

    # --- running -------------------------------------------------------------------------------
    async def listen(self) -> asyncio.Server:
        """Start in the running event loop; `port` says where."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Session(self), self.host, self.port, backlog=1024)
        self.port = server.sockets[0].getsockname()[1]
        return server

    def close_connections(self) -> None:
        """Cut every connection, as a server that crashes does."""
        for session in list(self._sessions):
            session.transport.abort()

    def __enter__(self) -> Receiver:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main(ready)), daemon=True)
        self._thread.start()
        ready.wait()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _main(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        server = await self.listen()
        ready.set()
        await self._stop.wait()
        server.close()
        self.close_connections()
        await asyncio.sleep(0)
        if self._log is not None:
            os.close(self._log)

    def wait(self, count: int, timeout: float = 10.0) -> list[Received]:
        """Return the messages once there are `count` of them; TimeoutError when they do not come."""
        with self._arrived:
            if not self._arrived.wait_for(lambda: len(self.messages) >= count, timeout):
                raise TimeoutError(f"{len(self.messages)} of {count} messages came within {timeout} s")
            return list(self.messages)

    # --- what to answer ------------------------------------------------------------------------
    def answer_rcpt(self, sender: str, recipient: str, taken: int) -> str:
        """Return the reply to one RCPT."""
        if self.max_recipients and taken >= self.max_recipients:
            return "452 4.5.3 Too many recipients"
        if self.refuse and re.search(self.refuse, recipient):
            return "550 5.1.1 Refused"
        scripted = self._scripted(recipient, self.at_rcpt, SCRIPTS, "rcpt")
        if scripted is not None:
            return scripted
        if self.greylist and self._next_try(sender, recipient) == 0:
            return "451 4.7.1 Greylisted, please try again later"
        return OK_RCPT

    def answer_data(self, recipients: Sequence[str]) -> str:
        """Return the reply to a final dot."""
        self.count += 1
        if self.drop_every and self.count % self.drop_every == 0:
            return DROP
        answers = (self._scripted(recipient, self.at_data, DATA_SCRIPTS, "data") for recipient in recipients)
        return next((answer for answer in answers if answer is not None), OK_DATA)

    def _scripted(
        self,
        recipient: str,
        own: Mapping[str, Sequence[str]],
        ready: Mapping[str, Sequence[str]],
        stage: str,
    ) -> str | None:
        local = recipient.partition("@")[0].lower()
        if stage == "rcpt" and re.fullmatch(r"[45]\d\d", local):
            return f"{local} {local[0]}.0.0 As you say"
        name = re.match(r"[a-z]*", local)[0]  # type: ignore[index]
        script = own.get(name) or ready.get(name)
        return script[min(self._next_try(stage, recipient), len(script) - 1)] if script else None

    def _next_try(self, *key: str) -> int:
        self._tries[key[0], key[1]] += 1
        return self._tries[key[0], key[1]] - 1

    # --- taking messages -----------------------------------------------------------------------
    def take(self, session: _Session, message: Received) -> None:
        """Log a message with all others of this turn of the loop, then answer."""
        message.answered = self.answer_data(message.recipients)
        if not self._pending:
            asyncio.get_running_loop().call_soon(self._flush)
        self._pending.append((session, message))

    def _flush(self) -> None:
        pending, self._pending = self._pending, []
        if self._log is not None:
            os.write(self._log, "".join(message.line() for _, message in pending).encode())
            if self.fsync:
                os.fsync(self._log)
        if self.keep:
            with self._arrived:
                self.messages += [message for _, message in pending]
                self._arrived.notify_all()
        for session, message in pending:
            if self.final_delay:
                asyncio.get_running_loop().call_later(self.final_delay, session.settle, message.answered)
            else:
                session.settle(message.answered)


class _Session(asyncio.Protocol):
    """One connection."""

    def __init__(self, server: Receiver) -> None:
        self.server = server
        self.buffer = bytearray()
        self.out: list[str] = []
        self.message: Received | None = None
        self.in_data = False
        self.in_handshake = False
        self.searched = 0
        self.waiting = False
        self.taken = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.transport = transport
        self.server._sessions.add(self)
        self.left = False
        self.server.connections += 1
        self.server.open += 1
        self.server.most_open = max(self.server.most_open, self.server.open)
        self.number = self.server.connections
        self.reply(self.server.greeting)
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        self.waiting = True
        self.server._sessions.discard(self)
        self._leave()

    def _leave(self) -> None:
        """Count the connection as closed; once, and before the other side can see that it is."""
        if not self.left:
            self.left = True
            self.server.open -= 1

    def data_received(self, data: bytes) -> None:
        if self.in_handshake:
            self.transport.abort()
        else:
            self.buffer += data
            self.advance()

    def advance(self) -> None:
        """Do all that the buffer allows; nothing is read on while an answer is due."""
        while not self.waiting and (self.take_content() if self.in_data else self.take_line()):
            pass
        self.send()

    def send(self) -> None:
        if self.out and not self.transport.is_closing():
            self.transport.write("".join(line + "\r\n" for line in self.out).encode())
        self.out.clear()

    def take_line(self) -> bool:
        end = self.buffer.find(b"\n")
        if end < 0:
            if len(self.buffer) > _MAX_LINE:
                self.end("500 5.5.2 Line too long")
            return False
        line = bytes(self.buffer[:end]).rstrip(b"\r")
        del self.buffer[: end + 1]
        if self.server.keep:
            self.server.commands.append(line.decode("utf-8", "replace"))
        verb = line[:4].upper()
        handler = getattr(self, "do_" + verb.decode("ascii", "replace"), None)
        if handler is None:
            self.out.append("500 5.5.1 What?")
        else:
            handler(line[4:])
        return True

    def take_content(self) -> bool:
        end = self.buffer.find(b"\r\n.\r\n", self.searched)
        if end < 0:
            self.searched = max(0, len(self.buffer) - 4)
            return False
        assert self.message is not None
        message, self.message, self.in_data = self.message, None, False
        message.content = bytes(self.buffer[: end + 2]).replace(b"\r\n.", b"\r\n")[2:]
        del self.buffer[: end + 5]
        self.taken += 1
        self.waiting = True
        self.server.take(self, message)
        return True

    def settle(self, answer: str) -> None:
        """Say what became of a message, and go on."""
        if self.transport.is_closing():
            return
        if answer == DROP:
            self.transport.abort()
        elif answer != SILENCE:
            self.waiting = False
            self.reply(answer)
            self.advance()

    def reply(self, answer: str) -> None:
        if answer == SILENCE:
            self.waiting = True
        elif answer == DROP:
            self.waiting = True
            self.send()
            self.transport.abort()
        elif answer.startswith(("421", "221")):
            self.end(answer)
        else:
            self.out.append(answer)

    def end(self, answer: str) -> None:
        self.waiting = True
        self.out.append(answer)
        self.send()
        self.transport.close()

    def do_EHLO(self, rest: bytes) -> None:
        self.message = None
        names = ["receiver.example", *self.server.extensions, *["STARTTLS"] * self.server.breaks_tls]
        self.out += [f"250-{name}" for name in names[:-1]] + [f"250 {names[-1]}"]

    def do_HELO(self, rest: bytes) -> None:
        self.out.append("250 receiver.example")

    def do_NOOP(self, rest: bytes) -> None:
        self.out.append("250 2.0.0 Ok")

    def do_RSET(self, rest: bytes) -> None:
        self.message = None
        self.out.append("250 2.0.0 Ok")

    def do_QUIT(self, rest: bytes) -> None:
        self._leave()
        self.reply("221 2.0.0 Bye")

    def do_STARTTLS(self, rest: bytes) -> None:
        self.out.append("220 2.0.0 Go ahead" if self.server.breaks_tls else "500 5.5.1 What?")
        self.in_handshake = self.server.breaks_tls

    def do_MAIL(self, rest: bytes) -> None:
        found = _PATH.search(rest)
        if self.message is not None or found is None:
            self.out.append("503 5.5.1 Not now" if found else "501 5.5.4 Syntax: MAIL FROM:<address>")
        elif self.server.close_after and self.taken >= self.server.close_after:
            self.reply("421 4.7.0 Enough for one connection")
        else:
            sender, options = (part.decode("utf-8", "replace") for part in found.groups())
            self.message = Received(sender=sender, sender_options=options, connection=self.number)
            self.out.append("250 2.1.0 Sender ok")

    def do_RCPT(self, rest: bytes) -> None:
        found = _PATH.search(rest)
        if self.message is None or found is None:
            self.out.append("503 5.5.1 MAIL first" if found else "501 5.5.4 Syntax: RCPT TO:<address>")
            return
        recipient, options = (part.decode("utf-8", "replace") for part in found.groups())
        answer = self.server.answer_rcpt(self.message.sender, recipient, len(self.message.recipients))
        if answer.startswith("2"):
            self.message.recipients.append(recipient)
            self.message.recipient_options.append(options)
        self.reply(answer)

    def do_DATA(self, rest: bytes) -> None:
        if self.message is None or not self.message.recipients:
            self.out.append(
                "503 5.5.1 MAIL first" if self.message is None else "554 5.5.1 No valid recipients"
            )
            return
        self.out.append("354 End with a dot")
        self.in_data, self.searched = True, 0
        self.buffer[:0] = b"\r\n"  # a dot on the first line is then found like any other


async def serve(receiver: Receiver) -> None:
    """Run as a process: print the port, end when the parent has ended."""
    parent = os.getppid()
    server = await receiver.listen()
    print(receiver.port, flush=True)
    while os.getppid() == parent:
        await asyncio.sleep(0.5)
    server.close()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(description="an SMTP receiver that logs what it took")
    parser.add_argument("--log", required=True, help="a line of JSON per message is appended to this file")
    parser.add_argument("--no-fsync", dest="fsync", action="store_false")
    parser.add_argument("--port", type=int, default=0, help="0, the default, takes a free one")
    parser.add_argument(
        "--greylist", action="store_true", help="451 to the first try of sender and recipient"
    )
    parser.add_argument("--refuse", metavar="REGEX", help="550 to recipients that match")
    parser.add_argument("--final-delay", type=float, default=0.0, metavar="SECONDS")
    parser.add_argument("--close-after", type=int, default=0, metavar="N", help="421 after n messages")
    parser.add_argument("--max-recipients", type=int, default=0, metavar="N", help="452 to further ones")
    parser.add_argument("--drop-every", type=int, default=0, metavar="N", help="no answer to the nth message")
    asyncio.run(serve(Receiver(keep=False, **vars(parser.parse_args()))))


if __name__ == "__main__":
    main()
