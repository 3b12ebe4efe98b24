"""`submit(connection=...)`: mail in the application's own transaction (decision 8)."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from mailqueue import AsyncQueue, Queue
from mailqueue.errors import (
    Conflict,
    DatabaseBusy,
    InvalidSubmission,
    NotInTransaction,
    NotWal,
    SchemaNewer,
    WrongDatabase,
)

MESSAGE = b"From: shop@example.org\r\nTo: ann@example.net\r\nSubject: Your order\r\n\r\nOn its way.\r\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An application's database, with no table of ours in it yet."""
    with closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE orders (item TEXT)")
    return tmp_path / "app.db"


@pytest.fixture
def app(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=1)) as connection:
        yield connection


@pytest.fixture
def queue(path: Path) -> Iterator[Queue]:
    with Queue(path, busy_timeout=0.5) as opened:
        yield opened


def orders(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute("SELECT count(*) FROM orders").fetchone()[0]


def order(app: sqlite3.Connection, queue: Queue) -> None:
    app.execute("INSERT INTO orders VALUES ('teapot')")
    queue.submit(MESSAGE, connection=app)


def test_mail_and_order_are_committed_together(path: Path, app: sqlite3.Connection, queue: Queue) -> None:
    queue.status()
    order(app, queue)
    assert queue.status().queued == 0
    app.commit()
    assert (queue.status().queued, orders(path)) == (1, 1)


def test_mail_that_was_rolled_back_never_existed(path: Path, app: sqlite3.Connection, queue: Queue) -> None:
    order(app, queue)
    app.rollback()
    assert (queue.status().queued, orders(path)) == (0, 0)
    assert queue.check_integrity() == []


def test_the_first_submit_of_all_makes_the_tables_in_the_open_transaction(
    path: Path, app: sqlite3.Connection, queue: Queue
) -> None:
    order(app, queue)  # nothing has opened the queue before, and the application is writing already
    app.rollback()
    tables = {name for (name,) in app.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    assert tables == {"orders"}
    order(app, queue)
    app.commit()
    assert (queue.status().queued, orders(path)) == (1, 1)


def test_submit_opens_the_transaction_and_leaves_the_commit_to_the_caller(
    app: sqlite3.Connection, queue: Queue
) -> None:
    queue.submit(MESSAGE, connection=app)
    assert app.in_transaction
    assert queue.status().queued == 0
    app.commit()
    assert queue.status().queued == 1


def test_a_submit_that_is_refused_leaves_the_transaction_usable(
    path: Path, app: sqlite3.Connection, queue: Queue
) -> None:
    app.execute("INSERT INTO orders VALUES ('teapot')")
    with pytest.raises(InvalidSubmission):
        queue.submit(MESSAGE, recipients=["no address"], connection=app)
    queue.submit(MESSAGE, connection=app)
    app.commit()
    assert (queue.status().queued, orders(path)) == (1, 1)


def test_a_submit_that_is_refused_leaves_no_transaction_open_that_it_began(
    app: sqlite3.Connection, queue: Queue
) -> None:
    with pytest.raises(InvalidSubmission):
        queue.submit(MESSAGE, recipients=[], connection=app)
    assert not app.in_transaction


def test_a_conflict_in_the_transaction_takes_back_only_its_own_submit(
    app: sqlite3.Connection, queue: Queue
) -> None:
    queue.submit(MESSAGE, idempotency_key="order 1", connection=app)
    with pytest.raises(Conflict):
        queue.submit(MESSAGE + b"Or not.\r\n", idempotency_key="order 1", connection=app)
    app.commit()
    assert queue.status().queued == 1


def test_a_rolled_back_submit_frees_its_idempotency_key(app: sqlite3.Connection, queue: Queue) -> None:
    queue.submit(MESSAGE, idempotency_key="order 1", connection=app)
    app.rollback()
    assert not queue.submit(MESSAGE + b"Changed.\r\n", idempotency_key="order 1").replayed


def test_autocommit_without_a_transaction_is_refused(path: Path, queue: Queue) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as app:
        with pytest.raises(NotInTransaction, match="BEGIN IMMEDIATE"):
            queue.submit(MESSAGE, connection=app)
        app.execute("BEGIN IMMEDIATE")
        queue.submit(MESSAGE, connection=app)
        app.execute("COMMIT")
    assert queue.status().queued == 1


def test_savepoints_of_the_application_work_as_ever(app: sqlite3.Connection, queue: Queue) -> None:
    app.execute("BEGIN")
    queue.submit(MESSAGE, connection=app)
    app.execute("SAVEPOINT mailqueue")  # the name that we use, too
    queue.submit(MESSAGE, connection=app)
    app.execute("ROLLBACK TO mailqueue")
    app.execute("RELEASE mailqueue")
    app.commit()
    assert queue.status().queued == 1


def test_another_database_is_refused_also_when_the_queue_is_attached(path: Path, queue: Queue) -> None:
    with closing(sqlite3.connect(path.with_name("other.db"))) as other:
        with pytest.raises(WrongDatabase, match=r"other\.db"):
            queue.submit(MESSAGE, connection=other)
        other.execute("ATTACH ? AS mail", (str(path),))
        with pytest.raises(WrongDatabase):
            queue.submit(MESSAGE, connection=other)


def test_the_connection_keeps_its_settings(app: sqlite3.Connection, queue: Queue) -> None:
    pragmas = ("foreign_keys", "recursive_triggers", "synchronous", "busy_timeout", "secure_delete")

    def settings() -> list[object]:
        return [app.row_factory, app.text_factory, app.isolation_level] + [
            app.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas
        ]

    app.text_factory = bytes
    before = settings()
    queue.submit(MESSAGE, connection=app)
    app.commit()
    assert settings() == before


def test_rows_of_the_application_have_its_row_factory_and_ours_do_not_mind(
    app: sqlite3.Connection, queue: Queue
) -> None:
    app.row_factory = lambda cursor, row: {"made": "of", "something": "else"}
    assert queue.submit(MESSAGE, connection=app).messages[0].recipient == "ann@example.net"


def test_a_plain_submit_while_this_thread_holds_a_transaction_says_what_is_wrong(
    app: sqlite3.Connection, queue: Queue
) -> None:
    queue.status()
    app.execute("INSERT INTO orders VALUES ('teapot')")
    with pytest.raises(DatabaseBusy, match="connection="):
        queue.submit(MESSAGE)
    app.commit()
    queue.submit(MESSAGE)
    assert queue.status().queued == 1


def test_a_file_that_is_not_wal_is_refused_inside_a_transaction_too(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "app.db")) as app, Queue(tmp_path / "app.db") as queue:
        app.execute("CREATE TABLE orders (item TEXT)")
        app.execute("INSERT INTO orders VALUES ('teapot')")
        with pytest.raises(NotWal, match="journal_mode=WAL"):
            queue.submit(MESSAGE, connection=app)
        app.commit()
    assert orders(tmp_path / "app.db") == 1


def test_tables_of_a_newer_version_are_refused_inside_a_transaction_too(
    path: Path, app: sqlite3.Connection, queue: Queue
) -> None:
    queue.status()
    app.execute("UPDATE mailqueue_meta SET value = value + 1 WHERE key = 'schema'")
    with pytest.raises(SchemaNewer):
        queue.submit(MESSAGE, connection=app)


def test_transactions_and_plain_submits_of_other_threads_do_not_disturb_each_other(
    path: Path, queue: Queue
) -> None:
    def transactions() -> None:
        with closing(sqlite3.connect(path, timeout=30)) as app:
            for _ in range(25):
                with app:
                    order(app, queue)

    def plain() -> None:
        for _ in range(25):
            queue.submit(MESSAGE)

    threads = [threading.Thread(target=work) for work in (transactions, plain, transactions, plain)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (queue.status().queued, orders(path)) == (100, 50)


async def commit_and_roll_back(path: Path) -> int:
    async with AsyncQueue(path) as queue:
        with closing(sqlite3.connect(path)) as app:
            await queue.submit(MESSAGE, connection=app)
            app.commit()
            await queue.submit(MESSAGE, connection=app)
            app.rollback()
        return (await queue.status()).queued


def test_the_asynchronous_queue_joins_a_transaction_as_well(path: Path) -> None:
    assert asyncio.run(commit_and_roll_back(path)) == 1


@pytest.mark.parametrize("begin", ["BEGIN", "SAVEPOINT mine"])
def test_a_transaction_that_begins_with_mail_outlives_commits_of_others(
    path: Path, queue: Queue, begin: str
) -> None:
    """What `submit` reads first must not be a snapshot that others make too old to write to."""
    queue.submit(MESSAGE)
    stop = threading.Event()

    def others() -> None:
        while not stop.wait(0.002):  # else nobody else ever finds the lock free, where there is much to do
            queue.submit(MESSAGE)

    thread = threading.Thread(target=others)
    thread.start()
    try:
        with closing(sqlite3.connect(path, timeout=30, isolation_level=None)) as app:
            for _ in range(150):
                app.execute(begin)
                queue.submit(MESSAGE, connection=app)
                app.execute("COMMIT")
    finally:
        stop.set()
        thread.join()
