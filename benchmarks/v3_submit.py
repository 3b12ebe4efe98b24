"""V3: submit alone. One synchronous caller beside the disk's own commit rate; 200 callers beside Postfix.

    python benchmarks/v3_submit.py [--quick] [--rounds 5]

The disk's own rate: plain sqlite3, WAL, synchronous=FULL, one row with the same 4 KiB message a commit.
"""

from __future__ import annotations

import argparse
import asyncio
import sqlite3
import statistics
import time

from common import Run, folder, loop_factory, message, own_cpu, report, spread
from peer_postfix import line, measure_accept
from v1_end_to_end import CALLERS, submit_all

from mailqueue import AsyncQueue, Queue

ALONE, TOGETHER, PEER_SIZE = 3_000, 40_000, 5_000
QUICK_ALONE, QUICK_TOGETHER, QUICK_PEER_SIZE = 500, 4_000, 1_000


def disk(size: int) -> Run:
    """Commit `size` rows one by one."""
    messages = [message(number) for number in range(size)]
    with folder("v3") as home:
        connection = sqlite3.connect(home / "plain.db", isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE plain (id INTEGER PRIMARY KEY, octets BLOB)")
        cpu, start = own_cpu(), time.perf_counter()
        for octets in messages:
            connection.execute("INSERT INTO plain (octets) VALUES (?)", (octets,))
        run = Run(messages=size, seconds=time.perf_counter() - start, cpu=own_cpu() - cpu)
        connection.close()
    return run


def alone(size: int) -> Run:
    """Submit `size` messages from one synchronous caller."""
    messages = [message(number) for number in range(size)]
    with folder("v3") as home, Queue(home / "queue.db") as queue:
        queue.submit(message(0))
        cpu, start = own_cpu(), time.perf_counter()
        for octets in messages:
            queue.submit(octets)
        run = Run(messages=size, seconds=time.perf_counter() - start, cpu=own_cpu() - cpu)
        assert queue.status().queued == size + 1
    return run


def together(size: int, loop: str) -> Run:
    """Submit `size` messages from 200 concurrent callers."""
    messages = [message(number) for number in range(size)]

    async def measure(path: str) -> Run:
        async with AsyncQueue(path) as queue:
            await queue.submit(message(0))
            cpu, start = own_cpu(), time.perf_counter()
            ids = await submit_all(queue, messages)
            run = Run(messages=size, seconds=time.perf_counter() - start, cpu=own_cpu() - cpu)
            assert len(set(ids)) == size
            assert (await queue.status()).queued == size + 1
        return run

    with folder("v3") as home, asyncio.Runner(loop_factory=loop_factory(loop)) as runner:
        return runner.run(measure(str(home / "queue.db")))


def ratios(ours: list[Run], peers: list[Run]) -> list[float]:
    return [one.rate / other.rate for one, other in zip(ours, peers, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    quick = options.quick
    few, many = (QUICK_ALONE, QUICK_TOGETHER) if quick else (ALONE, TOGETHER)
    runs: dict[str, list[Run]] = {name: [] for name in ("alone", "disk", "uvloop", "asyncio", "Postfix")}
    for _ in range(1 if quick else options.rounds):
        runs["alone"].append(alone(few))
        runs["disk"].append(disk(few))
        for loop in ("uvloop", "asyncio"):
            runs[loop].append(together(many, loop))
        runs["Postfix"].append(measure_accept(QUICK_PEER_SIZE if quick else PEER_SIZE))
    share = statistics.median(ratios(runs["alone"], runs["disk"]))
    print(f"the disk's own commits: {line(runs['disk'])}")
    print(f"Postfix, accepting alone: {line(runs['Postfix'])}")
    report("V3, one synchronous caller", f"{line(runs['alone'])}; {share:.0%} of the disk's own", quick=quick)
    for loop in ("asyncio", "uvloop"):
        text = f"{line(runs[loop])}; {spread(ratios(runs[loop], runs['Postfix']), '.1f')} x Postfix"
        report(f"V3, {CALLERS} callers with {loop}", text, quick=quick)


if __name__ == "__main__":
    main()
