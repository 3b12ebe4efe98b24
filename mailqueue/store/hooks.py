"""Webhooks that engines post, or people steer: endpoints, claims, settlements.

The one rule: whenever one retires, those that waited for it are looked at again, in the same transaction.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

from mailqueue.model.webhook import ClaimedWebhook, WebhookSettlement, WebhookState
from mailqueue.store import outbox
from mailqueue.store.base import WebhookClaim
from mailqueue.store.batch import Batch
from mailqueue.store.queries import query

INTERRUPTED = "the engine ended during the attempt: the endpoint may have it or not"
"""What a webhook's last error says after that."""


# -- endpoints --------------------------------------------------------------------------------------
def disable_endpoint(batch: Batch, account_id: int, now: int) -> bool:
    """Post nothing to an endpoint any more. False: it is not at work."""
    disabled = batch.flush().execute(query("disable_endpoint"), (now, account_id)).rowcount == 1
    if disabled:
        batch.settings_changed()
    return disabled


# -- posting ----------------------------------------------------------------------------------------
def claim(batch: Batch, wanted: WebhookClaim) -> list[ClaimedWebhook]:
    """Claim webhooks that are due; see `Transaction.claim_webhooks`."""
    cursor = batch.flush()
    if not cursor.execute(query("engine_is_noted"), (wanted.engine_id,)).fetchone()[0]:
        return []  # it has been buried, and nobody would return what it claims now
    waiting = set(_ids(cursor.execute(query("accounts_with_webhooks")))) & _at_work(batch)
    room, claimed = dict(wanted.room), list[ClaimedWebhook]()
    for account_id in sorted(waiting, key=lambda each: (each <= wanted.after_account, each)):
        host = wanted.hosts.get(account_id)
        left = wanted.limit - len(claimed)
        if host is None or left <= 0:
            continue
        values = (account_id, wanted.now, min(left, room[host]))
        taken = [_claimed(*row) for row in cursor.execute(query("due_webhooks"), values).fetchall()]
        room[host] -= len(taken)
        claimed += taken
    fallbacks = [(wanted.engine_id, wanted.now + wanted.fallback(each.attempts), each.id) for each in claimed]
    cursor.executemany(query("claim_webhook"), fallbacks)
    return claimed


def _at_work(batch: Batch) -> set[int]:
    """Return the accounts whose endpoints are at work."""
    return {each.account_id for each in batch.settings().endpoints.values() if each.disabled_at is None}


def _claimed(
    identity: int, account_id: int, payload: str, created_at: int, attempts: int, number: int
) -> ClaimedWebhook:
    return ClaimedWebhook(
        id=identity,
        account_id=account_id,
        payload=payload,
        created_at=created_at,
        attempts=attempts + 1,
        claim=number + 1,
    )


def settle(batch: Batch, settlements: Sequence[WebhookSettlement]) -> None:
    """Write what came of attempts; see `Transaction.settle_webhooks`."""
    cursor, retired = batch.flush(), []
    for each in settlements:
        done = each.at if each.state is not WebhookState.QUEUED else None
        values = (each.state.value, each.next_attempt_at, each.summary, done)
        guard = (each.webhook.id, each.webhook.claim, each.state.value)
        if cursor.execute(query("settle_webhook"), values + guard).rowcount and done is not None:
            retired.append(each.webhook.id)
        facts = (each.started_at, each.duration, each.status, each.answer, each.error)
        cursor.execute(query("insert_webhook_attempt"), (each.webhook.attempts, *facts, each.webhook.id))
    _pass_on(cursor, retired)


def _pass_on(cursor: sqlite3.Cursor, retired: Sequence[int]) -> None:
    if retired:
        cursor.execute(query("pass_on_turns"), (json.dumps(retired),))


def bury(batch: Batch, engine_id: int, now: int) -> None:
    """Return what an engine was posting to the queue."""
    cursor = batch.flush()
    cursor.execute(query("interrupted_webhooks"), (now, INTERRUPTED, engine_id))
    if cursor.execute(query("return_webhooks"), (INTERRUPTED, now, engine_id)).rowcount:
        batch.wake = True


# -- by hand ----------------------------------------------------------------------------------------
def schedule(batch: Batch, ids: Sequence[int], at: int) -> list[int]:
    """Have queued webhooks posted at `at`. Returns their ids."""
    batch.wake = True
    return _ids(batch.flush().execute(query("schedule_webhooks"), (at, json.dumps(ids))))


def cancel(batch: Batch, ids: Sequence[int], reason: str, now: int) -> list[int]:
    """Retire webhooks as canceled. Returns their ids."""
    cursor = batch.flush()
    gone = _ids(cursor.execute(query("cancel_webhooks"), (now, reason, json.dumps(ids))))
    _pass_on(cursor, gone)
    batch.wake = True  # others may have become the first
    return gone


def replay(batch: Batch, webhook_id: int, now: int) -> int:
    """Queue what a webhook tells once more. Returns the id of the new one. Raises NotFound."""
    outbox.show(batch.flush(), webhook_id)
    batch.wake = True
    return outbox.again(batch.now(), webhook_id, now)


# -- upkeep -----------------------------------------------------------------------------------------
def cancel_stranded(batch: Batch, reason: str, now: int, limit: int) -> int:
    """Cancel what is queued for accounts without an endpoint at work. Returns how many went."""
    cursor, found = batch.flush(), list[int]()
    waiting = set(_ids(cursor.execute(query("accounts_with_webhooks"))))
    for account_id in waiting - _at_work(batch):
        values = (account_id, limit - len(found))
        found += _ids(cursor.execute(query("queued_webhooks_of_account"), values))
    if found:
        cancel(batch, found, reason, now)
    return len(found)


def purge(batch: Batch, now: int, limit: int) -> int:
    """Remove webhooks whose account's retention is over. Returns how many went."""
    cursor = batch.flush()
    ids: list[int] = []
    for account in batch.settings().accounts.values():
        values = (account.id, now - account.retention, limit - len(ids))
        ids += _ids(cursor.execute(query("outdated_webhooks"), values))
    outbox.remove(cursor, ids)
    return len(ids)


def _ids(cursor: sqlite3.Cursor) -> list[int]:
    return [identity for (identity,) in cursor.fetchall()]
