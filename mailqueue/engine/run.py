"""One run of an engine, inside one event loop: claim, have tried, settle, and the upkeep beside it.

The rule: one loop writes. What workers report is gathered and settled together with the next claim in
one transaction, so that the number of commits falls as the load rises; nothing is dialled before its
claim is on disk, and nothing is forgotten before its settlement is.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from mailqueue.clock import SECOND, Clock
from mailqueue.engine import holdrules, liveness, sweep
from mailqueue.engine.attempt import Courier, Tried
from mailqueue.engine.contents import Contents
from mailqueue.engine.dispatch import Dispatch
from mailqueue.engine.follow import Subscriber, Subscribers
from mailqueue.engine.hooks import Hooks, cancel_stranded
from mailqueue.engine.intake import Intake, More
from mailqueue.engine.log import log
from mailqueue.engine.settle import Settler, Work
from mailqueue.engine.timer import SystemTimer, Timer
from mailqueue.engine.traffic import Tally, Traffic
from mailqueue.engine.turn import SentBack, Turn, Written
from mailqueue.engine.watch import Watch
from mailqueue.errors import StoreError
from mailqueue.model.events import EventKind
from mailqueue.model.message import Claimed
from mailqueue.model.rules import HoldRule, Transport
from mailqueue.model.settings import Settings
from mailqueue.model.settlement import Settlement
from mailqueue.net.resolver import Resolver
from mailqueue.policy.batch import destination_of
from mailqueue.policy.explain import NO_TRANSPORT
from mailqueue.store.base import ClaimRequest, StaleNotice, Store, Transaction, Unheeded

logger = logging.getLogger("mailqueue.engine")

Listener = Callable[[Settlement], None]
"""Called in the engine's loop after each settlement is on disk."""

