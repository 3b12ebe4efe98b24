"""Checking a whole database: what SQLite can tell, and what only we know must hold.

The one rule: every fault is a sentence that names the row, so that somebody can look at it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from mailqueue.store import schema
from mailqueue.store.batch import Batch
from mailqueue.store.engines import bury
from mailqueue.store.queries import query

_MOST = 20
"""Faults of one kind that are told at most."""

_FAULTS = {
    "messages_miscounted": "{} messages count as {}, and there are {}",
    "waiting_miscounted": "{} counts {} messages that wait, and there are {}",
    "marks_miscounted": "message {} counts {} holds, and has {} marks",
    "marks_of_retired": "message {} has retired, and is still marked as held",
    "lane_missing": "nothing will be claimed for {}: no due time, and message {} waits there",
    "lane_late": "{} is due at {}, and has a message that is due at {}",
    "claim_without_engine": "message {} is claimed by engine {}, which does not exist",
    "content_missing": "message {} waits, and its content is not there",
    "content_not_linked": "submission {} has content {}, which belongs to another",
    "content_of_nobody": "content {} belongs to submission {}, which does not exist",
    "content_of_wrong_size": "content {} should have {} octets, and has {}, or pieces are missing",
    "content_not_gone": "content {} counts as purged, and is still there",
    "content_kept_for_ever": "content {} is needed by no message, and has no time at which it goes",
    "attempts_miscounted": "message {} has ended {} attempts, and there are records of {}",
    "attempts_twice": "message {} has attempt {} twice, and neither was interrupted",
    "fate_without_event": "message {} is {}, and no event says so",
    "event_without_notice": "event {} names notice {}, which does not exist",
    "feedback_of_active": "message {} has not retired, and counts as {} by its recipient",
    "feedback_without_event": "message {} counts as {}, and no event says so",
    "incoming_of_nobody": "what came in as {} is about submission {}, which does not exist",
    "submission_without_messages": "submission {} has no messages",
    "ids_out_of_order": "message {} belongs to submission {}, which is older than that of the one before",
}


_RESTORE = "restore a backup: mailqueue restore BACKUP"
_COUNT_ANEW = "mailqueue check-integrity --mend counts anew"
_DROP = "nothing can be sent: mailqueue drop it, or restore a backup"
_MEND = {
    "messages_miscounted": _COUNT_ANEW,
    "waiting_miscounted": _COUNT_ANEW,
    "marks_miscounted": _COUNT_ANEW,
    "marks_of_retired": _COUNT_ANEW,
    "lane_missing": _COUNT_ANEW,
    "lane_late": _COUNT_ANEW,
    "claim_without_engine": "mailqueue check-integrity --mend returns it to the queue",
    "content_missing": _DROP,
    "content_of_wrong_size": _DROP,
}
"""What mends a fault; for others it is the backup."""


def mend(batch: Batch) -> None:
    """Count anew what follows from other rows, and return claims of engines that do not exist."""
    cursor = batch.cursor()
    for (engine_id,) in cursor.execute(query("engines_that_are_nobody")).fetchall():
        bury(batch, engine_id)
    batch.flush()
    for name in (
        "remove_marks_of_retired",
        "count_marks_anew",
        "count_messages_anew",
        "forget_all_waiting",
        "count_waiting_anew",
        "count_lanes_anew",
    ):
        cursor.execute(query(name))
    batch.wake = True


def faults(cursor: sqlite3.Cursor) -> Iterator[str]:
    """Yield every fault found, a sentence each, and what mends it. Reads the whole database."""
    yield from _tables(cursor)
    for (text,) in cursor.execute(f"PRAGMA integrity_check({_MOST})").fetchall():
        if text != "ok":
            yield f"SQLite: {text} ({_RESTORE})"
    for table, row, parent, _ in cursor.execute("PRAGMA foreign_key_check").fetchall()[:_MOST]:
        if table.startswith("mailqueue_"):
            yield f"row {row} of {table} refers to a row of {parent} that does not exist ({_RESTORE})"
    for name, sentence in _FAULTS.items():
        for found in cursor.execute(query(name), (_MOST,)).fetchall():
            yield f"{sentence.format(*found)} ({_MEND.get(name, _RESTORE)})"


def _tables(cursor: sqlite3.Cursor) -> Iterator[str]:
    """Yield how the tables differ from those of the schema."""
    with closing(sqlite3.connect(":memory:")) as model:
        schema.create_schema(model)
        wanted = _shape(model)
    found = _shape(cursor.connection)
    for table, (columns, indexes) in wanted.items():
        if table not in found:
            yield f"table {table} is missing ({_RESTORE})"
            continue
        has, indexed = found[table]
        yield from (
            f"column {name} of table {table} is missing ({_RESTORE})" for name in columns if name not in has
        )
        yield from (
            f"index {name} is missing, or not as it should be (make it anew as schema.sql says)"
            for name, *_ in sorted(indexes - indexed)
        )


def _shape(connection: sqlite3.Connection) -> dict[str, tuple[dict[str, Any], frozenset[Any]]]:
    """Return our tables with their columns, and their indexes with what they are on."""
    from sqlite_utils import Database  # takes a tenth of a second to load

    database = Database(connection, recursive_triggers=False, execute_plugins=False)
    return {
        table.name: (
            table.columns_dict,
            frozenset((index.name, *index.columns) for index in table.indexes),
        )
        for table in database.tables
        if table.name.startswith("mailqueue_")
    }
