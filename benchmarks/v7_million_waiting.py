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
from contextlib import ExitStack, suppress
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
from mailqueue.errors import SettingError

SIZE, FEW, NEW = 1_000_000, 1_000, 5_000
QUICK_SIZE, QUICK_NEW = 20_000, 1_000
DEAD = "dead.example"
LATER = "later.example"
ASKED = 30
"""Times that each question is asked, but for slow ones."""


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
    """Return how long a question takes: the median of many, but of two where it is slow."""
    taken: list[float] = []
    while len(taken) < ASKED and (len(taken) < 2 or sum(taken) < 1000):
        start = time.perf_counter()
        with suppress(SettingError):  # a slow order of too many: how long is it until that is said?
            ask()
        taken.append((time.perf_counter() - start) * 1000)
    return statistics.median(taken)


def lists(queue: Queue) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the lists of which the first page is asked."""
    first = queue.list(limit=50).items
    later = next(each for each in first if each.recipient.endswith(LATER))
    dead = next(each for each in first if each.recipient.endswith(DEAD))
    yield "all", {}
    yield "an account", {"account": "default"}
    for name, each in (("that waits", dead), ("that was refused", later)):
        yield f"a recipient {name}", {"recipient": each.recipient}
        domain = each.recipient[each.recipient.index("@") :]
        yield f"a domain {name}", {"recipient": domain}
        yield f"a domain {name} by -submitted", {"recipient": domain, "sort": "-submitted"}
        yield f"a Message-ID {name}", {"message_id": each.message_id}
    yield "ids", {"ids": [each.id for each in first]}
    yield "a sender", {"sender": later.sender}
    yield "a sender that nothing has", {"sender": "nobody@example.org"}
    yield "a sender's domain", {"sender": "@example.org"}
    for hold in (True, False):
        yield f"hold {hold}", {"hold": hold}
    for state in ("queued", "claimed"):
        yield state, {"state": state}
    for category in ("greylisted", "policy", "dns"):
        yield f"category {category}", {"category": category}
    for event in ("held", "delayed"):
        yield f"event {event}", {"event": event}
    for priority in ("normal", "bulk"):
        yield f"priority {priority}", {"priority": priority}
    yield "a transport", {"transport": "others"}
    yield "a destination", {"destination": "nowhere"}
    yield "a subject", {"subject": later.subject}
    yield "a subject that nothing has", {"subject": "nowhere"}
    yield "a text that nothing has", {"text": "nowhere"}
    for times in ("<-1s", ">+1h", "<now", ">-1h"):
        yield f"submitted {times}", {"submitted": times}
        yield f"due {times}", {"next_attempt": times}
    for sort in ("-submitted", "next-attempt", "recipient", "-size"):
        yield f"all by {sort}", {"sort": sort}
        yield f"a small domain by {sort}", {"sort": sort, "recipient": domain}


def questions(queue: Queue) -> dict[str, float]:
    """Return the milliseconds of each question, while an engine is at work."""
    first = queue.list(limit=50).items
    later = next(each.id for each in first if each.recipient.endswith(LATER))
    dead = next(each.id for each in first if each.recipient.endswith(DEAD))
    taken = {
        f"page of {name}": milliseconds(lambda which=which: queue.list(limit=50, **which))  # type: ignore[misc]
        for name, which in lists(queue)
    }
    for name, which in {"all": {}, "an account": {"account": "default"}}.items():
        taken[f"page of {name} retired"] = milliseconds(
            lambda which=which: queue.retired.list(limit=50, **which)  # type: ignore[misc]
        )
    counts = {"all": {}, "an account": {"account": "default"}, "what is on hold": {"hold": True}}
    for name, which in counts.items():
        taken[f"count of {name}"] = milliseconds(lambda which=which: queue.count(**which))  # type: ignore[misc]
    for name, verb in {"explain": queue.explain, "show": queue.show, "timeline": queue.timeline}.items():
        taken[name] = max(milliseconds(lambda verb=verb, id=id: verb(id)) for id in (later, dead))  # type: ignore[misc]
    taken["status"] = milliseconds(queue.status)
    taken["stats"] = milliseconds(queue.stats)
    return taken


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
    for name in found[size][0]["asked"]:
        asked = {count: [each["asked"][name] for each in runs] for count, runs in found.items()}
        text = f"{spread(asked[size], '.1f')} ms, {spread(asked[FEW], '.1f')} ms with {FEW:,}"
        report(f"V7 {name} with {size:,} waiting", text, quick=quick)
    peaks = {count: [each["peak"] for each in runs] for count, runs in found.items()}
    text = f"{spread(peaks[size])} MiB, {spread(peaks[FEW])} MiB with {FEW:,}"
    report(f"V7 the engine's memory with {size:,} waiting", text, quick=quick)


if __name__ == "__main__":
    main()
