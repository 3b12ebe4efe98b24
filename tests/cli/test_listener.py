"""`incoming listen`: mail servers hand over by LMTP and SMTP, over real sockets."""

from __future__ import annotations

import asyncio
import signal
import smtplib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.bounces import BOUNCES, bounce
from support.command import LETTER, Command
from support.receiver import Receiver

from mailqueue import Queue
from mailqueue.cli import listener as listening
from mailqueue.cli.listener import Listener, Wanted
from mailqueue.errors import DatabaseBusy
from mailqueue.mail.mime import MAX_MESSAGE

RAW = bounce("ann@example.net", envid="order-1")
SHOP = f"shop@{BOUNCES}"


class Taken:
    """Takes in as the queue does, or fails, and remembers."""

    def __init__(self) -> None:
        self.messages: list[tuple[bytes, str | None, str | None]] = []
        self.trouble: dict[str | None, Exception] = {}
        self.hold: asyncio.Event | None = None

    async def __call__(self, raw: bytes, *, recipient: str | None, sender: str | None) -> None:
        if self.hold is not None:
            await self.hold.wait()
        if recipient in self.trouble:
            raise self.trouble[recipient]
        self.messages.append((raw, recipient, sender))


@contextmanager
def running(taken: Taken, *, lmtp: bool = True, max_size: int = 10 * 2**20) -> Iterator[int]:
    """Run a listener in a thread; gives its port."""
    loop = asyncio.new_event_loop()
    wanted = Wanted(domains=frozenset({BOUNCES}), hostname="here.example", max_size=max_size, lmtp=lmtp)
    listener = Listener(taken, wanted)
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        _, port = asyncio.run_coroutine_threadsafe(listener.start("127.0.0.1", 0), loop).result(10)
        yield port
    finally:
        asyncio.run_coroutine_threadsafe(listener.stop(), loop).result(20)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture
def taken() -> Taken:
    return Taken()


def client(port: int, *, lmtp: bool = True) -> smtplib.SMTP:
    made = (
        smtplib.LMTP("127.0.0.1", port, timeout=20) if lmtp else smtplib.SMTP("127.0.0.1", port, timeout=20)
    )
    made.ehlo_or_helo_if_needed()
    return made


def begin(port: int, *recipients: str, lmtp: bool = True) -> smtplib.SMTP:
    """Return a connection on which the content of a message is awaited."""
    made = client(port, lmtp=lmtp)
    assert made.docmd("MAIL", "FROM:<>")[0] == 250
    for each in recipients or (SHOP,):
        assert made.docmd("RCPT", f"TO:<{each}>")[0] == 250
    assert made.docmd("DATA")[0] == 354
    return made


# --- what is taken ----------------------------------------------------------------------------
def test_smtp_takes_a_bounce_as_it_came(taken: Taken) -> None:
    with running(taken, lmtp=False) as port, client(port, lmtp=False) as sender:
        sender.sendmail("", [SHOP, f"shop+k7x2@{BOUNCES.upper()}"], RAW)
    assert taken.messages == [(RAW, SHOP, ""), (RAW, f"shop+k7x2@{BOUNCES.upper()}", "")]


def test_lmtp_answers_for_each_recipient(taken: Taken) -> None:
    taken.trouble["busy@" + BOUNCES] = DatabaseBusy("locked")
    with running(taken) as port:
        made = begin(port, SHOP, "busy@" + BOUNCES, "other@" + BOUNCES)
        made.send(RAW + b".\r\n")
        assert [made.getreply()[0] for _ in range(3)] == [250, 451, 250]
        made.close()
    assert [recipient for _, recipient, _ in taken.messages] == [SHOP, "other@" + BOUNCES]


def test_smtp_answers_once_and_has_all_of_it_come_again(taken: Taken) -> None:
    taken.trouble["busy@" + BOUNCES] = DatabaseBusy("locked")
    with running(taken, lmtp=False) as port:
        made = begin(port, SHOP, "busy@" + BOUNCES, lmtp=False)
        made.send(RAW + b".\r\n")
        assert made.getreply()[0] == 451
        assert made.noop()[0] == 250
        made.close()


def test_fault_of_ours_has_the_message_come_again(taken: Taken) -> None:
    taken.trouble[SHOP] = RuntimeError("a fault")
    with running(taken) as port:
        made = begin(port, SHOP, "other@" + BOUNCES)
        made.send(RAW + b".\r\n")
        assert [made.getreply()[0] for _ in range(2)] == [451, 250]
        assert made.noop()[0] == 250
        made.close()


