"""The file of a database: its path, and making it.

The one rule: a file made here is for its owner only; one that exists keeps its mode.
"""

from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

from mailqueue.errors import DatabaseReadOnly, SchemaMissing, StoreError

_OLDEST = (3, 38, 0)
"""With UPDATE FROM, RETURNING, and JSON built in."""


def checked_path(path: str | os.PathLike[str]) -> str:
    """Return `path` as an absolute path without symbolic links, which SQLite follows too.

    Raises:
        StoreError: it names no file: `:memory:`, or empty; or this Python's SQLite is too old.
    """
    if sqlite3.sqlite_version_info < _OLDEST:
        raise StoreError(
            f"this Python has SQLite {sqlite3.sqlite_version}, and mailqueue needs "
            f"{'.'.join(map(str, _OLDEST))} or newer: use another Python"
        )
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
