"""V4: draining a backlog of 100,000, and the engine's memory meanwhile; Postfix with held mail in turn.

    python benchmarks/v4_backlog.py [--quick] [--rounds 3] [--messages N]

The backlog is there before the engine's process begins. Memory is looked at after every hundredth of the
backlog; it is flat when the last tenth of the way has no more than the second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from common import (
    Run,
    apart,
    folder,
    loop_factory,
    memory,
    message,
    own_cpu,
    peak_memory,
    report,
    sink,
    spread,
)
from peer_postfix import TUNINGS, line, measure_drain
from v1_end_to_end import Retirement, read_back

from mailqueue import AsyncQueue, Engine, Queue

SIZE, PEER_SIZE = 100_000, 5_000
QUICK_SIZE, QUICK_PEER_SIZE = 5_000, 1_000
GROUP = 10_000
"""Messages of one `submit_many`: 4 KiB each, they stay below its 128 MiB."""


class Gauge(Retirement):
    """Counts what has retired, and looks at the memory after every hundredth of it."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.every = max(1, size // 100)
        self.mebibytes: list[float] = []

    def listen(self, settlement: object) -> None:
        super().listen(settlement)
        if self.count % self.every == 0:
            self.mebibytes.append(memory())

    @property
    def growth(self) -> float:
        """Mebibytes that the last tenth of the way has more than the second."""
        tenth = len(self.mebibytes) // 10
        last, second = self.mebibytes[-tenth:], self.mebibytes[tenth : 2 * tenth]
        return statistics.median(last) - statistics.median(second)


def fill(queue: Queue, messages: Iterable[object]) -> Iterator[int]:
    """Submit `messages`, each as `submit_many` takes it, in groups. Yields their ids."""
    rest = iter(messages)
    while group := list(islice(rest, GROUP)):
        for submission in queue.submit_many(group):
            yield from (made.id for made in submission.messages)


async def drain(database: str, sink_port: int, size: int) -> dict[str, float]:
    """Run an engine until `size` messages have retired."""
    async with AsyncQueue(database) as queue:
        gauge = Gauge(size)
        engine = Engine(queue, relay=f"127.0.0.1:{sink_port}", listener=gauge.listen)
        cpu, start = own_cpu(), time.perf_counter()
        running = asyncio.create_task(engine.run())
        await gauge.reaches(size)
        seconds, cpu, peak = time.perf_counter() - start, own_cpu() - cpu, peak_memory()
        engine.stop()
        await running
    return {"seconds": seconds, "cpu": cpu, "peak": peak, "growth": gauge.growth}


def child(work: dict[str, Any]) -> None:
    logging.basicConfig(filename=f"{work['database']}.log", level=logging.INFO)
    with asyncio.Runner(loop_factory=loop_factory(work["loop"])) as runner:
        print(json.dumps(runner.run(drain(work["database"], work["sink"], work["size"]))))


async def check(database: Path, ids: set[int]) -> None:
    async with AsyncQueue(database) as queue:
        await read_back(queue, ids)


def measure(loop: str, size: int) -> tuple[Run, float, float]:
    """Make a backlog and drain it. Returns the run, the peak of memory and its growth, in mebibytes."""
    with sink() as remote, folder("v4") as home:
        database = home / "queue.db"
        with Queue(database) as queue:
            ids = set(fill(queue, map(message, range(size))))
        assert len(ids) == size
        found = apart(__file__, database=str(database), sink=remote.port, loop=loop, size=size)
        assert remote.count == size, f"the remote has {remote.count} messages"
        asyncio.run(check(database, ids))
    return Run(messages=size, seconds=found["seconds"], cpu=found["cpu"]), found["peak"], found["growth"]


def best_tuning(size: int) -> str:
    """Return the tuning with which Postfix drains fastest on this machine, now."""
    rates = {name: measure_drain(name, size).rate for name in TUNINGS}
    print("Postfix, one run each: " + ", ".join(f"{name} {rate:,.0f}/s" for name, rate in rates.items()))
    return max(rates, key=rates.__getitem__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=SIZE)
    parser.add_argument("--work", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        child(options.work)
        return
    size, peer_size = (QUICK_SIZE, QUICK_PEER_SIZE) if options.quick else (options.messages, PEER_SIZE)
    tuning = best_tuning(peer_size)
    ours: dict[str, list[tuple[Run, float, float]]] = {"asyncio": [], "uvloop": []}
    peers: list[Run] = []
    for _ in range(1 if options.quick else options.rounds):
        for loop, taken in ours.items():
            taken.append(measure(loop, size))
        peers.append(measure_drain(tuning, peer_size))
    print(f"Postfix ({tuning}): {line(peers)}")
    for loop, taken in ours.items():
        runs = [run for run, _, _ in taken]
        ratios = [run.rate / peer.rate for run, peer in zip(runs, peers, strict=True)]
        text = (
            f"{line(runs)}; {spread(ratios, '.1f')} x Postfix; "
            f"memory at most {spread([peak for _, peak, _ in taken])} MiB, "
            f"its growth on the way {spread([growth for _, _, growth in taken], '.1f')} MiB"
        )
        report(f"V4 with {loop}", text, quick=size < SIZE)


if __name__ == "__main__":
    main()
