"""V1: from submit to retired, 200 concurrent callers, one process, everything recorded; Postfix in turn.

    python benchmarks/v1_end_to_end.py [--quick] [--rounds 5] [--domains 1]

Each run is a process of its own, on a new database, with default settings and the log at INFO into a file.
It measures from the first submit to the last message retired; then every message is read back.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import subprocess
import sys
import time
from pathlib import Path

from common import Run, folder, loop_factory, message, own_cpu, report, sink, spread
from peer_postfix import TUNINGS, line
from peer_postfix import measure as measure_postfix

from mailqueue import AsyncQueue, Engine

CALLERS = 200
WARM_UP = 200
SIZE, PEER_SIZE = 40_000, 5_000
QUICK_SIZE, QUICK_PEER_SIZE = 4_000, 1_000


async def submit_all(queue: AsyncQueue, messages: list[bytes]) -> list[int]:
    """Submit by CALLERS callers at a time, each waiting for its own commit. Returns the message ids."""
    work, ids = iter(messages), []

    async def caller() -> None:
        for octets in work:
            ids.append((await queue.submit(octets)).messages[0].id)

    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return ids


class Retirement:
    """Counts what has retired, as the engine tells it after each commit."""

    def __init__(self) -> None:
        self.count = 0
        self._wanted = 0
        self._reached = asyncio.Event()

    def listen(self, settlement: object) -> None:
        self.count += 1
        if self.count == self._wanted:
            self._reached.set()

    async def reaches(self, count: int) -> None:
        """Return when `count` messages have retired in all."""
        self._wanted = count
        self._reached.clear()
        if self.count < count:
            async with asyncio.timeout(600):
                await self._reached.wait()


async def read_back(queue: AsyncQueue, ids: set[int]) -> None:
    """Check that every message is in the history as delivered at its first attempt."""
    after = None
    while ids:
        page = await queue.retired.list(limit=1000, after=after)
        for found in page.items:
            assert (found.state, found.attempts) == ("delivered", 1), found
            ids.discard(found.id)
        after = page.next
        assert after or not ids, f"{len(ids)} messages are not in the history"


async def measure(database: str, sink_port: int, size: int, domains: int) -> Run:
    """Run once in this event loop."""
    messages = [message(number, f"d{number % domains}.example.net") for number in range(size)]
    async with AsyncQueue(database) as queue:
        retirement = Retirement()
        engine = Engine(queue.sync, relay=f"127.0.0.1:{sink_port}", listener=retirement.listen)
        running = asyncio.create_task(engine.run())
        await submit_all(queue, [message(number) for number in range(WARM_UP)])
        await retirement.reaches(WARM_UP)
        cpu, start = own_cpu(), time.perf_counter()
        ids = await submit_all(queue, messages)
        await retirement.reaches(WARM_UP + size)
        run = Run(messages=size, seconds=time.perf_counter() - start, cpu=own_cpu() - cpu)
        await read_back(queue, set(ids))
        engine.stop()
        await running
    return run


def child(options: argparse.Namespace) -> None:
    logging.basicConfig(filename=f"{options.database}.log", level=logging.INFO)
    with asyncio.Runner(loop_factory=loop_factory(options.loop)) as runner:
        run = runner.run(measure(options.database, options.sink, options.messages, options.domains))
    print(json.dumps({"messages": run.messages, "seconds": run.seconds, "cpu": run.cpu}))


def measure_mailqueue(loop: str, size: int, domains: int) -> Run:
    """Run once in a process of its own, with the event loop `uvloop` or `asyncio`."""
    with sink() as remote, folder("v1") as home:
        command = [sys.executable, __file__, "--database", str(home / "queue.db"), "--sink", str(remote.port)]
        command += ["--loop", loop, "--messages", str(size), "--domains", str(domains)]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, check=True, cwd=Path(__file__).parent
        )
        assert remote.count == WARM_UP + size, f"the remote has {remote.count} messages"
    return Run(**json.loads(done.stdout))


def best_tuning(size: int, domains: int) -> str:
    """Return Postfix's best tuning on this machine, now."""
    rates = {name: measure_postfix(name, size, domains=domains).rate for name in TUNINGS}
    print("Postfix, one run each: " + ", ".join(f"{name} {rate:,.0f}/s" for name, rate in rates.items()))
    return max(rates, key=rates.__getitem__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--domains", type=int, default=1)
    for name, kind in {"database": str, "sink": int, "loop": str, "messages": int}.items():
        parser.add_argument(f"--{name}", type=kind, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.database:
        child(options)
        return
    size, peer_size = (QUICK_SIZE, QUICK_PEER_SIZE) if options.quick else (SIZE, PEER_SIZE)
    tuning = best_tuning(peer_size, options.domains)
    runs: dict[str, list[Run]] = {"uvloop": [], "asyncio": [], "Postfix": []}
    for _ in range(1 if options.quick else options.rounds):
        for loop in ("uvloop", "asyncio"):
            runs[loop].append(measure_mailqueue(loop, size, options.domains))
        runs["Postfix"].append(measure_postfix(tuning, peer_size, domains=options.domains))
    print(f"Postfix ({tuning}): {line(runs['Postfix'])}")
    for loop in ("asyncio", "uvloop"):
        ratios = [ours.rate / peer.rate for ours, peer in zip(runs[loop], runs["Postfix"], strict=True)]
        share = statistics.median(
            ours.cpu_per_1000 / peer.cpu_per_1000
            for ours, peer in zip(runs[loop], runs["Postfix"], strict=True)
        )
        text = f"{line(runs[loop])}; {spread(ratios, '.1f')} x Postfix, {share:.0%} of its CPU"
        report(f"V1 with {loop}", text, quick=options.quick)


if __name__ == "__main__":
    main()
