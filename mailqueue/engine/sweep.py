"""Upkeep: small steps that clear what is over, and take back what a dead engine left.

The rule: every step is bounded, so that it never holds up delivery; what a step leaves, the next one
does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from mailqueue.clock import DAY, HOUR
from mailqueue.engine import liveness
from mailqueue.engine.manage import STEP
from mailqueue.errors import NotFound
from mailqueue.model.destination import Destination
from mailqueue.model.engine import Identity
from mailqueue.policy import breaker
from mailqueue.policy.quota import since
from mailqueue.store.base import Store, Transaction

logger = logging.getLogger("mailqueue.engine")

PURGE_STEP = 100
"""Rows that one step of purging removes at most: it holds a writer for some ten milliseconds."""

PAUSE = 0.05
"""Seconds between two steps, in which others write."""

KEEP_KEYS = DAY
"""Microseconds that an idempotency key is kept (row S4)."""

KEEP_RECIPIENTS = 365 * DAY
"""Microseconds that an account with a quota of new recipients knows whom it has written to."""

KEEP_STRIKES = 180 * DAY
"""Microseconds that a failure counts towards the suppression of its address."""

KEEP_ORPHANS = HOUR
"""Microseconds that content may wait for its submission (decision 14)."""

KEEP_INCOMING = 30 * DAY
"""Microseconds that what came in is kept that is about no mail; the rest goes with that mail."""

KEEP_TALLY = 31 * DAY
"""Microseconds that is known what happened in an hour."""

KEEP_DESTINATIONS = DAY
"""Microseconds that a destination is known after its last trouble: by then every engine has heard of it."""


async def bury_the_dead(store: Store, me: Identity, own_id: int, now: int, dead_after: int) -> int:
    """Return the claims of dead engines to the queue. Returns how many messages that were."""
    returned = 0
    for engine in store.read(lambda reader: reader.engines()):
        if engine.id == own_id or not liveness.dead(engine, me, now, dead_after):
            continue
        engine_id = engine.id
        count = await asyncio.wrap_future(
            store.enqueue(lambda transaction, dead=engine_id: transaction.bury_engine(dead, now))  # type: ignore[misc]
        )
        logger.warning(
            "engine %d (pid %d) is dead: %d claims returned to the queue",
            engine_id,
            engine.identity.pid,
            count,
        )
        returned += count
    return returned


async def purge(store: Store, now: int) -> int:
    """Remove what the settings say is over, in steps. Returns how many things went."""
    await _end_old_trouble(store, now)
    steps: tuple[Callable[[Transaction], int], ...] = (
        lambda transaction: transaction.purge_content(now, PURGE_STEP),
        lambda transaction: transaction.purge_history(now, PURGE_STEP),
        lambda transaction: transaction.purge_webhooks(now, PURGE_STEP),
        lambda transaction: transaction.purge_keys(now - KEEP_KEYS, PURGE_STEP),
        lambda transaction: transaction.purge_orphans(now - KEEP_ORPHANS, PURGE_STEP),
        lambda transaction: transaction.purge_usage(since(now) - DAY),
        lambda transaction: transaction.purge_tally(now - KEEP_TALLY),
        lambda transaction: transaction.purge_recipients(now - KEEP_RECIPIENTS, PURGE_STEP),
        lambda transaction: transaction.purge_suppressions(now, PURGE_STEP),
        lambda transaction: transaction.purge_strikes(now - KEEP_STRIKES, PURGE_STEP),
        lambda transaction: transaction.purge_destinations(now - KEEP_DESTINATIONS, PURGE_STEP),
        lambda transaction: transaction.purge_incoming(now - KEEP_INCOMING, PURGE_STEP),
    )
    total = 0
    for step in steps:
        while True:
            went = await asyncio.wrap_future(store.enqueue(step))
            total += went
            if went == 0:
                break
            await asyncio.to_thread(store.checkpoint)
            await asyncio.sleep(PAUSE)
    return total


async def lift_holds(store: Store, now: int) -> None:
    """Take away the marks whose end has come, in steps."""
    while (end := store.look(lambda reader: reader.next_hold_end())) is not None and end <= now:
        await asyncio.wrap_future(store.enqueue(lambda transaction: transaction.lift_holds(now, STEP)))


async def _end_old_trouble(store: Store, now: int) -> None:
    """Count destinations as well that nobody has tried for long: there is no mail for them any more."""
    known = store.read(lambda reader: reader.destinations())
    old = [each for each in known if _last_tried(each) < now - KEEP_DESTINATIONS]
    for start in range(0, len(old), PURGE_STEP):
        step = store.enqueue(partial(_end_trouble, old[start : start + PURGE_STEP], now))
        await asyncio.wrap_future(step)


def _last_tried(destination: Destination) -> int:
    return max(destination.since_at, destination.blocked_until or 0, destination.canary_at or 0)


def _end_trouble(old: Sequence[Destination], now: int, transaction: Transaction) -> None:
    for each in old:
        if transaction.destination(each.name) == each:  # nobody has just tried it
            transaction.put_destination(breaker.after_success(each, now))


async def finish_marking(store: Store, now: int) -> None:
    """Go on with the marks of hold rules whose maker did not finish them."""
    for rule in store.read(lambda reader: reader.settings()).hold_rules:
        if rule.marking:
            with suppress(NotFound):  # it has just been removed
                await _mark(store, rule.id, now)


async def _mark(store: Store, rule_id: int, now: int) -> None:
    more = True
    while more:
        step = store.enqueue(lambda transaction: transaction.mark_rule(rule_id, now, STEP))
        more = (await asyncio.wrap_future(step)).after is not None