@pytest.mark.parametrize("recipient", ["ann@elsewhere.example", f"ann@sub.{BOUNCES}", "ann", "postmaster"])
def test_mail_for_other_domains_is_refused(taken: Taken, recipient: str) -> None:
    with running(taken) as port, client(port) as sender:
        sender.docmd("MAIL", "FROM:<>")
        assert sender.docmd("RCPT", f"TO:<{recipient}>")[0] in (550, 553)
        assert sender.docmd("DATA")[0] == 503


def test_sender_and_recipient_beyond_ascii_are_taken(taken: Taken) -> None:
    with running(taken) as port, client(port) as sender:
        sender.command_encoding = "utf-8"
        assert sender.docmd("MAIL", "FROM:<jörg@example.net> SMTPUTF8 BODY=8BITMIME SIZE=99")[0] == 250
        assert sender.docmd("RCPT", f"TO:<bücher@{BOUNCES}>")[0] == 250
        sender.docmd("DATA")
        sender.send(b"Subject: \xc3\xbc\r\n\r\n\xff\r\n.\r\n")
        assert sender.getreply()[0] == 250
    assert taken.messages == [(b"Subject: \xc3\xbc\r\n\r\n\xff\r\n", f"bücher@{BOUNCES}", "jörg@example.net")]


def test_dots_at_line_starts_are_undone_and_only_a_whole_line_ends_it(taken: Taken) -> None:
    sent = b"..\r\n.x\r\n...\r\n.\n.\r\r\n.\n\r\na\r\n\r\n.\r\n"
    with running(taken) as port:
        made = begin(port)
        made.send(sent)
        assert made.getreply()[0] == 250
        made.close()
    assert taken.messages[0][0] == b".\r\nx\r\n..\r\n\n.\r\r\n\n\r\na\r\n\r\n"


def test_messages_follow_each_other_on_one_connection(taken: Taken) -> None:
    with running(taken) as port:
        made = begin(port)
        made.send(RAW + b".\r\n")
        assert made.getreply()[0] == 250
        made.docmd("MAIL", "FROM:<a@example.net>")
        made.docmd("RCPT", f"TO:<other@{BOUNCES}>")
        made.docmd("DATA")
        made.send(b"x\r\n.\r\n")
        assert made.getreply()[0] == 250
        made.close()
    assert taken.messages[1] == (b"x\r\n", f"other@{BOUNCES}", "a@example.net")


# --- limits -----------------------------------------------------------------------------------
def test_line_of_any_length_costs_no_more_than_is_looked_at(taken: Taken) -> None:
    with running(taken, max_size=200 * 2**20) as port:
        made = begin(port)
        for _ in range(40):
            made.send(b"x" * 2**20)
        made.send(b"\r\n.\r\n")
        assert made.getreply()[0] == 250
        made.close()
    assert taken.messages[0][0] == b"x" * MAX_MESSAGE


def test_message_over_the_limit_is_refused_for_each_recipient(taken: Taken) -> None:
    with running(taken, max_size=1000) as port:
        made = begin(port, SHOP, "other@" + BOUNCES)
        made.send(b"x" * 998 + b"\r\n\r\n.\r\n")
        assert [made.getreply()[0] for _ in range(2)] == [552, 552]
        assert made.docmd("MAIL", "FROM:<> SIZE=1001")[0] == 552
        made.docmd("MAIL", "FROM:<>")
        made.docmd("RCPT", f"TO:<{SHOP}>")
        made.docmd("DATA")
        made.send(b"x" * 998 + b"\r\n.\r\n")
        assert made.getreply()[0] == 250
        made.close()


def test_command_without_end_is_refused_and_the_next_is_heard(taken: Taken) -> None:
    with running(taken) as port, client(port) as sender:
        sender.send(b"MAIL FROM:<" + b"x" * 5_000_000 + b">\r\n")
        assert sender.getreply()[0] == 500
        assert sender.noop()[0] == 250


def test_too_many_recipients_are_told_to_come_again(taken: Taken) -> None:
    with running(taken) as port, client(port) as sender:
        sender.docmd("MAIL", "FROM:<>")
        codes = [sender.docmd("RCPT", f"TO:<r{n}@{BOUNCES}>")[0] for n in range(102)]
    assert codes == [250] * listening.MOST_RECIPIENTS + [452] * 2


