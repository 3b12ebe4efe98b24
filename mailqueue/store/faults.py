"""The driver's errors, told in our words: what is wrong, with which file, and what to do.

The one rule: whatever leaves the store is a `StoreError` or one of the other errors of mailqueue; an
error of the driver that we cannot explain is a `StoreError` with the driver's own words.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from mailqueue.errors import (
    DatabaseBusy,
    DatabaseReadOnly,
    DiskFull,
    SchemaMissing,
    StoreError,
)

_OPEN_TRANSACTION = (
    "does this thread hold a transaction open on the same file? Then hand it in as connection=, "
    "or commit it first"
)
_RIGHTS = "look at the rights of the file, of its -wal and -shm files, and of their folder"


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn the driver's errors inside into `StoreError`s that name `path`."""
    try:
        yield
    except sqlite3.Error as error:
        raise explain(error, path) from error


def concerns_all(error: BaseException) -> bool:
    """Return whether the database is in the way of everybody, not one statement of what it was asked."""
    if isinstance(error, sqlite3.Error):
        return isinstance(error, sqlite3.OperationalError) or type(error) is sqlite3.DatabaseError
    return isinstance(error, StoreError) or not isinstance(error, Exception)


def cannot_be_written(error: BaseException) -> bool:
    """Return whether the rights of a file are in the way."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PERM,
    )


def busy(path: str) -> DatabaseBusy:
    """Return the error for a lock that was not had in time."""
    return DatabaseBusy(
        f"{path}: another process or connection is writing and does not finish; {_OPEN_TRANSACTION}"
    )


def explain(error: sqlite3.Error, path: str) -> StoreError:
    """Return `error` as ours."""
    code = getattr(error, "sqlite_errorcode", None)
    name = getattr(error, "sqlite_errorname", "")
    match None if code is None else code & 0xFF:
        case sqlite3.SQLITE_BUSY if name == "SQLITE_BUSY_SNAPSHOT":
            return DatabaseBusy(
                f"{path}: this transaction began with a read, and somebody else has written since; "
                "begin it with BEGIN IMMEDIATE"
            )
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return busy(path)
        case sqlite3.SQLITE_FULL:
            return DiskFull(f"{path}: no room to write; nothing was stored. Make room, then try again")
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            return DatabaseReadOnly(f"{path}: cannot be written: {_RIGHTS}")
        case sqlite3.SQLITE_CANTOPEN:
            return DatabaseReadOnly(f"{path}: cannot be opened: {_RIGHTS}")
        case sqlite3.SQLITE_NOTADB:
            return StoreError(f"{path}: is not an SQLite database; name another file, or move this one away")
        case sqlite3.SQLITE_CORRUPT:
            return StoreError(
                f"{path}: is damaged ({error}); see `mailqueue check-integrity`, and restore a backup"
            )
        case _ if "no such table: mailqueue_" in str(error) or "no such table: main.mailqueue_" in str(error):
            return missing(path)
        case _:
            return StoreError(f"{path}: {error}" + (f" ({name})" if name else ""))


def missing(path: str) -> SchemaMissing:
    """Return the error for a file without our tables."""
    return SchemaMissing(
        f"{path}: holds no mailqueue tables; Queue(path) makes them, or mailqueue.create_schema(connection)"
    )
