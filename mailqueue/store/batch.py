"""All that one write transaction gathers, written with few statements.

The one rule: whoever reads or changes rows that may have been gathered asks `flush()` or `cursor()`
for the cursor, which writes them. What is gathered is written at the latest before the commit, in an
order that foreign keys of an application's connection accept; if that fails, the transaction is
rolled back whole.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from typing import Any

from mailqueue.clock import HOUR
from mailqueue.model.attempt import OutcomeKind
from mailqueue.model.lane import Lane
from mailqueue.model.settings import Settings
from mailqueue.store.queries import many, query, shape
from mailqueue.store.settings import Snapshots

CHUNK = 256 * 1024
"""Octets of content that stand in one row."""

_INSERTS = tuple(
    query(f"insert_{table}") for table in ("content", "submission", "message", "hold", "attempt", "event")
)
CONTENT, SUBMISSION, MESSAGE, HOLD, ATTEMPT, EVENT = range(6)
_EVENT_WIDTH, _ATTEMPT_WIDTH = (shape(_INSERTS[table])[0] for table in (EVENT, ATTEMPT))
_LOWER_DUE = query("lower_due")
_LAST_IDS = query("last_ids")
_RAISE_COUNTS = query("raise_counts")

Row = tuple[Any, ...]


class Batch:
    """One write transaction. `cursor()` gives its cursor with everything written so far."""

    __slots__ = (
        "_cursor",
        "_due",
        "_first_event",
        "_ids",
        "_kept",
        "_snapshots",
        "_spent",
        "_tally",
        "_values",
        "_waiting",
        "active",
        "added",
        "held",
        "suppressing",
        "wake",
    )

    def __init__(self, cursor: sqlite3.Cursor, snapshots: Snapshots) -> None:
        self._cursor = cursor
        self._snapshots = snapshots
        # Values one after the other, not rows: fewer objects, and less work for the garbage collector.
        self._values: tuple[list[Any], ...] = ([], [], [], [], [], [])
        self._ids: dict[str, int] | None = None
        self._due: dict[Lane, int] = {}
        self._spent: dict[int, tuple[int, int]] = {}
        self._kept: list[tuple[int, int]] = []
        self._waiting: Counter[tuple[str, int]] = Counter()
        self._tally: Counter[tuple[int, str, str]] = Counter()
        self._first_event = 0
        self.wake = False
        self.active = 0
        """How many messages more have not retired; `waits` and `retires` count them."""
        self.held = 0
        """How many messages more are on hold."""
        self.added = 0
        """How often something was gathered: a job that left it alone has written nothing here."""
        self.suppressing: tuple[bool, bool] | None = None
        """Whether there are suppressions, and failures that may lead to some. None: nobody has asked."""

    def settings(self) -> Settings:
        """Return the settings; their version is read once in a transaction."""
        return self._snapshots.current(self._cursor)

    def settings_changed(self) -> None:
        """Raise the version of the settings, and wake the engines."""
        self._cursor.execute(query("raise_settings"))
        self._snapshots.changed()
        self.wake = True

    # -- gathering -----------------------------------------------------------------------------
    def take_id(self, table: str) -> int:
        """Return the next id of `content`, `submission` or `message`, for a row that will be added."""
        if self._ids is None:
            found = json.loads(self._cursor.execute(_LAST_IDS).fetchone()[0])
            self._ids = {name.removeprefix("mailqueue_"): last for name, last in found.items()}
        self._ids[table] = last = self._ids.get(table, 0) + 1
        return last

    def add(self, table: int, row: Row) -> None:
        """Gather a row for `table` (CONTENT, SUBMISSION ...)."""
        self._values[table].extend(row)
        self.added += 1

    def due(self, lane: Lane, at: int) -> None:
        """See to it that `lane` is looked at by `at`, or when its block ends."""
        known = self._due.get(lane)
        if known is None or at < known:
            self._due[lane] = at
        self.added += 1
        self.wake = True

    def waits(self, domain: str, submitted_at: int) -> None:
        """Count one message more that has not retired."""
        hour = submitted_at // HOUR * HOUR
        self.active += 1
        self._waiting[domain, hour] += 1
        self._tally[hour, "submitted", ""] += 1

    def retires(self, domain: str, submitted_at: int, state: str, at: int) -> None:
        """Count one message less that has not retired."""
        self.active -= 1
        self._waiting[domain, submitted_at // HOUR * HOUR] -= 1
        self._tally[at // HOUR * HOUR, "retired", state] += 1

    def spent(self, submission_id: int, content_id: int, at: int, keep_until: int | None) -> None:
        """Note that a message of the submission needs its content no more, or wishes it kept until then."""
        self._spent[submission_id] = (content_id, at)
        if keep_until is not None:
            self._kept.append((keep_until, content_id))
        self.added += 1

    # -- writing -------------------------------------------------------------------------------
    def now(self) -> sqlite3.Cursor:
        """Return the cursor as things are, for rows that are not gathered, or were written before."""
        return self._cursor

    def cursor(self) -> sqlite3.Cursor:
        """Write what has been gathered and return the cursor; no id taken before holds after it."""
        self.flush()
        self._ids = None
        return self._cursor

    def flush(self) -> sqlite3.Cursor:
        """Write what was gathered and return the cursor, for statements that make no rows with our ids."""
        for table, (statement, values) in enumerate(zip(_INSERTS, self._values, strict=True)):
            if values:
                write_rows(self._cursor, statement, values)
                self._count(table, values)
                values.clear()
        if self._due:
            rows = [value for lane, at in self._due.items() for value in (*lane, at)]
            write_rows(self._cursor, _LOWER_DUE, rows)
            self._due.clear()
        if self._spent:
            self._drop_spent()
        return self._cursor

    def _count(self, table: int, values: list[Any]) -> None:
        """Count what has just been written, for what happens in an hour."""
        if table == EVENT:
            written = len(values) // _EVENT_WIDTH
            hour = values[2] // HOUR * HOUR
            for kind, times in Counter(values[::_EVENT_WIDTH]).items():
                self._tally[hour, kind, ""] += times
            assert self._cursor.lastrowid is not None
            self._first_event = self._first_event or self._cursor.lastrowid - written + 1
        elif table == ATTEMPT:
            hour = values[3] // HOUR * HOUR
            columns = (values[each::_ATTEMPT_WIDTH] for each in (5, 6, 15, 16))
            for kind, *trouble in zip(*columns, strict=True):
                if kind != OutcomeKind.DELIVERED:
                    detail = " ".join(str(each) for each in trouble if each)
                    self._tally[hour, "trouble", detail] += 1

    def _write_counts(self) -> None:
        if self._waiting:
            gone = [place for place, messages in self._waiting.items() if messages <= 0]
            rows = [value for place, messages in self._waiting.items() for value in (*place, messages)]
            write_rows(self._cursor, query("count_waiting"), rows)
            if gone:
                self._cursor.execute(query("forget_waiting"), (json.dumps(gone),))
        if self._tally:
            rows = [value for key, times in self._tally.items() for value in (*key, times)]
            write_rows(self._cursor, query("count_tally"), rows)

    def finish(self) -> bool:
        """Write all that is left, as the last thing before the commit. Returns whether it wakes engines."""
        self.flush()
        self._write_counts()
        if self._first_event and self.settings().endpoints:
            filled = self._cursor.execute(query("fill_outbox"), (self._first_event,))
            if filled.rowcount > 0:
                assert filled.lastrowid is not None
                self._cursor.execute(query("queue_up_webhooks"), (filled.lastrowid - filled.rowcount,))
                self.wake = True
        if self.wake or self.active or self.held:
            self._cursor.execute(_RAISE_COUNTS, (int(self.wake), self.active, self.held))
        return self.wake

    def _drop_spent(self) -> None:
        if self._kept:
            self._cursor.executemany(query("keep_content"), self._kept)
            self._kept.clear()
        pairs = json.dumps([(content, submission) for submission, (content, _) in self._spent.items()])
        latest = max(at for _, at in self._spent.values())
        self._cursor.execute(query("drop_spent_content"), (latest, latest, pairs))
        self._spent.clear()


def write_rows(cursor: sqlite3.Cursor, statement: str, values: Sequence[Any]) -> int:
    """Run `statement` for the values of many rows, as many rows at a time as fit into one.

    Returns how many rows it changed.
    """
    width, most = shape(statement)
    changed = 0
    for start in range(0, len(values), width * most):
        group = values[start : start + width * most]
        cursor.execute(many(statement, len(group) // width), group)
        changed += cursor.rowcount
    return changed
