"""V5: idle latency, from calling submit to the end of the data at the remote; CPU of an idle engine.

    python benchmarks/v5_latency.py [--quick] [--messages 30]

Three doors in turn, each message after more than a second of quiet: submit in the engine's process, submit in
another process, submit in another process inside the caller's own transaction (committed at once). Postfix
in turn, by smtplib over a new connection, is the peer. The remote is a process that tells the moment.
"""

from __future__ import annotations

import argparse
import smtplib
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from common import folder, message, percentile, report, tree_cpu
from peer_postfix import postfix
from remote import Remote, remote

from mailqueue import Engine, Queue

MESSAGES, QUICK_MESSAGES = 30, 4
QUIET = 1.3
IDLE, QUICK_IDLE = 30.0, 5.0
"""Seconds over which the CPU of an idle engine is taken."""

Send = Callable[[bytes], object]


def engine_process(database: str, relay: str) -> None:
    """Run an engine until standard input ends."""
    engine = Engine(Queue(database), relay=relay)
    engine.start()
    print("running", flush=True)
    sys.stdin.read()
    engine.stop()


@contextmanager
def engine_elsewhere(database: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """An engine in another process that ends with the block."""
    command = [sys.executable, __file__, "--engine", str(database), f"127.0.0.1:{port}"]
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=Path(__file__).parent)
    assert process.stdout
    assert process.stdout.readline() == "running\n"
    try:
        yield process
    finally:
        process.communicate(timeout=60)


def by_postfix(port: int) -> Send:
    def send(octets: bytes) -> None:
        with smtplib.SMTP("127.0.0.1", port) as client:
            recipient = octets.partition(b"To: ")[2].partition(b"\r\n")[0].decode()
            client.sendmail("sender@example.org", recipient, octets)

    return send


def by_transaction(queue: Queue, database: Path) -> Send:
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA synchronous = FULL")

    def send(octets: bytes) -> None:
        with connection:
            queue.submit(octets, connection=connection)

    return send


def latency(send: Send, number: int, target: Remote) -> float:
    """Return the milliseconds of one message."""
    octets = message(number)
    start = time.monotonic_ns()
    send(octets)
    return (target.arrival(f"user{number}@example.net") - start) / 1e6


def idle_cpu(process: subprocess.Popen[str], seconds: float) -> float:
    """Return the share of one core that an engine with nothing to do takes."""
    time.sleep(QUIET)
    before = tree_cpu(process.pid)
    time.sleep(seconds)
    return (tree_cpu(process.pid) - before) / seconds


def doors(stack: ExitStack, target: Remote) -> tuple[dict[str, Send], subprocess.Popen[str]]:
    """Start an engine for each door. Returns the doors, and the process of the engine that is elsewhere."""
    home = stack.enter_context(folder("v5"))
    inside = stack.enter_context(Queue(home / "inside.db"))
    engine = Engine(inside, relay=f"127.0.0.1:{target.port}")
    engine.start()
    stack.callback(engine.stop)
    elsewhere = stack.enter_context(engine_elsewhere(home / "elsewhere.db", target.port))
    outside = stack.enter_context(Queue(home / "elsewhere.db"))
    peer = stack.enter_context(postfix(target.port, {}))
    ways = {
        "in one process": inside.submit,
        "from another process": outside.submit,
        "in the caller's transaction": by_transaction(outside, home / "elsewhere.db"),
        "Postfix": by_postfix(peer.port),
    }
    return ways, elsewhere


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--messages", type=int, default=MESSAGES)
    parser.add_argument("--engine", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.engine:
        engine_process(*options.engine)
        return
    count = QUICK_MESSAGES if options.quick else options.messages
    with ExitStack() as stack:
        target = stack.enter_context(remote())
        ways, process = doors(stack, target)
        times: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(count * len(ways)):
            name = list(ways)[number % len(ways)]
            time.sleep(QUIET)
            times[name].append(latency(ways[name], number, target))
        idle = idle_cpu(process, QUICK_IDLE if options.quick else IDLE)
    peer = statistics.median(times["Postfix"])
    for name, taken in times.items():
        middle = statistics.median(taken)
        tail = f"(least {min(taken):.1f}, 95 % within {percentile(taken, 0.95):.1f})"
        report(f"V5 {name}", f"{middle:.1f} ms {tail}; {middle / peer:.1f} x Postfix's", quick=options.quick)
    report("V5 an idle engine", f"{idle:.2%} of a core", quick=options.quick)


if __name__ == "__main__":
    main()
