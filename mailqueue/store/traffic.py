"""Destinations in trouble, and what engines share of those that are limited.

The one rule: what several engines share is taken inside a write transaction, so that no two of them
have the same.
"""

from __future__ import annotations

import sqlite3
from dataclasses import replace

from mailqueue.model.destination import Destination
from mailqueue.store import rows
from mailqueue.store.batch import Batch
from mailqueue.store.queries import query


def changed(batch: Batch, after: int) -> list[Destination]:
    """Return the destinations that were changed after the number `after`, in the order of their changes."""
    found = batch.now().execute(query("changed_destinations"), (after,)).fetchall()
    return [rows.destination(row) for row in found]


def find(batch: Batch, name: str) -> Destination | None:
    """Return a destination. None: nothing is known of it."""
    row = batch.now().execute(query("one_destination"), (name,)).fetchone()
    return None if row is None else rows.destination(row)


def put(batch: Batch, destination: Destination) -> Destination:
    """Store what is known of a destination, and return it with the number of this change."""
    [(number,)] = batch.now().execute(query("raise_changes")).fetchall()
    made = replace(destination, changed=number)
    values = (
        made.name,
        made.failures,
        made.since_at,
        made.blocked_until,
        made.canary_at,
        made.last_error,
        made.changed,
    )
    batch.now().execute(query("put_destination"), values)
    return made


def pace(cursor: sqlite3.Cursor, rule_id: int) -> int:
    """Return how far the messages a minute of a shaping rule are spoken for, microseconds UTC."""
    row = cursor.execute(query("pace"), (rule_id,)).fetchone()
    return 0 if row is None else int(row[0])


def set_pace(batch: Batch, rule_id: int, next_at: int) -> None:
    """Note how far the messages a minute of a shaping rule are spoken for."""
    batch.now().execute(query("set_pace"), (rule_id, next_at))


def take_slot(batch: Batch, rule_id: int, engine_id: int, limit: int) -> bool:
    """Take one of the `limit` connections of a shaping rule. False: they are all taken."""
    [(taken,)] = batch.now().execute(query("slots_taken"), (rule_id,)).fetchall()
    if taken >= limit:
        return False
    batch.now().execute(query("take_slot"), (rule_id, engine_id))
    return True


def free_slot(batch: Batch, rule_id: int, engine_id: int) -> None:
    """Give a connection of a shaping rule back."""
    if batch.now().execute(query("free_slot"), (rule_id, engine_id)).rowcount == 0:
        batch.now().execute(query("free_last_slot"), (rule_id, engine_id))


def purge(batch: Batch, older_than: int, limit: int) -> int:
    """Forget destinations that have been well since before `older_than`. Returns how many."""
    return batch.now().execute(query("purge_destinations"), (older_than, limit)).rowcount
