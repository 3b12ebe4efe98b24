"""Row D6: no destination, account or stream of bulk starves another.

The engine is the real one, with its store, its claims, its pools and their breakers, on a clock that tests
move; only the network end is replaced, by one that answers, refuses or hangs without taking time.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.clock import ManualClock, ManualTimer
from support.stored import recipient, submit

from mailqueue import Engine, Queue
from mailqueue.clock import SECOND
from mailqueue.engine import run
from mailqueue.engine.attempt import Courier, Tried
from mailqueue.model.attempt import Category, Facts, Outcome, OutcomeKind, Scope
from mailqueue.model.lane import Priority
from mailqueue.model.message import Claimed
from mailqueue.net.hosts import MxHost, NextHops
from mailqueue.policy.batch import Batch

WINDOW, PER_LANE, CONNECTIONS, TOTAL = 60, 16, 4, 20
SHARE = PER_LANE // 4
"""Messages of a lane in one claim, at most."""
HANGING = 5
"""Destinations that hang, at most: each has up to three connections, and they leave some of the TOTAL."""
SECONDS = 300
"""In which all must have been tried that can be; a second lasts until the engine has nothing to do."""

OUTCOMES = {
    "good": Outcome(kind=OutcomeKind.DELIVERED, category=Category.OK),
    "late": Outcome(kind=OutcomeKind.DEFERRED, category=Category.GREYLISTED, scope=Scope.MESSAGE),
    "down": Outcome(
        kind=OutcomeKind.DEFERRED, category=Category.NETWORK, scope=Scope.HOST, error="no answer"
    ),
    "hang": Outcome(kind=OutcomeKind.DEFERRED, category=Category.INTERRUPTED, scope=Scope.SESSION),
}


class EveryDomain:
    """A resolver to which every domain is its own host."""

    async def route(self, domain: str, *, allow_private: bool) -> NextHops:
        host = MxHost(name=domain, addresses=("192.0.2.1",), preference=0)
        return NextHops(domain=domain, hosts=(host,), key=domain, implicit=True, authentic=False)

    async def close(self) -> None: ...


class Network(Courier):
    """Does what the first letters of a domain say, and notes what it was given."""

    tried: list[Claimed]
    hanging: list[asyncio.Future[None]]

    async def deliver(self, batch: Batch, kept: object) -> tuple[Sequence[Tried], None]:
        what = batch.destination[:4]
        self.tried.extend(batch.messages)
        await asyncio.sleep(0)
        if what == "hang":
            self.hanging.append(asyncio.get_running_loop().create_future())
            await self.hanging[-1]
        facts = Facts(started_at=self.clock.now(), duration=0, transport="out", address="192.0.2.1:25")
        return [Tried(message, OUTCOMES[what], facts) for message in batch.messages], None

    def break_off(self) -> None:
        for each in self.hanging:
            if not each.done():
                each.set_result(None)


@dataclass(frozen=True)
class Mail:
    """Messages of one account and priority, for some domains of one kind."""

    account: int
    priority: Priority
    kind: str
    domains: int
    messages: int
    name: str = "load"


@dataclass
class Scene:
    """A queue with mail of several accounts, and what an engine has tried of it, in order."""

    queue: Queue
    clock: ManualClock
    accounts: list[int]
    tried: list[Claimed] = field(default_factory=list)
    begun: int = 0
    """How many had been tried when the victims came."""

    def submit(self, mail: Mail) -> list[int]:
        now = self.clock.now()
        addresses = (f"r{n}@{mail.kind}-{mail.name}{n % mail.domains}.example" for n in range(mail.messages))
        messages = [recipient(each, due=now, priority=mail.priority) for each in addresses]
        account = self.accounts[mail.account]
        made = submit(self.queue.store, *messages, account_id=account, submitted_at=now)
        return [each.id for each in made.messages]

    def waits(self, ids: set[int]) -> set[int]:
        return ids - {each.id for each in self.tried}

    async def play(self, loads: Sequence[Mail], victims: Sequence[Mail]) -> list[int]:
        """Have the loads flow, then submit the victims; return their ids once they have been tried."""
        timer = ManualTimer(self.clock)
        limits = {
            "window": WINDOW,
            "per_lane": PER_LANE,
            "connections": CONNECTIONS,
            "total_connections": TOTAL,
        }
        engine = Engine(self.queue, timer=timer, resolver=EveryDomain(), drain=0.0, hostname="us", **limits)  # type: ignore[arg-type]
        for load in loads:
            self.submit(load)
        working = asyncio.create_task(engine.run())
        for _ in range(20):
            await asyncio.sleep(0.001)
        self.begun = len(self.tried)
        ids = [each for victim in victims for each in self.submit(victim)]
        for _ in range(SECONDS):
            if not self.waits(set(ids)):
                break
            await self.rest(engine, set(ids))
            self.clock.advance(SECOND)
            timer.ring()
        engine.stop()
        await working
        return ids

    async def rest(self, engine: Engine, ids: set[int]) -> None:
        """Return when the engine has nothing more to do at this moment, or these have been tried."""
        running, before = engine._running, -1
        assert running is not None
        while (before != len(self.tried) or running._kick.is_set()) and self.waits(ids):
            before = len(self.tried)
            for _ in range(3):
                await asyncio.wrap_future(running._store.enqueue(lambda transaction: None))
                await asyncio.sleep(0)


kinds = st.sampled_from(["good", "late", "down", "hang"])
loads = st.lists(
    st.builds(
        Mail,
        account=st.integers(0, 3),
        priority=st.sampled_from(list(Priority)),
        kind=kinds,
        domains=st.integers(1, 12),
        messages=st.integers(50, 500),
    ),
    min_size=1,
    max_size=6,
)
QUIET = 4
"""An account that has a few messages only."""


def few_hang(mails: Sequence[Mail]) -> list[Mail]:
    """Return the same mail, of which no more destinations hang than may."""
    left, found = HANGING, []
    for mail in mails:
        domains = min(mail.domains, left) if mail.kind == "hang" else mail.domains
        found.append(replace(mail, domains=domains) if domains else replace(mail, kind="down"))
        left -= domains if mail.kind == "hang" else 0
    return found


VICTIMS = [
    *(Mail(account, priority, "good", 1, 1, "victim") for account in range(QUIET) for priority in Priority),
    *(Mail(QUIET, priority, "good", 2, 4) for priority in Priority),  # to where the others send very much
]
"""A message of each account and priority."""


@given(loads)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@example([Mail(0, Priority.NORMAL, "good", 1, 2000)])
@example([Mail(0, Priority.BULK, "good", 12, 2000), Mail(1, Priority.BULK, "late", 3, 500)])
@example([Mail(number, Priority.NORMAL, "hang", 2, 300) for number in range(4)])
@example([Mail(number, Priority.INTERACTIVE, "down", 12, 300) for number in range(4)])
def test_whatever_waits_every_message_whose_destination_answers_is_tried_in_its_turn(mails):
    mails = few_hang(mails)
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        clock = ManualClock()
        with Queue(Path(folder, "queue.db"), clock=clock) as queue:
            queue.transports.add("out", kind="direct")
            accounts = [1, *(queue.accounts.add(f"a{number}").id for number in range(1, QUIET + 1))]
            scene = Scene(queue, clock, accounts)
            patch.setattr(run, "Courier", Network)
            patch.setattr(Network, "tried", scene.tried, raising=False)
            patch.setattr(Network, "hanging", [], raising=False)
            ids = asyncio.run(scene.play(mails, VICTIMS))
            assert scene.waits(set(ids)) == set()
            assert queue.check_integrity() == []
        in_turn(scene, mails, set(ids))


def in_turn(scene: Scene, mails: Sequence[Mail], victims: set[int]) -> None:
    """Look whether each victim was tried before all but a few of the messages that came before it."""
    before: Counter[Priority] = Counter()
    for message in scene.tried[scene.begun :]:
        priority = Priority(message.priority)
        if message.id in victims:
            lower = sum(count for each, count in before.items() if each > priority)
            assert lower <= 2 * WINDOW, "what had been claimed already, and by the claim that was under way"
            assert before[priority] <= bound(scene, mails, message), (before, message)
        before[priority] += 1


def bound(scene: Scene, mails: Sequence[Mail], victim: Claimed) -> int:
    """Return how many messages of its priority may go before a victim: a round of all lanes that wait."""
    own = scene.accounts.index(victim.account_id)
    lanes = 3 + sum(each.domains for each in mails if (each.account, each.priority) == (own, victim.priority))
    return WINDOW + len(scene.accounts) * lanes * SHARE