def test_too_many_connections_are_told_to_come_again(taken: Taken) -> None:
    with running(taken) as port:
        made = [client(port) for _ in range(listening.MOST_CONNECTIONS)]
        with socket.create_connection(("127.0.0.1", port), 10) as more:
            assert more.recv(100).startswith(b"421 ")
        for each in made:
            each.close()
        for _ in range(100):
            with socket.create_connection(("127.0.0.1", port), 10) as again:
                if again.recv(100).startswith(b"220 "):
                    break
        else:
            pytest.fail("those that have gone count for ever")


def test_client_that_goes_away_leaves_nothing(taken: Taken) -> None:
    with running(taken) as port:
        made = begin(port)
        made.send(RAW)
        made.close()
        with client(port) as sender:
            sender.noop()
    assert taken.messages == []


def test_what_is_being_taken_ends_before_it_stops(taken: Taken) -> None:
    async def story() -> None:
        taken.hold = asyncio.Event()
        wanted = Wanted(domains=frozenset({BOUNCES}), hostname="here.example", max_size=10**6, lmtp=True)
        listener = Listener(taken, wanted)
        _, port = await listener.start("127.0.0.1", 0)
        made = await asyncio.to_thread(begin, port)
        made.send(RAW + b".\r\n")
        idle = await asyncio.to_thread(client, port)
        await asyncio.sleep(0.1)
        stopping = asyncio.create_task(listener.stop())
        await asyncio.sleep(0.1)
        taken.hold.set()
        await stopping
        assert (await asyncio.to_thread(made.getreply))[0] == 250
        assert (await asyncio.to_thread(idle.getreply))[0] == 421
        made.close()
        idle.close()

    asyncio.run(story())
    assert len(taken.messages) == 1


# --- the command ------------------------------------------------------------------------------
def test_command_takes_bounces_until_it_is_stopped(mailqueue: Command) -> None:
    with Receiver() as receiver:
        mailqueue("submit", "--envid", "order-1", input=LETTER)
        mailqueue("run", "--once", "--relay", f"127.0.0.1:{receiver.port}")
    process = mailqueue.process("incoming", "listen", "--listen", "127.0.0.1:0", "--domain", BOUNCES)
    assert process.stdout is not None
    line = process.stdout.readline()
    port = int(line.split(" (pid")[0].rpartition(":")[2])
    with client(port) as sender:
        assert sender.sendmail("", SHOP, RAW) == {}
        assert sender.sendmail("", SHOP, RAW) == {}
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0
    [came] = mailqueue.json("incoming", "list")["items"]
    assert (came["messages"], came["matched_by"], came["recipient"]) == ([1], "envid", SHOP)
    assert mailqueue.json("show", 1)["feedback"] == "bounced"


def test_command_says_what_it_cannot_do(mailqueue: Command, tmp_path: Path) -> None:
    mailqueue.fails(2, "incoming", "listen")
    assert "--domain" in mailqueue.fails(3, "incoming", "listen", "--domain", "not a domain")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        told = mailqueue.fails(3, "incoming", "listen", "--domain", BOUNCES, "--listen", f"127.0.0.1:{port}")
        assert "--listen" in told
    elsewhere = Command(tmp_path / "not-there.db")
    elsewhere.fails(5, "incoming", "listen", "--domain", BOUNCES)
    assert not elsewhere.db.exists()


def test_lock_that_does_not_go_has_the_bounce_come_again(tmp_path: Path) -> None:
    """And once it is gone, the same bounce is taken."""
    path = tmp_path / "queue.db"
    with Queue(path) as first, Queue(path, busy_timeout=0.2) as queue:
        first.status()

        async def take(raw: bytes, *, recipient: str | None, sender: str | None) -> object:
            return await asyncio.to_thread(queue.incoming, raw, recipient=recipient, sender=sender)

        with running(take) as port:  # type: ignore[arg-type]
            made = begin(port)
            held = threading.Event()
            go = threading.Event()

            def hold(transaction: object) -> None:
                held.set()
                go.wait(20)

            lock = first.store.enqueue(hold)
            held.wait(10)
            made.send(RAW + b".\r\n")
            assert made.getreply()[0] == 451
            go.set()
            lock.result(10)
            made.docmd("MAIL", "FROM:<>")
            made.docmd("RCPT", f"TO:<{SHOP}>")
            made.docmd("DATA")
            made.send(RAW + b".\r\n")
            assert made.getreply()[0] == 250
            made.close()
        assert len(queue.incoming_mail.list().items) == 1
