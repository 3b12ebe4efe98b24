"""A day of mixed traffic on a clock that jumps, through real engines and sockets; then its table of fates.

    python tests/day.py --hours 24 --seed 7

Fifty destinations with personalities (see KINDS) listen on loopback addresses; each takes the mail of two
domains. All through the day, but for its last hours, mail is submitted for all of them; two engines on one
file deliver it, and start anew now and then. In the end each message must have had the fate that its
destination gives it: how it ended, how long it took, how many attempts it used up, and whether its
destination was left alone for a while. Nothing may come twice, and `check_integrity` finds nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import logging
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from support.clock import ManualClock, ManualTimer
from support.dns_server import DnsServer, Zone
from support.receiver import Receiver
from support.stage import free_port

from mailqueue import Engine, Queue
from mailqueue.clock import HOUR, MINUTE, SECOND
from mailqueue.engine.run import Run
from mailqueue.model.message import Message
from mailqueue.net.resolver import Resolver

UP, DOWN = "220 receiver.example ESMTP", "421 4.3.2 Down for a while"
SCHEDULE, LIFETIME = "5m, 10m, 20m, 30m*", timedelta(hours=2)
QUIET_END = 5 * HOUR // 2
"""The last hours, in which nothing is submitted, so that all mail meets its fate."""
EVERY = 10 * MINUTE
"""A burst for each destination."""
ANEW = 47 * MINUTE
"""An engine stops after this, and another takes its place."""
LIMIT = 10
"""Messages a minute that some destinations take."""


# --- destinations --------------------------------------------------------------------------------
class Greylisting(Receiver):
    """Takes a message four minutes after it was there first."""

    clock: ManualClock

    def answer_rcpt(self, sender: str, recipient: str, taken: int) -> str:
        seen = self.__dict__.setdefault("seen", {}).setdefault((sender, recipient), self.clock.now())
        if self.clock.now() - seen < 4 * MINUTE:
            return "451 4.7.1 Greylisted, please try again later"
        return super().answer_rcpt(sender, recipient, taken)


class Limiting(Receiver):
    """Takes LIMIT messages in each minute of the clock, and closes with 421 when there are more."""

    clock: ManualClock

    def answer_rcpt(self, sender: str, recipient: str, taken: int) -> str:
        counts: Counter[int] = self.__dict__.setdefault("counts", Counter())
        minute = self.clock.now() // MINUTE
        if counts[minute] >= LIMIT:
            return "421 4.7.0 Too many messages, try again later"
        counts[minute] += 1
        return super().answer_rcpt(sender, recipient, taken)


@dataclass(frozen=True)
class Kind:
    """Destinations of one personality, and the fate of the mail for them."""

    name: str
    destinations: int
    burst: int
    """Messages for each destination at a time."""
    make: Callable[..., Receiver] | None = Receiver
    """None: nobody listens."""
    state: str = "delivered"
    within: int = 0
    """Microseconds from submit to the end, at most."""
    attempts: float = 1
    """Attempts of a message, on the average of all, at most."""
    most: int = 1
    """Attempts of any message."""
    blocked: bool = False
    """Its destinations are left alone now and then; else never."""
    settings: dict[str, object] = field(default_factory=dict)
    """Of the receiver."""


GIVEN_UP = 140 * MINUTE
"""The lifetime, and a block of a quarter of an hour and a tenth at the end of it."""

KINDS = [
    Kind("fast", 12, 3),
    Kind("slow", 5, 2, settings={"final_delay": 0.02}),
    Kind("greylisting", 8, 2, Greylisting, within=6 * MINUTE, attempts=2, most=2),
    Kind("limiting", 5, 25, Limiting, within=60 * MINUTE, attempts=1.6, most=4, blocked=True),
    Kind("shaped", 3, 25, Limiting, within=8 * MINUTE),
    Kind("flapping", 5, 2, within=80 * MINUTE, attempts=2.5, most=5, blocked=True),
    Kind("dead", 5, 2, None, "expired", GIVEN_UP, attempts=3.5, most=6, blocked=True),
    Kind("no-dns", 2, 2, None, "expired", GIVEN_UP, attempts=4.5, most=6, blocked=True),
    Kind("tls-broken", 3, 2, settings={"breaks_tls": True}),
    Kind("tls-demanded", 2, 2, state="expired", within=GIVEN_UP, attempts=3.5, most=6, blocked=True),
]


@dataclass
class Place:
    """One destination."""

    kind: Kind
    number: int
    host: str
    receiver: Receiver | None = None

    @property
    def mx(self) -> str:
        return f"mx{self.number}.{self.kind.name}.example"

    @property
    def domains(self) -> tuple[str, str]:
        return f"a{self.number}.{self.kind.name}.example", f"b{self.number}.{self.kind.name}.example"


def places() -> list[Place]:
    kinds = [kind for kind in KINDS for _ in range(kind.destinations)]
    return [Place(kind, number, f"127.1.0.{number}") for number, kind in enumerate(kinds, 1)]


def zone(found: list[Place]) -> Zone:
    names: Zone = {}
    for place in found:
        for domain in place.domains:
            names[domain] = "SERVFAIL" if place.kind.name == "no-dns" else {"MX": [f"10 {place.mx}."]}
        names[place.mx] = {"A": [place.host]}
    return names


# --- the day -------------------------------------------------------------------------------------
class Day:
    """A queue, its engines, and the places it sends to."""

    def __init__(self, home: Path, hours: float, seed: int) -> None:
        self.clock = ManualClock()
        self.begin = self.clock.now()
        self.end = self.begin + round(hours * HOUR)
        self.chance = random.Random(seed)
        self.queue = Queue(home / "queue.db", clock=self.clock)
        self.places = places()
        self.blocked: Counter[str] = Counter()
        self._numbers = itertools.count()
        self._working: list[tuple[Engine, ManualTimer, asyncio.Task[None]]] = []

    async def play(self) -> None:
        """Let the day pass."""
        port = free_port(*(place.host for place in self.places))
        with ExitStack() as stack:
            self._dns = stack.enter_context(DnsServer(zone(self.places)))
            self._set_up(port)
            for place in self.places:
                await self._open(place, port)
            await self._pass()

    def _set_up(self, port: int) -> None:
        queue = self.queue
        queue.schedules.add("day", SCHEDULE, lifetime=LIFETIME)
        queue.accounts.set("default", schedule="day", notices="keep")
        queue.transports.add("out", kind="direct", port=port, allow_private=True)
        queue.transports.add("private", kind="direct", port=port, allow_private=True, tls="required")
        queue.routes.add("private", recipient_domain=".tls-demanded.example")
        for place in self.places:
            if place.kind.name == "shaped":
                queue.shaping_rules.add(mx=place.mx, per_minute=LIMIT)

    async def _open(self, place: Place, port: int) -> None:
        if place.kind.make is not None:
            place.receiver = place.kind.make(host=place.host, port=port, **place.kind.settings)
            place.receiver.clock = self.clock  # type: ignore[attr-defined]
            await place.receiver.listen()

    async def _pass(self) -> None:
        bursts = sorted(
            ((at, place) for place in self.places for at in self._moments()), key=lambda each: each[0]
        )
        self._working = [self._start(), self._start()]
        anew = self.begin + ANEW
        while self.clock.now() < self.end:
            while bursts and bursts[0][0] <= self.clock.now():
                self._submit(bursts.pop(0)[1])
            if self.clock.now() >= anew:
                await self._stop(*self._working.pop(0))
                self._working.append(self._start())
                anew += ANEW
            await self._look()
            self.clock.advance(self._step(bursts[0][0] if bursts else self.end))
            for _, timer, _ in self._working:
                await timer.upkeep["heartbeat"]()
        for working in self._working:
            await self._stop(*working)

    def _moments(self) -> Iterator[int]:
        at = self.begin + self.chance.randrange(EVERY)
        while at < self.end - QUIET_END:
            yield at
            at += self.chance.randrange(EVERY // 2, EVERY * 3 // 2)

    def _submit(self, place: Place) -> None:
        for number in range(place.kind.burst):
            recipient = f"r{next(self._numbers)}@{place.domains[number % 2]}"
            content = f"From: us@us.example\r\nTo: {recipient}\r\n\r\nHello.\r\n"
            self.queue.submit(content.encode(), recipients=[recipient])

    def _step(self, next_burst: int) -> int:
        """Return until when nothing happens, in microseconds from now; five seconds at least."""
        now = self.clock.now()
        due = self.queue.store.look(lambda reader: reader.next_due_at())
        return max(5 * SECOND, min(next_burst, self.end, self.end if due is None else due) - now)

    async def _look(self) -> None:
        """Have the engines do all that is due now."""
        for place in self.places:
            if place.kind.name == "flapping":
                self._flap(place)
        for engine, timer, _ in self._working:
            await begun(engine)
            timer.ring()
        await self._rest()
        for found in self.queue.destinations.list():
            if found.blocked_until is not None:
                self.blocked[found.name.partition(" ")[2]] += 1

    def _flap(self, place: Place) -> None:

        receiver, phase = place.receiver, (self.clock.now() + place.number * 7 * MINUTE) // (30 * MINUTE) % 2
        assert receiver is not None
        if receiver.greeting != (UP, DOWN)[phase]:
            receiver.greeting = (UP, DOWN)[phase]
            receiver.close_connections()

    async def _rest(self) -> None:
        """Return when no engine has anything to do; a deadline on the machine's clock keeps this bounded."""
        deadline = time.monotonic() + 60
        quiet = 0
        while quiet < 3:
            await asyncio.wrap_future(self.queue.store.enqueue(lambda transaction: None))
            await asyncio.sleep(0.001)
            quiet = 0 if any(busy(engine._running) for engine, _, _ in self._working) else quiet + 1
            if time.monotonic() > deadline:
                raise SystemExit(f"the engines do not come to rest: {self.queue.status()}")

    # -- engines ---------------------------------------------------------------------------------
    def _start(self) -> tuple[Engine, ManualTimer, asyncio.Task[None]]:
        timer = ManualTimer(self.clock)
        resolver = Resolver(["127.0.0.1"], self._dns.port, timeout=2.0, clock=self.clock)
        engine = Engine(self.queue, hostname="mx.us.example", timer=timer, resolver=resolver)
        return engine, timer, asyncio.create_task(engine.run())

    async def _stop(self, engine: Engine, timer: ManualTimer, task: asyncio.Task[None]) -> None:
        engine.stop()
        await task


