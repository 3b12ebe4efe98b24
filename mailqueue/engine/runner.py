"""The engine: claims what is due, has it tried, settles what came of it, until it is told to stop.

The rule: what an engine does is in `run`; here is only how it is started and stopped: in the caller's
event loop, in a thread, not across a fork.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import weakref
from collections.abc import Callable
from typing import Protocol, TypeVar

from mailqueue.clock import Clock
from mailqueue.engine.follow import Subscriber, chosen
from mailqueue.engine.run import Listener, Options, Run
from mailqueue.engine.timer import Timer
from mailqueue.engine.transports import relay_transport
from mailqueue.errors import SettingError
from mailqueue.model.events import EventKind
from mailqueue.net.resolver import Resolver
from mailqueue.store.base import Store

logger = logging.getLogger("mailqueue.engine")

F = TypeVar("F", bound=Subscriber)


class QueueLike(Protocol):
    """What an engine needs of a Queue."""

    @property
    def store(self) -> Store:
        """The open database."""
        ...

    @property
    def clock(self) -> Clock:
        """Tells the time."""
        ...


class Engine:
    """Delivers the mail of a queue: in the caller's event loop (`run`), or in a thread (`start`).

    Several engines on one file are normal: each claims for itself, and takes over what a dead one left.

    Args:
        queue: a `Queue` or an `AsyncQueue`.
        relay: `HOST:PORT` that takes all mail of this engine, whatever transports the database has, or
            messages name.
        hostname: our name in EHLO and in notices; None: the machine's.
        listener: called with each Settlement after its commit, in the engine's loop.
        connections: at once to one destination, at most: it begins with two, and one more with each success.
        total_connections: at once in all; None: half of what the process may open, 500 at most.
        window: messages on their way at once.
        per_lane: messages of one account and priority on their way to one domain at once.
        heartbeat: seconds between signs of life.
        dead_after: seconds without one after which another engine counts as dead.
        dot_guard: seconds without one after which this engine sends no final dot (decision 17).
        drain: seconds that `stop` gives to what is being tried.
        resolver: where mail for a domain goes; None: the system's name servers.
        timer: wakes the engine; None: the machine's clock.
    """

    def __init__(
        self,
        queue: QueueLike,
        *,
        relay: str | None = None,
        hostname: str | None = None,
        listener: Listener | None = None,
        connections: int = 20,
        total_connections: int | None = None,
        window: int = 2000,
        per_lane: int = 400,
        heartbeat: float = 10.0,
        dead_after: float = 60.0,
        dot_guard: float = 45.0,
        drain: float = 10.0,
        resolver: Resolver | None = None,
        timer: Timer | None = None,
    ) -> None:
        if not heartbeat < dot_guard < dead_after:
            raise SettingError("heartbeat, dot_guard and dead_after: each must be longer than the one before")
        self._options = Options(
            store=queue.store,
            clock=queue.clock,
            override=None if relay is None else relay_transport(relay),
            hostname=hostname or default_hostname(),
            listener=listener,
            connections=connections,
            total=total_connections or _half_of_the_files(),
            window=window,
            per_lane=per_lane,
            heartbeat=heartbeat,
            dead_after=dead_after,
            dot_guard=dot_guard,
            drain=drain,
            resolver=resolver,
            timer=timer,
        )
        self._subscribers: dict[EventKind, list[Subscriber]] = {}
        self._thread: threading.Thread | None = None
        self._running: Run | None = None
        _engines.add(self)

    def on(self, *events: EventKind | str) -> Callable[[F], F]:
        """Return a decorator: what it decorates is called with events while the engine runs.

        ::

            @engine.on("failed", "complained")
            def tell(event):
                ...

        It is called after the commit, in the order of the events, whoever causes them: with several engines
        on one file, each tells. A plain function runs in a thread beside the engine, a coroutine function in
        the engine's loop; one at a time, and what it raises is logged. What is written while no engine runs
        reaches nobody: `Queue.follow` misses nothing.

        Args:
            events: which, `failed` ...; all, where none is named.

        Raises:
            SettingError: there is no such event.
            RuntimeError: the engine runs.
        """
        kinds = chosen(events)
        if self._running is not None:
            raise RuntimeError("this engine is running already: subscribe before")

        def subscribe(subscriber: F) -> F:
            for kind in kinds:
                self._subscribers.setdefault(kind, []).append(subscriber)
            return subscriber

        return subscribe

    async def run(self, *, once: bool = False) -> None:
        """Deliver until `stop` is called or this is cancelled; then finish what is being tried.

        Args:
            once: deliver all that is due, settle, and return.

        Raises:
            RuntimeError: it runs already.
            StoreError: the database cannot be opened. (Trouble that comes later is waited out.)
        """
        if self._running is not None:
            raise RuntimeError("this engine is running already")
        running = self._running = Run(self._options, once=once, subscribers=self._subscribers)
        try:
            await running.live()
        finally:
            self._running = None

    def start(self) -> None:
        """Run in a thread of its own; returns when the engine is at work.

        Raises:
            RuntimeError: it runs already.
            StoreError: the database cannot be opened.
        """
        if self._thread is not None or self._running is not None:
            raise RuntimeError("this engine is running already")
        begun = threading.Event()
        failure: list[BaseException] = []
        self._thread = threading.Thread(
            target=self._in_thread, args=(begun, failure), name="mailqueue-engine", daemon=True
        )
        self._thread.start()
        begun.wait()
        if failure:
            self._thread.join()
            self._thread = None
            raise failure[0]

    def stop(self) -> None:
        """End: no new claims; what is being tried gets `drain` seconds. Waits for the thread of `start`."""
        running = self._running
        if running is not None:
            running.ask_to_stop()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
            self._thread = None

    def _in_thread(self, begun: threading.Event, failure: list[BaseException]) -> None:
        async def main() -> None:
            running = self._running = Run(self._options, once=False, subscribers=self._subscribers)
            running.begun = begun.set
            try:
                await running.live()
            finally:
                self._running = None

        try:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                runner.run(main())
        except BaseException as error:
            if begun.is_set():
                logger.exception("the engine ended by a fault")
            failure.append(error)
        finally:
            begun.set()

    def _forget(self) -> None:
        self._thread = None
        self._running = None


_engines: weakref.WeakSet[Engine] = weakref.WeakSet()


def _after_fork_in_child() -> None:
    for engine in list(_engines):
        engine._forget()


os.register_at_fork(after_in_child=_after_fork_in_child)


def default_hostname() -> str:
    """Return the machine's full name, or what EHLO says without one (RFC 5321 4.1.4)."""
    name = socket.gethostname()
    if "." not in name:
        name = socket.getfqdn(name)
    return name if "." in name else "[127.0.0.1]"


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes an event loop: uvloop where it is installed (`mailqueue[speed]`)."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _half_of_the_files() -> int:
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 500 if soft == resource.RLIM_INFINITY else max(1, min(500, soft // 2))
