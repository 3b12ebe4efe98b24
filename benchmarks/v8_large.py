"""V8: a message of 25 MiB: what the engine's memory grows by, and whether small mail is held up meanwhile.

    python benchmarks/v8_large.py [--quick] [--rounds 5]

A small message goes every 10 ms, submitted in the engine's process; its latency is taken to the end of its
data at the remote. It goes alone for a while; then while another process submits five of 25 MiB, which a rule
holds; then while these are released, each when the one before has arrived at another destination,
which takes them as fast as they come (smtp-sink).
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import logging
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import (
    Sink,
    folder,
    forget_peak,
    loop_factory,
    memory,
    message,
    peak_memory,
    percentile,
    report,
    sink,
    spread,
)
from remote import Remote, remote
from v1_end_to_end import Retirement, read_back

from mailqueue import AsyncQueue, Engine, Queue

SIZE, QUICK_SIZE = 25 * 2**20, 2 * 2**20
LARGE, EVERY, WARM_UP, ALONE = 5, 0.01, 500, 3.0
"""Large messages; seconds between small ones; how many of these warm up; seconds that they go alone."""
PHASES = ("alone", "submitted", "delivered")


class Flow:
    """Sends small mail, one message every 10 ms, and tells how long each took."""

    def __init__(self, queue: AsyncQueue, target: Remote) -> None:
        self.queue, self.target = queue, target
        self.ids: list[int] = []
        self.sent = 0

    async def run(self, go_on: Callable[[], bool]) -> list[float]:
        """Send while `go_on` says so; return the milliseconds of each message."""
        begun: dict[str, int] = {}
        sending = []
        while go_on():
            self.sent += 1
            recipient = f"user{self.sent}@example.net"
            octets = message(self.sent)
            begun[recipient] = time.monotonic_ns()
            sending.append(asyncio.create_task(self.queue.submit(octets)))
            await asyncio.sleep(EVERY)
        for task in sending:
            self.ids += [made.id for made in (await task).messages]
        return [
            (await asyncio.to_thread(self.target.arrival, recipient, 60.0) - start) / 1e6
            for recipient, start in begun.items()
        ]


async def deliver(database: str) -> dict[str, Any]:
    """Run the engine and the flow, until the parent has done its part of each phase."""
    with remote() as target:
        async with AsyncQueue(database) as queue:
            await queue.transports.add(
                "small", kind="relay", host="127.0.0.1", port=target.port, default=True
            )
            retirement, flow = Retirement(), Flow(queue, target)
            engine = Engine(queue, listener=retirement.listen)
            running = asyncio.create_task(engine.run())
            await flow.run(lambda: flow.sent < WARM_UP)
            found = {}
            for name in PHASES:
                forget_peak()
                before = memory()
                print(name, flush=True)
                told = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
                taken = await flow.run(lambda: not told.done())  # noqa: B023 - it runs within this turn
                found[name] = {"taken": taken, "growth": peak_memory() - before}
            await retirement.reaches(flow.sent + LARGE)
            await read_back(queue, set(flow.ids))
            engine.stop()
            await running
    return found


def child(database: str) -> None:
    logging.basicConfig(filename=f"{database}.log", level=logging.INFO)
    with asyncio.Runner(loop_factory=loop_factory("uvloop")) as runner:
        print(json.dumps(runner.run(deliver(database))), flush=True)


def submit_large(queue: Queue, size: int) -> list[int]:
    """Submit the large messages, which are held. Returns their ids."""
    octets = message(0, "large.example")
    octets += (b"Y" * 76 + b"\r\n") * ((size - len(octets)) // 78)
    return [made.id for _ in range(LARGE) for made in queue.submit(io.BytesIO(octets)).messages]


def release_large(queue: Queue, ids: list[int], target: Sink) -> None:
    """Release the large messages, each when the one before has arrived."""
    for number, message_id in enumerate(ids, 1):
        queue.release(message_id)
        target.wait_for(number, 60)


async def check(database: Path, ids: set[int]) -> None:
    async with AsyncQueue(database) as queue:
        await read_back(queue, ids)


def measure(size: int) -> dict[str, Any]:
    """Run once, with an engine in a process of its own."""
    with folder("v8") as home, sink() as large:
        database = home / "queue.db"
        with Queue(database) as queue:
            queue.transports.add("large", kind="relay", host="127.0.0.1", port=large.port)
            queue.routes.add("large", recipient_domain="large.example")
            queue.hold_rules.add(recipient_domain="large.example")
            command = [sys.executable, __file__, "--work", str(database)]
            pipe = subprocess.PIPE
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=Path(__file__).parent)
            assert process.stdin
            assert process.stdout
            ids: list[int] = []
            for name in PHASES:
                assert process.stdout.readline() == f"{name}\n"
                match name:
                    case "alone":
                        time.sleep(ALONE)
                    case "submitted":
                        ids = submit_large(queue, size)
                    case "delivered":
                        release_large(queue, ids, large)
                process.stdin.write("done\n")
                process.stdin.flush()
            said, _ = process.communicate(timeout=120)
        asyncio.run(check(database, set(ids)))
    return json.loads(said)


def latency(taken: list[float]) -> str:
    tail = f"99 % within {percentile(taken, 0.99):.1f}, worst {max(taken):.1f}"
    return f"median {statistics.median(taken):.1f} ms, {tail}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        child(options.work)
        return
    size = QUICK_SIZE if options.quick else SIZE
    runs = [measure(size) for _ in range(1 if options.quick else options.rounds)]
    growth = {name: [run[name]["growth"] for run in runs] for name in PHASES}
    taken = {name: [each for run in runs for each in run[name]["taken"]] for name in PHASES}
    alone = f"{spread(growth['alone'], '.1f')} MiB with small mail alone"
    text = f"{spread(growth['delivered'], '.1f')} MiB; {alone}"
    report("V8 growth of the engine's memory", text, quick=options.quick)
    print(f"small mail alone: {latency(taken['alone'])}")
    for name in ("submitted", "delivered"):
        ratios = [
            statistics.median(run[name]["taken"]) / statistics.median(run["alone"]["taken"]) for run in runs
        ]
        text = f"{latency(taken[name])}; {spread(ratios, '.1f')} x the median alone"
        report(f"V8 small mail while large is {name}", text, quick=options.quick)


if __name__ == "__main__":
    main()
