"""The connections of one open database: one that writes, some that read, one that watches for commits.

The one rule: no connection is open across a fork. SQLite keeps a process's locks in the memory of
the process; a child would take them for its own, and its commits could be lost when the parent
closes the file. So all are closed before a fork, when nobody uses them, and opened anew on both sides.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import deque
from contextlib import closing, suppress
from urllib.parse import quote

from mailqueue.errors import NotWal, StoreError
from mailqueue.store import schema, steps
from mailqueue.store.faults import explained, missing
from mailqueue.store.files import make_file
from mailqueue.store.lock import SideLock

_QUIET = 5.0  # seconds that a fork waits for connections in use
_INHERITED: list[object] = []  # connections of a parent: neither used nor closed, so never collected


def check_mode(cursor: sqlite3.Cursor, path: str) -> None:
    """Check that a file is in WAL mode. Raises NotWal."""
    mode = cursor.execute("PRAGMA journal_mode").fetchone()[0]
    if mode != "wal":
        raise NotWal(
            f"{path}: is in journal mode {mode!r}, and mailqueue needs WAL; change it with "
            f"sqlite3 '{path}' 'PRAGMA journal_mode=WAL'"
        )


def connect(path: str, timeout: float) -> sqlite3.Connection:
    """Open a file that exists, as all our connections are: durable, in charge of their transactions."""
    connection = sqlite3.connect(
        f"file:{quote(path)}?mode=rw",
        uri=True,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
    )
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = OFF")
    return connection


class _Open:
    """What is open, and who uses it: all that a forked child must leave alone."""

    def __init__(self) -> None:
        self.gate = threading.Condition(threading.Lock())
        self.users = 0
        self.shut = False
        self.preparing = threading.Lock()
        self.ready = False
        self.watching = threading.Lock()
        self.writer: sqlite3.Connection | None = None
        self.watcher: sqlite3.Connection | None = None
        self.idle: deque[sqlite3.Connection] = deque()

    def close(self) -> None:
        for connection in (self.writer, self.watcher, *self.idle):
            if connection is not None:
                connection.close()
        self.writer = self.watcher = None
        self.idle.clear()


class Connections:
    """Opens what is needed when it is needed. Thread-safe."""

    def __init__(self, path: str, *, create: bool, migrate: bool, busy_timeout: float) -> None:
        self.path = path
        self.busy_timeout = busy_timeout
        self._create = create
        self._migrate = migrate
        self._closed = False
        self._generation = 0
        self._open = _Open()

    def start_anew(self) -> None:
        """Forget everything that is open, as a forked child must: nothing is used, nothing closed."""
        _INHERITED.append(self._open)
        self._open = _Open()
        self._generation += 1

    # -- using ---------------------------------------------------------------------------------
    def enter(self) -> None:
        """Begin to use a connection: none is closed before `leave`. Raises StoreError after `close`."""
        now = self._open
        with now.gate:
            while now.shut and not self._closed:
                now.gate.wait()
            if self._closed:
                raise closed(self.path)
            now.users += 1

    def leave(self) -> None:
        """Say that the connection is used no more."""
        now = self._open
        with now.gate:
            now.users -= 1
            if now.shut:
                now.gate.notify_all()

    def writer(self) -> sqlite3.Connection:
        """Return the connection that writes; the caller sees to it that one thread at a time does."""
        now = self._open
        if now.writer is None:
            self.prepare()
            now.writer = connect(self.path, self.busy_timeout)
        return now.writer

    def drop_writer(self) -> None:
        """Close the connection that writes, after trouble that it might remember."""
        writer, self._open.writer = self._open.writer, None
        if writer is not None:
            writer.close()

    def drop_idle(self) -> None:
        """Close all that nobody uses: one that could not write its -shm file keeps the others from it."""
        now = self._open
        self.drop_writer()
        with suppress(IndexError):
            while True:
                now.idle.pop().close()
        with now.watching:
            if now.watcher is not None:
                now.watcher.close()
                now.watcher = None
                self._generation += 1

    def lend(self) -> sqlite3.Connection:
        """Return a connection that reads, for use between `enter` and `leave`, to be given back."""
        with suppress(IndexError):
            return self._open.idle.pop()
        self.prepare()
        return connect(self.path, self.busy_timeout)

    def give_back(self, connection: sqlite3.Connection, *, sound: bool) -> None:
        """Take back what was lent; one that had trouble is closed."""
        if sound:
            self._open.idle.append(connection)
        else:
            connection.close()

    def data_version(self) -> int:
        """Return a number that moves with every commit of anybody else than the connection that watches."""
        self.enter()
        try:
            now = self._open
            with now.watching:
                if now.watcher is None:
                    self.prepare()
                    now.watcher = connect(self.path, self.busy_timeout)
                found: int = now.watcher.execute("PRAGMA data_version").fetchone()[0]
            return (self._generation << 40) + found
        finally:
            self.leave()

    # -- opening -------------------------------------------------------------------------------
    def prepare(self) -> None:
        """See to it that the file exists, is in WAL mode, and has our tables; once.

        Raises:
            StoreError: it cannot be had; the kinds tell why.
        """
        now = self._open
        with now.preparing:
            if not now.ready:
                with explained(self.path):
                    self._prepare()
                now.ready = True

    def _prepare(self) -> None:
        new = make_file(self.path, create=self._create)
        with closing(connect(self.path, self.busy_timeout)) as connection:
            cursor = connection.cursor()
            if not new:
                check_mode(cursor, self.path)
                found = schema.version_of(cursor)
                if found is None and not self._create:
                    raise missing(self.path)
                if found is not None and not (self._migrate and found < schema.VERSION):
                    schema.check_version(found, self.path)
                    schema.forget_statistics(cursor)  # changes the connection, which is closed now
                    return
            self._make_tables(cursor, new=new)

    def _make_tables(self, cursor: sqlite3.Cursor, *, new: bool) -> None:
        lock = SideLock(self.path)
        lock.acquire(self.busy_timeout)
        try:
            if new:
                cursor.execute("PRAGMA journal_mode = WAL")
            steps.begin(cursor)
            # Somebody may have been faster between the look and the lock.
            found = schema.version_of(cursor)
            if found is None:
                schema.create_tables(cursor)
            else:
                steps.upgrade(cursor, found, self.path)
            cursor.execute("COMMIT")
        finally:
            lock.close()

    # -- closing -------------------------------------------------------------------------------
    def shut(self) -> None:
        """Let nobody in any more, wait a while for those inside, and close everything if nobody is left."""
        end = time.monotonic() + _QUIET
        now = self._open
        with now.gate:
            now.shut = True
            while now.users and (left := end - time.monotonic()) > 0:
                now.gate.wait(left)
            if not now.users:
                now.close()
                self._generation += 1

    def reopen(self) -> None:
        """Let users in again."""
        with self._open.gate:
            self._open.shut = False
            self._open.gate.notify_all()

    def close(self) -> None:
        """Close everything; whoever asks again gets a StoreError."""
        self._closed = True
        self.shut()
        self.reopen()


def closed(path: str) -> StoreError:
    """Return the error for the use of a store that has been closed."""
    return StoreError(f"{path}: this queue has been closed")
