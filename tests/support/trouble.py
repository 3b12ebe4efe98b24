"""Destinations in trouble, made by hand: for tests that look at them and bring about none."""

from __future__ import annotations

from dataclasses import replace

from mailqueue.clock import MINUTE
from mailqueue.model.destination import Destination
from mailqueue.model.lane import Block, Lane, Priority
from mailqueue.queue import Queue


def in_trouble(queue: Queue, name: str, **more: object) -> Destination:
    """Have a destination known as one in trouble: since now, blocked for a minute."""
    now = queue.clock.now()
    known = Destination(
        name=name,
        failures=3,
        since_at=now,
        blocked_until=now + MINUTE,
        canary_at=None,
        last_error="451 4.4.1 no connection",
    )
    wanted = replace(known, **more)  # type: ignore[arg-type]
    return queue.store.run(lambda transaction: transaction.put_destination(wanted))


def blocked(queue: Queue, name: str, *domains: str, minutes: int = 1) -> None:
    """Have the mail for some domains wait for a destination, as an engine does."""
    until = queue.clock.now() + minutes * MINUTE
    lanes = [Block(Lane(Priority.NORMAL, 1, domain, ""), until, name) for domain in domains]
    queue.store.run(lambda transaction: transaction.block(lanes))
