"""The SQLite store: one file, one writer at a time, readers beside it.

The one rule: a transaction is begun, filled, committed and, when it fails, rolled back in this file
only (and, inside an application's own transaction, in `joined`).
"""

# ruff: noqa: D102 -- the contract in base.py says what each method promises

from __future__ import annotations

import atexit
import logging
import os
import sqlite3
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from mailqueue.errors import StoreError
from mailqueue.model.backup import Backup, Restored
from mailqueue.model.migration import Migration
from mailqueue.model.settings import Settings
from mailqueue.store import backup, migrate
from mailqueue.store.base import Check, Copy, Reader, Store, Transaction
from mailqueue.store.batch import Batch
from mailqueue.store.connections import Connections
from mailqueue.store.faults import cannot_be_written, concerns_all, explain, explained
from mailqueue.store.files import checked_path
from mailqueue.store.joined import joined
from mailqueue.store.lock import SideLock
from mailqueue.store.read import SqliteReader
from mailqueue.store.settings import Shared, Snapshots
from mailqueue.store.transaction import SqliteTransaction
from mailqueue.store.writer import Job, Writer

T = TypeVar("T")
_log = logging.getLogger("mailqueue.store")

_SETTINGS_FOR = 0.05  # seconds that settings are taken as they were
_DRAIN = 10.0  # seconds that what waits may take at close and at exit
_open_stores: weakref.WeakValueDictionary[int, SqliteStore] = weakref.WeakValueDictionary()


def open_store(
    path: str | os.PathLike[str], *, create: bool = True, migrate: bool = False, busy_timeout: float = 5.0
) -> Store:
    """Return the store at `path`. Nothing is opened before it is used.

    Args:
        path: of an SQLite database, a file on disk.
        create: make the file and the tables where there are none.
        migrate: bring older tables up to date.
        busy_timeout: seconds to wait for another writer.

    Raises:
        StoreError: the path names no file.
    """
    return SqliteStore(checked_path(path), create=create, migrate=migrate, busy_timeout=busy_timeout)


