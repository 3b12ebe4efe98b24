"""Settle: what workers report becomes settlements and notices, composed before the write transaction.

The rule: no network here, and no decision: policy says what follows from an outcome; this fetches
what policy needs to see, and hands the store what it decided.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from mailqueue.clock import Clock
from mailqueue.engine.attempt import Tried
from mailqueue.model.attempt import OutcomeKind
from mailqueue.model.events import NoticeKind
from mailqueue.model.settlement import NewNotice, Retire, Retry, Settlement
from mailqueue.policy import report
from mailqueue.policy.settle import settle
from mailqueue.store.base import Store

logger = logging.getLogger("mailqueue.delivery")


@dataclass(frozen=True, slots=True)
class Work:
    """Settlements and their notices, to be applied in one transaction."""

    settlements: tuple[Settlement, ...]
    notices: tuple[NewNotice, ...]


class Settler:
    """Makes settlements of what was tried.

    Args:
        store: where the settings and the originals are.
        clock: tells the time.
        hostname: who reports, in notices.
    """

    def __init__(self, store: Store, clock: Clock, hostname: str) -> None:
        self._store = store
        self._clock = clock
        self._hostname = hostname
        self._random = random.Random()

    def work(self, finished: Sequence[Tried]) -> Work:
        """Return what follows from attempts, with the notices that are owed."""
        now = self._clock.now()
        settings = self._store.read(lambda reader: reader.settings())
        settlements = tuple(
            settle(
                tried.message,
                tried.outcome,
                tried.facts,
                now=now,
                schedule=settings.schedule(tried.message.schedule),
                account=settings.accounts_by_id[tried.message.account_id],
                jitter=self._random.uniform(-1, 1),
            )
            for tried in finished
        )
        return Work(settlements, self._notices(settlements, now))

    def without_notices(self, work: Work, stale: Collection[int]) -> Work:
        """Return the same settlements, with notices that tell nothing of the messages in `stale`."""
        settlements = tuple(
            replace(settlement, notice=None) if settlement.message.id in stale else settlement
            for settlement in work.settlements
        )
        return Work(settlements, self._notices(settlements, self._clock.now()))

    def _notices(self, settlements: Sequence[Settlement], now: int) -> tuple[NewNotice, ...]:
        return ()

    async def warn(self, now: int) -> None:
        """Give the delay notices that are owed by now."""


def log(settlement: Settlement) -> None:
    """Write one line about an attempt: INFO when the mail went, WARNING when it did not."""
    level = logging.INFO if settlement.outcome.kind is OutcomeKind.DELIVERED else logging.WARNING
    if not logger.isEnabledFor(level):
        return
    message, facts, move = settlement.message, settlement.facts, settlement.move
    logger.log(
        level,
        "%s message=%d attempt=%d.%d recipient=%s transport=%s host=%s address=%s duration=%.3fs said=%r%s",
        move.state.value if isinstance(move, Retire) else settlement.outcome.kind.value,
        message.id,
        message.id,
        message.attempts,
        message.recipient,
        facts.transport or "-",
        facts.host or "-",
        facts.address or "-",
        facts.duration / 1e6,
        settlement.outcome.summary(),
        f" next_attempt_at={move.next_attempt_at}" if isinstance(move, Retry) else "",
    )
