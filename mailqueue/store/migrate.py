"""Bringing the tables of a file up to date, with a copy of it made first.

The one rule: copy and steps are made while nobody else can write, so that the copy is the file as it
was right before; and the steps are one transaction, so that whenever the process dies the file has
either all of the old version or all of the new one.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from mailqueue.errors import DatabaseReadOnly, SchemaMissing, StoreError
from mailqueue.model.migration import Migration
from mailqueue.store import rows, schema, steps
from mailqueue.store.base import Check, Copy
from mailqueue.store.connections import check_mode, connect
from mailqueue.store.faults import explained, missing
from mailqueue.store.files import make_file
from mailqueue.store.lock import SideLock
from mailqueue.store.queries import query


def migrate(path: str, *, copy: Copy, busy_timeout: float, check: Check) -> Migration:
    """Bring the tables of the file at `path` up to date; see `mailqueue.store.base.Store.migrate`."""
    if make_file(path, create=False):
        raise SchemaMissing(f"{path}: is empty")
    lock = SideLock(path)
    try:
        with explained(path), closing(connect(path, busy_timeout)) as connection:
            found = _found(connection.cursor(), path)
            if found == schema.VERSION:
                return Migration(path=path, before=found, after=found, copy=None)
            lock.acquire(busy_timeout)
            return _migrate(connection, path, copy, check)
    finally:
        lock.close()


def _migrate(connection: sqlite3.Connection, path: str, copy: Copy, check: Check) -> Migration:
    cursor = connection.cursor()
    steps.begin(cursor)
    try:
        found, made = _found(cursor, path), None
        if found < schema.VERSION:
            check([rows.engine(row) for row in cursor.execute(query("engines_of_old")).fetchall()])
            made = None if copy is False else copy_file(path, copy_path(path, copy, found))
            steps.upgrade(cursor, found, path)
        cursor.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            cursor.execute("ROLLBACK")
        raise
    return Migration(path=path, before=found, after=schema.VERSION, copy=made)


def _found(cursor: sqlite3.Cursor, path: str) -> int:
    """Return the version of the tables. Raises SchemaMissing, SchemaNewer, NotWal."""
    check_mode(cursor, path)
    found = schema.version_of(cursor)
    if found is None:
        raise missing(path)
    if found > schema.VERSION:
        schema.check_version(found, path)
    return found


# --- the copy ---------------------------------------------------------------------------------
def copy_path(path: str, copy: Copy, version: int) -> str:
    """Return where the copy of a file with tables of `version` goes: beside it, where no path is given."""
    return f"{path}.v{version}-backup" if isinstance(copy, bool) else os.path.abspath(os.fspath(copy))


def copy_file(path: str, target: str) -> str:
    """Copy the database at `path`, as its last commit left it, and return `target`.

    It grows under the name `target`.part, and has its own name when it is whole and on disk.

    Raises:
        StoreError: there is something at `target` already, or it cannot be written.
    """
    if os.path.lexists(target):
        raise StoreError(f"{target}: is there already; name another place for the copy, or move that away")
    part = f"{target}.part"
    try:
        _make_like(path, part)
        with explained(target):
            _copy(path, part)
        os.rename(part, target)
        _sync(Path(target).parent)
    except OSError as error:
        raise DatabaseReadOnly(f"{target}: the copy cannot be made: {error.strerror}") from error
    finally:
        _remove(part)
    return target


def _copy(path: str, part: str) -> None:
    with closing(connect(path, 0)) as source, closing(sqlite3.connect(part)) as made:
        source.backup(made)
    _sync(Path(part))


def _make_like(path: str, part: str) -> None:
    """Make an empty file with the rights of `path` and, if root makes it, its owner."""
    _remove(part)
    like = os.stat(path)
    descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        if os.geteuid() == 0:
            os.fchown(descriptor, like.st_uid, like.st_gid)
        os.fchmod(descriptor, like.st_mode & 0o666)
    finally:
        os.close(descriptor)


def _remove(part: str) -> None:
    for suffix in ("", "-journal", "-wal", "-shm"):
        with suppress(FileNotFoundError):
            os.unlink(part + suffix)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
