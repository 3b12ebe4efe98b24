"""A backup is one moment of a queue in use; restoring it loses nothing and sends nothing twice unasked."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest
from support.clock import ManualClock, ManualTimer
from support.receiver import Receiver

from mailqueue import Engine, Queue
from mailqueue.errors import SchemaMissing, SchemaOutdated, StoreError
from mailqueue.store import schema

MAIL = b"From: ann@example.org\r\nTo: ben@example.com\r\nSubject: hello\r\n\r\nHello.\r\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mail.db"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "copy.db"


@pytest.fixture
def queue(path: Path):
    with Queue(path, clock=ManualClock()) as queue:
        queue.transports.add("relay", kind="relay", host="127.0.0.1", port=1)
        yield queue


def deliver(queue: Queue, port: int) -> None:
    engine = Engine(queue, relay=f"127.0.0.1:{port}", timer=ManualTimer(queue.clock))
    asyncio.run(engine.run(once=True))


def waiting(queue: Queue) -> list[int]:
    return [each.id for each in queue.list(limit=1000).items]


def test_backup_of_a_queue_in_use_is_one_moment_of_it(queue: Queue, copy: Path) -> None:
    enough, stop = threading.Event(), threading.Event()

    def submit() -> None:
        for count in range(2000):
            queue.submit(MAIL, recipients=["ben@example.com", "cleo@example.net"])
            if count == 20:
                enough.set()
            if stop.is_set():
                return

    submitter = threading.Thread(target=submit)
    submitter.start()
    enough.wait(30)
    made = queue.backup(copy)
    stop.set()
    submitter.join()
    assert (made.path, made.size) == (str(copy), copy.stat().st_size)
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with Queue(copy) as other:
        there = waiting(other)
        assert len(there) >= 42
        assert there == waiting(queue)[: len(there)]
        assert other.check_integrity() == []


def test_backup_overwrites_nothing(queue: Queue, copy: Path) -> None:
    copy.write_text("precious")
    with pytest.raises(StoreError, match="is there already"):
        queue.backup(copy)
    assert copy.read_text() == "precious"


def test_lost_file_is_as_before_and_what_waits_is_on_hold_until_somebody_has_looked(
    queue: Queue, path: Path, copy: Path
) -> None:
    first = queue.submit(MAIL).messages[0].id
    with Receiver() as receiver:
        deliver(queue, receiver.port)
    second = queue.submit(MAIL).messages[0].id
    queue.backup(copy)
    queue.close()
    for name in path.parent.glob(f"{path.name}*"):
        name.unlink()
    with Queue(path, clock=queue.clock) as again, Receiver() as receiver:
        done = again.restore(copy)
        assert (done.path, done.source, done.copy, done.held) == (str(path), str(copy), None, 1)
        assert again.show(first).state == "delivered"
        [mark] = again.show(second).holds
        assert mark.reason == f"restored from {copy}: it may have been delivered since"
        deliver(again, receiver.port)
        assert receiver.messages == []
        again.release(second)
        deliver(again, receiver.port)
        assert len(receiver.wait(1)) == 1
        assert again.check_integrity() == []


def test_restoring_may_let_mail_go_at_once(queue: Queue, copy: Path) -> None:
    queue.submit(MAIL)
    queue.backup(copy)
    assert queue.restore(copy, hold=False).held == 0
    with Receiver() as receiver:
        deliver(queue, receiver.port)
        assert len(receiver.wait(1)) == 1


def test_file_as_it_was_is_kept_and_its_ids_are_not_given_again(queue: Queue, path: Path, copy: Path) -> None:
    queue.submit(MAIL)
    queue.backup(copy)
    later = queue.submit(MAIL).messages[0].id
    done = queue.restore(copy)
    assert done.copy == f"{path}.before-restore"
    with Queue(done.copy) as before:
        assert waiting(before) == [1, later]
    assert waiting(queue) == [1]
    assert queue.submit(MAIL).messages[0].id > later
    assert queue.check_integrity() == []
    with pytest.raises(StoreError, match="is there already"):
        queue.restore(copy)


def test_settings_of_the_backup_count_in_every_process_at_once(queue: Queue, path: Path, copy: Path) -> None:
    queue.backup(copy)
    with Queue(path) as other:
        queue.accounts.add("shop")
        assert {each.name for each in other.accounts.list()} == {"default", "shop"}
        queue.restore(copy, copy=False)
        queue.accounts.add("news")  # as many changes as there were before
        assert {each.name for each in other.accounts.list()} == {"default", "news"}


# --- refusals ---------------------------------------------------------------------------------
def test_file_with_an_engine_at_work_is_not_replaced(queue: Queue, copy: Path) -> None:
    queue.backup(copy)
    with Receiver() as receiver:
        engine = Engine(queue, relay=f"127.0.0.1:{receiver.port}")
        engine.start()
        with pytest.raises(StoreError, match=r"an engine is at work.*stop it, then restore"):
            queue.restore(copy)
        engine.stop()
    assert queue.restore(copy).held == 0


def test_tables_of_an_application_are_replaced_only_if_somebody_says_so(
    queue: Queue, path: Path, copy: Path
) -> None:
    queue.backup(copy)
    with closing(sqlite3.connect(path)) as raw, raw:
        raw.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
    with pytest.raises(StoreError, match=r"holds other tables too \(orders\)"):
        queue.restore(copy)
    queue.restore(copy, whole_file=True)
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("SELECT count(*) FROM sqlite_master WHERE name = 'orders'").fetchone() == (0,)


def test_backup_that_is_not_sound_changes_nothing(queue: Queue, copy: Path) -> None:
    queue.submit(MAIL)
    queue.backup(copy)
    with closing(sqlite3.connect(copy)) as raw, raw:
        raw.execute("UPDATE mailqueue_meta SET value = 7 WHERE key = 'active'")
    with pytest.raises(StoreError, match="is not sound, nothing was changed: 7 messages count as active"):
        queue.restore(copy)
    assert waiting(queue) == [1]


@pytest.mark.parametrize(
    ("make", "error", "says"),
    [
        (lambda copy: None, SchemaMissing, "there is no such file"),
        (lambda copy: copy.touch(), SchemaMissing, "is empty"),
        (
            lambda copy: copy.write_text("no database, this is a text" * 100),
            StoreError,
            "is not an SQLite database",
        ),
        (lambda copy: copy.mkdir(), StoreError, "is a folder"),
        (lambda copy: sqlite3.connect(copy).execute("CREATE TABLE orders (id)"), SchemaMissing, "no tables"),
    ],
)
def test_what_is_no_backup_is_refused(queue: Queue, copy: Path, make, error, says: str) -> None:
    make(copy)
    with pytest.raises(error, match=says):
        queue.restore(copy)


def test_backup_with_older_tables_is_migrated_first(queue: Queue, copy: Path) -> None:
    folder = Path(__file__).parent / "data/schema"
    with closing(sqlite3.connect(copy)) as raw:
        raw.execute("PRAGMA journal_mode = WAL")
        raw.executescript((folder / f"{schema.VERSION - 1}.sql").read_text())
    with pytest.raises(SchemaOutdated, match=r"copy\.db: has tables of version"):
        queue.restore(copy)
    with Queue(copy) as backup:
        backup.migrate(copy=False)
    assert queue.restore(copy).held == 0


def test_database_is_no_backup_of_itself(queue: Queue, path: Path) -> None:
    queue.submit(MAIL)
    with pytest.raises(StoreError, match="is the database itself"):
        queue.restore(path)


# --- death in the middle ----------------------------------------------------------------------
DIE = """
import os, signal, sys
from mailqueue import Queue
from mailqueue.store import backup
if sys.argv[3] == "before":
    backup._what_was = lambda cursor: os.kill(os.getpid(), signal.SIGKILL)
else:
    backup._go_on = lambda *all: os.kill(os.getpid(), signal.SIGKILL)
Queue(sys.argv[1]).restore(sys.argv[2], copy=False)
"""


@pytest.mark.parametrize(("moment", "left"), [("before", [1, 2]), ("after", [1])])
def test_process_that_dies_leaves_the_one_file_or_the_other(
    queue: Queue, path: Path, copy: Path, moment: str, left: list[int]
) -> None:
    queue.submit(MAIL)
    queue.backup(copy)
    queue.submit(MAIL)
    queue.close()
    died = subprocess.run([sys.executable, "-c", DIE, path, copy, moment], timeout=60, check=False)
    assert died.returncode == -signal.SIGKILL
    assert os.path.exists(path)
    with Queue(path) as again:
        assert waiting(again) == left
        assert again.check_integrity() == []
        assert again.restore(copy, copy=False).held == 1
