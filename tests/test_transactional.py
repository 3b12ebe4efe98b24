"""Mail in the application's own transactions, with an engine at work on the same file (decision 8).

What joining a transaction does to the connection is in `test_transactional_submit` and the store's
tests; here is what comes of it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.receiver import Receiver
from support.stage import MAIL, wait_until

from mailqueue import Engine, Queue, create_schema, schema_sql
from mailqueue.errors import InvalidSubmission, NotInTransaction

Make = Callable[[sqlite3.Connection], None]


def by_create_schema(app: sqlite3.Connection) -> None:
    create_schema(app)


def by_schema_sql(app: sqlite3.Connection) -> None:
    app.executescript(schema_sql())


def by_nobody(app: sqlite3.Connection) -> None:
    """The queue makes its tables itself."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with closing(sqlite3.connect(tmp_path / "shop.db")) as app:
        app.execute("PRAGMA journal_mode = WAL")
        app.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, item TEXT UNIQUE, mail INTEGER)")
    return tmp_path / "shop.db"


@pytest.fixture
def app(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        yield connection


@pytest.fixture
def queue(path: Path) -> Iterator[Queue]:
    with Queue(path) as opened:
        yield opened
        assert opened.check_integrity() == []


@pytest.fixture
def engine(queue: Queue, receiver: Receiver) -> Iterator[Engine]:
    made = Engine(queue, relay=f"127.0.0.1:{receiver.port}")
    made.start()
    yield made
    made.stop()


def order(app: sqlite3.Connection, queue: Queue, item: str) -> None:
    submission = queue.submit(MAIL.replace(b"Hello", item.encode()), connection=app)
    app.execute("INSERT INTO orders (item, mail) VALUES (?, ?)", (item, submission.id))


def subjects(receiver: Receiver) -> list[bytes]:
    return sorted(
        message.content.partition(b"Subject: ")[2].partition(b"\r\n")[0] for message in receiver.messages
    )


def waits(queue: Queue) -> int:
    return queue.status().queued


@pytest.mark.parametrize("make", [by_create_schema, by_schema_sql, by_nobody])
def test_mail_is_delivered_when_the_application_commits_and_never_when_it_does_not(
    path: Path, app: sqlite3.Connection, receiver: Receiver, make: Make
) -> None:
    make(app)
    with Queue(path) as queue:
        engine = Engine(queue, relay=f"127.0.0.1:{receiver.port}")
        engine.start()
        order(app, queue, "teapot")
        app.rollback()
        order(app, queue, "cup")
        assert receiver.commands == []
        app.commit()
        receiver.wait(1)
        wait_until(lambda: waits(queue) == 0)
        order(app, queue, "spoon")
        app.commit()
        receiver.wait(2)
        engine.stop()
        assert subjects(receiver) == [b"cup", b"spoon"]
        assert [item for (item,) in app.execute("SELECT item FROM orders")] == ["cup", "spoon"]
        sent = {each.submission_id for each in queue.retired.list().items}
        assert sent == {mail for (mail,) in app.execute("SELECT mail FROM orders")}
        assert queue.check_integrity() == []


def test_an_order_that_fails_takes_its_mail_along(
    app: sqlite3.Connection, queue: Queue, engine: Engine, receiver: Receiver
) -> None:
    with app:
        order(app, queue, "teapot")
    with pytest.raises(sqlite3.IntegrityError), app:
        order(app, queue, "teapot")
    app.execute("INSERT INTO orders (item) VALUES ('cup')")
    with pytest.raises(InvalidSubmission), app:
        queue.submit(b"", recipients=["no address"], connection=app)
    wait_until(lambda: waits(queue) == 0)
    assert subjects(receiver) == [b"teapot"]
    assert app.execute("SELECT count(*) FROM orders").fetchone() == (1,)


def test_a_savepoint_of_the_application_takes_back_its_part(
    app: sqlite3.Connection, queue: Queue, engine: Engine, receiver: Receiver
) -> None:
    with app:
        order(app, queue, "teapot")
        app.execute("SAVEPOINT extras")
        order(app, queue, "cup")
        app.execute("ROLLBACK TO extras")
        app.execute("RELEASE extras")
        order(app, queue, "spoon")
    receiver.wait(2)
    wait_until(lambda: waits(queue) == 0)
    assert subjects(receiver) == [b"spoon", b"teapot"]


@pytest.mark.parametrize("level", ["", "DEFERRED", "IMMEDIATE", "EXCLUSIVE"])
def test_every_way_of_implicit_transactions_is_joined(
    path: Path, queue: Queue, engine: Engine, receiver: Receiver, level: str
) -> None:
    with closing(sqlite3.connect(path, timeout=10, isolation_level=level)) as app:
        order(app, queue, "teapot")
        app.rollback()
        order(app, queue, "cup")
        app.commit()
    assert subjects_of(receiver, 1) == [b"cup"]


def subjects_of(receiver: Receiver, count: int) -> list[bytes]:
    receiver.wait(count)
    return subjects(receiver)


def test_explicit_transactions_are_joined_and_none_is_refused(
    path: Path, queue: Queue, engine: Engine, receiver: Receiver
) -> None:
    with closing(sqlite3.connect(path, timeout=10, isolation_level=None)) as app:
        for begin in ("BEGIN", "BEGIN IMMEDIATE", "SAVEPOINT mine"):
            app.execute(begin)
            order(app, queue, begin)
            app.execute("COMMIT")
        with pytest.raises(NotInTransaction):
            order(app, queue, "teapot")
        assert not app.in_transaction
    assert subjects_of(receiver, 3) == [b"BEGIN", b"BEGIN IMMEDIATE", b"SAVEPOINT mine"]


def test_only_plain_statements_run_on_the_connection_and_no_commit(
    app: sqlite3.Connection, queue: Queue
) -> None:
    queue.status()
    app.execute("PRAGMA recursive_triggers = OFF")
    seen: list[str] = []
    app.set_trace_callback(seen.append)
    queue.submit(MAIL, connection=app)
    app.set_trace_callback(None)
    words = {statement.split()[0].upper() for statement in seen if not statement.startswith("--")}
    assert words <= {"BEGIN", "SAVEPOINT", "SELECT", "INSERT", "UPDATE", "WITH", "RELEASE", "PRAGMA"}
    assert {each for each in seen if each.upper().startswith("PRAGMA")} <= {
        "PRAGMA database_list",
        "PRAGMA journal_mode",  # read, not set
    }
    assert app.execute("PRAGMA recursive_triggers").fetchone() == (0,)
    assert app.in_transaction
    app.rollback()


def test_triggers_and_foreign_keys_of_the_application_are_its_own(
    app: sqlite3.Connection, queue: Queue, engine: Engine, receiver: Receiver
) -> None:
    app.executescript("""
        PRAGMA foreign_keys = ON;
        PRAGMA recursive_triggers = ON;
        CREATE TABLE noted (mail INTEGER REFERENCES orders (id) ON DELETE CASCADE);
        CREATE TRIGGER note AFTER INSERT ON orders BEGIN INSERT INTO noted VALUES (new.id); END;
    """)
    with app:
        order(app, queue, "teapot")
    assert app.execute("SELECT count(*) FROM noted").fetchone() == (1,)
    assert subjects_of(receiver, 1) == [b"teapot"]
    assert app.execute("PRAGMA foreign_keys").fetchone() == (1,)


def test_the_tables_come_and_go_with_the_migration_that_makes_them(
    app: sqlite3.Connection, path: Path
) -> None:
    def tables() -> int:
        return app.execute("SELECT count(*) FROM sqlite_master WHERE name LIKE 'mailqueue_%'").fetchone()[0]

    app.execute("BEGIN")
    create_schema(app)
    assert tables() > 10
    app.rollback()
    assert tables() == 0
    app.execute("BEGIN")
    create_schema(app)
    create_schema(app)
    app.commit()
    with Queue(path) as queue:
        assert queue.check_integrity() == []


def test_large_content_belongs_to_the_transaction_whole(
    app: sqlite3.Connection, queue: Queue, engine: Engine, receiver: Receiver
) -> None:
    large = MAIL + b"and so on, and so on\r\n" * 150_000
    queue.submit(large, connection=app)
    app.rollback()
    assert app.execute("SELECT count(*) FROM mailqueue_chunk").fetchone() == (0,)
    message = queue.submit(large, connection=app).messages[0].id
    app.commit()
    [got] = receiver.wait(1)
    wait_until(lambda: waits(queue) == 0)
    assert got.content.endswith(large[len(MAIL) :])
    assert queue.show(message).size == len(got.content)


def test_hold_rules_and_keys_count_inside_a_transaction(app: sqlite3.Connection, queue: Queue) -> None:
    queue.hold_rules.add(recipient_domain="example.com")
    submission = queue.submit(MAIL, connection=app, idempotency_key="order-7")
    assert queue.submit(MAIL, connection=app, idempotency_key="order-7").replayed
    app.commit()
    assert queue.submit(MAIL, idempotency_key="order-7").id == submission.id
    assert queue.show(submission.messages[0].id).hold


def test_an_engine_waits_for_a_transaction_that_takes_long_and_sends_nothing_twice(
    path: Path, app: sqlite3.Connection, receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    """The application holds the write lock for longer than the engine waits, while mail is on its way."""
    receiver.final_delay = 0.2
    with Queue(path, busy_timeout=0.1) as queue:
        engine = Engine(queue, relay=f"127.0.0.1:{receiver.port}")
        engine.start()
        message = queue.submit(MAIL).messages[0].id
        receiver.wait(1)
        order(app, queue, "teapot")
        wait_until(lambda: "the database is in the way" in caplog.text)
        assert queue.show(message).state == "claimed"
        app.commit()
        receiver.wait(2)
        wait_until(lambda: waits(queue) == 0)
        engine.stop()
        assert [each.outcome for each in queue.attempts(message)] == ["delivered"]
        assert len(receiver.messages) == 2