async def begun(engine: Engine) -> None:
    while engine._running is None:
        await asyncio.sleep(0)


def busy(running: Run | None) -> bool:
    return running is not None and bool(
        running._kick.is_set() or running._finished or running._sent_back or running._dispatch.in_flight
    )


# --- the fates -----------------------------------------------------------------------------------
@dataclass
class Fates:
    """What became of the mail for the destinations of one kind."""

    kind: Kind
    messages: list[Message]
    blocked: int
    """Destinations that were left alone at some time."""
    duplicates: int

    @property
    def states(self) -> Counter[str]:
        return Counter(message.state.value for message in self.messages)

    @property
    def longest(self) -> timedelta:
        return max(
            ((each.retired_at - each.submitted_at) for each in self.messages if each.retired_at),
            default=timedelta(),
        )

    @property
    def attempts(self) -> float:
        return sum(each.attempts for each in self.messages) / len(self.messages)

    @property
    def most(self) -> int:
        return max(each.attempts for each in self.messages)

    def faults(self) -> Iterator[str]:
        kind = self.kind
        if self.states != {kind.state: len(self.messages)}:
            yield f"not all {kind.state}: {dict(self.states)}"
        if self.longest > timedelta(microseconds=kind.within):
            yield f"{self.longest} is longer than {timedelta(microseconds=kind.within)}"
        if self.attempts > kind.attempts or self.most > kind.most:
            yield f"{self.attempts:.2f} attempts, {self.most} at most: more than {kind.attempts}, {kind.most}"
        if self.blocked != (kind.destinations if kind.blocked else 0):
            yield f"{self.blocked} of {kind.destinations} destinations were left alone at some time"
        if self.duplicates:
            yield f"{self.duplicates} messages came twice"

    def line(self) -> str:
        return (
            f"{self.kind.name:13}{self.kind.destinations:4}{len(self.messages):7}  {self.kind.state:10}"
            f"{self.states[self.kind.state]:7}{self.longest!s:>16.7}{self.attempts:10.2f}{self.most:6}"
            f"{self.blocked:9}{self.duplicates:12}"
        )


