"""V7: submit, claim and settle, lists and explain with 1,000,000 messages waiting, against 1,000 in turn.

    python benchmarks/v7_million_waiting.py [--quick] [--rounds 5] [--messages N]

Both queues have 99 % of their mail for a destination that takes the connection and never says a word; it is
due all the time. The rest has been refused for now, and is due in hours. They are made once for a run
of this script, by `submit_many`. Then each round, a process of its own for each queue, submits 5,000 messages
to others, without an engine, and has an engine deliver them, while the dead destination hangs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from typing import Any

from common import (
    Run,
    apart,
    folder,
    loop_factory,
    message,
    own_cpu,
    peak_memory,
    report,
    silent,
    sink,
    spread,
)
from peer_postfix import line
from v1_end_to_end import Retirement, read_back, submit_all
from v4_backlog import fill

from mailqueue import AsyncQueue, Engine, Queue

SIZE, FEW, NEW = 1_000_000, 1_000, 5_000
QUICK_SIZE, QUICK_NEW = 20_000, 1_000
DEAD = "dead.example"
LATER = "later.example"
ASKED = 30
"""Times that each question is asked."""
TITLES = {
    "page": "the slowest first page",
    "explain": "explain",
    "status": "status",
    "stats": "stats",
}


def waiting(size: int) -> Iterator[dict[str, object]]:
    """Yield what waits: small, as a million of 4 KiB is a matter of the disk's size alone."""
    for number in range(size):
        domain = DEAD if number % 100 else f"d{number // 100 % 1000}.{LATER}"
        yield {
            "message": (
                f"From: sender@example.org\r\nTo: user{number}@{domain}\r\nSubject: message {number}\r\n"
                "Date: Mon, 02 Jan 2034 03:04:05 +0000\r\n"
                f"Message-ID: <{number}@example.org>\r\n\r\nhello\r\n"
            ).encode(),
            "schedule": "later",
        }


async def refuse(database: str, refused: int) -> None:
    """Run an engine until `refused` messages have been refused for now."""
    async with AsyncQueue(database) as queue:
        retirement = Retirement()
        engine = Engine(queue, listener=retirement.listen, drain=0.1)
        running = asyncio.create_task(engine.run())
        await retirement.reaches(refused)
        engine.stop()
        await running


