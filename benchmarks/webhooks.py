"""Webhooks: how many are posted a second, and what they cost the mail, with a receiver that lives or is dead.

    python benchmarks/webhooks.py [--quick] [--rounds 3] [--messages N]

A backlog is drained as in V4, in turn: without an endpoint, with one that answers 204 at once (a process of
its own), and with one that takes the connection and never says a word. Measured is the time until all mail
has retired; with the receiver that lives, also the time until all webhooks have. Those have to be stored,
signed, posted and settled, so they cost something; the dead one must not cost more.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from common import apart, folder, loop_factory, message, own_cpu, report, silent, sink, spread
from v1_end_to_end import Retirement, read_back
from v4_backlog import fill

from mailqueue import AsyncQueue, Engine, Queue

SIZE, QUICK_SIZE = 20_000, 2_000
LONGEST = 600.0
"""Seconds until all webhooks must have been posted."""
ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"


class Receiver(asyncio.Protocol):
    """Answers each post at once; posts are small and come one after the other."""

    def __init__(self) -> None:
        self._held = b""

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, found, body = self._held.partition(b"\r\n\r\n")
        if found:
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            if len(body) >= length:
                self._held = body[length:]
                self._transport.write(ANSWER)


async def receive() -> None:
    server = await asyncio.get_running_loop().create_server(Receiver, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)  # it ends with its parent


@contextmanager
def living() -> Iterator[int]:
    """A receiver that takes all; gives its port."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    process = subprocess.Popen([sys.executable, __file__, "--receiver"], **pipes)  # type: ignore[call-overload]
    try:
        yield int(process.stdout.readline())
    finally:
        process.stdin.close()
        process.wait()


@contextmanager
def nobody() -> Iterator[None]:
    yield None


async def drain(work: dict[str, Any]) -> dict[str, float]:
    """Run an engine until all mail has retired, and, if it is to be waited for, all webhooks."""
    size = work["size"]
    async with AsyncQueue(work["database"]) as queue:
        retirement = Retirement()
        engine = Engine(queue, relay=f"127.0.0.1:{work['sink']}", listener=retirement.listen, drain=0.1)
        cpu, start = own_cpu(), time.perf_counter()
        running = asyncio.create_task(engine.run())
        await retirement.reaches(size)
        mail, mail_cpu, hooks = time.perf_counter() - start, own_cpu() - cpu, 0.0
        if work["wait"]:
            async with asyncio.timeout(LONGEST):
                while (await queue.webhooks.list(limit=1)).items:
                    await asyncio.sleep(0.05)
            hooks = time.perf_counter() - start
        cpu = own_cpu() - cpu
        engine.stop()
        await running
    return {"mail": mail, "mail_cpu": mail_cpu, "hooks": hooks, "cpu": cpu}


async def check(database: str, ids: set[int], delivered: int) -> None:
    """Check that all mail was delivered, and so many webhooks at their first attempt."""
    async with AsyncQueue(database) as queue:
        await read_back(queue, ids)
        after = None
        while delivered:
            page = await queue.webhooks.retired.list(limit=1000, after=after)
            assert all((each.state, each.attempts) == ("delivered", 1) for each in page.items)
            delivered -= len(page.items)
            after = page.next
            assert after or not delivered, f"{delivered} webhooks are not in the history"


def child(work: dict[str, Any]) -> None:
    logging.basicConfig(filename=f"{work['database']}.log", level=logging.INFO)
    with asyncio.Runner(loop_factory=loop_factory("uvloop")) as runner:
        print(json.dumps(runner.run(drain(work))))


RECEIVERS = {"none": nobody, "living": living, "dead": lambda: silent(["127.0.0.1"])}


def measure(name: str, size: int) -> dict[str, float]:
    """Drain a backlog once, with this receiver of webhooks."""
    with sink() as remote, RECEIVERS[name]() as port, folder("webhooks") as home:  # type: ignore[operator]
        database = str(home / "queue.db")
        with Queue(database) as queue:
            if port is not None:
                url = f"http://127.0.0.1:{port}/hook"
                queue.webhooks.set(url=url, events="delivered", new_secret=True, allow_private=True)
            ids = set(fill(queue, map(message, range(size))))
        wait = name == "living"
        found: dict[str, float] = apart(__file__, database=database, sink=remote.port, size=size, wait=wait)
        assert remote.count == size, f"the remote has {remote.count} messages"
        asyncio.run(check(database, ids, size if wait else 0))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=SIZE)
    parser.add_argument("--work", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--receiver", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        child(options.work)
        return
    if options.receiver:
        asyncio.run(receive())
        return
    size = QUICK_SIZE if options.quick else options.messages
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in RECEIVERS}
    for _ in range(1 if options.quick else options.rounds):
        for name, taken in runs.items():
            taken.append(measure(name, size))
    for name, taken in runs.items():
        rates = [size / each["mail"] for each in taken]
        cpu = [each["mail_cpu"] / size * 1000 for each in taken]
        ratios = [each["mail"] / alone["mail"] for each, alone in zip(taken, runs["none"], strict=True)]
        line = f"{spread(rates)} msg/s, CPU {spread(cpu, '.2f')} s/1,000, {spread(ratios, '.2f')} x the time"
        print(f"mail, receiver {name}: {line}", flush=True)
    posted = [size / each["hooks"] for each in runs["living"]]
    cpu = [each["cpu"] / size * 1000 for each in runs["living"]]
    text = f"{spread(posted)} webhooks/s beside as much mail, CPU of both {spread(cpu, '.2f')} s/1,000"
    report("webhooks", text, quick=options.quick or size < SIZE)


if __name__ == "__main__":
    main()
