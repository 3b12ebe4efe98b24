"""`AsyncQueue`: the verbs of `Queue`, awaited.

The rule: nothing is written twice. The verbs are those of the synchronous faces, wrapped; only
`submit` is its own, because it waits for the writer without a thread.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from functools import partial, wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar
from weakref import WeakKeyDictionary, WeakSet

from mailqueue.clock import Clock
from mailqueue.engine.follow import follow_async
from mailqueue.engine.many import Progress
from mailqueue.engine.options import When
from mailqueue.engine.submit import MAX_SIZE, Draft, insert_all, made, store_draft, store_joined, told
from mailqueue.errors import MailqueueError, StoreError
from mailqueue.faces import (
    Accounts,
    Destinations,
    HoldRules,
    IncomingMail,
    ReplyRules,
    Retired,
    RetiredWebhooks,
    Routes,
    Schedules,
    SenderDomains,
    ShapingRules,
    Suppressions,
    Transports,
    Webhooks,
)
from mailqueue.model.account import DEFAULT_ACCOUNT
from mailqueue.model.events import Event, EventKind
from mailqueue.model.lane import Priority
from mailqueue.model.message import Submission
from mailqueue.model.recipient import Recipient
from mailqueue.queue import Content, Queue
from mailqueue.store.base import Store

P = ParamSpec("P")
R = TypeVar("R")

_READERS = 4
"""Threads that answer the verbs of an AsyncQueue other than submit."""


class _AsyncFace:
    """An asynchronous face: the synchronous one it stands for, and where its verbs run."""

    def __init__(self, face: Any, pool: Callable[[], ThreadPoolExecutor]) -> None:  # noqa: ANN401
        self._face = face
        self._pool = pool

    async def _call(self, verb: Callable[..., R], *args: object, **kwargs: object) -> R:
        return await asyncio.get_running_loop().run_in_executor(
            self._pool(), lambda: verb(self._face, *args, **kwargs)
        )


def _awaited(
    verb: Callable[Concatenate[Any, P], R],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]:
    """Return `verb` of a synchronous face as a coroutine method with the same signature."""

    @wraps(verb)
    async def method(self: _AsyncFace, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return await self._call(verb, *args, **kwargs)

    return method


class AsyncHoldRules(_AsyncFace):
    """`HoldRules`, awaited."""

    add = _awaited(HoldRules.add)
    list = _awaited(HoldRules.list)
    show = _awaited(HoldRules.show)
    held = _awaited(HoldRules.held)
    remove = _awaited(HoldRules.remove)


class AsyncTransports(_AsyncFace):
    """`Transports`, awaited."""

    add = _awaited(Transports.add)
    list = _awaited(Transports.list)
    set = _awaited(Transports.set)
    remove = _awaited(Transports.remove)


class AsyncRoutes(_AsyncFace):
    """`Routes`, awaited."""

    add = _awaited(Routes.add)
    list = _awaited(Routes.list)
    remove = _awaited(Routes.remove)


class AsyncReplyRules(_AsyncFace):
    """`ReplyRules`, awaited."""

    add = _awaited(ReplyRules.add)
    list = _awaited(ReplyRules.list)
    remove = _awaited(ReplyRules.remove)


class AsyncShapingRules(_AsyncFace):
    """`ShapingRules`, awaited."""

    add = _awaited(ShapingRules.add)
    list = _awaited(ShapingRules.list)
    show = _awaited(ShapingRules.show)
    remove = _awaited(ShapingRules.remove)


class AsyncDestinations(_AsyncFace):
    """`Destinations`, awaited."""

    list = _awaited(Destinations.list)
    show = _awaited(Destinations.show)
    retry = _awaited(Destinations.retry)


class AsyncSchedules(_AsyncFace):
    """`Schedules`, awaited."""

    add = _awaited(Schedules.add)
    list = _awaited(Schedules.list)
    show = _awaited(Schedules.show)


class AsyncAccounts(_AsyncFace):
    """`Accounts`, awaited."""

    add = _awaited(Accounts.add)
    list = _awaited(Accounts.list)
    show = _awaited(Accounts.show)
    set = _awaited(Accounts.set)
    remove = _awaited(Accounts.remove)


class AsyncSenderDomains(_AsyncFace):
    """`SenderDomains`, awaited."""

    list = _awaited(SenderDomains.list)
    set = _awaited(SenderDomains.set)
    remove = _awaited(SenderDomains.remove)


class AsyncSuppressions(_AsyncFace):
    """`Suppressions`, awaited."""

    list = _awaited(Suppressions.list)
    add = _awaited(Suppressions.add)
    lookup = _awaited(Suppressions.lookup)
    remove = _awaited(Suppressions.remove)
    import_ = _awaited(Suppressions.import_)
    export = _awaited(Suppressions.export)
    rejudge = _awaited(Suppressions.rejudge)


class AsyncRetired(_AsyncFace):
    """`Retired`, awaited."""

    list = _awaited(Retired.list)
    count = _awaited(Retired.count)
    resend = _awaited(Retired.resend)
    purge = _awaited(Retired.purge)
    show = _awaited(Retired.show)


class AsyncRetiredWebhooks(_AsyncFace):
    """`RetiredWebhooks`, awaited."""

    list = _awaited(RetiredWebhooks.list)
    show = _awaited(RetiredWebhooks.show)


class AsyncWebhooks(_AsyncFace):
    """`Webhooks`, awaited."""

    def __init__(self, face: Webhooks, pool: Callable[[], ThreadPoolExecutor]) -> None:
        super().__init__(face, pool)
        self.retired = AsyncRetiredWebhooks(face.retired, pool)

    set = _awaited(Webhooks.set)
    unset = _awaited(Webhooks.unset)
    endpoints = _awaited(Webhooks.endpoints)
    test = _awaited(Webhooks.test)
    list = _awaited(Webhooks.list)
    show = _awaited(Webhooks.show)
    attempts = _awaited(Webhooks.attempts)
    schedule = _awaited(Webhooks.schedule)
    cancel = _awaited(Webhooks.cancel)
    replay = _awaited(Webhooks.replay)


class AsyncIncomingMail(_AsyncFace):
    """`IncomingMail`, awaited."""

    list = _awaited(IncomingMail.list)
    show = _awaited(IncomingMail.show)


class _Gate:
    """Where the submissions of one event loop go to the writer together.

    All that come while a commit is under way make the next group: one hand-over between threads
    for all of them, where one each would cost more than the writing.
    """

    def __init__(self, store: Store, loop: asyncio.AbstractEventLoop) -> None:
        self._store = store
        self._loop = loop
        self._waiting: list[tuple[Draft, asyncio.Future[Submission]]] = []
        self._busy = False

    async def pass_through(self, new: Draft) -> Submission:
        """Return when the draft is on disk."""
        done: asyncio.Future[Submission] = self._loop.create_future()
        self._waiting.append((new, done))
        if not self._busy:
            self._busy = True
            self._loop.call_soon(self._next)
        return await done

    def _next(self) -> None:
        group, self._waiting = self._waiting, []
        self._busy = bool(group)
        if group:
            self._hand_over(group)

    def _hand_over(self, group: _Group) -> None:
        drafts = [new for new, _ in group]
        try:
            written = self._store.enqueue(lambda transaction: insert_all(transaction, drafts))
        except MailqueueError as error:
            _fail(group, error)
            self._next()
            return
        written.add_done_callback(partial(self._back, group))

    def _back(self, group: _Group, written: Future[list[Submission | MailqueueError]]) -> None:
        """Bring what the writer's thread has done back into the loop, if that is still there."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._written, group, written)

    def _written(self, group: _Group, written: Future[list[Submission | MailqueueError]]) -> None:
        error = written.exception()
        if error is None:
            for (_, done), result in zip(group, written.result(), strict=True):
                _tell(done, result)
        elif len(group) == 1 or (isinstance(error, StoreError) and type(error) is not StoreError):
            _fail(group, error)
        else:  # one of them may be more than the database takes: each by itself
            for each in group:
                self._hand_over([each])
            return
        self._next()


