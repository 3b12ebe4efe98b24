"""V10: TLS to every destination, connections kept, from submit to retired; V1 in turn.

    python benchmarks/v10_tls.py [--quick] [--rounds 5] [--destinations 100] [--messages N]

As V1, but mail goes directly to 100 domains, at one remote that wants STARTTLS (smtp-sink has none). In turn
with it run V1 itself, and the same as here with a remote that offers no TLS, to tell TLS from the rest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import time
from typing import Any

from common import Run, apart, folder, loop_factory, message, own_cpu, report, spread
from loopback import Loopback
from peer_postfix import line
from tls_remote import certificate, tls_remote
from v1_end_to_end import QUICK_SIZE, SIZE, WARM_UP, Retirement, measure_mailqueue, read_back, submit_all
from v3_submit import ratios

from mailqueue import AsyncQueue, Engine


async def send(work: dict[str, Any]) -> dict[str, Any]:
    """Run once in this event loop."""
    domains = [f"d{number}.example.net" for number in range(work["destinations"])]
    messages = [message(number, domains[number % len(domains)]) for number in range(work["size"])]
    async with AsyncQueue(work["database"]) as queue:
        await queue.transports.add("direct", kind="direct", port=work["port"], allow_private=True)
        retirement = Retirement()
        engine = Engine(queue, resolver=Loopback(lambda domain: "127.0.0.1"), listener=retirement.listen)
        running = asyncio.create_task(engine.run())
        await submit_all(queue, [message(number) for number in range(WARM_UP)])
        await retirement.reaches(WARM_UP)
        cpu, start = own_cpu(), time.perf_counter()
        ids = await submit_all(queue, messages)
        await retirement.reaches(WARM_UP + len(messages))
        run = {"seconds": time.perf_counter() - start, "cpu": own_cpu() - cpu}
        await read_back(queue, set(ids))
        engine.stop()
        await running
    return run


def child(work: dict[str, Any]) -> None:
    logging.basicConfig(filename=f"{work['database']}.log", level=logging.INFO)
    with asyncio.Runner(loop_factory=loop_factory(work["loop"])) as runner:
        print(json.dumps(runner.run(send(work))))


def measure(loop: str, size: int, destinations: int, *, tls: bool) -> tuple[Run, int]:
    """Run once in a process of its own. Returns the run and how many connections it took."""
    with folder("v10") as home, tls_remote(*(certificate(home) if tls else ())) as remote:
        work = {"port": remote.port, "loop": loop, "size": size, "destinations": destinations}
        found = apart(__file__, database=str(home / "queue.db"), **work)
    taken = remote.counts["under TLS" if tls else "in the clear"]
    assert taken == WARM_UP + size, f"the remote has {remote.counts}"
    return Run(messages=size, **found), remote.counts["connections"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--destinations", type=int, default=100)
    parser.add_argument("--messages", type=int, default=SIZE)
    parser.add_argument("--work", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        child(options.work)
        return
    size, destinations = (QUICK_SIZE, 10) if options.quick else (options.messages, options.destinations)
    loops = ("asyncio", "uvloop")
    runs: dict[tuple[str, str], list[Run]] = {
        (loop, kind): [] for loop in loops for kind in ("TLS", "clear", "V1")
    }
    connections = []
    for _ in range(1 if options.quick else options.rounds):
        for loop in loops:
            for kind in ("TLS", "clear"):
                run, made = measure(loop, size, destinations, tls=kind == "TLS")
                runs[loop, kind].append(run)
                if kind == "TLS":
                    connections.append(made)
            runs[loop, "V1"].append(measure_mailqueue(loop, size, 1))
    for loop in loops:
        tls, clear, first = (runs[loop, kind] for kind in ("TLS", "clear", "V1"))
        print(f"V1 with {loop}: {line(first)}; as here in the clear: {line(clear)}")
        text = (
            f"{line(tls)}; {spread(ratios(tls, first), '.2f')} x V1, "
            f"{spread(ratios(tls, clear), '.2f')} x the same in the clear; {spread(connections)} connections"
        )
        report(f"V10 with {loop}", text, quick=size < SIZE)


if __name__ == "__main__":
    main()
