"""Postfix as a peer: a private instance in a temporary folder, fed by smtp-source, delivering to smtp-sink.

It keeps its durable defaults; the tunings change concurrency, connections and the input delay only. Run by
itself it compares them: `python benchmarks/peer_postfix.py [--messages N] [--domains N]`. Needs root.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common import Run, folder, free_port, sink, spread, tool, tree_cpu, wait_for_port

TUNINGS: dict[str, dict[str, str]] = {
    "defaults": {},
    "no input delay": {"in_flow_delay": "0"},
    "connections kept": {
        "in_flow_delay": "0",
        "smtp_connection_cache_destinations": "static:all",
        "smtp_connection_cache_time_limit": "10s",
    },
    "wide": {
        "in_flow_delay": "0",
        "default_destination_concurrency_limit": "60",
        "initial_destination_concurrency": "20",
        "default_process_limit": "200",
        "qmgr_message_active_limit": "50000",
        "qmgr_message_recipient_limit": "50000",
    },
}

ACCEPT_ONLY = {"smtpd_data_restrictions": "check_client_access static:HOLD", "in_flow_delay": "0"}
QUEUES = ("incoming", "active", "deferred", "maildrop", "hold")
WARM_UP = 200
TOGETHER = 50
"""Recipients of one transaction: its default_destination_recipient_limit."""

MAIN = """\
compatibility_level = 3.6
queue_directory = {folder}/spool
data_directory = {folder}/data
myhostname = peer.example.org
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
relayhost = [127.0.0.1]:{sink}
alias_maps =
alias_database =
local_recipient_maps =
multi_instance_enable = yes
"""

MASTER = """\
{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
"""


class Postfix:
    """A running instance."""

    def __init__(self, home: Path, sink_port: int, tuning: dict[str, str]) -> None:
        self.port = free_port()
        self._config = home / "config"
        for name in ("config", "data", "spool"):
            (home / name).mkdir()
        subprocess.run(["chown", "postfix", str(home / "data")], check=True)
        lines = [
            MAIN.format(folder=home, sink=sink_port),
            *(f"{key} = {text}\n" for key, text in tuning.items()),
        ]
        (self._config / "main.cf").write_text("".join(lines))
        (self._config / "master.cf").write_text(MASTER.format(port=self.port))
        self._postfix("start")
        wait_for_port(self.port)
        self.master = int((home / "spool/pid/master.pid").read_text())

    def _postfix(self, verb: str) -> None:
        command = [tool("postfix"), "-c", str(self._config), verb]
        done = subprocess.run(command, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
        if done.returncode:
            raise SystemExit(f"postfix {verb}: {done.stdout}{done.stderr}")

    def release(self) -> None:
        """Take everything from hold and run the queue."""
        for command in (
            ["postsuper", "-c", str(self._config), "-H", "ALL"],
            ["postqueue", "-c", str(self._config), "-f"],
        ):
            subprocess.run([tool(command[0]), *command[1:]], check=True, capture_output=True)

    def waiting(self) -> int:
        """Return how many messages are in its queue."""
        spool = self._config.parent / "spool"
        return sum(path.is_file() for queue in QUEUES for path in (spool / queue).rglob("*"))

    def wait_until_empty(self, seconds: float = 30) -> None:
        """Return when nothing is in its queue any more."""
        deadline = time.monotonic() + seconds
        while self.waiting():
            if time.monotonic() > deadline:
                raise SystemExit("Postfix has not delivered everything")
            time.sleep(0.05)

    def cpu(self) -> float:
        """Return seconds of CPU of all its processes, those that have ended included."""
        return tree_cpu(self.master)

    def stop(self) -> None:
        self._postfix("stop")


@contextmanager
def postfix(sink_port: int, tuning: dict[str, str]) -> Iterator[Postfix]:
    """An instance that ends with the block."""
    with folder("postfix") as home:
        instance = Postfix(home, sink_port, tuning)
        try:
            yield instance
        finally:
            instance.stop()


def feed(port: int, messages: int, sessions: int, domains: int) -> list[subprocess.Popen[bytes]]:
    """Send `messages` by smtp-source, over `sessions` connections in all, to one user in each domain."""
    common = [tool("smtp-source"), "-d", "-l", "4096", "-f", "sender@example.org"]
    shares = [messages // domains + (number < messages % domains) for number in range(domains)]
    each = max(1, sessions // domains)
    target = f"127.0.0.1:{port}"
    return [
        subprocess.Popen(
            [*common, "-s", str(min(each, n)), "-m", str(n), "-t", f"user@d{i}.example.net", target]
        )
        for i, n in enumerate(shares)
        if n
    ]


def measure(tuning: str, messages: int, *, sessions: int = 10, domains: int = 1) -> Run:
    """Feed an instance and wait until the sink has everything and its queue is empty."""
    with sink() as remote, postfix(remote.port, TUNINGS[tuning]) as instance:
        for process in feed(
            instance.port, WARM_UP, sessions, 1
        ):  # so that its processes are there, as ours are
            process.wait()
        remote.wait_for(WARM_UP, 60)
        cpu, start = instance.cpu(), time.perf_counter()
        sources = feed(instance.port, messages, sessions, domains)
        end = remote.wait_for(WARM_UP + messages, 600)
        instance.wait_until_empty()
        cpu = instance.cpu() - cpu
        if [process.wait() for process in sources] != [0] * len(sources):
            raise SystemExit("Postfix has not taken everything")
    return Run(messages=messages, seconds=end - start, cpu=cpu)


def measure_accept(messages: int, *, sessions: int = 50) -> Run:
    """Feed an instance that puts everything on hold, and wait until it has accepted all."""
    with sink() as remote, postfix(remote.port, ACCEPT_ONLY) as instance:
        for process in feed(instance.port, WARM_UP, sessions, 1):
            process.wait()
        cpu, start = instance.cpu(), time.perf_counter()
        for process in feed(instance.port, messages, sessions, 1):
            process.wait()
        seconds, cpu = time.perf_counter() - start, instance.cpu() - cpu
        if instance.waiting() != WARM_UP + messages:
            raise SystemExit("Postfix has not accepted everything")
    return Run(messages=messages, seconds=seconds, cpu=cpu)


def measure_drain(tuning: str, messages: int) -> Run:
    """Let an instance accept `messages` and hold them; measure from their release to the end of the last."""
    with sink() as remote, postfix(remote.port, {**TUNINGS[tuning], **ACCEPT_ONLY}) as instance:
        for size, total in ((WARM_UP, WARM_UP), (messages, WARM_UP + messages)):
            for process in feed(instance.port, size, 50, 1):
                process.wait()
            cpu, start = instance.cpu(), time.perf_counter()
            instance.release()
            end = remote.wait_for(total, 600)
            instance.wait_until_empty()
        cpu = instance.cpu() - cpu
    return Run(messages=messages, seconds=end - start, cpu=cpu)


def measure_many_recipients(tuning: str, recipients: int, times: int) -> list[float]:
    """Return the seconds of each of `times` messages to so many recipients, one message after the other."""
    taken = []
    with sink() as remote, postfix(remote.port, TUNINGS[tuning]) as instance:
        for process in feed(instance.port, WARM_UP, 10, 1):
            process.wait()
        remote.wait_for(WARM_UP, 60)
        each = -(-recipients // TOGETHER)
        source = [tool("smtp-source"), "-l", "4096", "-f", "sender@example.org", "-t", "user@d0.example.net"]
        for number in range(times):
            start = time.perf_counter()
            subprocess.run([*source, "-r", str(recipients), f"127.0.0.1:{instance.port}"], check=True)
            taken.append(remote.wait_for(WARM_UP + (number + 1) * each, 60) - start)
            instance.wait_until_empty()
    return taken


def line(runs: list[Run]) -> str:
    rates, cpu = [run.rate for run in runs], [run.cpu_per_1000 for run in runs]
    return f"{spread(rates)} msg/s, CPU {spread(cpu, '.2f')} s/1,000"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=5000)
    parser.add_argument("--domains", type=int, default=1)
    parser.add_argument("--sessions", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    runs: dict[str, list[Run]] = {name: [] for name in TUNINGS}
    for _ in range(options.rounds):
        for name, taken in runs.items():
            run = measure(name, options.messages, sessions=options.sessions, domains=options.domains)
            taken.append(run)
    for name, taken in runs.items():
        print(f"Postfix, {name}: {line(taken)}")
    best = max(runs, key=lambda name: statistics.median(run.rate for run in runs[name]))
    print(f"best: {best}")


if __name__ == "__main__":
    main()
