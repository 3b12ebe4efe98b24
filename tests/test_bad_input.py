"""What cannot be queued is refused with every reason; what the database cannot do is told and outlived."""

from __future__ import annotations

import asyncio
import io
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from support.receiver import Receiver
from support.stage import MAIL, Stage, wait_until

from mailqueue import AsyncQueue, Engine, Queue
from mailqueue.errors import (
    DatabaseBusy,
    DatabaseReadOnly,
    DiskFull,
    InvalidSubmission,
    NotFound,
    NotWal,
    SchemaNewer,
    SchemaOutdated,
    StoreError,
)

FROM, TO, END = b"From: anna@example.org\r\n", b"To: ben@example.com\r\n", b"\r\nHello\r\n"
GOOD = FROM + TO + END
MAX_SIZE = 1_000_000
NAIVE, SECOND = datetime(2099, 1, 1), timedelta(seconds=1)


# --- what cannot be queued -----------------------------------------------------------------------
def contents(path: str) -> dict[str, int]:
    """Return the rows of every table, and what the counters say."""
    with closing(sqlite3.connect(path)) as file:
        tables = [name for (name,) in file.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {name: file.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}
        return rows | dict(file.execute("SELECT key, value FROM mailqueue_meta"))


CASES: dict[str, tuple[Any, dict[str, Any], list[str]]] = {
    "no recipients": (GOOD, {"recipients": []}, ["recipients: the list is empty"]),
    "nobody named": (FROM + END, {}, ["recipients: none given"]),
    "no sender": (TO + END, {}, ["sender: none given"]),
    "CR and LF in a recipient": (
        GOOD,
        {"recipients": ["ok@example.com", "a@example.com\r\nRCPT TO:<x@example.net>"]},
        ["recipient 2: 'a@example.com\\r\\nRCPT TO:<x@example.net>': a carriage return at position 14"],
    ),
    "LF in the sender": (
        GOOD,
        {"sender": "a@example.com\nDATA"},
        ["sender: 'a@example.com\\nDATA': a line feed"],
    ),
    "NUL in an address": (GOOD, {"recipients": ["a\0b@example.com"]}, ["recipient 1: 'a\\x00b@example.com'"]),
    "unparsable": (
        GOOD,
        {"recipients": ["anna", "a b@example.com", "@example.com", "a@", ""]},
        ["recipient 1: 'anna'", "recipient 2", "recipient 3", "recipient 4", "recipient 5"],
    ),
    "domains that IDNA refuses": (
        GOOD,
        {"recipients": ["a@-x.example", f"a@{'x' * 64}.example", "a@xn--a.example", "a@\u2488.example"]},
        ["recipient 1", "recipient 2", "recipient 3", "recipient 4"],
    ),
    "unparsable in the header": (
        FROM + b"To: not an address\r\n" + END,
        {},
        ["header line 2: To: position 5: "],
    ),
    "NUL in the body": (GOOD + b"\0", {}, ["body line 2: a NUL"]),
    "NUL in the header": (FROM + TO + b"Subject: a\0b\r\n" + END, {}, ["header line 3: "]),
    "too large": (GOOD + b"x" * MAX_SIZE, {}, [f"content: larger than {MAX_SIZE} octets"]),
    "a file that is too large": (
        lambda: io.BytesIO(GOOD + b"x" * MAX_SIZE),
        {},
        [f"content: larger than {MAX_SIZE} octets"],
    ),
    "too large on the wire": (GOOD + b"\n" * (MAX_SIZE // 2 + 10), {}, ["content: larger than"]),
    "two Froms, strictly": (
        FROM + FROM + TO + END,
        {"strict": True},
        ["header lines 1 and 2: From may stand there once only"],
    ),
    "long lines, strictly": (GOOD + b"x" * 999 + b"\r\n", {"strict": True}, ["998"]),
    "a bare CR, strictly": (GOOD + b"a\rb\r\n", {"strict": True}, ["body line 2: a CR without an LF"]),
    "no From, strictly": (
        TO + END,
        {"strict": True, "sender": "a@example.org"},
        ["header: no From"],
    ),
    "a line that is no field, strictly": (
        FROM + b"no field here\r\n" + TO + END,
        {"strict": True},
        ["header line 2"],
    ),
    "several at once": (
        FROM + FROM + b"To: nobody\r\n" + END + b"x" * MAX_SIZE,
        {"strict": True, "sender": "bad", "recipients": ["worse", "ok@example.com"], "idempotency_key": ""},
        [
            "sender: 'bad'",
            "recipient 1: 'worse'",
            "idempotency key: must have 1 to 255",
            f"content: larger than {MAX_SIZE} octets",
            "header lines 1 and 2: From",
            "header line 3: To: 'nobody'",
        ],
    ),
    "moments without a time zone": (
        GOOD,
        {"not_before": NAIVE, "expires_at": NAIVE},
        ["not_before: datetime.datetime(2099, 1, 1, 0, 0) is naive: give it a time zone", "expires_at: "],
    ),
    "a moment too far ahead": (
        GOOD,
        {"not_before": timedelta(days=60, microseconds=1)},
        ["not_before: must be at most 60d ahead, not 60 days, 0:00:00.000001"],
    ),
    "lengths of time that cannot be": (
        GOOD,
        {"not_before": -SECOND, "expires_at": timedelta.max, "warn_after": -SECOND},
        ["not_before: must not be negative", "expires_at: must be at most 36500d", "warn_after: must not be"],
    ),
    "lengths of time beyond the calendar": (
        GOOD,
        {"not_before": timedelta.max, "warn_after": timedelta.max},
        ["not_before: must be at most 36500d", "warn_after: must be at most 36500d"],
    ),
    "over before it begins": (
        GOOD,
        {"expires_at": datetime(2001, 1, 1, tzinfo=UTC)},
        ["expires_at: must be in the future, not 2001-01-01 00:00:00+00:00"],
    ),
    "over before it goes": (
        GOOD,
        {"expires_at": 2 * SECOND, "not_before": 2 * SECOND},
        ["expires_at: must be later than not_before"],
    ),
    "attempts": (GOOD, {"max_attempts": 0}, ["max_attempts: must be 1 to 1000000, not 0"]),
    "no priority": (
        GOOD,
        {"priority": None},
        ["priority: must be one of interactive, normal, bulk, not None"],
    ),
    "a priority that there is not": (
        GOOD,
        {"priority": "urgent"},
        ["priority: must be one of interactive, normal, bulk, not 'urgent'"],
    ),
    "a header that contradicts, strictly": (
        b"TLS-Required: No\r\n" + GOOD,
        {"strict": True, "require_tls": True},
        ["require_tls: the header says TLS-Required: No"],
    ),
    "an object that cannot be written, and more": (
        lambda: unwritable(),
        {"recipients": ["bad"]},
        ["recipient 1: 'bad'", "the message object cannot be written as bytes"],
    ),
}


def unwritable() -> EmailMessage:
    message = EmailMessage()
    message["From"] = "anna@example.org"
    message.set_content("Hello\n")
    message.set_payload("\ud800")
    return message


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queue]:
    """One queue for all: nothing of what is refused leaves a trace in it."""
    with Queue(tmp_path_factory.mktemp("small") / "queue.db", max_size=MAX_SIZE) as opened:
        opened.submit(GOOD)
        yield opened
        assert opened.check_integrity() == []


def by_queue(queue: Queue, content: Any, options: dict[str, Any]) -> None:
    queue.submit(content, **options)


def by_async_queue(queue: Queue, content: Any, options: dict[str, Any]) -> None:
    async def submit() -> None:
        async with AsyncQueue(queue.path, max_size=MAX_SIZE) as opened:
            await opened.submit(content, **options)

    asyncio.run(submit())


def by_connection(queue: Queue, content: Any, options: dict[str, Any]) -> None:
    with closing(sqlite3.connect(queue.path)) as app:
        app.execute("CREATE TEMP TABLE mine (x)")
        app.execute("INSERT INTO mine VALUES (1)")
        try:
            queue.submit(content, connection=app, **options)
        finally:
            assert app.in_transaction
            app.commit()


@pytest.mark.parametrize("door", [by_queue, by_async_queue, by_connection])
@pytest.mark.parametrize("case", CASES)
def test_it_is_refused_with_every_fault_and_nothing_is_stored(
    small: Queue, case: str, door: Callable[..., None]
) -> None:
    content, options, faults = CASES[case]
    before = contents(small.path)
    with pytest.raises(InvalidSubmission) as caught:
        door(small, content() if callable(content) else content, options)
    told = caught.value.faults
    assert len(told) == len(faults)
    for fault, expected in zip(told, faults, strict=True):
        assert expected in fault
        assert fault in str(caught.value)
    assert contents(small.path) == before


@pytest.mark.parametrize("door", [by_queue, by_async_queue, by_connection])
@pytest.mark.parametrize(
    ("options", "error", "told"),
    [
        ({"transport": "realy"}, NotFound, "no transport 'realy'; did you mean 'relay'?"),
        ({"not_before": "2h"}, TypeError, "not_before is a datetime or a timedelta, not str"),
        ({"expires_at": 5}, TypeError, "expires_at is a datetime or a timedelta, not int"),
        ({"warn_after": 5}, TypeError, "warn_after is a timedelta, not int"),
        ({"max_attempts": "5"}, TypeError, "max_attempts is an int, not str"),
        ({"max_attempts": True}, TypeError, "max_attempts is an int, not bool"),
        ({"priority": 0}, TypeError, "priority is a str or a Priority, not int"),
        ({"require_tls": "no"}, TypeError, "require_tls is a bool, not str"),
    ],
)
def test_options_of_the_wrong_kind_are_told_by_name(
    small: Queue,
    door: Callable[..., None],
    options: dict[str, Any],
    error: type[Exception],
    told: str,
) -> None:
    if not small.transports.list():
        small.transports.add("relay", kind="relay", host="192.0.2.1")
    before = contents(small.path)
    with pytest.raises(error) as caught:
        door(small, GOOD, options)
    assert str(caught.value) == told
    assert contents(small.path) == before


def test_a_good_message_goes_through_every_door(small: Queue) -> None:
    before = small.status().queued
    for door in (by_queue, by_async_queue, by_connection):
        door(small, GOOD, {"strict": True})
    assert small.status().queued == before + 3


def test_a_message_of_exactly_the_size_is_taken(small: Queue) -> None:
    content = GOOD.replace(
        b"\r\nHello", b"Date: Fri, 15 Jan 2027 08:00:00 +0000\r\nMessage-ID: <a@b>\r\n\r\nHello"
    )
    lines = (b"x" * 98 + b"\r\n") * (MAX_SIZE // 100)
    exact = content + lines[len(content) - MAX_SIZE :]
    assert small.show(small.submit(exact).messages[0].id).size == MAX_SIZE
    with pytest.raises(InvalidSubmission):
        small.submit(exact[:-2] + b"x\r\n")


def test_a_message_that_is_too_large_after_its_repair_is_refused(small: Queue) -> None:
    with pytest.raises(InvalidSubmission, match="larger than 1000000 octets"):
        small.submit(GOOD + b"x" * (MAX_SIZE - 1000))


def test_what_lenient_mode_cannot_repair_goes_out_as_it_was_handed_in(
    stage: Stage, receiver: Receiver
) -> None:
    stage.relay(receiver.port)
    two = FROM + b"From: eve@example.org\r\n"
    odd = two + b"no field here\r\n" + TO + b"Date: then\r\nMessage-ID: <1@b>\r\n" + END + b"x"
    stage.submit("ben@example.com", content=odd, sender="anna@example.org")
    stage.deliver()
    assert receiver.messages[0].content == odd + b"\r\n"


# --- trouble with the database, and an engine at work in it --------------------------------------
class Work:
    """An engine on a file in trouble, and mail that must all arrive, each once."""

    def __init__(self, path: Path, receiver: Receiver, *, busy_timeout: float = 0.2) -> None:
        self.queue = Queue(path, busy_timeout=busy_timeout)
        self.receiver = receiver
        self.engine = Engine(self.queue, relay=f"127.0.0.1:{receiver.port}")
        self.messages: list[int] = []

    def submit(self, content: bytes = MAIL) -> None:
        self.messages += [message.id for message in self.queue.submit(content).messages]

    def submit_much(self) -> None:
        for _ in range(1000):
            self.submit(MAIL + b"x" * 50_000)

    def ends_well(self) -> None:
        """All mail is delivered, one attempt and one copy each, and the file is sound."""
        self.submit()
        wait_until(lambda: self.queue.status().queued == 0)
        self.engine.stop()
        for message in self.messages:
            assert [each.outcome for each in self.queue.attempts(message)] == ["delivered"]
        times = Counter(got.message_id for got in self.receiver.messages)
        assert (len(times), set(times.values())) == (len(self.messages), {1})
        assert self.queue.check_integrity() == []
        self.queue.close()


@contextmanager
def small_disk(place: Path) -> Iterator[Path]:
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("may not mount a file system here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(path: Path) -> None:
    with path.open("wb", buffering=0) as ballast:
        for size in (65536, 4096, 1):
            try:
                while True:
                    ballast.write(b"x" * size)
            except OSError:
                continue


def test_a_full_disk_stops_nothing_for_good(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.final_delay = 0.3
    with small_disk(tmp_path / "disk") as disk:
        work = Work(disk / "queue.db", receiver)
        work.engine.start()
        for _ in range(3):
            work.submit()
        receiver.wait(3)  # on their way: what comes of them cannot be written down
        fill(disk / "ballast")
        with pytest.raises(DiskFull, match="no room to write; nothing was stored"):
            work.submit_much()
        wait_until(lambda: "trying again" in caplog.text and "no room" in caplog.text)
        (disk / "ballast").unlink()
        work.ends_well()


HOLDER = """
import sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def locked_by_another_process(path: Path) -> Iterator[None]:
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdin=pipe, stdout=pipe) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        yield
        holder.communicate()


def test_a_lock_of_another_process_is_waited_out(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.final_delay = 0.3
    work = Work(tmp_path / "queue.db", receiver)
    work.engine.start()
    for _ in range(2):
        work.submit()
    receiver.wait(2)
    with locked_by_another_process(tmp_path / "queue.db"):
        with pytest.raises(DatabaseBusy, match=r"queue\.db: another process or connection is writing"):
            work.submit()
        wait_until(lambda: "the database is in the way" in caplog.text)
        assert work.queue.status().claimed == 2, "looking needs no lock"
    work.ends_well()


def test_an_engine_that_cannot_begin_says_why_and_can_be_started_later(
    tmp_path: Path, receiver: Receiver
) -> None:
    work = Work(tmp_path / "queue.db", receiver)
    work.submit()
    with locked_by_another_process(tmp_path / "queue.db"):
        with pytest.raises(DatabaseBusy):
            work.engine.start()
    work.engine.start()
    work.ends_well()


def test_an_engine_that_is_stopped_while_the_file_is_locked_leaves_its_claims_to_the_next(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    receiver.final_delay = 0.3
    path = tmp_path / "queue.db"
    with Queue(path, busy_timeout=0.2) as queue:
        queue.transports.add("relay", kind="relay", host="127.0.0.1", port=receiver.port)
        engine = Engine(queue, heartbeat=0.1, dot_guard=0.2, dead_after=0.5)
        engine.start()
        message = queue.submit(MAIL).messages[0].id
        receiver.wait(1)
        with locked_by_another_process(path):
            engine.stop()
        assert "could not sign off" in caplog.text
        assert queue.show(message).state == "claimed"
        following = Engine(queue, heartbeat=0.1, dot_guard=0.2, dead_after=0.5)
        wait_until(lambda: queue.status().engines == () or _old(queue))
        following.start()
        wait_until(lambda: bool(queue.attempts(message)))
        following.stop()
        assert [each.outcome for each in queue.attempts(message)] == ["interrupted"]
        assert queue.check_integrity() == []


def _old(queue: Queue) -> bool:
    [engine] = queue.status().engines
    return queue.clock.now() / 1e6 - engine.heartbeat_at.timestamp() > 0.6


def test_tables_that_are_away_for_a_while_are_waited_for(
    tmp_path: Path, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(tmp_path / "queue.db", receiver)
    work.engine.start()
    work.submit()
    receiver.wait(1)
    wait_until(lambda: work.queue.status().queued == 0)
    with closing(sqlite3.connect(tmp_path / "queue.db", isolation_level=None)) as somebody:
        somebody.execute("ALTER TABLE mailqueue_submission RENAME TO away")
        with pytest.raises(StoreError, match="holds no mailqueue tables"):
            work.submit()
        somebody.execute("ALTER TABLE away RENAME TO mailqueue_submission")
    work.ends_well()


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [("value + 1", SchemaNewer, "install a newer"), ("value - 1", SchemaOutdated, "mailqueue migrate")],
    ids=["newer", "older"],
)
def test_tables_of_another_version_are_refused_and_left_alone(
    tmp_path: Path, receiver: Receiver, change: str, error: type, told: str
) -> None:
    path = tmp_path / "queue.db"
    with Queue(path) as queue:
        first = queue.submit(MAIL).messages[0].id
    with closing(sqlite3.connect(path, isolation_level=None)) as file:
        file.execute(f"UPDATE mailqueue_meta SET value = {change} WHERE key = 'schema'")
        before = contents(str(path))
        work = Work(path, receiver)
        uses: list[Callable[[], object]] = [
            work.submit,
            work.engine.start,
            work.queue.status,
            lambda: asyncio.run(work.engine.run()),
        ]
        for use in uses:
            with pytest.raises(error, match=told):
                use()
        assert contents(str(path)) == before
        back = "value - 1" if error is SchemaNewer else "value + 1"
        file.execute(f"UPDATE mailqueue_meta SET value = {back} WHERE key = 'schema'")
    work.messages.append(first)
    work.engine.start()
    work.ends_well()


def test_a_file_that_is_not_wal_is_refused_and_left_alone(tmp_path: Path, receiver: Receiver) -> None:
    path = tmp_path / "queue.db"
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE mine (x)")
    before = path.read_bytes()
    work = Work(path, receiver)
    for use in (work.submit, work.engine.start):
        with pytest.raises(NotWal, match="PRAGMA journal_mode=WAL"):
            use()
    assert path.read_bytes() == before
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA journal_mode=WAL")
    work.engine.start()
    work.ends_well()


@pytest.fixture
def nobody(tmp_path: Path) -> Iterator[Path]:
    """A folder of somebody who may not write everywhere, as whom the test runs then."""
    with Queue(tmp_path / "first.db") as first:  # once as ourselves, for nobody may not read our libraries
        asyncio.run(Engine(first).run(once=True))
        engine = Engine(first)
        engine.start()
        engine.stop()
    folder = Path(tempfile.mkdtemp())
    root = os.geteuid() == 0
    if root:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        subprocess.run(["rm", "-r", str(folder)], check=True)


@pytest.mark.parametrize("name", [".", "queue.db"], ids=["folder", "file"])
def test_what_may_not_be_written_is_told_and_used_once_it_may(
    receiver: Receiver, nobody: Path, name: str
) -> None:
    path, locked = nobody / "queue.db", nobody / name
    if locked == path:
        Queue(path).accounts.add("made")
    mode = locked.stat().st_mode
    locked.chmod(0o400 if locked == path else 0o500)
    work = Work(path, receiver)
    for use in (work.submit, work.engine.start):
        with pytest.raises(DatabaseReadOnly, match=r"queue\.db.*cannot be"):
            use()
    locked.chmod(mode)
    for each in nobody.iterdir():  # SQLite makes its own files in the likeness of the first
        each.chmod(0o600)
    work.engine.start()
    work.ends_well()
