"""Kill engines and submitting processes under load, then count: nothing lost, nothing twice without a mark.

    python tests/crash.py --kills 300 --seed 7

Two engines and two submitting processes work on one file, against a receiver process that has each message on
disk before its 250. Whenever the receiver takes 300 messages a second or more, one of them (or both engines)
gets SIGKILL after a random moment, and a new one takes its place. After the last drain:

- what `submit` returned for was received, and is in the history as delivered;
- what an application wrote in the transaction of its mail is there if and only if the mail is;
- a message that was received n times has n - 1 attempts at least that are marked uncertain or interrupted;
- `check_integrity` finds nothing, and no engine is left noted as at work.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import os
import random
import select
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from mailqueue import Engine, Queue

LOAD = 300
"""Messages a second at the receiver, before anything is killed."""
WINDOW = 0.3
"""Seconds over which that is measured."""
BURST, PACE = 12, 0.03
"""Messages that a submitting process submits at a time; seconds between two bursts."""
ENGINES, PATIENCE = 2, 120.0
MARKS = {"uncertain", "interrupted"}
CONTENT = b"From: a@example.org\r\nTo: b@example.net\r\nDate: Mon, 02 Jan 2034 03:04:05 +0000\r\n"


# --- the processes that are killed ----------------------------------------------------------------
def engine_role(home: Path, name: str, port: str) -> None:
    """Deliver until standard input ends."""
    logging.basicConfig(filename=home / "engine.log", level=logging.INFO)
    engine = Engine(Queue(home / "queue.db"), relay=f"127.0.0.1:{port}", connections=20)
    engine.start()
    print("ready", flush=True)
    sys.stdin.read()
    engine.stop()


class Submitter:
    """Submits bursts of messages, and notes each Message-ID once `submit` or the commit has returned."""

    def __init__(self, home: Path, name: str) -> None:
        self.queue = Queue(home / "queue.db")
        self.connection = sqlite3.connect(home / "queue.db", timeout=30)
        self.pool = ThreadPoolExecutor(BURST)
        self.log = os.open(home / "submitted", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.ids = (f"<{name}.{number}@crash.example>" for number in itertools.count())

    def note(self, message_id: str) -> None:
        os.write(self.log, f"{message_id}\n".encode())

    def plain(self) -> None:
        """Submit from many threads at once; they share commits."""

        def submit(message_id: str) -> None:
            self.queue.submit(content(message_id), schedule="crash")
            self.note(message_id)

        list(self.pool.map(submit, itertools.islice(self.ids, BURST)))

    def transaction(self) -> None:
        """Submit in the transactions of an application that writes rows of its own."""
        burst = list(itertools.islice(self.ids, BURST))
        with self.connection:
            for message_id in burst:
                self.connection.execute("INSERT INTO app (message_id) VALUES (?)", (message_id,))
                self.queue.submit(content(message_id), schedule="crash", connection=self.connection)
        for message_id in burst:
            self.note(message_id)


def content(message_id: str) -> bytes:
    return CONTENT + f"Message-ID: {message_id}\r\n\r\n{message_id}\r\n".encode()


def submitter_role(home: Path, name: str, door: str) -> None:
    """Submit until standard input ends."""
    submitter = Submitter(home, name)
    print("ready", flush=True)
    while not select.select([sys.stdin], [], [], PACE)[0]:
        getattr(submitter, door)()
    submitter.queue.close()


ROLES = {"engine": engine_role, "submitter": submitter_role}


# --- the test -------------------------------------------------------------------------------------
@dataclass
class Worker:
    """A place that is always taken by one process: when it is killed, by the next."""

    home: Path
    role: str
    argument: str
    process: subprocess.Popen[str] = field(init=False)
    started: int = 0

    def start(self) -> None:
        self.started += 1
        name = f"{self.role}-{self.argument}-{self.started}"
        command = [sys.executable, __file__, "--role", self.role, str(self.home), name, self.argument]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ready(self) -> None:
        assert self.process.stdout
        if self.process.stdout.readline() != "ready\n":
            raise SystemExit(f"a {self.role} did not start; see {self.home}")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self._gone()
        self.start()

    def finish(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        if self._gone() != 0:
            raise SystemExit(f"a {self.role} ended with {self.process.returncode}; see {self.home}")

    def _gone(self) -> int:
        code = self.process.wait(PATIENCE)
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe:
                pipe.close()
        return code


class Receiver:
    """The receiver process and its log."""

    def __init__(self, home: Path) -> None:
        self.log = home / "received"
        script = Path(__file__).parent / "support/receiver.py"
        command = [sys.executable, str(script), "--log", str(self.log), "--final-delay", "0.01"]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout
        self.port = self._process.stdout.readline().strip()
        self._seen = self._count = 0

    def count(self) -> int:
        """Return how many messages it has taken."""
        with self.log.open("rb") as log:
            log.seek(self._seen)
            new = log.read()
        self._seen += len(new)
        self._count += new.count(b"\n")
        return self._count

    def wait_for_load(self) -> float:
        """Return the rate (messages a second) once it is LOAD or more."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            before, start = self.count(), time.monotonic()
            time.sleep(WINDOW)
            rate = (self.count() - before) / (time.monotonic() - start)
            if rate >= LOAD:
                return rate
        raise SystemExit(f"{LOAD} messages a second were not reached")

    def received(self) -> Counter[str]:
        """Return how often each Message-ID came."""
        with self.log.open() as log:
            return Counter(json.loads(line)["message_id"] for line in log)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()