def make(database: str, size: int, ports: dict[str, int]) -> None:
    """Make a queue with `size` messages waiting."""
    with Queue(database) as queue:
        for name, port in ports.items():
            queue.transports.add(name, kind="relay", host="127.0.0.1", port=port, default=name == "others")
        queue.routes.add("dead", recipient_domain=DEAD)
        queue.routes.add("later", recipient_domain=f".{LATER}")
        queue.schedules.add("later", "20h*", lifetime=timedelta(days=5))
        assert sum(1 for _ in fill(queue, waiting(size))) == size
    asyncio.run(refuse(database, size // 100))


def milliseconds(ask: Callable[[], object]) -> float:
    """Return how long a question takes: the median of many."""
    taken = []
    for _ in range(ASKED):
        start = time.perf_counter()
        ask()
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken)


def questions(queue: Queue) -> dict[str, float]:
    """Return the milliseconds of each question, while an engine is at work."""
    first = queue.list(limit=50).items
    later = next(each.id for each in first if each.recipient.endswith(LATER))
    dead = next(each.id for each in first if each.recipient.endswith(DEAD))
    pages = {
        "list": lambda: queue.list(limit=50),
        "list --account": lambda: queue.list(limit=50, account="default"),
        "retired": lambda: queue.retired.list(limit=50),
        "retired --account": lambda: queue.retired.list(limit=50, account="default"),
    }
    taken = {name: milliseconds(ask) for name, ask in pages.items()}
    return {
        "page": max(taken.values()),
        "explain": max(milliseconds(lambda: queue.explain(later)), milliseconds(lambda: queue.explain(dead))),
        "status": milliseconds(queue.status),
        "stats": milliseconds(queue.stats),
    }


async def work_on(database: str, new: int) -> dict[str, Any]:
    """Submit `new` messages, deliver them, ask the questions."""
    messages = [message(number, f"d{number % 100}.example.net") for number in range(new)]
    async with AsyncQueue(database) as queue:
        await queue.status()  # opens it
        cpu, start = own_cpu(), time.perf_counter()
        ids = await submit_all(queue, messages)
        submit = (time.perf_counter() - start, own_cpu() - cpu)
        retirement = Retirement()
        engine = Engine(queue, listener=retirement.listen, drain=0.1)
        cpu, start = own_cpu(), time.perf_counter()
        running = asyncio.create_task(engine.run())
        await retirement.reaches(new)
        deliver = (time.perf_counter() - start, own_cpu() - cpu)
        peak = peak_memory()
        asked = await asyncio.to_thread(questions, queue.sync)
        engine.stop()
        await running
        await read_back(queue, set(ids))
    return {"submit": submit, "deliver": deliver, "peak": peak, "asked": asked}


def child(work: dict[str, Any]) -> None:
    logging.basicConfig(filename=f"{work['database']}.log", level=logging.INFO)
    if "size" in work:
        make(**work)
        print(json.dumps("made"))
        return
    with asyncio.Runner(loop_factory=loop_factory("uvloop")) as runner:
        print(json.dumps(runner.run(work_on(work["database"], work["new"]))))


def compare(found: dict[int, list[dict[str, Any]]], size: int, new: int, part: str) -> str:
    """Return how one part of the work is with many, and how many times what it costs with few."""
    many, few = (
        [Run(messages=new, seconds=each[part][0], cpu=each[part][1]) for each in found[waiting]]
        for waiting in (size, FEW)
    )
    seconds = [one.seconds / other.seconds for one, other in zip(many, few, strict=True)]
    cpu = [one.cpu / other.cpu for one, other in zip(many, few, strict=True)]
    return f"{line(many)}; {spread(seconds, '.2f')} x the time, {spread(cpu, '.2f')} x the CPU with {FEW:,}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--messages", type=int, default=SIZE)
    parser.add_argument("--work", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        child(options.work)
        return
    size, new = (QUICK_SIZE, QUICK_NEW) if options.quick else (options.messages, NEW)
    found: dict[int, list[dict[str, Any]]] = {FEW: [], size: []}
    with ExitStack() as stack:
        home = stack.enter_context(folder("v7"))
        ports = {
            "others": stack.enter_context(sink()).port,
            "dead": stack.enter_context(silent(["127.0.0.1"])),
            "later": stack.enter_context(sink("-r", "rcpt")).port,
        }
        for count in found:
            apart(__file__, database=str(home / f"{count}.db"), size=count, ports=ports)
        for _ in range(1 if options.quick else options.rounds):
            for count, runs in found.items():
                runs.append(apart(__file__, database=str(home / f"{count}.db"), new=new))
    quick = size < SIZE
    report(f"V7 submit with {size:,} waiting", compare(found, size, new, "submit"), quick=quick)
    report(f"V7 claim and settle with {size:,} waiting", compare(found, size, new, "deliver"), quick=quick)
    asked = {
        name: {count: [each["asked"][name] for each in runs] for count, runs in found.items()}
        for name in TITLES
    }
    for name, title in TITLES.items():
        text = f"{spread(asked[name][size], '.1f')} ms, {spread(asked[name][FEW], '.1f')} ms with {FEW:,}"
        report(f"V7 {title} with {size:,} waiting", text, quick=quick)
    peaks = {count: [each["peak"] for each in runs] for count, runs in found.items()}
    text = f"{spread(peaks[size])} MiB, {spread(peaks[FEW])} MiB with {FEW:,}"
    report(f"V7 the engine's memory with {size:,} waiting", text, quick=quick)


if __name__ == "__main__":
    main()
