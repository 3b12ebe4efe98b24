"""V9: 10,000 destinations with 10 messages each, 1 % of them dead; against the 99 % alone, in turn.

    python benchmarks/v9_many_destinations.py [--quick] [--rounds 3] [--destinations N]

Each destination is a domain of its own, found without DNS. Those that live are at one smtp-sink; a dead one
takes the connection and never says a word (its greeting would be waited for five minutes), each at an
address of its own. All mail is there before the engine begins; measured is the time until the living
have theirs. A run that takes more than three times as long as the one without the dead is ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import time
from collections import Counter
from contextlib import suppress
from typing import Any

from common import apart, folder, loop_factory, message, own_cpu, percentile, report, silent, sink, spread
from loopback import Loopback
from v1_end_to_end import read_back
from v4_backlog import fill

from mailqueue import AsyncQueue, Engine, Queue

DESTINATIONS, EACH, QUICK_DESTINATIONS = 10_000, 10, 500
LIMIT = 3
"""Times the run without the dead."""
LONGEST = 300.0
"""Seconds of a run without the dead."""


def is_dead(number: int) -> bool:
    return number % 100 == 50


def address(domain: str) -> str:
    """Return where a domain is: `d50.example.net` is dead, at 127.1.0.1, `d150` at 127.1.0.2 ..."""
    number = int(domain.partition(".")[0][1:])
    return f"127.1.{number // 100 // 250}.{number // 100 % 250 + 1}" if is_dead(number) else "127.0.0.1"


class Arrivals:
    """When each living destination had its last message, in seconds."""

    def __init__(self, wanted: int) -> None:
        self.begun = time.perf_counter()
        self.moments: list[float] = []
        self._missing = Counter[str]()
        self._wanted = wanted
        self._all = asyncio.Event()

    def listen(self, settlement: Any) -> None:
        domain = settlement.message.domain
        self._missing[domain] += 1
        if self._missing[domain] == EACH and address(domain) == "127.0.0.1":
            self.moments.append(time.perf_counter() - self.begun)
            if len(self.moments) == self._wanted:
                self._all.set()

    async def all(self, seconds: float) -> None:
        """Return when all living destinations have everything, or after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._all.wait()


async def deliver(work: dict[str, Any]) -> dict[str, Any]:
    """Deliver what waits; return when each living destination had its last message, and the CPU."""
    async with AsyncQueue(work["database"]) as queue:
        arrivals = Arrivals(work["living"])
        engine = Engine(queue, resolver=Loopback(address), listener=arrivals.listen, drain=0.1)
        cpu = own_cpu()
        running = asyncio.create_task(engine.run())
        await arrivals.all(work["limit"])
        cpu = own_cpu() - cpu
        engine.stop()
        await running
        if len(arrivals.moments) == work["living"]:
            await read_back(queue, set(work["ids"]))
    return {"moments": arrivals.moments, "cpu": cpu}


def child(work: dict[str, Any]) -> None:
    with open(work.pop("ids_file")) as lines:
        work["ids"] = json.load(lines)
    logging.basicConfig(filename=f"{work['database']}.log", level=logging.INFO)
    with asyncio.Runner(loop_factory=loop_factory("uvloop")) as runner:
        print(json.dumps(runner.run(deliver(work))))


def measure(destinations: int, *, dead: bool, limit: float) -> dict[str, Any]:
    """Run once, with the dead destinations or without."""
    numbers = [number for number in range(destinations) if dead or not is_dead(number)]
    addresses = [address(f"d{number}.") for number in range(destinations) if is_dead(number)]
    with sink("-m", "1000") as remote, silent(addresses, remote.port), folder("v9") as home:
        database = home / "queue.db"
        with Queue(database) as queue:
            queue.transports.add("direct", kind="direct", port=remote.port, allow_private=True)
            mail = [number for _ in range(EACH) for number in numbers]
            made = list(
                fill(queue, (message(place, f"d{number}.example.net") for place, number in enumerate(mail)))
            )
        ids = [made_id for made_id, number in zip(made, mail, strict=True) if not is_dead(number)]
        (home / "ids").write_text(json.dumps(ids))
        living = len(ids) // EACH
        work = {"database": str(database), "ids_file": str(home / "ids"), "living": living, "limit": limit}
        found = apart(__file__, **work)
        if len(found["moments"]) == living:
            assert remote.count == len(ids), f"the remote has {remote.count} messages"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--destinations", type=int, default=DESTINATIONS)
    parser.add_argument("--work", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        child(options.work)
        return
    destinations = QUICK_DESTINATIONS if options.quick else options.destinations
    quick = destinations < DESTINATIONS
    living = sum(not is_dead(number) for number in range(destinations))
    times: dict[str, list[float]] = {"without": [], "with": []}
    cpu: dict[str, list[float]] = {"without": [], "with": []}
    late, unserved = [], []
    for _ in range(1 if options.quick else options.rounds):
        for name in times:
            limit = LONGEST if name == "without" else max(10.0, LIMIT * times["without"][-1])
            found = measure(destinations, dead=name == "with", limit=limit)
            moments = found["moments"]
            times[name].append(percentile(moments, 1) if len(moments) == living else limit)
            cpu[name].append(found["cpu"] / (living * EACH) * 1000)
        late.append(living - sum(moment <= 1.3 * times["without"][-1] for moment in moments))
        unserved.append(living - len(moments))
    ratios = [one / other for one, other in zip(times["with"], times["without"], strict=True)]
    print(
        f"without the dead: {spread(times['without'], '.1f')} s, CPU {spread(cpu['without'], '.2f')} s/1,000"
    )
    text = (
        f"{spread(times['with'], '.1f')} s, CPU {spread(cpu['with'], '.2f')} s/1,000; "
        f"{spread(ratios, '.2f')} x the time without the dead; of {living:,} living destinations "
        f"{spread(late)} had to wait for longer than 1.3 x that, {spread(unserved)} had not got everything "
        f"after {LIMIT} x"
    )
    report("V9", text, quick=quick)


if __name__ == "__main__":
    main()