_Group = list[tuple[Draft, "asyncio.Future[Submission]"]]


def _tell(done: asyncio.Future[Submission], result: Submission | BaseException) -> None:
    if done.done():  # cancelled meanwhile
        return
    if isinstance(result, Submission):
        done.set_result(told(result))
    else:
        done.set_exception(result)


def _fail(group: _Group, error: BaseException) -> None:
    for _, done in group:
        _tell(done, error)


class AsyncQueue(_AsyncFace):
    """`Queue` for an event loop: the same verbs and arguments, each awaited.

    `submit` waits for the writer without a thread of its own; the other verbs run in a small pool.
    A cancelled `await submit(...)` may still be committed: use an idempotency key to find out.

    Attributes:
        sync: the `Queue` behind it.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        migrate: bool = False,
        busy_timeout: float = 5.0,
        max_size: int = MAX_SIZE,
        clock: Clock | None = None,
        door: str = "python",
        actor_name: str | None = None,
    ) -> None:
        self.sync = Queue(
            path,
            migrate=migrate,
            busy_timeout=busy_timeout,
            max_size=max_size,
            clock=clock,
            door=door,
            actor_name=actor_name,
        )
        self._threads: ThreadPoolExecutor | None = None
        self._gates: WeakKeyDictionary[asyncio.AbstractEventLoop, _Gate] = WeakKeyDictionary()
        super().__init__(self.sync, self._readers)
        self.hold_rules = AsyncHoldRules(self.sync.hold_rules, self._readers)
        self.transports = AsyncTransports(self.sync.transports, self._readers)
        self.routes = AsyncRoutes(self.sync.routes, self._readers)
        self.reply_rules = AsyncReplyRules(self.sync.reply_rules, self._readers)
        self.shaping_rules = AsyncShapingRules(self.sync.shaping_rules, self._readers)
        self.destinations = AsyncDestinations(self.sync.destinations, self._readers)
        self.schedules = AsyncSchedules(self.sync.schedules, self._readers)
        self.accounts = AsyncAccounts(self.sync.accounts, self._readers)
        self.sender_domains = AsyncSenderDomains(self.sync.sender_domains, self._readers)
        self.suppressions = AsyncSuppressions(self.sync.suppressions, self._readers)
        self.retired = AsyncRetired(self.sync.retired, self._readers)
        self.webhooks = AsyncWebhooks(self.sync.webhooks, self._readers)
        self.incoming_mail = AsyncIncomingMail(self.sync.incoming_mail, self._readers)
        _queues.add(self)

    @property
    def store(self) -> Store:
        """The open database."""
        return self.sync.store

    @property
    def clock(self) -> Clock:
        """Tells the time."""
        return self.sync.clock

    def _forget(self) -> None:
        self._threads = None
        self._gates = WeakKeyDictionary()

    def _readers(self) -> ThreadPoolExecutor:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_READERS, thread_name_prefix="mailqueue-read")
        return self._threads

    @wraps(Queue.submit)
    async def submit(
        self,
        message: Content,
        *,
        sender: str | None = None,
        recipients: Iterable[str | Recipient] | None = None,
        account: str = DEFAULT_ACCOUNT,
        connection: Any = None,  # noqa: ANN401
        idempotency_key: str | None = None,
        schedule: str | None = None,
        strict: bool | None = None,
        notify: str | Iterable[str] | None = None,
        ret: str | None = None,
        envid: str | None = None,
        not_before: When | None = None,
        expires_at: When | None = None,
        warn_after: timedelta | None = None,
        max_attempts: int | None = None,
        priority: Priority | str = "normal",
        transport: str | None = None,
        require_tls: bool | None = None,
        extra: Mapping[str, str] | None = None,
        actor: str | None = None,
    ) -> Submission:
        """Put a message in the queue, as `Queue.submit`; with `connection=` in this very thread."""
        make = self.sync._draft(
            message,
            self.sync.actor(actor),
            sender=sender,
            recipients=recipients,
            account=account,
            idempotency_key=idempotency_key,
            schedule=schedule,
            strict=strict,
            notify=notify,
            ret=ret,
            envid=envid,
            not_before=not_before,
            expires_at=expires_at,
            warn_after=warn_after,
            max_attempts=max_attempts,
            priority=priority,
            transport=transport,
            require_tls=require_tls,
            extra=extra,
        )
        if connection is not None:
            return store_joined(self.sync.store, connection, make)
        new = made(self.sync.store, make)
        if new.large:
            return await self._call(lambda _: store_draft(self.sync.store, new))
        return await self._gate().pass_through(new)

    @wraps(Queue.submit_many)
    async def submit_many(
        self,
        messages: Iterable[Content | Mapping[str, Any]],
        *,
        progress: Progress | None = None,
        connection: Any = None,  # noqa: ANN401
        actor: str | None = None,
    ) -> Sequence[Submission]:
        """Put many messages in the queue, as `Queue.submit_many`; with `connection=` in this very thread.

        Without it, in a thread of its own, which also reads `messages` and calls `progress`.
        """
        submit = partial(
            self.sync.submit_many, messages, progress=progress, connection=connection, actor=actor
        )
        return submit() if connection is not None else await self._call(lambda _: submit())

    @wraps(Queue.follow)
    def follow(
        self, *events: EventKind | str, after: int | None = None, wait: bool = True
    ) -> AsyncIterator[Event]:
        """Yield events as they are written: `async for`; see `Queue.follow`."""
        return follow_async(self.sync.store, after, events, wait=wait)

    def _gate(self) -> _Gate:
        loop = asyncio.get_running_loop()
        gate = self._gates.get(loop)
        if gate is None:
            gate = self._gates[loop] = _Gate(self.sync.store, loop)
        return gate

    list = _awaited(Queue.list)
    count = _awaited(Queue.count)
    show = _awaited(Queue.show)
    submission = _awaited(Queue.submission)
    attempts = _awaited(Queue.attempts)
    events = _awaited(Queue.events)
    timeline = _awaited(Queue.timeline)
    changes = _awaited(Queue.changes)
    notices = _awaited(Queue.notices)
    dump = _awaited(Queue.dump)
    explain = _awaited(Queue.explain)
    plan = _awaited(Queue.plan)
    status = _awaited(Queue.status)
    stats = _awaited(Queue.stats)
    hold = _awaited(Queue.hold)
    fail = _awaited(Queue.fail)
    drop = _awaited(Queue.drop)
    reschedule = _awaited(Queue.reschedule)
    reroute = _awaited(Queue.reroute)
    require_tls = _awaited(Queue.require_tls)
    release = _awaited(Queue.release)
    incoming = _awaited(Queue.incoming)
    classify = _awaited(Queue.classify)
    check_integrity = _awaited(Queue.check_integrity)
    migrate = _awaited(Queue.migrate)
    backup = _awaited(Queue.backup)
    restore = _awaited(Queue.restore)

    async def close(self) -> None:
        """Commit what waits, for at most 10 s, and close."""
        await asyncio.get_running_loop().run_in_executor(None, self.sync.close)
        if self._threads is not None:
            self._threads.shutdown(wait=True)
            self._threads = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


_queues: WeakSet[AsyncQueue] = WeakSet()


def _after_fork_in_child() -> None:
    for queue in list(_queues):
        queue._forget()  # its threads are the parent's


os.register_at_fork(after_in_child=_after_fork_in_child)