def prepare(home: Path) -> Queue:
    """Make the database, with an application's own table in it and a schedule of short delays."""
    queue = Queue(home / "queue.db")
    queue.schedules.add("crash", "0.5s, 1s*; uncertain: 1s*", lifetime=timedelta(hours=1))
    connection = sqlite3.connect(home / "queue.db")
    connection.execute("CREATE TABLE app (message_id TEXT PRIMARY KEY)")
    connection.close()
    return queue


def kill_some(receiver: Receiver, workers: list[Worker], kills: int, chance: random.Random) -> list[float]:
    """Kill `kills` processes, each under load. Returns the rates at which that was."""
    engines, rates, done = workers[:ENGINES], [], 0
    while done < kills:
        rates.append(receiver.wait_for_load())
        time.sleep(chance.uniform(0, 0.2))
        both = chance.random() < 0.15 and done + len(engines) <= kills
        victims = engines if both else [chance.choice(workers)]
        for victim in victims:
            victim.kill()
        for victim in victims:
            victim.ready()
        done += len(victims)
    return rates


def drain(queue: Queue) -> None:
    """Return when the queue is empty."""
    deadline = time.monotonic() + PATIENCE
    while (status := queue.status()).queued + status.claimed:
        if time.monotonic() > deadline:
            raise SystemExit(f"the queue does not become empty: {status}")
        time.sleep(0.05)


def history(queue: Queue) -> Iterator[tuple[str, int, str]]:
    """Yield Message-ID, id and state of every retired message."""
    after: str | None = None
    while True:
        page = queue.retired.list(limit=1000, after=after)
        yield from ((found.message_id, found.id, found.state) for found in page.items)
        after = page.next
        if after is None:
            return


def faults(home: Path, queue: Queue, received: Counter[str], submitted: set[str]) -> Iterator[str]:
    """Yield every way in which what happened is not what must have happened."""
    kept = {message_id: (number, state) for message_id, number, state in history(queue)}
    yield from (f"submitted, not received: {lost}" for lost in submitted - received.keys())
    yield from (f"received, not in the history: {lost}" for lost in received.keys() - kept.keys())
    yield from (f"{state}: {message_id}" for message_id, (_, state) in kept.items() if state != "delivered")
    connection = sqlite3.connect(home / "queue.db")
    written = {row[0] for row in connection.execute("SELECT message_id FROM app")}
    connection.close()
    sent = {message_id for message_id in kept if message_id.startswith("<submitter-transaction")}
    yield from (f"the application's row and its mail disagree: {odd}" for odd in written ^ sent)
    for message_id, times in received.items():
        if times > 1 and message_id in kept:
            attempts = queue.attempts(kept[message_id][0])
            if sum(attempt.outcome in MARKS for attempt in attempts) < times - 1:
                yield f"received {times} times without a mark: {message_id}"
    yield from queue.check_integrity()
    yield from (f"still noted as at work: engine {engine.id}" for engine in queue.status().engines)


def run(home: Path, kills: int, seed: int) -> int:
    start, chance = time.monotonic(), random.Random(seed)
    queue, receiver = prepare(home), Receiver(home)
    engines = [Worker(home, "engine", receiver.port) for _ in range(ENGINES)]
    submitters = [Worker(home, "submitter", door) for door in ("plain", "transaction")]
    workers = engines + submitters
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.ready()
    rates = kill_some(receiver, workers, kills, chance)
    for worker in submitters:
        worker.finish()
    drain(queue)
    for worker in engines:
        worker.finish()
    received, submitted = receiver.received(), set((home / "submitted").read_text().split())
    receiver.close()
    found = list(faults(home, queue, received, submitted))
    queue.close()
    killed = [sum(worker.started - 1 for worker in group) for group in (engines, submitters)]
    print(
        f"crash: seed {seed}, {killed[0]} engines and {killed[1]} submitters killed"
        f" at {min(rates):,.0f} to {max(rates):,.0f} messages/s; {len(submitted):,} submitted,"
        f" {len(received):,} received, {sum(n > 1 for n in received.values())} of them more than once;"
        f" {len(found)} faults; {time.monotonic() - start:.0f} s"
    )
    for fault in found[:50]:
        print(" ", fault)
    return 1 if found else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--kills", type=int, default=15)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--keep", metavar="FOLDER", help="work in this folder and leave it there")
    parser.add_argument("--role", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        role, home, name, argument = options.role
        ROLES[role](Path(home), name, argument)
        return 0
    if options.keep:
        Path(options.keep).mkdir(parents=True)
        return run(Path(options.keep), options.kills, options.seed)
    with tempfile.TemporaryDirectory(prefix="mailqueue-crash-") as home:
        return run(Path(home), options.kills, options.seed)


if __name__ == "__main__":
    sys.exit(main())