class SqliteStore:
    """A store in one SQLite file; `mailqueue.store.base.Store` says what each method promises."""

    def __init__(self, path: str, *, create: bool, migrate: bool, busy_timeout: float) -> None:
        self.path = path
        self.busy_timeout = busy_timeout
        self._connections = Connections(path, create=create, migrate=migrate, busy_timeout=busy_timeout)
        self._lock = SideLock(path)
        self._shared = Shared()
        self._writer = Writer(self._commit, path)
        self._bells: dict[object, Callable[[], None]] = {}
        self._settings_until = 0.0
        _open_stores[id(self)] = self

    # -- writing -------------------------------------------------------------------------------
    def run(self, job: Callable[[Transaction], T]) -> T:
        return self._writer.run(job)

    def enqueue(self, job: Callable[[Transaction], T]) -> Future[T]:
        return self._writer.enqueue(job)

    def joined(self, connection: Any) -> AbstractContextManager[Transaction]:  # noqa: ANN401
        return joined(connection, self.path, self._connections.prepare, self._shared)

    def _commit(self, jobs: Sequence[Job[Any]]) -> None:
        """Do jobs in one transaction; where one of them fails it, each in its own. Never raises."""
        if not jobs:
            return
        try:
            if self._together(jobs):
                self._ring()
        except BaseException as error:
            if len(jobs) == 1 or concerns_all(error):
                told = explain(error, self.path) if isinstance(error, sqlite3.Error) else error
                for job in jobs:
                    job.error = _copy(told)
            else:
                for job in jobs:
                    self._commit([job])

    def _together(self, jobs: Sequence[Job[Any]]) -> bool:
        """Do jobs in one transaction, and commit it. Returns whether it wakes engines."""
        self._connections.enter()
        try:
            connection = self._connections.writer()
            left = self._lock.acquire(self.busy_timeout)
            waited = left < self.busy_timeout
            try:
                if waited:
                    connection.execute(f"PRAGMA busy_timeout = {int(left * 1000)}")
                woke = self._transact(connection, jobs)
                if waited:
                    connection.execute(f"PRAGMA busy_timeout = {int(self.busy_timeout * 1000)}")
                return woke
            except BaseException as error:
                if cannot_be_written(error):
                    self._connections.drop_idle()
                elif waited or concerns_all(error):
                    self._connections.drop_writer()
                raise
            finally:
                self._lock.release()
        finally:
            self._connections.leave()

    def _transact(self, connection: sqlite3.Connection, jobs: Sequence[Job[Any]]) -> bool:
        cursor = connection.cursor()
        cursor.execute("BEGIN IMMEDIATE")
        try:
            snapshots = Snapshots(self._shared)
            batch = Batch(cursor, snapshots)
            transaction = SqliteTransaction(batch)
            for job in jobs:
                _do(job, transaction, connection)
            woke = batch.finish()
            cursor.execute("COMMIT")
            if snapshots.moved:
                self._shared.latest = None
            return woke
        except BaseException:
            if connection.in_transaction:
                cursor.execute("ROLLBACK")
            raise

    def on_wake(self, callback: Callable[[], None]) -> Callable[[], None]:
        token = object()
        self._bells = {**self._bells, token: callback}

        def end() -> None:
            self._bells = {key: each for key, each in self._bells.items() if key is not token}

        return end

    def _ring(self) -> None:
        for callback in self._bells.values():
            try:
                callback()
            except Exception:
                _log.exception("a callback for new mail failed")

    # -- reading -------------------------------------------------------------------------------
    def settings(self) -> Settings:
        latest, now = self._shared.latest, time.monotonic()
        if latest is None or now >= self._settings_until:
            latest = self.look(lambda reader: reader.settings())
            self._settings_until = now + _SETTINGS_FOR
        return latest

    def look(self, question: Callable[[Reader], T]) -> T:
        return self._ask(question, begin=False)

    def read(self, question: Callable[[Reader], T]) -> T:
        return self._ask(question, begin=True)

    def _ask(self, question: Callable[[Reader], T], *, begin: bool) -> T:
        # Plain try and finally, no context managers: the engine asks several times for each message.
        self._connections.enter()
        connection, sound = None, False
        try:
            connection = self._connections.lend()
            cursor = connection.cursor()
            if begin:
                cursor.execute("BEGIN")
            try:
                answer = question(SqliteReader(cursor, Snapshots(self._shared)))
            finally:
                if begin:
                    cursor.execute("ROLLBACK")
                sound = True
            return answer
        except sqlite3.Error as error:
            sound = False
            raise explain(error, self.path) from error
        finally:
            if connection is not None:
                self._connections.give_back(connection, sound=sound)
            self._connections.leave()

    def migrate(self, *, copy: Copy, check: Check) -> Migration:
        self._connections.enter()
        try:
            return migrate.migrate(self.path, copy=copy, busy_timeout=self.busy_timeout, check=check)
        finally:
            self._connections.leave()

    def back_up(self, target: str) -> Backup:
        self._connections.enter()
        try:
            self._connections.prepare()
            return backup.back_up(self.path, target)
        finally:
            self._connections.leave()

    def restore(self, source: str, *, copy: Copy, whole_file: bool, check: Check) -> Restored:
        self._connections.enter()
        try:
            return backup.restore(
                self.path,
                source,
                copy=copy,
                whole_file=whole_file,
                busy_timeout=self.busy_timeout,
                check=check,
            )
        finally:
            self._shared.latest = None
            self._connections.leave()

    def checkpoint(self) -> None:
        self._connections.enter()
        connection, sound = None, False
        try:
            connection = self._connections.lend()
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            sound = True
        except sqlite3.Error as error:
            raise explain(error, self.path) from error
        finally:
            if connection is not None:
                self._connections.give_back(connection, sound=sound)
            self._connections.leave()

    def data_version(self) -> int:
        with explained(self.path):
            return self._connections.data_version()

    # -- closing and forking -------------------------------------------------------------------
    def close(self) -> None:
        self._writer.close(_DRAIN)
        self._connections.close()
        self._lock.close()
        _open_stores.pop(id(self), None)

    def before_fork(self) -> None:
        """Close what is open, as soon as nobody uses it."""
        self._connections.shut()

    def after_fork_in_parent(self) -> None:
        """Let the work go on."""
        self._connections.reopen()

    def after_fork_in_child(self) -> None:
        """Forget all that the parent had, but for the path."""
        self._writer.start_anew()
        self._connections.start_anew()
        self._lock.close()
        self._lock = SideLock(self.path)
        self._shared = Shared()
        self._bells = {}


def _do(job: Job[Any], transaction: SqliteTransaction, connection: sqlite3.Connection) -> None:
    """Do one job. One that fails and has written nothing fails alone; others fail their transaction."""
    batch = transaction.batch
    before = (batch.added, connection.total_changes)
    try:
        job.result = job.work(transaction)
        job.error = None
    except Exception as error:
        if concerns_all(error) or before != (batch.added, connection.total_changes):
            raise
        job.error = error


def _copy(error: BaseException) -> BaseException:
    """Return an error of the same kind, since each thread that raises it adds its own traceback."""
    if not isinstance(error, StoreError):
        return error
    copy = type(error)(*error.args)
    copy.__cause__ = error.__cause__
    return copy


def _for_all(step: Callable[[SqliteStore], None]) -> Callable[[], None]:
    def run() -> None:
        for reference in _open_stores.valuerefs():
            if (store := reference()) is not None:
                step(store)

    return run


os.register_at_fork(
    before=_for_all(SqliteStore.before_fork),
    after_in_parent=_for_all(SqliteStore.after_fork_in_parent),
    after_in_child=_for_all(SqliteStore.after_fork_in_child),
)
atexit.register(_for_all(SqliteStore.close))
