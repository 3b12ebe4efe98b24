"""The tables: their text, their version, and making them.

The one rule: nothing changes the tables of a file but `create_schema`, where there are none, and
`steps.upgrade`, when somebody asked for it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from mailqueue.errors import SchemaNewer, SchemaOutdated
from mailqueue.store.queries import query

VERSION = 4
"""The version of the schema that this code reads and writes."""


@cache
def schema_sql() -> str:
    """Return the whole schema as SQL text: tables, indexes, and the rows that are there from the start."""
    return (Path(__file__).parent / "schema.sql").read_text(encoding="utf-8")


@cache
def statements() -> tuple[str, ...]:
    """Return the statements of the schema, one by one."""
    return split(schema_sql())


def split(text: str) -> tuple[str, ...]:
    """Return the statements of a text, one by one; each ends at the end of a line."""
    found: list[str] = []
    lines: list[str] = []
    for line in text.splitlines():
        lines.append(line)
        if sqlite3.complete_statement("\n".join(lines)):
            found.append("\n".join(lines))
            lines = []
    return tuple(found)


def create_schema(connection: sqlite3.Connection) -> None:
    """Make mailqueue's tables in the database of `connection`, for an application's own migration tool.

    Joins the transaction that is open on the connection, and then commits nothing; makes a
    transaction of its own where none is. Does nothing where the tables are there already.

    Raises:
        SchemaOutdated, SchemaNewer: there are tables of another version.
        sqlite3.Error: the database is in the way.
    """
    cursor = connection.cursor()
    if connection.in_transaction:
        _create_once(cursor)
        return
    cursor.execute("BEGIN IMMEDIATE")
    try:
        _create_once(cursor)
        cursor.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            cursor.execute("ROLLBACK")
        raise


def _create_once(cursor: sqlite3.Cursor) -> None:
    found = version_of(cursor)
    if found is None:
        create_tables(cursor)
    else:
        check_version(found, "this database")


def create_tables(cursor: sqlite3.Cursor) -> None:
    """Make all tables, inside the transaction that is open."""
    for statement in statements():
        cursor.execute(statement)
    cursor.execute(query("note_release"), (f"mailqueue {_release()}", f"log:{VERSION}"))


def _release() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("mailqueue")
    except PackageNotFoundError:
        return "(not installed)"


def version_of(cursor: sqlite3.Cursor) -> int | None:
    """Return the version of the tables. None: there are none."""
    with _tables_may_be_missing():
        row = cursor.execute(query("schema_version")).fetchone()
        return int(row[0]) if row is not None else 0
    return None


def begin_to_write(cursor: sqlite3.Cursor) -> None:
    """Take the lock of writers, in a transaction that may have begun without; nothing without tables."""
    with _tables_may_be_missing():
        cursor.execute(query("begin_to_write"))


@contextmanager
def _tables_may_be_missing() -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise


def forget_statistics(cursor: sqlite3.Cursor) -> None:
    """Remove what ANALYZE noted about our tables, so that connections opened from now on plan without.

    Every statement is made for its index. Notes from a time when the queue was small make the planner
    walk tables instead, which are large by now.
    """
    known = cursor.execute(query("has_statistics")).fetchone()
    if not known or not cursor.execute(query("our_statistics")).fetchone():
        return
    with suppress(sqlite3.OperationalError):  # if somebody is writing just now, the next process does it
        cursor.execute("PRAGMA busy_timeout = 0")
        cursor.execute(query("forget_statistics"))


def check_version(found: int, path: str) -> None:
    """Check that this code can work with tables of version `found`.

    Raises:
        SchemaOutdated: they are older.
        SchemaNewer: they are newer.
    """
    if found < VERSION:
        raise SchemaOutdated(
            f"{path}: has tables of version {found}, older than {VERSION}: run `mailqueue migrate`"
        )
    if found > VERSION:
        raise SchemaNewer(
            f"{path}: has tables of version {found}, newer than {VERSION}: install a newer mailqueue"
        )


def note_version(cursor: sqlite3.Cursor, version: int) -> None:
    """Write down that the tables have reached `version`, when, and by which release."""
    cursor.execute(query("set_schema_version"), (version,))
    cursor.execute(query("log_version"), (f"log:{version}", f"mailqueue {_release()}"))
