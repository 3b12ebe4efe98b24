"""The steps from each older version of the tables to the next, as sql/migrate_N.sql says them.

The one rule: a table whose constraints change is made anew and put in the old one's place, in the order
that SQLite recommends (lang_altertable, "Making Other Kinds Of Table Schema Changes"). What somebody has
made on it (indexes, triggers) or of it (views, references) is there afterwards as before, and so is the
last id that it gave.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from mailqueue.errors import SchemaOutdated, StoreError
from mailqueue.store import schema
from mailqueue.store.queries import query

_ANEW = re.compile(r"^CREATE TABLE (mailqueue_\w+)_new\b", re.MULTILINE)

_Orphans = set[tuple[str, int, str]]


def step_sql(to: int) -> tuple[str, ...] | None:
    """Return the statements of the step that leads to version `to`. None: there is no such step."""
    path = Path(__file__).parent / "sql" / f"migrate_{to}.sql"
    return schema.split(path.read_text(encoding="utf-8")) if path.exists() else None


def begin(cursor: sqlite3.Cursor) -> None:
    """Begin the transaction for `upgrade`, on a connection that is used for nothing else.

    Without foreign keys, dropping a table empties no other; and renaming one in the old manner leaves
    alone what others say about the name.
    """
    cursor.execute("PRAGMA foreign_keys = OFF")
    cursor.execute("PRAGMA legacy_alter_table = ON")
    cursor.execute("BEGIN IMMEDIATE")


def upgrade(cursor: sqlite3.Cursor, found: int, path: str) -> None:
    """Bring tables of version `found` up to date, inside the transaction that `begin` has begun.

    Raises:
        SchemaOutdated: no step leads on from there.
        SchemaNewer: they are newer than this code.
        StoreError: references would point at nothing that did not before.
    """
    for version in range(found + 1, schema.VERSION + 1):
        statements = step_sql(version)
        if statements is None:
            raise SchemaOutdated(
                f"{path}: no step leads from tables of version {version - 1} to {schema.VERSION}"
            )
        _step(cursor, statements, path)
        schema.note_version(cursor, version)
    schema.check_version(max(found, schema.VERSION), path)


def _step(cursor: sqlite3.Cursor, statements: tuple[str, ...], path: str) -> None:
    anew = [found[1] for statement in statements if (found := _ANEW.search(statement))]
    before = _orphans(cursor, anew)
    for statement in statements:
        cursor.execute(statement)
        if found := _ANEW.search(statement):
            _replace(cursor, found[1])
    lost = _orphans(cursor, anew) - before
    if lost:
        told = ", ".join(f"row {row} of {table} to {parent}" for table, row, parent in sorted(lost)[:10])
        raise StoreError(f"{path}: these would refer to nothing: {told}; nothing was changed")


def _replace(cursor: sqlite3.Cursor, table: str) -> None:
    """Fill `table`_new from `table`, and put it in its place."""
    new = f"{table}_new"
    made_for = [sql for (sql,) in cursor.execute(query("made_for_table"), (table,)).fetchall()]
    columns = ", ".join(name for (name,) in cursor.execute(query("columns_of_both"), (table, new)).fetchall())
    cursor.execute(query("fill_new_table").format(table=table, columns=columns))
    cursor.execute(query("forget_last_id"), (new,))
    cursor.execute(query("keep_last_id"), (new, table))
    cursor.execute(query("drop_old_table").format(table=table))
    cursor.execute(query("put_new_table_in_place").format(table=table))
    for sql in made_for:
        cursor.execute(sql)


def _orphans(cursor: sqlite3.Cursor, tables: list[str]) -> _Orphans:
    return {row for table in tables for row in cursor.execute(query("orphans_of_table"), (table,)).fetchall()}
