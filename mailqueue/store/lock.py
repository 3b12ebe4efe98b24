"""The lock on a side file that keeps the writers of several processes in turn.

The one rule: nothing waits longer than it was told to. The lock is polled and never waited for inside
the kernel, so that a stopped process that holds it costs an error, not a hang.
"""

from __future__ import annotations

import fcntl
import os
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from mailqueue.errors import DatabaseReadOnly
from mailqueue.store.faults import busy

_FIRST_NAP = 0.0001
_LONGEST_NAP = 0.001
_POLITE_FOR = 0.25  # seconds: whoever is next in turn may be a stopped process
_TURNS = sys.platform == "linux"  # elsewhere the two kinds of lock are one


class SideLock:
    """The advisory lock on `<database>-mailqueue.lock` that write transactions are made under.

    SQLite's own waiting lets one of two busy processes starve; and it cannot be told from a hang.
    Applications that write to the same file need not take it: BEGIN IMMEDIATE decides in the end.

    There are two locks on the file: the one that counts (flock), and a turn (a record lock) that is held
    while waiting for it. Who has just written asks for the turn too, and finds it taken by who waits.
    """

    def __init__(self, path: str) -> None:
        self._database = path
        self._path = path + "-mailqueue.lock"
        self._descriptor: int | None = None

    def acquire(self, timeout: float) -> float:
        """Take the lock. Returns how many seconds of `timeout` are left.

        Raises:
            DatabaseBusy: not within `timeout` seconds.
            DatabaseReadOnly: the side file cannot be made.
        """
        if self._descriptor is None:
            self._descriptor = self._open()
        turn = self._take_turn()
        if turn and self._take():
            self._end_turn()
            return timeout
        end = time.monotonic() + timeout
        try:
            turn = turn or (_TURNS and _poll(self._take_turn, min(end, time.monotonic() + _POLITE_FOR)))
            if not _poll(self._take, end):
                raise busy(self._database)
        finally:
            if turn:
                self._end_turn()
        return max(0.0, end - time.monotonic())

    def release(self) -> None:
        """Let the next one have it."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file; a lock that another process shares by fork stays as it is."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    # -- inside --------------------------------------------------------------------------------
    def _take(self) -> bool:
        assert self._descriptor is not None
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _take_turn(self) -> bool:
        assert self._descriptor is not None
        if not _TURNS:
            return True
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        return True

    def _end_turn(self) -> None:
        assert self._descriptor is not None
        if _TURNS:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)

    def _open(self) -> int:
        """Open the side file; it has the mode and, if root makes it, the owner of the database."""
        try:
            with suppress(FileExistsError):
                self._make(os.stat(self._database))
            return os.open(self._path, os.O_RDWR)
        except OSError as error:
            raise DatabaseReadOnly(f"{self._path}: cannot be opened: {error.strerror}") from error

    def _make(self, like: os.stat_result) -> None:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            if os.geteuid() == 0:
                os.fchown(descriptor, like.st_uid, like.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(like.st_mode) & 0o666)
        finally:
            os.close(descriptor)


def _poll(take: Callable[[], bool], end: float) -> bool:
    """Try again and again until `end` (by the monotonic clock). Returns whether it was taken."""
    nap = _FIRST_NAP
    while not take():
        left = end - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(nap, left))
        nap = min(nap * 1.05, _LONGEST_NAP)
    return True
