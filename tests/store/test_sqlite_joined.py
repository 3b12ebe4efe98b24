"""Inside an application's own transaction: every case of decision 8."""

from __future__ import annotations

import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support.stored import BODY, add_rule, claim, clean, due, engine, message, new, recipient, submit

from mailqueue.errors import (
    Conflict,
    DatabaseBusy,
    NotInTransaction,
    SchemaNewer,
    SchemaOutdated,
    WrongDatabase,
)
from mailqueue.model.message import Idempotency, Submission
from mailqueue.store.base import Store

Opener = Callable[..., Store]


@pytest.fixture
def app(path: Path) -> Iterator[sqlite3.Connection]:
    """The application's database with a table of its own, as Python opens it by default."""
    with closing(sqlite3.connect(path, timeout=0.2)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
        connection.commit()
        yield connection


def order(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO orders DEFAULT VALUES")


def orders(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT count(*) FROM orders").fetchone()[0])


def mail(store: Store, connection: sqlite3.Connection, *recipients: str, **more: object) -> Submission:
    with store.joined(connection) as transaction:
        return transaction.submit(new(*recipients, **more))  # type: ignore[arg-type]


def queued(store: Store) -> int:
    return store.read(lambda reader: reader.depth()).queued


def test_mail_of_a_transaction_that_commits_is_there_with_it(store: Store, app: sqlite3.Connection) -> None:
    submit(store)
    order(app)
    made = mail(store, app, "b@example.net", "c@example.com")
    assert app.in_transaction
    assert queued(store) == 1
    app.commit()
    assert queued(store) == 3
    assert [each.id for each in made.messages] == [2, 3]
    assert store.read(lambda reader: reader.content(reader.content_of(3))) == BODY
    assert len(claim(store, engine(store))) == 3
    assert clean(store)


def test_mail_of_a_transaction_that_rolls_back_never_existed(store: Store, app: sqlite3.Connection) -> None:
    submit(store)
    order(app)
    mail(store, app, key=Idempotency(key="k", fingerprint=b"f"))
    app.rollback()
    assert (queued(store), orders(app)) == (1, 0)
    assert store.run(lambda transaction: transaction.replay(1, "k")) is None
    assert clean(store)


def test_mail_alone_begins_the_transaction_and_leaves_the_commit_to_the_application(
    store: Store, app: sqlite3.Connection
) -> None:
    submit(store)
    assert not app.in_transaction
    mail(store, app)
    assert app.in_transaction
    assert queued(store) == 1
    app.rollback()
    assert queued(store) == 1
    with app:
        mail(store, app)
    assert queued(store) == 2


def test_several_submissions_join_one_transaction(store: Store, app: sqlite3.Connection) -> None:
    order(app)
    ids = [mail(store, app).id for _ in range(3)]
    app.commit()
    assert len(set(ids)) == 3
    assert clean(store)


def test_commit_of_the_application_wakes_engines_and_shows_in_the_data_version(
    store: Store, app: sqlite3.Connection
) -> None:
    submit(store)
    wake, version = store.read(lambda reader: reader.wake()), store.data_version()
    mail(store, app)
    assert store.data_version() == version
    app.commit()
    assert store.data_version() != version
    assert store.read(lambda reader: reader.wake()) == wake + 1
    assert due(store) is not None


def test_connection_that_commits_by_itself_is_refused_without_a_transaction(
    store: Store, app: sqlite3.Connection
) -> None:
    app.isolation_level = None
    with pytest.raises(NotInTransaction, match="BEGIN IMMEDIATE"):
        mail(store, app)
    assert not app.in_transaction
    app.execute("BEGIN")
    mail(store, app)
    app.execute("COMMIT")
    assert queued(store) == 1


@pytest.mark.parametrize("isolation", ["", "DEFERRED", "IMMEDIATE", "EXCLUSIVE"])
def test_every_isolation_level_with_implicit_transactions_is_joined(
    store: Store, path: Path, isolation: str
) -> None:
    submit(store)
    with closing(sqlite3.connect(path, isolation_level=isolation)) as app:  # type: ignore[arg-type]
        mail(store, app)
        assert app.in_transaction
        app.rollback()
        assert queued(store) == 1
        with app:
            mail(store, app)
    assert queued(store) == 2


@pytest.mark.skipif(sys.version_info < (3, 12), reason="autocommit= came with Python 3.12")
def test_the_newer_way_to_say_autocommit_is_understood(store: Store, path: Path) -> None:
    submit(store)
    with closing(sqlite3.connect(path, autocommit=False)) as app:  # type: ignore[call-overload]
        mail(store, app)
        app.rollback()
        mail(store, app)
        app.commit()
    assert queued(store) == 2
    with closing(sqlite3.connect(path, autocommit=True)) as app, pytest.raises(NotInTransaction):  # type: ignore[call-overload]
        mail(store, app)


class NewerConnection(sqlite3.Connection):
    """A connection of an older Python that says what one of Python 3.12 would."""

    autocommit: object = False


def test_autocommit_true_outweighs_the_isolation_level(store: Store, path: Path) -> None:
    submit(store)
    with closing(sqlite3.connect(path, factory=NewerConnection)) as app:
        app.autocommit = True
        with pytest.raises(NotInTransaction):
            mail(store, app)


def test_submit_that_fails_leaves_the_transaction_usable_and_what_was_in_it(
    store: Store, app: sqlite3.Connection
) -> None:
    submit(store)
    order(app)
    mail(store, app)

    def refused() -> None:
        with store.joined(app) as transaction:
            transaction.submit(new("lost@example.net"))
            raise Conflict("no")

    with pytest.raises(Conflict):
        refused()
    assert app.in_transaction
    order(app)
    app.commit()
    assert (orders(app), queued(store)) == (2, 2)
    assert clean(store)


def test_submit_that_fails_alone_leaves_no_transaction_behind(store: Store, app: sqlite3.Connection) -> None:
    submit(store)

    def refused() -> None:
        with store.joined(app) as transaction:
            transaction.submit(new())
            raise Conflict("no")

    with pytest.raises(Conflict):
        refused()
    assert not app.in_transaction
    submit(store)


def test_error_of_sqlite_is_told_as_ours_and_undone(store: Store, app: sqlite3.Connection) -> None:
    order(app)
    mail(store, app)
    with pytest.raises(Exception, match="NOT NULL") as caught:
        mail(store, app, sender=None)
    assert type(caught.value).__module__ == "mailqueue.errors"
    app.commit()
    assert queued(store) == 1


def test_nothing_of_the_connection_is_changed(store: Store, app: sqlite3.Connection) -> None:
    pragmas = (
        "recursive_triggers",
        "foreign_keys",
        "synchronous",
        "secure_delete",
        "busy_timeout",
        "journal_mode",
    )

    def seen() -> list[object]:
        return [app.execute(f"PRAGMA {name}").fetchone() for name in pragmas] + [
            app.row_factory,
            app.text_factory,
            app.isolation_level,
        ]

    app.execute("PRAGMA recursive_triggers = OFF")
    before = seen()
    mail(store, app)
    app.commit()
    assert seen() == before


def test_row_and_text_factories_of_the_application_do_not_matter(
    store: Store, app: sqlite3.Connection
) -> None:
    add_rule(store, reason="ärger")
    app.row_factory = sqlite3.Row
    app.text_factory = bytes
    key = Idempotency(key="k", fingerprint=b"f")
    mail(store, app, "b@example.net", key=key)
    with store.joined(app) as transaction:
        found = transaction.replay(1, "k")
        assert found is not None
        assert found[1].messages[0].recipient == "b@example.net"
        assert transaction.settings().hold_rules[0].reason == "ärger"
    app.commit()
    assert app.text_factory is bytes
    assert app.row_factory is sqlite3.Row
    assert clean(store)


def test_foreign_keys_of_the_application_are_kept(store: Store, app: sqlite3.Connection) -> None:
    rule = add_rule(store)
    app.execute("PRAGMA foreign_keys = ON")
    with store.joined(app) as transaction:
        transaction.submit(new("b@example.net", content=b"x" * 600_000))
        transaction.submit(new(recipient("b@example.net", holds=(rule.id,)), "c@example.net"))
        transaction.submit(new(key=Idempotency(key="k", fingerprint=b"f")))
    app.commit()
    assert clean(store)


def test_cursor_that_the_application_is_reading_from_goes_on(store: Store, app: sqlite3.Connection) -> None:
    for _ in range(3):
        order(app)
    reading = app.execute("SELECT id FROM orders ORDER BY id")
    assert next(reading) == (1,)
    mail(store, app)
    assert [row for (row,) in reading] == [2, 3]
    app.commit()


def test_statement_traced_on_the_connection_commits_nothing(store: Store, app: sqlite3.Connection) -> None:
    seen: list[str] = []
    order(app)
    app.set_trace_callback(seen.append)
    mail(store, app)
    app.set_trace_callback(None)
    assert not [each for each in seen if each.split()[0] in ("COMMIT", "END", "BEGIN")]
    assert not [each for each in seen if each.startswith("PRAGMA") and "=" in each]
    app.rollback()


def test_nothing_waits_for_the_lock_on_the_side_file(
    store: Store, app: sqlite3.Connection, path: Path
) -> None:
    submit(store)
    lock = path.with_name(path.name + "-mailqueue.lock")
    lock.unlink()
    mail(store, app)
    app.commit()
    assert not lock.exists()


# --- whose file -------------------------------------------------------------------------------
def test_connection_to_another_file_is_refused(store: Store, tmp_path: Path) -> None:
    submit(store)
    with (
        closing(sqlite3.connect(tmp_path / "other.db")) as other,
        pytest.raises(WrongDatabase, match=r"other\.db"),
    ):
        mail(store, other)


def test_connection_to_memory_is_refused(store: Store) -> None:
    submit(store)
    with closing(sqlite3.connect(":memory:")) as other, pytest.raises(WrongDatabase, match="in memory"):
        mail(store, other)


def test_queue_in_an_attached_file_is_refused(store: Store, path: Path, tmp_path: Path) -> None:
    submit(store)
    with closing(sqlite3.connect(tmp_path / "main.db")) as other:
        other.execute("ATTACH ? AS queue", (str(path),))
        with pytest.raises(WrongDatabase):
            mail(store, other)


def test_same_file_by_another_name_is_the_same(store: Store, path: Path, tmp_path: Path) -> None:
    submit(store)
    link = tmp_path / "link.db"
    link.symlink_to(path)
    with closing(sqlite3.connect(link)) as app, app:
        mail(store, app)
    assert queued(store) == 2


def test_what_is_no_connection_is_refused(store: Store) -> None:
    with pytest.raises(TypeError, match=r"sqlite3\.Connection, not str"):
        mail(store, "app.db")  # type: ignore[arg-type]


# --- tables -----------------------------------------------------------------------------------
def test_first_use_of_a_queue_may_be_inside_a_transaction_that_writes(
    open_again: Opener, app: sqlite3.Connection
) -> None:
    store = open_again(busy_timeout=0.2)
    order(app)
    mail(store, app)
    app.rollback()
    assert queued(store) == 0
    mail(store, app)
    app.commit()
    assert message(store).state == "queued"
    assert clean(store)


def test_first_use_inside_a_transaction_that_rolls_back_leaves_no_tables(
    open_again: Opener, app: sqlite3.Connection
) -> None:
    order(app)
    mail(open_again(), app)
    app.rollback()
    tables = app.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    assert tables == [("orders",)]


@pytest.mark.parametrize(("version", "error"), [(0, SchemaOutdated), (99, SchemaNewer)])
def test_tables_of_another_version_are_refused(
    open_again: Opener, app: sqlite3.Connection, version: int, error: type[Exception]
) -> None:
    submit(open_again())
    app.execute("UPDATE mailqueue_meta SET value = ? WHERE key = 'schema'", (version,))
    with pytest.raises(error):
        mail(open_again(), app)
    app.rollback()
    with app:
        mail(open_again(), app)


# --- locks ------------------------------------------------------------------------------------
def test_plain_submit_beside_an_open_transaction_asks_whether_this_thread_holds_it(
    open_again: Opener, app: sqlite3.Connection
) -> None:
    store = open_again(busy_timeout=0.2)
    submit(store)
    order(app)
    with pytest.raises(DatabaseBusy, match="does this thread hold a transaction open"):
        submit(store)
    app.commit()
    submit(store)
    assert queued(store) == 2


def test_joining_while_somebody_else_writes_is_busy_and_leaves_nothing(
    store: Store, app: sqlite3.Connection, path: Path
) -> None:
    submit(store)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseBusy):
            mail(store, app)
        assert not app.in_transaction
        other.execute("ROLLBACK")
    with app:
        mail(store, app)


def test_transaction_that_began_with_a_read_before_another_commit_says_so(
    store: Store, app: sqlite3.Connection
) -> None:
    submit(store)
    app.execute("BEGIN")
    assert orders(app) == 0
    submit(store)
    with pytest.raises(DatabaseBusy, match="began with a read"):
        mail(store, app)
    app.rollback()
    with app:
        mail(store, app)


def test_connection_of_another_thread_is_refused_by_its_driver(store: Store, app: sqlite3.Connection) -> None:
    errors: list[Exception] = []

    def work() -> None:
        try:
            mail(store, app)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert "thread" in str(errors[0])
    with app:
        mail(store, app)


def test_settings_made_and_rolled_back_by_the_application_are_seen_by_nobody(
    store: Store, app: sqlite3.Connection
) -> None:
    submit(store)
    with store.joined(app) as transaction:
        transaction.add_account("ghost", 0)
        assert "ghost" in transaction.settings().accounts
    app.rollback()
    store.run(lambda transaction: transaction.add_account("real", 0))
    assert list(store.settings().accounts) == ["default", "real"]
