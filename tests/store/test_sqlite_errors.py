"""Trouble with the database: the error says what to do, nothing is harmed, and work goes on after it."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.stored import ALL, clean, new, submit

from mailqueue.errors import DatabaseBusy, DatabaseReadOnly, DiskFull, StoreError
from mailqueue.store import open_store
from mailqueue.store.base import Store
from mailqueue.store.lock import SideLock
from mailqueue.store.sqlite import SqliteStore

Opener = Callable[..., Store]
TESTS = str(Path(__file__).parent.parent)


def queued(store: Store) -> int:
    return store.read(lambda reader: reader.depth()).queued


# --- no room ----------------------------------------------------------------------------------
@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", place], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("may not mount a file system here")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


def test_full_disk_is_told_and_mail_is_taken_again_once_there_is_room(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 400_000)
    store = open_store(small_disk / "mail.db")
    taken: list[int] = []
    with pytest.raises(DiskFull, match="no room") as caught:
        taken.extend(submit(store, content=b"x" * 20_000).id for _ in range(100))
    assert str(small_disk / "mail.db") in str(caught.value)
    before = queued(store)
    assert 0 < before < 100
    ballast.unlink()
    submit(store, content=b"x" * 20_000)
    assert queued(store) == before + 1
    assert clean(store)
    store.close()


def test_everybody_who_shares_a_commit_is_told_that_the_disk_is_full(store: SqliteStore) -> None:
    submit(store)
    pages = store._connections.writer().execute("PRAGMA page_count").fetchone()[0]
    store._connections.writer().execute(f"PRAGMA max_page_count = {pages + 1}")
    inside, go = threading.Event(), threading.Event()
    held = store.enqueue(lambda _: inside.set() or go.wait(10))
    assert inside.wait(10)
    waiting = [store.enqueue(lambda t: t.submit(new(content=b"x" * 9000))) for _ in range(3)]
    go.set()
    assert held.result(10)
    errors = [each.exception(10) for each in waiting]
    assert [type(each) for each in errors] == [DiskFull] * 3
    assert len({id(each) for each in errors}) == 3
    assert queued(store) == 1
    submit(store, content=b"x" * 9000)
    assert clean(store)


# --- locks ------------------------------------------------------------------------------------
def test_lock_of_another_connection_is_waited_for_and_then_told(path: Path, open_again: Opener) -> None:
    store = open_again(busy_timeout=0.2)
    submit(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseBusy, match="does this thread hold a transaction open"):
            submit(store)
        assert queued(store) == 1
        other.execute("COMMIT")
    submit(store)
    assert queued(store) == 2


def test_lock_that_goes_in_time_is_waited_for(path: Path, open_again: Opener) -> None:
    store = open_again(busy_timeout=10.0)
    submit(store)
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.3, lambda: other.execute("COMMIT"))
        timer.start()
        submit(store)
        timer.join()
    assert queued(store) == 2


def test_process_stopped_while_it_writes_leads_to_an_error_and_work_goes_on_when_it_is_killed(
    path: Path, open_again: Opener
) -> None:
    script = (
        "import sys, time; from mailqueue.store import open_store\n"
        "def hang(t): print('inside', flush=True); time.sleep(60)\n"
        "open_store(sys.argv[1]).run(hang)\n"
    )
    store = open_again(busy_timeout=0.3)
    submit(store)
    other = subprocess.Popen([sys.executable, "-c", script, path], stdout=subprocess.PIPE)
    assert other.stdout is not None
    assert other.stdout.readline() == b"inside\n"
    other.send_signal(signal.SIGSTOP)
    with pytest.raises(DatabaseBusy):
        submit(store)
    assert queued(store) == 1
    other.kill()
    other.wait()
    other.stdout.close()
    submit(store)
    assert clean(store)


def test_process_stopped_while_it_waits_for_its_turn_holds_nobody_up(path: Path, open_again: Opener) -> None:
    store = open_again(busy_timeout=5.0)
    submit(store)
    lock = SideLock(str(path))
    lock.acquire(1.0)
    script = "import sys; from support.stored import submit; from mailqueue.store import open_store\n"
    script += "print('begins', flush=True); submit(open_store(sys.argv[1], busy_timeout=60.0))\n"
    waiting = subprocess.Popen(
        [sys.executable, "-c", script, path], stdout=subprocess.PIPE, env={"PYTHONPATH": TESTS}
    )
    assert waiting.stdout is not None
    assert waiting.stdout.readline() == b"begins\n"
    while turn_is_free(path):
        assert waiting.poll() is None
    waiting.send_signal(signal.SIGSTOP)
    lock.close()
    submit(store)
    assert queued(store) == 2
    waiting.send_signal(signal.SIGCONT)
    assert waiting.wait(60) == 0
    waiting.stdout.close()
    assert queued(store) == 3


def turn_is_free(path: Path) -> bool:
    """Whether no process waits for the lock of a queue, as a process of its own sees it."""
    script = (
        "import fcntl, sys; file = open(sys.argv[1] + '-mailqueue.lock', 'r+b')\n"
        "fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)"
    )
    return subprocess.run([sys.executable, "-c", script, path], stderr=subprocess.DEVNULL).returncode == 0


# --- rights -----------------------------------------------------------------------------------
@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that anybody may enter."""
    found = Path(tempfile.mkdtemp(prefix="mailqueue-"))
    found.chmod(0o777)
    yield found
    found.chmod(0o777)
    shutil.rmtree(found)


