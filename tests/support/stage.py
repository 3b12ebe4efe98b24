"""A queue on a manual clock, and an engine that delivers what is due whenever a test says so.

::

    stage = Stage(tmp_path / "queue.db")
    stage.relay(receiver.port)
    [message] = stage.submit("ann@example.com")
    stage.deliver()
    stage.deliver(timedelta(minutes=6))
    assert stage.outcomes(message) == ["deferred", "delivered"]

For mail that goes by MX, `on_host` gives several servers of one port on addresses of their own, as
`direct` wants them.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from support.clock import ManualClock, ManualTimer
from support.smtp_server import Script, SmtpServer

from mailqueue import Engine, Queue
from mailqueue.engine.run import Run
from mailqueue.model.attempt import Attempt
from mailqueue.model.destination import Destination
from mailqueue.model.message import Message
from mailqueue.net.resolver import Resolver

MAIL = b"From: anna@example.org\r\nTo: ben@example.com\r\nSubject: Hello\r\n\r\nHello, it is me.\r\n"


class Stage:
    """A queue at `path` on a manual clock.

    Attributes:
        engine: arguments for every engine that delivers.
        dns: port of the name server that mail by MX asks. None: the system's.
    """

    def __init__(self, path: Path, *, clock: ManualClock | None = None, **engine: Any) -> None:
        self.clock = clock or ManualClock()
        self.queue = Queue(path, clock=self.clock)
        self.engine = {"hostname": "mx.example.org", **engine}
        self.dns: int | None = None
        self.resolver: dict[str, Any] = {}

    def relay(self, port: int, **more: Any) -> None:
        """Send all mail to a relay on loopback."""
        self.queue.transports.add("relay", kind="relay", host="127.0.0.1", port=port, **more)

    def submit(self, *recipients: str, content: bytes = MAIL, **more: Any) -> list[int]:
        """Submit one content; return the ids of its messages."""
        submission = self.queue.submit(content, recipients=recipients, **more)
        return [message.id for message in submission.messages]

    def deliver(self, after: timedelta | None = None, **engine: Any) -> None:
        """Let the time pass, and an engine deliver what is due then."""
        if after is not None:
            self.clock.advance(after)
        made = self.new_engine(**engine)
        asyncio.run(made.run(once=True))

    def new_engine(self, **more: Any) -> Engine:
        """Return an engine on the manual clock, not yet at work."""
        if self.dns is not None:
            more.setdefault("resolver", self.new_resolver())
        return Engine(self.queue, **{"timer": ManualTimer(self.clock), **self.engine, **more})

    def new_resolver(self) -> Resolver:
        assert self.dns is not None
        return Resolver(["127.0.0.1"], self.dns, **{"timeout": 2.0, **self.resolver})

    def show(self, message_id: int) -> Message:
        return self.queue.show(message_id)

    def state(self, message_id: int) -> str:
        return self.queue.show(message_id).state.value

    def outcomes(self, message_id: int) -> list[str]:
        return [attempt.outcome.value for attempt in self.queue.attempts(message_id)]

    def attempt(self, message_id: int) -> Attempt:
        """Return the only attempt of a message."""
        [attempt] = self.queue.attempts(message_id)
        return attempt

    def notice(self, message_id: int) -> str:
        """Return the only notice about a message."""
        [notice] = self.queue.notices(message_id)
        return notice.content.decode()

    def destinations(self) -> dict[str, Destination]:
        """Return the destinations in trouble, by name."""
        return {each.name: each for each in self.queue.store.read(lambda reader: reader.destinations())}

    def destination(self) -> Destination:
        """Return the only destination in trouble."""
        [found] = self.destinations().values()
        return found

    def close(self) -> None:
        """End, with a look whether all is in order."""
        assert self.queue.check_integrity() == []
        self.queue.close()


class AtWork:
    """An engine of a stage at work in its thread, whose alarm rings when a test says so."""

    def __init__(self, stage: Stage, **settings: Any) -> None:
        self._clock = stage.clock
        self._timer = ManualTimer(stage.clock)
        self.engine = stage.new_engine(timer=self._timer, **settings)

    def __enter__(self) -> AtWork:
        self.engine.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.engine.stop()

    def after(self, length: timedelta | int) -> None:
        """Let the time pass (a timedelta or microseconds), and the engine look at what is due then.

        What is claimed by that may still be on its way.
        """
        self._clock.advance(length)
        running = self.engine._running
        assert running is not None
        asyncio.run_coroutine_threadsafe(self._looked(running), running._loop).result(20)

    async def _looked(self, running: Run) -> None:
        self._timer.ring()
        while running._kick.is_set() or running._finished or running._sent_back:
            for _ in range(5):
                await asyncio.sleep(0)  # so that what it writes is on its way to the writer
            await asyncio.wrap_future(running._store.enqueue(lambda transaction: None))
            for _ in range(5):
                await asyncio.sleep(0)


class ServerAt(SmtpServer):
    """An SmtpServer on an address and a port of its own choice."""

    def __init__(self, host: str, port: int, *scripts: Script) -> None:
        super().__init__(*scripts)
        self._at = (host, port)

    def __enter__(self) -> ServerAt:
        family = socket.AF_INET6 if ":" in self._at[0] else socket.AF_INET
        self._listener = socket.create_server(self._at, family=family)
        self.port = self._listener.getsockname()[1]
        self._run(self._listen)
        return self


def free_port(*hosts: str) -> int:
    """Return a port that is free on all these addresses."""
    for _ in range(50):
        with socket.create_server(("127.0.0.1", 0)) as found:
            port: int = found.getsockname()[1]
        try:
            for host in hosts:
                family = socket.AF_INET6 if ":" in host else socket.AF_INET
                socket.create_server((host, port), family=family).close()
        except OSError:
            continue
        return port
    raise RuntimeError(f"no port is free on all of {hosts}")


def wait_until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something that another thread brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.01)