HEADER = "destinations        mail  fate                        after  attempts  most  blocked  duplicates"


def fates(day: Day) -> list[Fates]:
    """Return what became of all mail, by kind of destination."""
    found: dict[str, list[Message]] = {}
    for message in messages(day.queue):
        found.setdefault(message.recipient.rsplit(".", 2)[1], []).append(message)
    made = []
    for kind in KINDS:
        own = [place for place in day.places if place.kind is kind]
        came = Counter(
            each.message_id for place in own if place.receiver is not None for each in place.receiver.messages
        )
        blocked = sum(any(name in day.blocked for name in (place.mx, *place.domains)) for place in own)
        made.append(Fates(kind, found[kind.name], blocked, sum(count - 1 for count in came.values())))
    return made


def messages(queue: Queue) -> Iterator[Message]:
    """Yield all messages, those that wait and those that have retired."""
    for pages in (queue.list, queue.retired.list):
        after: str | None = None
        while True:
            page = pages(limit=1000, after=after)
            yield from page.items
            after = page.next
            if after is None:
                break


def run(home: Path, hours: float, seed: int) -> int:
    start = time.monotonic()
    day = Day(home, hours, seed)
    asyncio.run(day.play())
    found = fates(day)
    integrity = day.queue.check_integrity()
    day.queue.close()
    faults = [f"{each.kind.name}: {fault}" for each in found for fault in each.faults()] + list(integrity)
    print(f"{hours:g} hours of mixed traffic, seed {seed}, in {time.monotonic() - start:.0f} s")
    print(HEADER, *(each.line() for each in found), sep="\n")
    print(f"{len(faults)} faults", *faults, sep="\n  ")
    return 1 if faults else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--hours", type=float, default=24, help="3.25 at least, for all of this to happen")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory(prefix="mailqueue-day-") as home:
        return run(Path(home), options.hours, options.seed)


if __name__ == "__main__":
    sys.exit(main())
