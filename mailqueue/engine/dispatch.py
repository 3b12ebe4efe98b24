"""Dispatch: claimed messages go to the pool of their destination, whose connections take them.

The rule: a destination that is slow fills its own pool and no other. Where mail for a domain goes is
looked up before it waits for a connection, so that domains which lead to the same hosts share theirs.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from mailqueue.clock import SECOND, Clock
from mailqueue.engine.attempt import Courier, Tried
from mailqueue.engine.hops import Hop, next_hops, unknown_hop
from mailqueue.engine.pool import Key, Pool
from mailqueue.engine.slots import Slots
from mailqueue.engine.traffic import Tally, Traffic
from mailqueue.engine.waiting import Waiting
from mailqueue.model.destination import Destination
from mailqueue.model.lane import Lane, Priority, Room
from mailqueue.model.message import Claimed
from mailqueue.model.rules import Transport
from mailqueue.model.settings import Settings
from mailqueue.net.hosts import ResolveFailure
from mailqueue.policy.batch import Batch, batches
from mailqueue.policy.shape import rule_for

logger = logging.getLogger("mailqueue.engine")

KEEP_IDLE = 5.0
"""Seconds that a connection is kept with nothing to send (decision 22)."""
_LAST_WORDS = 6.0  # seconds: as long as QUIT may take, and a little
_LEFT_FOR_OTHERS = 10  # the part of all connections that is not shared among those who want some
_STANDS_STILL = 1.0  # seconds without a batch that was done, after which a crowded destination is slow
_ASK_THE_SLOW = 5 * SECOND
_AFTER_A_FAULT = 60 * SECOND

Report = Callable[[Sequence[Tried], Tally | None], None]
SendBack = Callable[[Sequence[Claimed], int, str], None]


def _all(message: Claimed) -> bool:
    return True


class Dispatch:
    """Hands claimed messages to the network and their outcomes back.

    Args:
        courier: tries one batch.
        clock: tells the time.
        traffic: what is known of destinations.
        report: takes what came of a batch, and what it tells of its destination.
        send_back: takes messages whose attempt has not begun, until when their destination takes none, and
            its name.
        connections: at once to one destination.
        total: connections at once in all.
    """

    def __init__(
        self,
        courier: Courier,
        *,
        clock: Clock,
        traffic: Traffic,
        report: Report,
        send_back: SendBack,
        connections: int,
        total: int,
    ) -> None:
        self.courier = courier
        self.clock = clock
        self.traffic = traffic
        self.report = report
        self.send_back = send_back
        self.connections = connections
        self.slots = Slots(total, self._wake_idle)
        self._shared = total - total // _LEFT_FOR_OTHERS
        self._loop = asyncio.get_running_loop()
        self._idle: dict[asyncio.Future[None], None] = {}
        self._pools: dict[Key, Pool] = {}
        self._by_name: dict[str, tuple[Pool, ...]] = {}
        self._looking_up: dict[tuple[Transport, str], Waiting] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._by_lane: Counter[Lane] = Counter()
        self._by_priority = [0] * len(Priority)

    @property
    def share(self) -> int:
        """Connections for each destination that mail is on its way to; some are left for those to come."""
        return self._shared // max(1, len(self._pools))

    @property
    def in_flight(self) -> int:
        """Messages added and not yet done."""
        return sum(self._by_priority)

    @property
    def by_priority(self) -> Sequence[int]:
        """How many messages of each priority were added and are not done."""
        return self._by_priority

    def add(
        self, claimed: Sequence[Claimed], settings: Settings, override: Transport | None
    ) -> list[Claimed]:
        """Take on messages that have been claimed. Returns those that no transport takes."""
        found, stranded = batches(claimed, settings, override)
        for batch in found:
            for message in batch.messages:
                self._by_lane[message.lane] += 1
                self._by_priority[message.priority] += 1
            hop = self.traffic.hop(batch.transport, batch.messages[0].domain)
            if hop is None:
                self._look_up(batch, settings)
            else:
                self._give(batch, hop, settings)
        return stranded

    def done(self, message: Claimed) -> None:
        """Forget a message: it has been settled, or is on its way back to the queue."""
        lane = message.lane
        self._by_priority[message.priority] -= 1
        self._by_lane[lane] -= 1
        if self._by_lane[lane] <= 0:
            del self._by_lane[lane]

    def on_their_way(self, lane: Lane) -> int:
        """Return how many messages of a lane were added and are not yet done. Any thread may ask."""
        return self._by_lane.get(lane, 0)

    def crowded(self, name: str, priority: int, free: int) -> Room | None:
        """Return what to do with a lane that leads where enough is on its way. None: it is not so.

        Enough is as much as there is free: so one destination has half of the window at most, and however
        many take nothing, there is room for another. Where nothing moves, it is not looked at for a while.
        Any thread may ask.

        Args:
            name: of the destination.
            priority: of the lane.
            free: room for messages of that priority, to all destinations.
        """
        pools = self._by_name.get(name, ())
        if not pools or sum(sum(pool.on_their_way[: priority + 1]) for pool in pools) < free:
            return None
        if self._loop.time() - max(pool.moved_at for pool in pools) < _STANDS_STILL:
            return Room(0)
        return Room(0, self.clock.now() + _ASK_THE_SLOW, name)

    # -- where it goes -----------------------------------------------------------------------------
    def _give(self, batch: Batch, hop: Hop, settings: Settings) -> None:
        domain = batch.messages[0].domain
        rule = rule_for(settings.shaping_rules, batch.transport.name, domain, hop.hosts)
        key = (batch.transport, hop.name, 0 if rule is None else rule.id)
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = Pool(self, key, hop.name, rule)
            self._by_name[hop.name] = (*self._by_name.get(hop.name, ()), pool)
        pool.add(batch)

    def _look_up(self, batch: Batch, settings: Settings) -> None:
        """Have a batch wait until it is known where it goes."""
        asked = (batch.transport, batch.messages[0].domain)
        waiting = self._looking_up.get(asked)
        if waiting is None:
            waiting = self._looking_up[asked] = Waiting()
            task = self._loop.create_task(self._resolve(*asked, waiting, settings))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        waiting.add(batch)

    async def _resolve(self, transport: Transport, domain: str, waiting: Waiting, settings: Settings) -> None:
        try:
            found = await next_hops(self.courier.resolver, transport, domain)
        except Exception:
            logger.exception("a fault of ours in looking up %s", domain)
            later = self.clock.now() + _AFTER_A_FAULT
            self.send_back(waiting.take(_all), later, f"{transport.name} {domain}")
            return
        finally:
            del self._looking_up[transport, domain]
        if isinstance(found, ResolveFailure) and found.permanent:
            while waiting:
                self.report(self.courier.no_way(waiting.pop(), found), None)
            return
        if isinstance(found, ResolveFailure):
            hop = unknown_hop(transport, domain)
        else:
            hop = self.traffic.learn(transport, domain, found)
        while waiting:
            self._give(waiting.pop(), hop, settings)

    def heed(self, changed: Iterable[Destination], noted: Collection[Tally]) -> None:
        """Act on what has become known of destinations, and was noted of them."""
        for name in {each.name for each in changed} | {each.name for each in noted}:
            for pool in self._by_name.get(name, ()):
                pool.reconsider(noted)

    def drop(self, pool: Pool) -> None:
        """Forget a pool that has neither work nor workers."""
        if self._pools.get(pool.key) is pool:
            del self._pools[pool.key]
            left = tuple(each for each in self._by_name[pool.name] if each is not pool)
            if left:
                self._by_name[pool.name] = left
            else:
                del self._by_name[pool.name]

    # -- kept connections --------------------------------------------------------------------------
    async def idle(self, sleeper: asyncio.Future[None]) -> None:
        """Keep a connection for a while, unless somebody else waits for one."""
        if self.slots.wanted:
            return
        self._idle[sleeper] = None
        await asyncio.wait((sleeper,), timeout=KEEP_IDLE)
        self._idle.pop(sleeper, None)

    def _wake_idle(self) -> None:
        """End the wait of the connection that has been idle for longest."""
        for sleeper in self._idle:
            if not sleeper.done():
                sleeper.set_result(None)
                return

    # -- the end -----------------------------------------------------------------------------------
    def withdraw(self, meant: Callable[[Claimed], bool] = _all) -> list[Claimed]:
        """Return the messages that are meant and whose attempt has not begun; they are not done yet."""
        taken = [message for pool in list(self._pools.values()) for message in pool.withdraw(meant)]
        for waiting in self._looking_up.values():
            taken += waiting.take(meant)
        return taken

    async def finish(self, timeout: float) -> None:
        """Wait for what is being tried, at most `timeout` seconds; then break it off."""
        pools = list(self._pools.values())
        workers = [worker for pool in pools for worker in pool.workers] + list(self._tasks)
        for pool in pools:
            pool.close()
        if workers:
            _, late = await asyncio.wait(workers, timeout=timeout)
            self.courier.break_off()
            if late:
                await asyncio.wait(late, timeout=_LAST_WORDS)

    def break_off(self) -> None:
        """End what is being tried as lost, and forget what waits: the claims are ours no more."""
        for message in self.withdraw():
            self.done(message)
        self.courier.break_off()
