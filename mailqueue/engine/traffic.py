"""What an engine knows of destinations in trouble, and takes of what it shares with other engines.

The rule: what all engines must agree on is decided inside a write transaction (`note`, `canary`, `pace`,
`slot`); what is kept here is what the last one of these showed, and may be a moment old.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from operator import itemgetter
from typing import TypeVar

from mailqueue.clock import SECOND, Clock
from mailqueue.engine.hops import Hop, found_hop, told_hop, unknown_hop
from mailqueue.engine.visit import Tried
from mailqueue.errors import StoreError
from mailqueue.model.attempt import OutcomeKind
from mailqueue.model.destination import Destination, Grant
from mailqueue.model.lane import Lane, Priority, Room
from mailqueue.model.rules import ShapingRule, Transport
from mailqueue.model.settings import Settings
from mailqueue.net.hosts import NextHops
from mailqueue.policy import breaker, shape
from mailqueue.policy.breaker import Gate
from mailqueue.policy.route import for_lane
from mailqueue.store.base import Store, Transaction

logger = logging.getLogger("mailqueue.engine")
T = TypeVar("T")
U = TypeVar("U")

CANARIES = 20
"""Messages claimed from a lane when its block ends: one goes, and those are settled whose time is over."""
UNKNOWN = 20
"""Messages of a lane on their way while it is looked up where it leads."""
_UNBLOCKED = 1000  # lanes in one transaction
_HOPS_KEPT = 100_000
_HOPS_FOR = 300 * SECOND
_OTHERS_HAVE_THEM = 2 * SECOND


@dataclass(frozen=True, slots=True, eq=False)
class Tally:
    """What one try came to for its destination."""

    name: str
    failed: bool
    error: str = ""
    """What went wrong. '': nothing did."""
    at_once: bool = False
    """It is to be left alone at once."""


class Share:
    """The connections of a rule that this engine has, and who waits for one: interactive mail goes first."""

    def __init__(self) -> None:
        self.taken = 0
        self._line: list[tuple[Priority, asyncio.Future[None]]] = []

    @property
    def wanted(self) -> bool:
        """Whether somebody waits for a connection."""
        return bool(self._line)

    @contextmanager
    def waiting(self, priority: Priority) -> Iterator[asyncio.Future[None]]:
        """Stand in line; the future is done when one has been handed on."""
        entry = (priority, asyncio.get_running_loop().create_future())
        self._line.append(entry)
        try:
            yield entry[1]
        finally:
            if entry in self._line:
                self._line.remove(entry)

    def hand_on(self) -> bool:
        """Hand a connection to the next in line. False: nobody waits."""
        while self._line:
            first = min(self._line, key=itemgetter(0))
            self._line.remove(first)
            if not first[1].done():  # it may have been cancelled right now
                first[1].set_result(None)
                return True
        return False


class Traffic:
    """What is known of destinations.

    Args:
        store: where engines tell each other.
        clock: tells the time.
        override: takes all mail of this engine, whatever the settings say.
        engine_id: asked for the number of this engine, which may change.
    """

    def __init__(
        self, store: Store, clock: Clock, override: Transport | None, engine_id: Callable[[], int]
    ) -> None:
        self._store = store
        self._clock = clock
        self._override = override
        self._engine_id = engine_id
        self._random = random.Random()
        self._known: dict[str, Destination] = {}
        self._hops: OrderedDict[tuple[str, str], Hop] = OrderedDict()
        self._paced: dict[int, int] = {}
        self._limited: dict[str, set[int]] = {}
        self._shares: dict[int, Share] = {}
        self._version = -1
        self._leads: dict[Lane, Transport | None] = {}
        self.seen = 0
        """The number of the last change of a destination that was read: all up to it are known."""
        self.unblocking: frozenset[str] = frozenset()
        """Destinations that are well again, and have lanes that are still blocked."""

    # -- what is known -----------------------------------------------------------------------------
    def know(self, destinations: Iterable[Destination]) -> None:
        """Take note of what destinations are like."""
        for each in destinations:
            if each.failures:
                self._known[each.name] = each
            else:
                self._known.pop(each.name, None)

    def troubled(self, name: str) -> bool:
        """Return whether a destination has failed, and not been well since."""
        return name in self._known

    def gate(self, name: str) -> Gate:
        """Return what may go to a destination, as far as is known here."""
        known = self._known.get(name)
        return Gate.OPEN if known is None else breaker.gate(known, self._clock.now())

    def shut_until(self, name: str) -> int:
        """Return when to ask again for a destination that is shut, microseconds UTC."""
        known, now = self._known.get(name), self._clock.now()
        return now if known is None or known.blocked_until is None else breaker.shut_until(known, now)

    def last_error(self, name: str) -> str:
        """Return what went wrong at a destination last."""
        known = self._known.get(name)
        return "" if known is None else known.last_error

    def hop(self, transport: Transport, domain: str) -> Hop | None:
        """Return where mail for `domain` goes by `transport`. None: it has to be looked up."""
        told = told_hop(transport, domain)
        if told is not None:
            return told
        found = self._hops.get((transport.name, domain))
        if found is not None and 0 <= self._clock.now() - found.learned_at < _HOPS_FOR:
            return found
        unknown = unknown_hop(transport, domain)
        return unknown if self.troubled(unknown.name) else None

    def learn(self, transport: Transport, domain: str, found: NextHops) -> Hop:
        """Take note of what DNS said of where mail for `domain` goes."""
        hop = found_hop(transport, found, self._clock.now())
        self._hops[transport.name, domain] = hop
        self._hops.move_to_end((transport.name, domain))
        if len(self._hops) > _HOPS_KEPT:
            self._hops.popitem(last=False)
        return hop

    # -- claims ------------------------------------------------------------------------------------
    def room(self, lane: Lane, settings: Settings, on_their_way: int) -> tuple[Room | None, str]:
        """Return how much may be claimed of a lane of which so much is on its way, and where it leads.

        The room is None where nothing speaks against all of it; the name is '' where it is not known, or
        not the same for all that waits there. Called in the writer's thread.
        """
        transport = self._transport(lane, settings)
        if transport is None:
            return None, ""
        hop = self.hop(transport, lane.domain)
        if hop is None:
            return Room(max(0, UNKNOWN - on_their_way)), ""
        match self.gate(hop.name):
            case Gate.SHUT:
                return Room(0, self.shut_until(hop.name), hop.name, overdue=True), hop.name
            case Gate.CANARY:
                return Room(CANARIES), hop.name
            case Gate.OPEN:
                return self._paced_room(settings, transport, lane.domain, hop), hop.name

    def _paced_room(self, settings: Settings, transport: Transport, domain: str, hop: Hop) -> Room | None:
        rule = shape.rule_for(settings.shaping_rules, transport.name, domain, hop.hosts)
        if rule is None or rule.per_minute is None:
            return None
        until = self._paced.get(rule.id, 0)
        if until > self._clock.now():
            return Room(0, until, hop.name)
        return Room(shape.burst(rule.per_minute))

    def uniform(self, lane: Lane, settings: Settings) -> bool:
        """Return whether all that waits in a lane takes one transport."""
        return self._transport(lane, settings) is not None

    def _transport(self, lane: Lane, settings: Settings) -> Transport | None:
        if settings.version != self._version or len(self._leads) > _HOPS_KEPT:
            self._leads = {}
            self._version = settings.version
        if lane not in self._leads:
            self._leads[lane] = for_lane(settings, lane, self._override)
        return self._leads[lane]

    # -- settlement --------------------------------------------------------------------------------
    def note(self, transaction: Transaction, tallies: Iterable[Tally]) -> frozenset[str]:
        """Tell the other engines what tries came to, inside the transaction that settles them.

        Lanes that lead where mail is taken again are looked at, so many at a time; returns the
        destinations that have more of them.
        """
        now, well = self._clock.now(), set(self.unblocking)
        for tally in tallies:
            if tally.failed:
                known = transaction.destination(tally.name)
                jitter = self._random.uniform(-1, 1)
                transaction.put_destination(
                    breaker.after_failure(
                        known, tally.name, tally.error, now=now, jitter=jitter, at_once=tally.at_once
                    )
                )
            elif tally.name in self._known:
                known = transaction.destination(tally.name)
                if known is not None and known.failures:
                    transaction.put_destination(breaker.after_success(known, now))
                    well.add(tally.name)
        return frozenset(name for name in well if transaction.unblock(name, now, _UNBLOCKED) == _UNBLOCKED)

    def often_limited(self, name: str, tried: Iterable[Tried]) -> bool:
        """Return whether a destination has told several messages in a row that it wants less of us."""
        told = self._limited.pop(name, set())
        for each in tried:
            if each.outcome.kind is OutcomeKind.DELIVERED:
                told.clear()
            elif breaker.is_limited(each.outcome):
                told.add(each.message.id)
        if len(told) >= breaker.LIMITED_AFTER:
            return True
        if told and len(self._limited) < _HOPS_KEPT:
            self._limited[name] = told
        return False

    # -- what engines share ------------------------------------------------------------------------
    async def canary(self, name: str) -> bool | None:
        """Ask for the right to send the one message that tells whether a destination is well again.

        None: the database has no answer.
        """

        def job(transaction: Transaction) -> tuple[Destination | None, bool]:
            now = self._clock.now()
            known = transaction.destination(name)
            found = breaker.gate(known, now)
            if known is None or found is not Gate.CANARY:
                return known, found is Gate.OPEN
            return transaction.put_destination(breaker.with_canary(known, now)), True

        answer = await self._write(job, None)
        if answer is None:
            return None
        known, granted = answer
        if known is not None:
            self.know([known])
        return granted

    async def recall(self, name: str) -> None:
        """Take back a canary of ours that told nothing: another message may be it."""
        ours = self._known.get(name)

        def job(transaction: Transaction) -> Destination | None:
            known = transaction.destination(name)
            if known is None or ours is None or known.canary_at != ours.canary_at:
                return known
            return transaction.put_destination(breaker.without_canary(known))

        known = await self._write(job, None)
        if known is not None:
            self.know([known])

    async def pace(self, rule: ShapingRule, wanted: int) -> Grant:
        """Ask how many of `wanted` messages may go now by a rule that limits them."""
        limit = rule.per_minute
        if limit is None:
            return Grant(wanted, 0)

        def job(transaction: Transaction) -> Grant:
            now = self._clock.now()  # in the writer's line, and not when this was asked for
            grant, next_at = shape.take(transaction.pace(rule.id), limit, wanted, now)
            if grant.messages:
                transaction.set_pace(rule.id, next_at)
            return grant

        grant = await self._write(job, Grant(0, self._clock.now() + SECOND))
        if grant.messages < wanted:
            self._paced[rule.id] = grant.until
        return grant

    async def slot(self, rule: ShapingRule, priority: Priority) -> bool:
        """Ask for one of the connections of a rule that limits them; wait for one that this engine has.

        False: other engines have them all.
        """
        limit, engine_id = rule.connections, self._engine_id()
        if limit is None:
            return True
        share = self._shares.setdefault(rule.id, Share())
        with share.waiting(priority) as mine:
            if await self._write(lambda tx: tx.take_slot(rule.id, engine_id, limit), False):
                share.taken += 1
                if not share.hand_on():  # ours has come from another meanwhile
                    await self._free(rule, share)
            if share.taken:
                await mine
            return mine.done()

    async def give_back(self, rule: ShapingRule) -> None:
        """Give a connection of a rule to who waits for it here, or back."""
        if rule.connections is not None:
            share = self._shares[rule.id]
            if not share.hand_on():
                await self._free(rule, share)

    async def _free(self, rule: ShapingRule, share: Share) -> None:
        engine_id = self._engine_id()
        share.taken -= 1
        await self._write(lambda tx: tx.free_slot(rule.id, engine_id), None)

    def wanted(self, rule: ShapingRule) -> bool:
        """Return whether somebody waits for a connection of a rule."""
        share = self._shares.get(rule.id)
        return share is not None and share.wanted

    def when_others_have_all(self) -> int:
        """Return when to ask again for a connection of which there is none, microseconds UTC."""
        return self._clock.now() + _OTHERS_HAVE_THEM

    async def _write(self, job: Callable[[Transaction], T], otherwise: U) -> T | U:
        try:
            return await asyncio.wrap_future(self._store.enqueue(job))
        except StoreError as error:
            logger.error("what engines share cannot be asked for: %s", error)
            return otherwise
