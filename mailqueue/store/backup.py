"""A backup of the whole file while it is in use, and putting one back.

The one rule: a backup is one moment of the file, whole or not there at all; and what a restored file
says again about the past (its ids, the version of its settings) never stands for two things.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

from mailqueue.errors import SchemaMissing, StoreError
from mailqueue.model.backup import Backup, Restored
from mailqueue.store import integrity, rows, schema
from mailqueue.store.base import Check, Copy
from mailqueue.store.connections import check_mode, connect
from mailqueue.store.faults import explained
from mailqueue.store.files import make_file
from mailqueue.store.lock import SideLock
from mailqueue.store.migrate import copy_file
from mailqueue.store.queries import query

_Last = list[tuple[str, int]]


def back_up(path: str, target: str) -> Backup:
    """Copy the file at `path`, as its last commit left it; see `mailqueue.store.base.Store.back_up`."""
    made = copy_file(path, os.path.abspath(target))
    return Backup(path=made, size=os.stat(made).st_size)


def restore(
    path: str, source: str, *, copy: Copy, whole_file: bool, busy_timeout: float, check: Check
) -> Restored:
    """Put a backup in the place of the file at `path`; see `mailqueue.store.base.Store.restore`."""
    source = os.path.abspath(source)
    _check(source, busy_timeout)
    if os.path.exists(path) and os.path.samefile(path, source):
        raise StoreError(f"{source}: is the database itself; name a backup of it")
    fresh = make_file(path, create=True)
    lock = SideLock(path)
    try:
        lock.acquire(busy_timeout)
        with explained(path), closing(connect(path, busy_timeout)) as connection:
            if fresh:
                connection.execute("PRAGMA journal_mode = WAL")
                last: _Last = []
                settings, made = 0, None
            else:
                check_mode(connection.cursor(), path)
                _may_be_replaced(connection.cursor(), path, whole_file, check)
                last, settings = _what_was(connection.cursor())
                made = None if copy is False else copy_file(path, _copy_path(path, copy))
            with closing(connect(source, busy_timeout)) as backup:
                backup.backup(connection)
            _go_on(connection.cursor(), last, settings)
    finally:
        lock.close()
    return Restored(path=path, source=source, copy=made, held=0)


def _check(source: str, busy_timeout: float) -> None:
    """Raise StoreError where a file is no backup, of an older version, or not sound."""
    if make_file(source, create=False):
        raise SchemaMissing(f"{source}: is empty")
    with explained(source), closing(connect(source, busy_timeout)) as connection:
        cursor = connection.cursor()
        version = schema.version_of(cursor)
        if version is None:
            raise SchemaMissing(f"{source}: has no tables of mailqueue")
        schema.check_version(version, source)
        found = list(integrity.faults(cursor))
    if found:
        raise StoreError(f"{source}: is not sound, nothing was changed: {'; '.join(found[:3])}")


def _may_be_replaced(cursor: sqlite3.Cursor, path: str, whole_file: bool, check: Check) -> None:
    """Raise where somebody needs the file as it is."""
    others = [name for (name,) in cursor.execute(query("tables_of_others")).fetchall()]
    if others and not whole_file:
        raise StoreError(
            f"{path}: holds other tables too ({', '.join(others[:3])}), which would be replaced: "
            "say that the whole file is meant, if it is"
        )
    if schema.version_of(cursor) == schema.VERSION:
        check([rows.engine(row) for row in cursor.execute(query("all_engines")).fetchall()])


def _what_was(cursor: sqlite3.Cursor) -> tuple[_Last, int]:
    """Return the last ids that were given, and the version of the settings."""
    if schema.version_of(cursor) is None:
        return [], 0
    last = cursor.execute(query("our_last_ids")).fetchall()
    return last, int(cursor.execute(query("settings_version")).fetchone()[0])


def _go_on(cursor: sqlite3.Cursor, last: _Last, settings: int) -> None:
    """See to it that no id is given again, and that every process reads the settings anew."""
    cursor.execute("BEGIN IMMEDIATE")
    for name, number in last:
        cursor.execute(query("raise_last_id"), (number, name, number))
    cursor.execute(query("settings_after"), (settings,))
    cursor.execute("COMMIT")


def _copy_path(path: str, copy: Copy) -> str:
    return f"{path}.before-restore" if isinstance(copy, bool) else os.path.abspath(os.fspath(copy))