_LOOK_EVERY = 30.0
_ENDS_EVERY = 1.0
_SWEEP_EVERY = 60.0
_RETRY_STORE = 1.0
_REFUSED = 5  # settlements that are refused before the others wait, too
_SOON = SECOND // 10
_CROWDED = SECOND
_STRANDED = 60 * SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What an engine was made with; `Engine` says what each means."""

    store: Store
    clock: Clock
    override: Transport | None
    hostname: str
    listener: Listener | None
    connections: int
    total: int
    window: int
    per_lane: int
    heartbeat: float
    dead_after: float
    dot_guard: float
    drain: float
    resolver: Resolver | None
    timer: Timer | None


class Run:
    """One run of an engine, inside one event loop."""

    def __init__(
        self, options: Options, *, once: bool, subscribers: Mapping[EventKind, Sequence[Subscriber]]
    ) -> None:
        self._options = options
        self._once = once
        self._subscribers = subscribers
        self._store = options.store
        self._clock = options.clock
        self._loop = asyncio.get_running_loop()
        self._me = liveness.this_process()
        self._id = 0
        self._finished: list[Tried] = []
        self._tallies: list[Tally] = []
        self._unwanted: list[Claimed] = []
        self._sent_back: list[SentBack] = []
        self._newest_rule = 0
        self._kick = asyncio.Event()
        self._stopping = asyncio.Event()
        self._ending = False
        self._said_no_transport = False
        self._overdue: asyncio.Task[None] | None = None
        self._one_at_a_time = asyncio.Lock()
        self._beat_at = self._loop.time()
        self._timer: Timer = options.timer or SystemTimer(self._clock)
        self._resolver = options.resolver or Resolver(clock=self._clock)
        self._settler = Settler(self._store, self._clock, options.hostname)
        self._contents = Contents(self._store)
        courier = Courier(
            hostname=options.hostname,
            resolver=self._resolver,
            clock=self._clock,
            content=self._contents,
            may_finish=self._may_finish,
            own_rules=lambda: self._store.settings().reply_rules,
        )
        self._traffic = Traffic(self._store, self._clock, options.override, lambda: self._id)
        self._dispatch = Dispatch(
            courier,
            clock=self._clock,
            traffic=self._traffic,
            report=self._report,
            send_back=lambda messages, until, by: self._return(SentBack(messages, until, by)),
            connections=options.connections,
            total=options.total,
        )
        self._intake = Intake(
            clock=self._clock,
            dispatch=self._dispatch,
            traffic=self._traffic,
            window=options.window,
            per_lane=options.per_lane,
        )
        self._hooks = Hooks(
            self._store, self._clock, self._resolver, engine_id=lambda: self._id, armed=self._arm
        )
        self.begun: Callable[[], object] = lambda: None

    def ask_to_stop(self) -> None:
        """End the run; may be called from any thread."""
        with suppress(RuntimeError):  # it has just ended
            self._loop.call_soon_threadsafe(self._stopping.set)

    async def live(self) -> None:
        """Register, work, drain, sign off."""
        self._id = await self._register()
        self._beat_at = self._loop.time()
        logger.info("engine %d started: pid %d, hostname %s", self._id, self._me.pid, self._options.hostname)
        unwatch = self._store.on_wake(self._woken)
        self._timer.start(self._ring)
        watch = Watch(self._store, self._wake)
        self._hooks.start()
        told = Subscribers(self._store, self._subscribers) if self._subscribers else None
        upkeep = self._loop.create_task(self._upkeep())
        self._timer.every(self._options.heartbeat, self._beat, "heartbeat")
        self._timer.every(_LOOK_EVERY, self._look_again, "look")
        self._timer.every(_ENDS_EVERY, self._see_to_ends, "hold rules")
        self._timer.every(_SWEEP_EVERY, self._upkeep, "sweep")
        pump = self._loop.create_task(self._pump())
        stop = self._loop.create_task(self._stopping.wait())
        try:
            await asyncio.wait((pump, stop), return_when=asyncio.FIRST_COMPLETED)
        finally:
            unwatch()
            watch.stop()
            stop.cancel()
            upkeep.cancel()
            await self._end(pump)
            if told is not None:
                await told.finish(self._options.drain)

    async def _register(self) -> int:
        override = self._options.override
        relay = None if override is None else destination_of(override, "")
        registered: int = await self._write(lambda tx: tx.register_engine(self._me, self._clock.now(), relay))
        return registered

    # -- waking up ---------------------------------------------------------------------------------
    def _wake(self) -> None:
        self._intake.look = True
        self._kick.set()
        self._hooks.look()

    def _woken(self) -> None:
        with suppress(RuntimeError):  # the loop has just been closed
            self._loop.call_soon_threadsafe(self._wake)

    def _ring(self) -> None:
        """Do what the alarm was armed for: an attempt, a delay notice, what expires, or a hold that ends."""
        self._wake()
        if self._overdue is None or self._overdue.done():
            self._overdue = self._loop.create_task(self._see_to_overdue())

    async def _look_again(self) -> None:
        self._wake()

    # -- the loop that writes ----------------------------------------------------------------------
    async def _pump(self) -> None:
        with _waited_out("what dead engines left has to wait"):
            await self._take_over(self._clock.now())
        await self._see_to_overdue()
        self._wake()
        self.begun()
        while not self._ending:
            await self._kick.wait()
            self._kick.clear()
            try:
                claimed = await self._turn()
            except StoreError as error:
                logger.error("the database is in the way, trying again: %s", error)
                await self._one_by_one(error)
                if not self._ending:
                    await asyncio.sleep(_RETRY_STORE)
                    self._wake()
                continue
            except Exception as error:
                if not self._finished:
                    raise
                await self._one_by_one(error)
                self._wake()
                continue
            if self._once and not claimed and self._idle:
                self._hooks.look()  # what has just been settled may be posted
                await self._hooks.rest()
                if not self._kick.is_set():
                    return

    @property
    def _idle(self) -> bool:
        nothing_to_write = not (self._finished or self._sent_back or self._kick.is_set())
        return nothing_to_write and self._dispatch.in_flight == 0

    async def _turn(self) -> int:
        """Settle what is finished and claim what there is room for, in one transaction."""
        if self._unwanted:
            await self._put_back()
        finished = tuple(self._finished)
        request = self._intake.request(self._id, finished, self._may_claim)
        if not finished and not self._sent_back and not self._traffic.unblocking and request is None:
            return 0
        written = await self._settle(finished, request)
        if request is not None:
            await self._take_on(written, request)
        elif self._intake.look:
            self._kick.set()  # there was no room before these were settled
        else:
            self._arm()
        return len(written.claimed)

    async def _settle(self, finished: Sequence[Tried], request: ClaimRequest | None) -> Written:
        tallies, sent_back = tuple(self._tallies), tuple(self._sent_back)
        turn = Turn(
            work=self._settler.work(finished),
            tallies=tallies,
            sent_back=sent_back,
            request=request,
            wants=self._intake.wants,
            traffic=self._traffic,
        )
        turn, written = await self._commit(turn)
        del self._tallies[: len(tallies)]
        del self._sent_back[: len(sent_back)]
        self._forget(finished)
        for back in sent_back:
            for message in back.messages:
                self._dispatch.done(message)
        self._heed(written, tallies)
        self._tell(turn.work)
        return written

    def _heed(self, written: Written, tallies: Sequence[Tally]) -> None:
        """Act on what others have changed: destinations, and rules that hold what has not begun."""
        self._traffic.seen = max((each.changed for each in written.changed), default=self._traffic.seen)
        self._traffic.unblocking = written.still_blocked
        self._dispatch.heed(written.changed, tallies)
        if written.still_blocked:
            self._kick.set()
        rules = [rule for rule in written.settings.hold_rules if rule.id > self._newest_rule]
        if rules:
            self._newest_rule = max(rule.id for rule in rules)
            now = self._clock.now()
            held = self._dispatch.withdraw(lambda message: _holds(rules, message, now))
            self._return(SentBack(held))

    def _forget(self, settled: Sequence[Tried]) -> None:
        ids = {id(tried) for tried in settled}
        self._finished = [tried for tried in self._finished if id(tried) not in ids]
        for tried in settled:
            self._dispatch.done(tried.message)

    async def _one_by_one(self, error: Exception) -> None:
        """Settle each by itself what could not be settled together: one must not hold up the others.

        What the database refuses stays and is tried again; what makes us fail is left to the next engine.
        """
        if isinstance(error, StoreError) and type(error) is not StoreError:
            return  # it refuses everybody
        refused = 0
        for tried in tuple(self._finished):
            try:
                await self._settle((tried,), None)
            except StoreError as trouble:
                logger.error("message %d cannot be settled yet: %s", tried.message.id, trouble)
                self._finished = [*(each for each in self._finished if each is not tried), tried]
                refused += 1
                if refused == _REFUSED:
                    return  # it may be more than these: the others come first next time
            except Exception:
                logger.exception("a fault of ours: message %d cannot be settled", tried.message.id)
                self._forget((tried,))

    async def _commit(self, turn: Turn) -> tuple[Turn, Written]:
        while True:
            try:
                written: Written = await self._write(turn.write)
            except (StaleNotice, Unheeded) as refused:
                turn = replace(turn, work=self._settler.again(turn.work, refused))
                continue
            for message_id in written.late:
                logger.warning("message %d: its claim was returned meanwhile, settled late", message_id)
            return turn, written

    def _may_claim(self) -> bool:
        return not self._stopping.is_set() and self._has_transport()

    def _has_transport(self) -> bool:
        if self._options.override is not None:
            return True
        found = any(settings().transports for settings in (self._store.settings, self._newest_settings))
        if not found and not self._said_no_transport:
            logger.warning("mail waits, no transport: %s", NO_TRANSPORT)
        self._said_no_transport = not found
        return found

    def _newest_settings(self) -> Settings:
        return self._store.look(lambda reader: reader.settings())

    async def _take_on(self, written: Written, request: ClaimRequest) -> None:
        claimed = [each for each in written.claimed if each.suppressed is None]
        if self._stopping.is_set():  # told to stop while the claim was being written
            self._unwanted += claimed
        else:
            self._contents.read_ahead(claimed)
            self._unwanted += self._dispatch.add(claimed, written.settings, self._options.override)
        if self._unwanted:
            await self._put_back()
        if len(claimed) < len(written.claimed):
            stopped = [each for each in written.claimed if each.suppressed is not None]
            await self._settler.suppress(stopped, self._tell)
            self._wake()  # nothing else says when these are done
        if self._stopping.is_set():
            return
        match self._intake.taken(request, written.claimed):
            case More.NOW:
                self._wake()
            case More.LATER:  # when something is finished, or nothing is for a while
                self._intake.look = True
                self._arm(_CROWDED)
            case More.NO:
                self._arm()

    async def _put_back(self) -> None:
        """Return claims that no transport takes, or that came when it was time to stop."""
        unwanted, wait = tuple(self._unwanted), 0 if self._stopping.is_set() else _STRANDED
        due = self._clock.now() + wait if wait else None
        await self._write(lambda tx: tx.put_back(unwanted, due))
        del self._unwanted[: len(unwanted)]

    def _arm(self, soon: int = _SOON) -> None:
        """Set the alarm for when something is due next, in `soon` microseconds at the earliest."""
        mail = self._store.look(lambda reader: reader.next_due_at())
        due = min((each for each in (mail, self._hooks.due) if each is not None), default=None)
        if due is not None:
            self._timer.arm(max(due, self._clock.now() + soon))

    def _report(self, tried: Sequence[Tried], tally: Tally | None) -> None:
        self._finished.extend(tried)
        if tally is not None:
            self._tallies.append(tally)
        self._kick.set()

    def _return(self, back: SentBack) -> None:
        if back.messages:
            self._sent_back.append(back)
            self._kick.set()

    def _tell(self, work: Work) -> None:
        for settlement in work.settlements:
            log(settlement)
            if self._options.listener is not None:
                self._hand_to(self._options.listener, settlement)

    @staticmethod
    def _hand_to(listener: Listener, settlement: Settlement) -> None:
        try:
            listener(settlement)
        except Exception:
            logger.exception("the listener failed at message %d", settlement.message.id)

    def _write(self, job: Callable[[Transaction], Any]) -> asyncio.Future[Any]:
        return asyncio.wrap_future(self._store.enqueue(job), loop=self._loop)

    # -- upkeep ------------------------------------------------------------------------------------
    def _may_finish(self) -> bool:
        return self._loop.time() - self._beat_at < self._options.dot_guard

    async def _beat(self) -> None:
        """Give a sign of life; if another engine has buried this one, begin anew under another number."""
        begun = self._loop.time()
        try:
            alive = await self._write(lambda tx: tx.heartbeat(self._id, self._clock.now()))
            if not alive:
                logger.warning("engine %d was taken for dead: what it was trying is broken off", self._id)
                self._dispatch.break_off()
                self._id = await self._register()
        except StoreError as error:
            logger.error("no sign of life could be written: %s", error)
            return
        self._beat_at = begun

    async def _upkeep(self) -> None:
        """Take over from dead engines, see to what is overdue, purge."""
        now = self._clock.now()
        with _waited_out("upkeep has to wait"):
            if await self._take_over(now):
                self._wake()
            await self._see_to_overdue()
            await sweep.finish_marking(self._store, now)
            await sweep.purge(self._store, now)
            await cancel_stranded(self._store, now, sweep.PURGE_STEP)

    async def _see_to_overdue(self) -> None:
        """Give up what has expired, end holds whose time is over, and give the delay notices owed."""
        async with self._one_at_a_time:
            with _waited_out("what has expired, holds that end, and delay notices have to wait"):
                await self._settler.expire(self._tell)
                await sweep.lift_holds(self._store, self._clock.now())
                await holdrules.see_to_ends(self._store, self._settler, self._clock, self._tell)
                await self._settler.warn()

    async def _see_to_ends(self) -> None:
        """Keep hold rules that end to their pace where no alarm is set: so much is due, or nothing can go."""
        async with self._one_at_a_time:
            with _waited_out("hold rules that end have to wait"):
                await holdrules.see_to_ends(self._store, self._settler, self._clock, self._tell)

    async def _take_over(self, now: int) -> int:
        dead_after = round(self._options.dead_after * SECOND)
        return await sweep.bury_the_dead(self._store, self._me, self._id, now, dead_after)

    # -- the end -----------------------------------------------------------------------------------
    async def _end(self, pump: asyncio.Task[None]) -> None:
        self._stopping.set()
        unbegun = self._dispatch.withdraw()
        drain = self._options.drain
        await asyncio.gather(self._dispatch.finish(drain), self._hooks.finish(drain))
        self._timer.stop()
        self._ending = True
        self._kick.set()
        await asyncio.wait((pump,))
        await self._sign_off(unbegun + self._unwanted)
        await self._resolver.close()
        if not pump.cancelled() and pump.exception() is not None:
            raise pump.exception()  # type: ignore[misc]  # it is none of those that are waited out

    async def _sign_off(self, unbegun: Sequence[Claimed]) -> None:
        now = self._clock.now()
        try:
            if self._finished or self._sent_back:
                await self._settle(tuple(self._finished), None)
            await self._write(lambda tx: tx.put_back(unbegun))
            await self._write(lambda tx: tx.bury_engine(self._id, now))
            logger.info("engine %d stopped", self._id)
        except StoreError as error:
            logger.error("could not sign off, another engine will take over: %s", error)


def _holds(rules: Sequence[HoldRule], message: Claimed, now: int) -> bool:
    return any(
        rule.at_work(now)
        and rule.matches(account_id=message.account_id, sender=message.sender, recipient=message.recipient)
        for rule in rules
    )


@contextmanager
def _waited_out(what: str) -> Iterator[None]:
    """Log trouble with the database, and go on."""
    try:
        yield
    except StoreError as error:
        logger.error("%s: %s", what, error)
