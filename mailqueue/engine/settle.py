"""Settle: what workers report becomes settlements and notices, composed before the write transaction.

The rule: no network here, and no decision: policy says what follows from an outcome, or from the time
that has passed; this fetches what policy needs to see, and hands the store what it decided.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from mailqueue import ids
from mailqueue.clock import Clock, from_datetime
from mailqueue.engine.attempt import Tried
from mailqueue.errors import NotFound
from mailqueue.model.attempt import Attempt, OutcomeKind
from mailqueue.model.message import Claimed
from mailqueue.model.settings import Settings
from mailqueue.model.settlement import NewNotice, Settlement, Wish
from mailqueue.policy import report
from mailqueue.policy.settle import expire, give_up, heed, settle
from mailqueue.policy.settle import suppress as suppressed
from mailqueue.policy.suppress import lesson
from mailqueue.store.base import Reader, StaleNotice, Store, Transaction, Unheeded

_WARNINGS = 100  # delay notices of one step
_EXPIRED = 100  # messages that expire in one step


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
        for each in settlements:
            if each.outcome.kind is not OutcomeKind.DELIVERED:
                account = settings.accounts_by_id[each.message.account_id]
                each.lesson = lesson(each, account, settings.reply_rules)
        return self._with_notices(settlements, settings, now)

    def without_notices(self, work: Work, stale: Collection[int]) -> Work:
        """Return the same settlements, with notices that tell nothing of the messages in `stale`."""
        settlements = tuple(
            replace(settlement, notice=None) if settlement.message.id in stale else settlement
            for settlement in work.settlements
        )
        settings = self._store.settings()
        return self._with_notices(settlements, settings, self._clock.now())

    def again(self, work: Work, refused: StaleNotice | Unheeded) -> Work:
        """Return what follows, now that the store has refused it."""
        if isinstance(refused, StaleNotice):
            return self.without_notices(work, refused.message_ids)
        settings, wishes = self._store.settings(), refused.wishes
        settlements = tuple(
            heed(each, wishes[each.message.id], account=settings.accounts_by_id[each.message.account_id])
            if each.message.id in wishes
            else each
            for each in work.settlements
        )
        return self._with_notices(settlements, settings, self._clock.now())

    def given_up(self, waiting: Sequence[Claimed], last: Mapping[int, Attempt], wish: Wish) -> Work:
        """Return what follows when a person gives up messages that wait; `last`: the last attempts by ids."""
        now, settings = self._clock.now(), self._store.read(lambda reader: reader.settings())
        settlements = tuple(
            give_up(each, wish, last.get(each.id), now=now, account=settings.accounts_by_id[each.account_id])
            for each in waiting
        )
        return self._with_notices(settlements, settings, now)

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

    async def expire(self, tell: Callable[[Work], None]) -> None:
        """Retire what has expired by now without an attempt, a step at a time.

        Args:
            tell: gets what was done, after each step.
        """
        more = True
        while more:
            now = self._clock.now()
            expired, settings = self._store.read(lambda reader: (_expired(reader, now), reader.settings()))  # noqa: B023
            settlements = tuple(
                expire(message, last, now=now, account=settings.accounts_by_id[message.account_id])
                for message, last in expired
            )
            if settlements:
                tell(await self._write(self._with_notices(settlements, settings, now)))
            more = len(expired) == _EXPIRED

    async def _write(self, work: Work) -> Work:
        """Write settlements, and return those that were not too late."""
        while True:
            try:
                late = await asyncio.wrap_future(
                    self._store.enqueue(lambda tx: tx.settle(work.settlements, work.notices))  # noqa: B023
                )
            except (StaleNotice, Unheeded) as refused:
                work = self.again(work, refused)
            else:
                return replace(
                    work, settlements=tuple(each for each in work.settlements if each.message.id not in late)
                )

    async def suppress(self, stopped: Sequence[Claimed], tell: Callable[[Work], None]) -> None:
        """Retire messages without an attempt whose recipients are suppressed.

        Args:
            stopped: as they wait, each with why.
            tell: gets what was done.
        """
        now = self._clock.now()
        settings, last = self._store.read(lambda reader: (reader.settings(), _last_of(reader, stopped)))
        settlements = tuple(
            suppressed(each, last.get(each.id), now=now, account=settings.accounts_by_id[each.account_id])
            for each in stopped
        )
        tell(await self._write(self._with_notices(settlements, settings, now)))

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


def _expired(reader: Reader, now: int) -> list[tuple[Claimed, Attempt | None]]:
    """Return what has expired, with the last attempt of each."""
    found = reader.expired(now, _EXPIRED)
    return [(each, next(reversed(reader.attempts(each.id)), None)) for each in found]


def _last_of(reader: Reader, waiting: Sequence[Claimed]) -> dict[int, Attempt]:
    return {each.id: reader.attempts(each.id)[-1] for each in waiting if each.attempts}


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
