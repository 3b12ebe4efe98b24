"""V6: one content to 1,000 recipients at one destination, from submit to the last retired; Postfix in turn.

    python benchmarks/v6_many_recipients.py [--quick] [--rounds 5]

Each run is a process of its own that sends ten such messages, one after the other. Once more it runs under
SQLite's trace, whose time does not count, to tell how often the content is read and how much is written.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import re
import sqlite3
import statistics
import time
from typing import Any

from common import Run, apart, folder, loop_factory, message, own_cpu, report, sink, spread
from peer_postfix import TUNINGS, measure_many_recipients
from v1_end_to_end import WARM_UP, Retirement, read_back, submit_all

from mailqueue import AsyncQueue, Engine

RECIPIENTS, TIMES = 1_000, 10
QUICK_RECIPIENTS, QUICK_TIMES = 200, 3

READS_CONTENT = re.compile(r"\s*SELECT\b.*\bdata\b(?! IS).*\bFROM mailqueue_(content|chunk)\b", re.DOTALL)


class Trace:
    """Counts what all connections of this process have SQLite do from now on."""

    def __init__(self) -> None:
        self.counting = False
        self.reads = self.commits = self.statements = 0
        connect = sqlite3.connect

        def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
            connection = connect(*arguments, **options)
            connection.set_trace_callback(self.note)
            return connection

        sqlite3.connect = traced

    def note(self, statement: str) -> None:
        if self.counting:
            self.statements += 1
            self.commits += statement.startswith("COMMIT")
            self.reads += READS_CONTENT.match(statement) is not None


async def send(work: dict[str, Any], trace: Trace | None) -> list[tuple[float, float]]:
    """Send the messages; return the seconds, and the seconds of CPU, of each."""
    recipients = [f"user{number}@example.net" for number in range(work["recipients"])]
    taken, ids = [], set()
    async with AsyncQueue(work["database"]) as queue:
        retirement = Retirement()
        engine = Engine(queue, relay=f"127.0.0.1:{work['sink']}", listener=retirement.listen)
        running = asyncio.create_task(engine.run())
        ids.update(await submit_all(queue, [message(number) for number in range(WARM_UP)]))
        await retirement.reaches(WARM_UP)
        for number in range(work["times"]):
            if trace:
                trace.counting = True
            cpu, start = own_cpu(), time.perf_counter()
            made = await queue.submit(message(number), recipients=recipients)
            await retirement.reaches(WARM_UP + (number + 1) * len(recipients))
            taken.append((time.perf_counter() - start, own_cpu() - cpu))
            if trace:
                trace.counting = False
            ids.update(each.id for each in made.messages)
        await read_back(queue, ids)
        engine.stop()
        await running
    return taken


def child(work: dict[str, Any]) -> None:
    logging.basicConfig(filename=f"{work['database']}.log", level=logging.INFO)
    trace = Trace() if work["trace"] else None
    with asyncio.Runner(loop_factory=loop_factory(work["loop"])) as runner:
        taken = runner.run(send(work, trace))
    counted = [trace.reads, trace.commits, trace.statements] if trace else []
    print(json.dumps({"taken": taken, "counted": counted}))


def measure(loop: str, recipients: int, times: int, *, trace: bool = False) -> tuple[list[Run], list[float]]:
    """Return the run of each message; and per message transactions, reads of content, commits, statements."""
    with sink() as remote, folder("v6") as home:
        database = str(home / "queue.db")
        work = {"sink": remote.port, "loop": loop, "recipients": recipients, "times": times, "trace": trace}
        found = apart(__file__, database=database, **work)
        transactions = remote.count - WARM_UP
    runs = [Run(messages=recipients, seconds=seconds, cpu=cpu) for seconds, cpu in found["taken"]]
    return runs, [count / times for count in (transactions, *found["counted"])]


def best_tuning(recipients: int, times: int) -> str:
    """Return the tuning with which Postfix is fastest at this on this machine, now."""
    taken = {name: statistics.median(measure_many_recipients(name, recipients, times)) for name in TUNINGS}
    print("Postfix, one run each: " + ", ".join(f"{name} {took:.2f} s" for name, took in taken.items()))
    return min(taken, key=taken.__getitem__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        child(options.work)
        return
    quick = options.quick
    recipients, times = (QUICK_RECIPIENTS, QUICK_TIMES) if quick else (RECIPIENTS, TIMES)
    tuning = best_tuning(recipients, times)
    ours: dict[str, list[float]] = {"asyncio": [], "uvloop": []}
    cpu: dict[str, list[float]] = {"asyncio": [], "uvloop": []}
    peers: list[float] = []
    for _ in range(1 if quick else options.rounds):
        for loop in ours:
            runs, _ = measure(loop, recipients, times)
            ours[loop].append(statistics.median(run.seconds for run in runs))
            cpu[loop].append(statistics.median(run.cpu_per_1000 for run in runs))
        peers.append(statistics.median(measure_many_recipients(tuning, recipients, times)))
    _, (transactions, reads, commits, statements) = measure("uvloop", recipients, times, trace=True)
    print(f"Postfix ({tuning}): {spread(peers, '.3f')} s")
    for loop, taken in ours.items():
        ratios = [mine / peer for mine, peer in zip(taken, peers, strict=True)]
        text = (
            f"{spread(taken, '.3f')} s, CPU {spread(cpu[loop], '.2f')} s/1,000; "
            f"{spread(ratios, '.2f')} x Postfix's; {transactions:g} transactions, "
            f"content read {reads:g} times, {commits:g} commits of {statements:g} statements"
        )
        report(f"V6 with {loop}", text, quick=quick)


if __name__ == "__main__":
    main()
