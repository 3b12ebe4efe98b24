"""Inside an application's own transaction: its mail is committed with it, or never existed.

The one rule: the connection is the application's. We use a cursor of our own, plain SQL in the
calling thread, and a savepoint; no setting of the connection is changed beyond the call, nothing is
committed, and a submit that fails leaves the transaction as it was.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mailqueue.errors import NotInTransaction, WrongDatabase
from mailqueue.store import schema
from mailqueue.store.base import Transaction
from mailqueue.store.batch import Batch
from mailqueue.store.connections import check_mode
from mailqueue.store.faults import explained
from mailqueue.store.settings import Shared, Snapshots
from mailqueue.store.transaction import SqliteTransaction

_LEGACY = -1  # sqlite3.LEGACY_TRANSACTION_CONTROL, from Python 3.12 on


@contextmanager
def joined(
    connection: Any,  # noqa: ANN401
    path: str,
    prepare: Callable[[], None],
    shared: Shared,
) -> Iterator[Transaction]:
    """Enter the transaction of `connection`, or begin the one that its next statement would begin.

    Args:
        connection: an `sqlite3.Connection`, the application's.
        path: of the queue's file.
        prepare: makes the tables, where no transaction is open that could be in its way.
        shared: committed snapshots of the settings.

    Raises:
        NotInTransaction: it commits every statement by itself and no transaction is open.
        WrongDatabase: its main file is another.
        NotWal: the file is not in WAL mode.
        SchemaOutdated, SchemaNewer: the tables are of another version.
        TypeError: it is no `sqlite3.Connection`.
    """
    if not isinstance(connection, sqlite3.Connection):
        raise TypeError(f"connection= takes an sqlite3.Connection, not {type(connection).__name__}")
    with explained(path), _plain_text(connection):
        cursor = connection.cursor()
        cursor.row_factory = None
        _check_file(cursor, path)
        began = _enter(connection, cursor, prepare)
        cursor.execute("SAVEPOINT mailqueue")
        try:
            _tables(cursor, path)
            batch = Batch(cursor, Snapshots(shared, private=True))
            yield SqliteTransaction(batch)
            batch.finish()
            cursor.execute("RELEASE mailqueue")
        except BaseException:
            _undo(connection, cursor, began=began)
            raise


def _tables(cursor: sqlite3.Cursor, path: str) -> None:
    # Before anything is read: once others have committed, nothing can be written to what was read before.
    schema.begin_to_write(cursor)
    check_mode(cursor, path)
    found = schema.version_of(cursor)
    if found is None:
        schema.create_tables(cursor)
    else:
        schema.check_version(found, path)


@contextmanager
def _plain_text(connection: sqlite3.Connection) -> Iterator[None]:
    """Read text as str while this lasts, whatever the application reads it as."""
    factory = connection.text_factory
    connection.text_factory = str
    try:
        yield
    finally:
        connection.text_factory = factory


def _check_file(cursor: sqlite3.Cursor, path: str) -> None:
    found = {name: file for _, name, file in cursor.execute("PRAGMA database_list").fetchall()}
    main = found.get("main") or ""
    try:
        same = bool(main) and os.path.samefile(main, path)
    except OSError:
        same = False
    if not same:
        raise WrongDatabase(
            f"the connection's main file is {main or 'none (in memory)'}, the queue is in {path}: "
            "a transaction is atomic only within one file"
        )


def _enter(connection: sqlite3.Connection, cursor: sqlite3.Cursor, prepare: Callable[[], None]) -> bool:
    """See to it that a transaction is open. Returns whether it was begun here."""
    if connection.in_transaction:
        return False
    by_itself = connection.isolation_level is None
    mode = getattr(connection, "autocommit", _LEGACY)
    if mode is True or (mode == _LEGACY and by_itself):
        raise NotInTransaction(
            "the connection commits every statement by itself and no transaction is open: "
            "execute BEGIN IMMEDIATE first, then commit when all is in"
        )
    prepare()
    # A savepoint alone would commit at its release.
    cursor.execute("BEGIN IMMEDIATE")
    return True


def _undo(connection: sqlite3.Connection, cursor: sqlite3.Cursor, *, began: bool) -> None:
    """Take back what was done here; some errors have rolled back everything already."""
    if not connection.in_transaction:
        return
    if began:
        cursor.execute("ROLLBACK")
    else:
        cursor.execute("ROLLBACK TO mailqueue")
        cursor.execute("RELEASE mailqueue")
