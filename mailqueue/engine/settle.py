"""Settle: what workers report becomes settlements and notices, composed before the write transaction.

The rule: no network here, and no decision: policy says what follows from an outcome; this fetches
what policy needs to see, and hands the store what it decided.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from mailqueue import ids
from mailqueue.clock import Clock, from_datetime
from mailqueue.engine.attempt import Tried
from mailqueue.errors import NotFound
from mailqueue.model.settings import Settings
from mailqueue.model.settlement import NewNotice, Settlement
from mailqueue.policy import report
from mailqueue.policy.settle import settle
from mailqueue.store.base import Reader, Store, Transaction

_WARNINGS = 100  # delay notices of one step


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
        self._random = random.Random()
        self._reporter = report.Reporter(
            hostname=hostname, message_id=lambda: ids.message_id(hostname, clock.now()), boundary=ids.token
        )

    def work(self, finished: Sequence[Tried]) -> Work:
        """Return what follows from attempts, with the notices that are owed."""
        now = self._clock.now()
        settings = self._store.settings()
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
        return self._with_notices(settlements, settings, now)

    def without_notices(self, work: Work, stale: Collection[int]) -> Work:
        """Return the same settlements, with notices that tell nothing of the messages in `stale`."""
        settlements = tuple(
            replace(settlement, notice=None) if settlement.message.id in stale else settlement
            for settlement in work.settlements
        )
        settings = self._store.settings()
        return self._with_notices(settlements, settings, self._clock.now())

    def _with_notices(self, settlements: tuple[Settlement, ...], settings: Settings, now: int) -> Work:
        wanted = report.wanted(settlements)
        if not wanted:
            return Work(settlements, ())
        originals = self._originals(wanted)
        notices = report.compose_notices(settlements, originals, settings, self._reporter, now)
        return Work(settlements, tuple(notices))

    def _originals(self, content_ids: Iterable[int]) -> dict[int, bytes]:
        """Return the beginnings of contents; those that are gone are left out."""
        found = {}
        for content_id in content_ids:
            with suppress(NotFound):
                found[content_id] = self._store.read(
                    lambda reader, wanted=content_id: reader.content_head(wanted, report.ORIGINAL_OCTETS)  # type: ignore[misc]
                )
        return found

    async def warn(self) -> None:
        """Give the delay notices that are owed by now, a step at a time."""
        more = True
        while more:
            now = self._clock.now()
            owed, settings = self._store.read(lambda reader: (_owed(reader, now), reader.settings()))  # noqa: B023
            originals = self._originals({each.message.content_id for each in owed})
            notices = report.compose_warnings(owed, originals, settings, self._reporter, now)
            told = {message_id for notice in notices for message_id in notice.message_ids}
            unwanted = [each.message.id for each in owed if each.message.id not in told]
            await asyncio.wrap_future(self._store.enqueue(partial(_write_warnings, notices, unwanted)))
            more = len(owed) == _WARNINGS


def _owed(reader: Reader, now: int) -> list[report.Owed]:
    owed = []
    for message in reader.owed_warnings(now, _WARNINGS):
        tried = reader.attempts(message.id)
        due = reader.message(message.id).next_attempt_at
        owed.append(
            report.Owed(
                message=message,
                next_attempt_at=now if due is None else from_datetime(due),
                last=tried[-1] if tried else None,
            )
        )
    return owed


def _write_warnings(notices: Sequence[NewNotice], unwanted: Sequence[int], tx: Transaction) -> None:
    for notice in notices:
        tx.warned(notice, "the sender was told that it is late")
    tx.unwarned(unwanted)
