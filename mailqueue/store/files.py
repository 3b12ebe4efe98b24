"""The files of a database: its path, making it, and the lock on a side file that keeps writers in turn.

The one rule: nothing here waits longer than it was told to. The lock is polled and never waited for
inside the kernel, so that a stopped process that holds it costs an error, not a hang.
"""

from __future__ import annotations

import fcntl
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

from mailqueue.errors import DatabaseReadOnly, SchemaMissing, StoreError
from mailqueue.store.faults import busy

_FIRST_NAP = 0.0002
_LONGEST_NAP = 0.002


def checked_path(path: str | os.PathLike[str]) -> str:
    """Return `path` as an absolute path without symbolic links, which SQLite follows too.

    Raises:
        StoreError: it names no file: `:memory:`, or empty.
    """
    text = os.fspath(path)
    if not isinstance(text, str):
        text = os.fsdecode(text)
    if text in ("", ":memory:") or text.startswith("file:"):
        raise StoreError(
            f"{text or 'an empty path'}: a queue needs a file that other processes can open; name a path"
        )
    return os.path.realpath(text)


def make_file(path: str, *, create: bool) -> bool:
    """Make sure that there is a file at `path`; return whether it is new or empty.

    A file made here can be read and written by its owner only; one that exists keeps its mode.

    Raises:
        SchemaMissing: there is none, and `create` is False.
        DatabaseReadOnly: it cannot be made.
        StoreError: a folder is there, or the folder that it should be in is not.
    """
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return _create(path, create=create)
    except NotADirectoryError:
        raise StoreError(f"{path}: a part of this path is a file, not a folder") from None
    except PermissionError:
        raise DatabaseReadOnly(f"{path}: a folder on the way may not be entered") from None
    if not stat.S_ISREG(found.st_mode):
        what = "a folder" if stat.S_ISDIR(found.st_mode) else "no regular file"
        raise StoreError(f"{path}: is {what}; name the database file")
    return found.st_size == 0


def _create(path: str, *, create: bool) -> bool:
    folder = Path(path).parent
    if not folder.is_dir():
        raise StoreError(f"{path}: there is no folder {folder}; make it first")
    if not create:
        raise SchemaMissing(f"{path}: there is no such file")
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise DatabaseReadOnly(f"{path}: cannot be made: {error.strerror}") from error
    return True


class SideLock:
    """The advisory lock on `<database>-mailqueue.lock` that write transactions are made under.

    SQLite's own waiting lets one of two busy processes starve; and it cannot be told from a hang.
    Applications that write to the same file need not take it: BEGIN IMMEDIATE decides in the end.
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
        if self._taken(self._descriptor):
            return timeout
        end = time.monotonic() + timeout
        nap = _FIRST_NAP
        while (left := end - time.monotonic()) > 0:
            time.sleep(min(nap, left))
            if self._taken(self._descriptor):
                return max(0.0, end - time.monotonic())
            nap = min(nap * 1.2, _LONGEST_NAP)
        raise busy(self._database)

    def release(self) -> None:
        """Let the next one have it."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Close the file; a lock that another process shares by fork stays as it is."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @staticmethod
    def _taken(descriptor: int) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

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
