"""The outbox: webhooks that were written with the events that they tell of (by `Batch.finish`).

The one rule: those about one message go one after the other, as the events happened; so each but the
first names the one that it waits for, and only the first is in the index that claims use.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from mailqueue.errors import NotFound
from mailqueue.model.filters import Page
from mailqueue.model.webhook import Webhook, WebhookFilter
from mailqueue.store import rows
from mailqueue.store.queries import query

LOOK = 3_000
"""Webhooks that are looked at for a page, at most."""


def again(cursor: sqlite3.Cursor, webhook_id: int, now: int) -> int:
    """Write a webhook once more. Returns the id of the new one."""
    made = cursor.execute(query("replay_webhook"), (now, now, webhook_id)).lastrowid
    assert made is not None
    cursor.execute(query("queue_up_webhooks"), (made - 1,))
    return made


def forget(cursor: sqlite3.Cursor, account_id: int) -> None:
    """Remove all webhooks of an account, and its endpoint."""
    cursor.execute(query("delete_endpoint"), (account_id,))
    remove(cursor, [row[0] for row in cursor.execute(query("webhooks_of_account"), (account_id,)).fetchall()])


def remove(cursor: sqlite3.Cursor, ids: Sequence[int]) -> None:
    """Remove webhooks with their attempts."""
    for name in ("purge_webhook_attempts", "purge_webhooks"):
        cursor.execute(query(name), (json.dumps(ids),))


def show(cursor: sqlite3.Cursor, webhook_id: int) -> Webhook:
    """Return one webhook. Raises NotFound."""
    found = cursor.execute(f"{query('read_webhooks')} WHERE webhook.id = ?", (webhook_id,)).fetchall()
    if not found:
        last = cursor.execute(query("last_webhook_id")).fetchone()[0]
        gone = 0 < webhook_id <= last
        text = f"webhook {webhook_id} has been purged" if gone else f"there is no webhook {webhook_id}"
        raise NotFound(text)
    return rows.webhook(found[0])


def page(
    cursor: sqlite3.Cursor, which: WebhookFilter, *, retired: bool, limit: int, after: int | None
) -> Page[Webhook]:
    """Return a page of the queue, oldest first, or of the history, newest first."""
    where = f"WHERE webhook.retired_at IS {'NOT NULL' if retired else 'NULL'}"
    values: list[int] = []
    if which.message_id is not None:
        where += " AND webhook.message_id = ?"
        values.append(which.message_id)
    if after is not None:
        where += " AND webhook.id < ?" if retired else " AND webhook.id > ?"
        values.append(after)
    order = "ORDER BY webhook.id DESC LIMIT ?" if retired else "ORDER BY webhook.id LIMIT ?"
    found: list[Webhook] = []
    looked, last, more = 0, 0, None
    for row in cursor.execute(f"{query('read_webhooks')} {where} {order}", (*values, LOOK + 1)):
        if looked == LOOK or len(found) == limit:
            more = str(last)
            break
        each = rows.webhook(row)
        looked, last = looked + 1, each.id
        if which.matches(each):
            found.append(each)
    return Page(items=tuple(found), next=more, looked=looked)