def as_nobody(work: Callable[[], None]) -> None:
    """Do `work` in a child that is not root: root may write everywhere."""
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgid(65534)
                os.setuid(65534)
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


def test_folder_that_may_not_be_written_is_told_and_used_once_it_may(place: Path) -> None:
    def work() -> None:
        folder = place / "mail"
        folder.mkdir()
        folder.chmod(0o500)
        store = open_store(folder / "mail.db")
        with pytest.raises(DatabaseReadOnly, match=r"mail\.db"):
            submit(store)
        folder.chmod(0o700)
        submit(store)
        assert queued(store) == 1
        store.close()

    as_nobody(work)


def test_file_that_may_not_be_written_is_told_and_used_once_it_may(place: Path) -> None:
    def work() -> None:
        path = place / "mail.db"
        first = open_store(path)
        submit(first)
        first.close()
        path.chmod(0o400)
        store = open_store(path)
        with pytest.raises(DatabaseReadOnly, match="cannot be written"):
            submit(store)
        for each in place.iterdir():  # SQLite has made its own files in the likeness of the first
            each.chmod(0o600)
        submit(store)
        assert queued(store) == 2
        store.close()

    as_nobody(work)


def test_side_file_of_a_lock_has_the_mode_of_its_database(path: Path, open_again: Opener) -> None:
    with closing(sqlite3.connect(path)) as app:
        app.execute("PRAGMA journal_mode = WAL")
        app.execute("CREATE TABLE orders (id INTEGER)")
    path.chmod(0o660)
    submit(open_again())
    assert path.with_name(path.name + "-mailqueue.lock").stat().st_mode & 0o777 == 0o660


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to others")
def test_side_file_made_by_root_belongs_to_the_owner_of_the_database(place: Path) -> None:
    path = place / "mail.db"

    def make() -> None:
        store = open_store(path)
        submit(store)
        store.close()

    as_nobody(make)
    path.with_name("mail.db-mailqueue.lock").unlink()
    make()
    as_nobody(make)


# --- damage -----------------------------------------------------------------------------------
def test_damaged_database_is_told_from_other_trouble(path: Path, open_again: Opener) -> None:
    store = open_again()
    for _ in range(50):
        submit(store)
    store.close()
    octets = bytearray(path.read_bytes())
    octets[4096 * 2 :] = b"\xff" * len(octets[4096 * 2 :])
    path.write_bytes(octets)
    with pytest.raises(StoreError, match="is damaged"):
        open_again().read(lambda reader: reader.queue(ALL, limit=10, after=None))


def test_tables_that_went_away_under_a_running_queue_are_told(path: Path, open_again: Opener) -> None:
    store = open_again()
    submit(store)
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE mailqueue_meta")
    with pytest.raises(StoreError, match="holds no mailqueue tables"):
        submit(store)
