"""What comes back: bounces taken in a second, by `queue.incoming` and by the listener.

    python benchmarks/incoming.py [--quick] [--rounds 5]

Each bounce is a report of another message that was delivered, matched by ENVID. Beside it in turn: reading
the same bounces without a queue; and, of the listener, Postfix's smtp-sink, which takes the same from the
same 20 clients by LMTP and keeps nothing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common import Run, apart, folder, own_cpu, report, sink, spread, tree_cpu

from mailqueue import Engine, Queue
from mailqueue.mail import dsn, incoming
from mailqueue.mail.codes import EnhancedCode

SIZE, QUICK_SIZE = 5_000, 500
CLIENTS = 20
DOMAIN = "bounces.example.org"
ORIGINAL = b"From: shop@example.org\r\nSubject: Your order\r\n\r\n" + (b"X" * 78 + b"\r\n") * 26


def bounces(size: int) -> list[bytes]:
    return [bounce(number) for number in range(size)]


def bounce(number: int) -> bytes:
    told = dsn.RecipientReport(
        final_recipient=dsn.mailbox(f"user{number}@example.net"),
        action=dsn.Action.FAILED,
        status=EnhancedCode(5, 1, 1),
        diagnostic=dsn.said("550 5.1.1 no such user"),
    )
    return dsn.compose(
        dsn.Draft(
            report=dsn.Report(
                reporting_mta=dsn.host("mx.example.net"),
                original_envelope_id=f"order-{number}",
                recipients=(told,),
            ),
            sender="MAILER-DAEMON@mx.example.net",
            to=f"shop@{DOMAIN}",
            date=1_826_867_460_000_000,
            message_id=f"<{number}@mx.example.net>",
            boundary=f"=_{number}",
            original=ORIGINAL,
            original_subject="Your order",
        )
    )


def deliver(path: Path, size: int) -> None:
    """Make a queue that has delivered `size` messages."""
    with sink() as remote, Queue(path) as queue:
        queue.submit_many(
            {
                "message": b"From: shop@example.org\r\nSubject: x\r\n\r\nx\r\n",
                "recipients": [f"user{number}@example.net"],
                "sender": f"shop@{DOMAIN}",
                "envid": f"order-{number}",
            }
            for number in range(size)
        )
        while queue.status().queued:
            asyncio.run(Engine(queue, relay=f"127.0.0.1:{remote.port}").run(once=True))


def check(path: Path, size: int) -> None:
    with Queue(path) as queue:
        assert queue.incoming_mail.list(limit=1, matched=True).items[0].id == size
        assert queue.retired.show(size).feedback == "bounced"
        assert queue.check_integrity() == []


# --- runs -------------------------------------------------------------------------------------
def reading(size: int) -> Run:
    """Read bounces, without a queue."""
    octets = bounces(size)
    cpu, start = own_cpu(), time.perf_counter()
    for each in octets:
        incoming.read(each, "")
    return Run(messages=size, seconds=time.perf_counter() - start, cpu=own_cpu() - cpu)


def taking(size: int, callers: int) -> Run:
    """Take bounces in, from so many threads."""
    octets = bounces(size)
    with folder("incoming") as home:
        deliver(home / "queue.db", size)
        with Queue(home / "queue.db") as queue, ThreadPoolExecutor(callers) as pool:
            queue.status()
            cpu, start = own_cpu(), time.perf_counter()
            for _ in pool.map(lambda each: queue.incoming(each, sender=""), octets):
                pass
            run = Run(messages=size, seconds=time.perf_counter() - start, cpu=own_cpu() - cpu)
        check(home / "queue.db", size)
    return run


def listening(size: int) -> Run:
    """Hand bounces over by LMTP to the listener."""
    with folder("incoming") as home:
        path = home / "queue.db"
        deliver(path, size)
        command = [sys.executable, "-m", "mailqueue", "--db", str(path), "--json", "incoming", "listen"]
        options = ["--listen", "127.0.0.1:0", "--domain", DOMAIN]
        with (home / "log").open("wb") as log:
            process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=log)
            assert process.stdout
            with process.stdout as printed:
                port = json.loads("".join(printed.readline().decode() for _ in range(4)))["port"]
                cpu = tree_cpu(process.pid)
                seconds = apart(__file__, port=port, size=size)
                run = Run(messages=size, seconds=seconds, cpu=tree_cpu(process.pid) - cpu)
                process.terminate()
                assert process.wait(20) == 0
        check(path, size)
    return run


def sinking(size: int) -> Run:
    """Hand the same over to smtp-sink."""
    with sink("-L") as remote:
        return Run(messages=size, seconds=apart(__file__, port=remote.port, size=size), cpu=0.0)


# --- the clients ------------------------------------------------------------------------------
async def hand_over(port: int, octets: Sequence[bytes]) -> None:
    """Send bounces one after the other on one connection, as a mail server does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def said(code: bytes) -> None:
        while (line := await reader.readline())[3:4] == b"-":
            pass
        assert line[:3] == code, line

    await said(b"220")
    for command, code in ((b"LHLO client.example", b"250"),):
        writer.write(command + b"\r\n")
        await said(code)
    for each in octets:
        envelope = (b"MAIL FROM:<>", f"RCPT TO:<shop@{DOMAIN}>".encode())
        for command, code in (*((line, b"250") for line in envelope), (b"DATA", b"354")):
            writer.write(command + b"\r\n")
            await said(code)
        writer.write(each + b".\r\n")
        await said(b"250")
    writer.close()


def work(port: int, size: int) -> float:
    """Return the seconds that it takes to hand `size` bounces over from all clients."""
    octets = bounces(size)

    async def all_of_them() -> float:
        start = time.perf_counter()
        await asyncio.gather(*(hand_over(port, octets[number::CLIENTS]) for number in range(CLIENTS)))
        return time.perf_counter() - start

    return asyncio.run(all_of_them())


def line(runs: Sequence[Run]) -> str:
    rates = spread([run.rate for run in runs])
    return f"{rates} bounces/s, CPU {spread([run.cpu_per_1000 for run in runs], '.2f')} s/1,000"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--work")
    options = parser.parse_args()
    if options.work:
        print(json.dumps(work(**json.loads(options.work))))
        return
    size = QUICK_SIZE if options.quick else SIZE
    ways = {
        "reading alone": lambda: reading(size),
        "queue.incoming, one caller": lambda: taking(size, 1),
        f"queue.incoming, {CLIENTS} threads": lambda: taking(size, CLIENTS),
        f"the listener, {CLIENTS} clients": lambda: listening(size),
        f"smtp-sink, {CLIENTS} clients": lambda: sinking(size),
    }
    runs: dict[str, list[Run]] = {name: [] for name in ways}
    for _ in range(1 if options.quick else options.rounds):
        for name, way in ways.items():
            runs[name].append(way())
    alone, _, _, _, sunk = runs.values()
    print(f"reading alone: {line(alone)}")
    for name, found in list(runs.items())[1:4]:
        peer, whose = (sunk, "smtp-sink") if "listener" in name else (alone, "reading alone")
        share = statistics.median(one.rate / other.rate for one, other in zip(found, peer, strict=True))
        report(f"incoming, {name}", f"{line(found)}; {share:.2f} x {whose}", quick=options.quick)


if __name__ == "__main__":
    main()
