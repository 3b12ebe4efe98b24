"""What the benchmarks share: the sink, the messages, CPU time, and the one line that each prints.

The rule: only ratios of runs taken in turn count, so a script measures its peer between its own runs.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PAYLOAD = 4096
"""Octets of a message's body, as `smtp-source -l` counts them."""
TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One measured run."""

    messages: int
    seconds: float
    cpu: float
    """Seconds of CPU, user and system, of all processes of the mail system."""

    @property
    def rate(self) -> float:
        return self.messages / self.seconds

    @property
    def cpu_per_1000(self) -> float:
        return self.cpu / self.messages * 1000


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def wait_for_port(port: int, seconds: float = 10) -> None:
    """Return when somebody listens on `port`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


class Sink:
    """Postfix's smtp-sink: takes every message, counts them, keeps nothing."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self.count = 0
        self._moved = threading.Condition()
        self._process = subprocess.Popen(
            [tool("smtp-sink"), "-c", "-u", "nobody", *options, f"127.0.0.1:{self.port}", "1000"],
            stdout=subprocess.PIPE,
        )
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        wait_for_port(self.port)

    def _watch(self) -> None:
        """Read the counters that it prints after each message: `sess=1 quit=1 mesg=27\\r`."""
        assert self._process.stdout
        while chunk := os.read(self._process.stdout.fileno(), 65536):
            seen = chunk.rpartition(b"\r")[0].rpartition(b"mesg=")[2].split(b" ")[0].strip()
            with self._moved:
                self.count = int(seen) if seen.isdigit() else self.count
                self._moved.notify_all()

    def wait_for(self, count: int, seconds: float) -> float:
        """Return the moment (`time.perf_counter`) at which `count` messages had come in all."""
        with self._moved:
            if not self._moved.wait_for(lambda: self.count >= count, seconds):
                raise TimeoutError(f"{self.count} of {count} messages after {seconds} s")
            return time.perf_counter()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._thread.join()
        assert self._process.stdout
        self._process.stdout.close()


@contextmanager
def sink(*options: str) -> Iterator[Sink]:
    """A sink that ends with the block; with `"-r", "rcpt"` it refuses every recipient for now."""
    it = Sink(*options)
    try:
        yield it
    finally:
        it.close()


@contextmanager
def silent(addresses: Iterable[str], port: int = 0) -> Iterator[int]:
    """Dead servers: the connection is made (by the kernel), and never anything is said. Gives their port."""
    with ExitStack() as stack:
        for address in addresses:
            port = stack.enter_context(socket.create_server((address, port), backlog=64)).getsockname()[1]
        yield port


@contextmanager
def folder(name: str) -> Iterator[Path]:
    """An empty folder on the disk of the temporary folder (which must not be a RAM disk), gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix=f"mailqueue-{name}-"))
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def tool(name: str) -> str:
    """Return the path of a tool of Debian's package postfix."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise SystemExit(f"{name} is missing: apt-get install postfix")
    return found


def message(number: int, domain: str = "example.net") -> bytes:
    """Return a message of 4 KiB and a few lines of header, as bytes, as an application would hand it in."""
    line = b"X" * 78 + b"\r\n"
    header = (
        f"From: sender@example.org\r\nTo: user{number}@{domain}\r\nSubject: message {number}\r\n"
        "Date: Mon, 02 Jan 2034 03:04:05 +0000\r\n"
        f"Message-ID: <{number}.{time.time_ns()}@example.org>\r\n\r\n"
    )
    return header.encode() + (line * (PAYLOAD // len(line) + 1))[: PAYLOAD - 2] + b"\r\n"


def loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """Return what makes an event loop: `uvloop` or `asyncio`."""
    if name == "asyncio":
        return asyncio.new_event_loop
    import uvloop

    return uvloop.new_event_loop


def apart(script: str, **work: object) -> Any:
    """Run `script --work JSON` as a process of its own, and return what its last line says, JSON too."""
    command = [sys.executable, script, "--work", json.dumps(work)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, cwd=Path(__file__).parent)
    return json.loads(done.stdout.splitlines()[-1])


def memory() -> float:
    """Return the mebibytes that this process has in memory now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_memory() -> float:
    """Return the most mebibytes that this process had in memory, since it began or since `forget_peak`."""
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0]) / 1024


def forget_peak() -> None:
    """Let `peak_memory` begin anew."""
    Path("/proc/self/clear_refs").write_text("5")


def own_cpu() -> float:
    """Return seconds of CPU that this process has used, its threads included."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def tree_cpu(root: int) -> float:
    """Return seconds of CPU of a process, all that descend from it, and all of those that have ended."""
    stats = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        stats[int(path.parent.name)] = (int(fields[1]), sum(map(int, fields[11:15])))
    family, found = {root}, True
    while found:
        more = {pid for pid, (parent, _) in stats.items() if parent in family} - family
        found = bool(more)
        family |= more
    return sum(stats[pid][1] for pid in family if pid in stats) / TICK


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` (0 to 1) of them lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values: Sequence[float], form: str = ",.0f") -> str:
    """Return the median with the least and the greatest: `4,200 (3,900..4,350)`."""
    return f"{statistics.median(values):{form}} ({min(values):{form}}..{max(values):{form}})"


def report(goal: str, text: str, *, quick: bool) -> None:
    """Print the line of a goal; `quick`: it was taken at less than the row's size."""
    print(f"{goal}: {text}" + ("  NOT THE GOAL (smaller than its row)" if quick else ""), flush=True)
