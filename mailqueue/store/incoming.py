"""What came in about mail that went out: finding that mail, and writing what follows, in one transaction.

The one rule: what comes twice is taken once. No look-up walks through the messages of a large submission.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mailqueue.errors import NotFound, SettingError
from mailqueue.model.filters import Page
from mailqueue.model.incoming import Incoming, Match, MatchedBy, NewIncoming, Sent
from mailqueue.store import rows
from mailqueue.store.batch import EVENT, Batch
from mailqueue.store.queries import query

MOST_SUBMISSIONS = 10
"""Submissions of one Message-ID, or one ENVID, that are looked at: the newest."""
FEW = 200
"""Messages of a submission that are looked at whatever their recipients are."""
LOOK = 1000
"""Rows that are looked at for a page."""


# --- finding the mail -------------------------------------------------------------------------
def sent(batch: Batch, by: MatchedBy, names: Sequence[str], recipients: Sequence[str]) -> list[Sent]:
    """Return messages that a report may be about; see `Transaction.sent`."""
    cursor = batch.flush()
    if by is MatchedBy.FROMID:
        found = cursor.execute(query("sent_by_fromid"), (json.dumps(names),))
        return [rows.sent(row) for row in found.fetchall()]
    for name in names:
        chosen = _submissions(cursor, by, name)
        if chosen != "[]":
            return _of_submissions(cursor, chosen, recipients)
    return []


def _submissions(cursor: sqlite3.Cursor, by: MatchedBy, name: str) -> str:
    asked = "submissions_by_envid" if by is MatchedBy.ENVID else "submissions_by_message_id"
    return str(cursor.execute(query(asked), (name, MOST_SUBMISSIONS)).fetchone()[0])


def _of_submissions(cursor: sqlite3.Cursor, chosen: str, recipients: Sequence[str]) -> list[Sent]:
    """Return the first messages of submissions; where there are more, those to certain addresses too."""
    found = cursor.execute(query("sent_of_submissions"), (chosen, FEW)).fetchall()
    if len(found) == FEW:
        named = json.dumps([(each.rpartition("@")[2], each) for each in recipients])
        found = [*cursor.execute(query("sent_to"), (chosen, named)).fetchall(), *found]
    return [rows.sent(row) for row in found]


# --- writing ----------------------------------------------------------------------------------
def known(batch: Batch, digest: bytes, recipient: str | None) -> Incoming | None:
    """Return what came in before with the same octets for the same address; see `Transaction`."""
    cursor = batch.flush()
    found = cursor.execute(query("known_incoming"), (digest, recipient)).fetchone()
    return None if found is None else replace(read(cursor, found[0]), content=b"", replayed=True)


def take(batch: Batch, new: NewIncoming, match: Match | None) -> Incoming:
    """Write what came in and all that follows; see `Transaction.take_incoming`."""
    cursor = batch.flush()
    cursor.execute(query("insert_incoming"), rows.incoming_row(new, match))
    identity = cursor.lastrowid
    assert identity is not None
    for each in () if match is None else match.follows:
        if each.feedback is not None:
            cursor.execute(query("set_feedback"), (each.feedback.value, each.message.id))
        if each.event is not None:
            event = replace(each.event, data={"incoming": identity, **(each.event.data or {})})
            batch.add(EVENT, rows.event_row(event, each.message.id, new.at, 0))
    return replace(read(batch.flush(), identity), content=b"")


def purge(batch: Batch, older_than: int, limit: int) -> int:
    """Remove what came in before `older_than` and was about no mail. Returns how much went."""
    return batch.now().execute(query("purge_incoming"), (older_than, limit)).rowcount


# --- questions --------------------------------------------------------------------------------
def read(cursor: sqlite3.Cursor, identity: int) -> Incoming:
    """Return one thing that came in, whole. Raises NotFound."""
    row = cursor.execute(query("read_incoming"), (identity,)).fetchone()
    if row is None:
        last = cursor.execute(query("last_incoming_id")).fetchone()[0]
        purged = f"what came in as {identity} has been purged"
        raise NotFound(purged if 0 < identity <= last else f"nothing came in as {identity}")
    events = cursor.execute(query("events_of_incoming"), (row[7], identity)).fetchall()
    content = cursor.execute(query("content_of_incoming"), (identity,)).fetchone()[0]
    return replace(rows.incoming(row), events=tuple(map(rows.event, events)), content=bytes(content))


def page(
    cursor: sqlite3.Cursor, *, limit: int, after: str | None, account: str | None, matched: bool | None
) -> Page[Incoming]:
    """Return a page of what came in, the last first; see `Reader.incoming_page`."""
    items: list[Incoming] = []
    last, looked = _cursor(after), 0
    for row in cursor.execute(query("incoming_before"), (last, LOOK)).fetchall():
        last, looked = row[0], looked + 1
        if _fits(row, account, matched):
            items.append(rows.incoming(row))
            if len(items) == limit:
                break
    more = cursor.execute(query("incoming_before"), (last, 1)).fetchone()
    return Page(items=tuple(items), next=None if more is None else str(last), looked=looked)


def _fits(row: Sequence[Any], account: str | None, matched: bool | None) -> bool:
    return account in (None, row[6]) and matched in (None, row[5] is not None)


def _cursor(after: str | None) -> int:
    if after is None:
        return 2**63 - 1
    if not (after.isascii() and after.isdigit() and len(after) < 19):
        raise SettingError(f"after: {after!r} is no cursor of this list")
    return int(after)


def about(cursor: sqlite3.Cursor, message_id: int) -> list[Incoming]:
    """Return what came in about a message, in order."""
    return [rows.incoming(row) for row in cursor.execute(query("incoming_about"), (message_id,)).fetchall()]
