"""The connections of one destination, and the batches that they take.

The rule: a worker is a connection. It takes the next batch as soon as the one before is done, keeps its
connection while there is more, and goes when nothing has come for a while. How many there are at once
follows from how it goes: two to begin with, one more with each success while what waits would take
them long, half of them on trouble. A destination that is blocked has none; what waits for it goes back
to the queue.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from mailqueue.clock import SECOND, Clock
from mailqueue.engine.attempt import Courier, Tried
from mailqueue.engine.slots import Slots
from mailqueue.engine.traffic import Tally, Traffic
from mailqueue.engine.waiting import Waiting
from mailqueue.model.attempt import Category, Scope
from mailqueue.model.lane import Priority
from mailqueue.model.message import Claimed
from mailqueue.model.rules import ShapingRule, Transport, TransportKind
from mailqueue.policy import breaker
from mailqueue.policy.batch import Batch
from mailqueue.policy.breaker import Gate

if TYPE_CHECKING:
    from mailqueue.net.session import Session

logger = logging.getLogger("mailqueue.engine")

START = 2
"""Connections to a destination of which nothing is known (row D5)."""
KEEP_MESSAGES = 100
"""Transactions after which a connection is closed (row D5)."""
KEEP_FOR = 300.0
"""Seconds after which a connection is closed (row D5)."""
GROW_ABOVE = 0.2
"""Seconds that what waits would take the connections there are: above it, one more is worth its handshake."""
_NEWEST = 0.2  # how much the last batch counts in the time that a batch takes
_AFTER_A_FAULT = 60 * SECOND
_AFTER_TROUBLE_OF_OURS = SECOND

Key = tuple[Transport, str, int]
"""What has connections in common: transport (one whose settings changed is another, and so is one for mail
that has to stay under TLS), destination, and shaping rule (0: none)."""


class Office(Protocol):
    """What a pool needs of the dispatch that it is part of."""

    courier: Courier
    clock: Clock
    traffic: Traffic
    slots: Slots
    connections: int

    @property
    def share(self) -> int:
        """Connections of all that there may be for each of those who want some."""
        ...

    def report(self, tried: Sequence[Tried], tally: Tally | None) -> None:
        """Take what came of a batch, and what it tells of the destination."""
        ...

    def send_back(self, messages: Sequence[Claimed], until: int, by: str) -> None:
        """Return messages whose attempt has not begun: `by`, a destination, takes nothing before `until`."""
        ...

    async def idle(self, sleeper: asyncio.Future[None]) -> None:
        """Keep a connection for a while, unless somebody else waits for one."""
        ...

    def drop(self, pool: Pool) -> None:
        """Forget a pool that has neither work nor workers."""
        ...


class Pool:
    """Batches for one destination, and the connections that take them."""

    def __init__(self, office: Office, key: Key, name: str, rule: ShapingRule | None) -> None:
        self.key = key
        self.name = name
        self.workers: set[asyncio.Task[None]] = set()
        self.on_their_way = [0] * len(Priority)
        """Messages added and not yet reported, by priority."""
        self.moved_at = asyncio.get_running_loop().time()
        """When a batch was done last, or the first one came; seconds on the loop's clock."""
        self._office = office
        self._rule = rule
        self._waiting = Waiting()
        self._idle: deque[asyncio.Future[None]] = deque()
        self._closing = False
        self._probing = False
        self._limit = 1 if office.traffic.troubled(name) else min(START, self._most())
        self._slowed_at = 0.0
        self._told = 0  # how often a try told something of the destination
        self._unnoted: list[Tally] = []  # what was told, may move the gate, and has not been noted
        self._refused = False  # whether others have all connections of the rule
        self._takes = 0.0  # seconds that a batch takes, in the middle

    def _most(self) -> int:
        """Return how many connections it may have: no more than its share, where many want some."""
        return max(1, min(self._office.connections, self._office.share))

    # -- batches -----------------------------------------------------------------------------------
    def add(self, batch: Batch) -> None:
        """Take on a batch."""
        first = batch.messages[0]
        self.on_their_way[first.priority] += len(batch.messages)
        self._waiting.add(batch)
        if not self._wake_idle():
            self._hire(first.priority)

    def withdraw(self, meant: Callable[[Claimed], bool]) -> list[Claimed]:
        """Return the messages that are meant and whose attempt has not begun, and forget them."""
        taken = self._waiting.take(meant)
        self._forget(taken)
        return taken

    def reconsider(self, noted: Collection[Tally]) -> None:
        """Act on what has become known of the destination, and was noted of it."""
        self._unnoted = [each for each in self._unnoted if each not in noted]
        match self._office.traffic.gate(self.name):
            case Gate.OPEN | Gate.CANARY:
                self._hire(Priority.NORMAL)
            case Gate.SHUT if not (self._probing or self._unnoted):
                self._send_back(self._office.traffic.shut_until(self.name))

    def close(self) -> None:
        """End as soon as what is being tried is done."""
        self._closing = True
        while self._wake_idle():
            pass

    def _wake_idle(self) -> bool:
        while self._idle:
            sleeper = self._idle.popleft()
            if not sleeper.done():
                sleeper.set_result(None)
                return True
        return False

    def _forget(self, messages: Sequence[Claimed]) -> None:
        for message in messages:
            self.on_their_way[message.priority] -= 1

    def _send_back(self, until: int) -> None:
        """Return all that waits: the destination takes nothing before `until`."""
        self._settle_overdue()
        messages = self.withdraw(_all)
        if messages:
            self._office.send_back(messages, until, self.name)

    def _settle_overdue(self) -> None:
        """Settle what may not wait any longer with the trouble that the destination has, if it has."""
        if self._office.traffic.gate(self.name) is Gate.OPEN:
            return
        now = self._office.clock.now()
        overdue = self.withdraw(lambda message: message.give_up_at <= now)
        if overdue:
            error = self._office.traffic.last_error(self.name)
            self._office.report(self._office.courier.not_tried(overdue, self.key[0], self.name, error), None)

    # -- workers -----------------------------------------------------------------------------------
    def _hire(self, priority: int) -> None:
        """Have one more connection, where there may be one; interactive mail may have one more."""
        room = min(self._limit, self._most()) + (priority == Priority.INTERACTIVE)
        if not self._waiting or len(self.workers) >= room or self._unnoted or self._closing:
            return
        if not self.workers or self._one_is_free():
            worker = asyncio.get_running_loop().create_task(self._work())
            self.workers.add(worker)
            worker.add_done_callback(self._gone)

    def _one_is_free(self) -> bool:
        """Return whether another connection may be had without taking it from a destination that has none."""
        troubled = self._office.traffic.troubled(self.name)
        return self._office.slots.at_once(self._waiting.top, troubled=troubled)

    def _gone(self, worker: asyncio.Task[None]) -> None:
        self.workers.discard(worker)
        faulty = not worker.cancelled() and worker.exception() is not None
        if faulty:
            logger.error("a delivery worker ended by a fault of ours", exc_info=worker.exception())
        if self.workers:
            return
        if faulty:
            self._send_back(self._office.clock.now() + _AFTER_A_FAULT)
        elif self._refused:
            self._send_back(self._office.traffic.when_others_have_all())
        self._refused = False
        if not self._waiting:
            self._office.drop(self)
        else:
            self._hire(Priority.NORMAL)

    async def _work(self) -> None:
        traffic = self._office.traffic
        while self._waiting and not self._unnoted:  # else `reconsider` goes on
            match traffic.gate(self.name):
                case Gate.SHUT:
                    if not self._probing:
                        self._send_back(traffic.shut_until(self.name))
                    return
                case Gate.CANARY:
                    if not await self._probe():
                        return
                case Gate.OPEN:
                    if not await self._use_connection():
                        return

    async def _probe(self) -> bool:
        """Send the one message that tells whether the destination is well again.

        Returns whether the worker goes on.
        """
        if self._probing:
            return False
        self._settle_overdue()
        if not self._waiting:
            return False
        self._probing = True
        try:
            granted = await self._office.traffic.canary(self.name)
            if granted is None:
                self._send_back(self._office.clock.now() + _AFTER_TROUBLE_OF_OURS)
            if not granted:
                return True  # the gate says what to do
            told = self._told
            goes_on = await self._use_connection(most=1)
            if self._told == told:
                await self._office.traffic.recall(self.name)
            return goes_on
        finally:
            self._probing = False

    async def _use_connection(self, most: int | None = None) -> bool:
        """Send what waits, over one connection; `most` messages. Returns whether the worker goes on."""
        rule, traffic = self._rule, self._office.traffic
        if not self._waiting:
            return True
        if rule is not None and not await traffic.slot(rule, self._waiting.top):
            self._refused = True
            return False
        self._refused = False
        try:
            if not self._waiting:
                return True
            async with self._office.slots.one(self._waiting.top, troubled=traffic.troubled(self.name)):
                return await self._send(most)
        finally:
            if rule is not None:
                await traffic.give_back(rule)

    async def _send(self, most: int | None) -> bool:
        session: Session | None = None
        try:
            while await self._more(session):
                batch = await self._next(most)
                if batch is None:
                    return False
                session = await self._one(batch, session)
                if most is not None or self._unnoted or not self._worth_keeping(session):
                    break
        finally:
            if session is not None:
                await session.quit()
        return True

    async def _next(self, most: int | None) -> Batch | None:
        """Return the batch whose turn it is, or as much of it as may go. None: nothing may now."""
        batch = self._waiting.pop()
        may_go = len(batch.messages) if most is None else min(most, len(batch.messages))
        if self._rule is not None:
            grant = await self._office.traffic.pace(self._rule, may_go)
            if grant.messages == 0:
                self._waiting.add_first(batch)
                self._send_back(grant.until)
                return None
            may_go = grant.messages
        if may_go < len(batch.messages):
            self._waiting.add_first(replace(batch, messages=batch.messages[may_go:]))
            batch = replace(batch, messages=batch.messages[:may_go])
        return batch

    async def _one(self, batch: Batch, session: Session | None) -> Session | None:
        began = asyncio.get_running_loop().time()
        tried, kept = await self._office.courier.deliver(batch, session)
        self._forget(batch.messages)
        self.moved_at = asyncio.get_running_loop().time()
        self._takes += _NEWEST * (self.moved_at - began - self._takes)
        tally = self._judge(batch, tried, began)
        if tally is not None:
            self._told += 1
            if tally.failed or self._probing:
                self._unnoted.append(tally)
        self._office.report(tried, tally)
        return kept

    def _worth_keeping(self, session: Session | None) -> bool:
        if session is None:
            return False
        age = asyncio.get_running_loop().time() - session.opened_at
        limit = None if self._rule is None else self._rule.per_connection
        most = KEEP_MESSAGES if limit is None else min(limit, KEEP_MESSAGES)
        return session.usable and session.used < most and age < KEEP_FOR

    async def _more(self, session: Session | None) -> bool:
        """Return whether there is a batch, waiting for one as long as the connection is kept."""
        rule = self._rule
        wanted = rule is not None and self._office.traffic.wanted(rule)
        if not (self._waiting or wanted or self._closing) and session is not None and session.usable:
            sleeper = asyncio.get_running_loop().create_future()
            self._idle.append(sleeper)
            await self._office.idle(sleeper)
            if not sleeper.done():
                sleeper.cancel()
        return bool(self._waiting)

    # -- feedback ----------------------------------------------------------------------------------
    def _judge(self, batch: Batch, tried: Sequence[Tried], began: float) -> Tally | None:
        """Learn from what a batch came to; return what the others should know."""
        if batch.transport.kind is TransportKind.FAIL or not tried:
            return None
        outcomes = [each.outcome for each in tried]
        failed = breaker.is_trouble(outcomes)
        if not failed and all(_tells_nothing(each) for each in tried):
            return None
        if failed or any(each.scope is Scope.SESSION for each in outcomes):
            self._slow_down(began)
        else:
            self._speed_up()
        limited = batch.transport.kind is TransportKind.DIRECT and self._limited(tried)
        if failed or limited:
            return Tally(self.name, True, outcomes[0].summary(), at_once=limited)
        return Tally(self.name, False) if self._office.traffic.troubled(self.name) else None

    def _slow_down(self, began: float) -> None:
        if began >= self._slowed_at:  # those that were under way together count once
            self._slowed_at = asyncio.get_running_loop().time()
            self._limit = max(1, self._limit // 2)

    def _speed_up(self) -> None:
        if len(self._waiting) * self._takes > GROW_ABOVE * len(self.workers):
            self._limit = min(self._limit + 1, self._most())
        self._hire(Priority.NORMAL)

    def _limited(self, tried: Sequence[Tried]) -> bool:
        """Return whether it wants less of us: it told the canary so, or several messages in a row."""
        often = self._office.traffic.often_limited(self.name, tried)
        return often or (self._probing and all(breaker.is_limited(each.outcome) for each in tried))


def _tells_nothing(tried: Tried) -> bool:
    """Return whether no server was heard, as we failed ourselves, or broke it off."""
    return tried.facts.address is None or tried.outcome.category is Category.INTERRUPTED


def _all(message: Claimed) -> bool:
    return True
