"""Engines at work: their rows, their signs of life, and what becomes of a dead one's claims.

The one rule: a claim that returns to the queue keeps its fallback time and leaves an attempt marked
interrupted: the receiver may have the message.
"""

from __future__ import annotations

from mailqueue.model.engine import Identity
from mailqueue.model.lane import Lane
from mailqueue.store.batch import Batch
from mailqueue.store.queries import query

INTERRUPTED = "the engine ended during the attempt: the receiver may have the message or not"
"""What a message's last error says after that."""


def register(batch: Batch, identity: Identity, now: int, relay: str | None) -> int:
    """Note an engine at work. Returns its id."""
    values = (
        identity.host,
        identity.pid,
        identity.process_start,
        identity.boot_id,
        identity.pid_namespace,
        now,
        now,
        relay,
    )
    found = batch.now().execute(query("insert_engine"), values).lastrowid
    assert found is not None
    return found


def heartbeat(batch: Batch, engine_id: int, now: int) -> bool:
    """Note that the engine lives. False: it has been buried."""
    return batch.now().execute(query("heartbeat"), (now, engine_id)).rowcount == 1


def bury(batch: Batch, engine_id: int) -> int:
    """Remove an engine and return its claims to the queue. Returns how many."""
    cursor = batch.flush()
    for *lane, at in cursor.execute(query("lanes_of_engine"), (engine_id,)).fetchall():
        batch.due(Lane(*lane), at)
    cursor.execute(query("interrupted_attempts"), (INTERRUPTED, engine_id))
    returned = cursor.execute(query("return_claims"), (INTERRUPTED, engine_id)).rowcount
    cursor.execute(query("free_slots"), (engine_id,))
    cursor.execute(query("delete_engine"), (engine_id,))
    return returned
