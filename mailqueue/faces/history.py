"""What is over, and what came back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Unpack

from mailqueue.engine import (
    manage,
    retired,
)
from mailqueue.engine.many import Progress
from mailqueue.model.explain import Purged, Resent
from mailqueue.model.filters import Filter, Order, Page
from mailqueue.model.incoming import Incoming
from mailqueue.model.message import Message
from mailqueue.model.wanted import Wanted, chosen

if TYPE_CHECKING:
    from mailqueue.queue import Queue


class Retired:
    """The history: `queue.retired`."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def list(
        self,
        *,
        limit: int = 50,
        after: str | None = None,
        sort: Order | str | None = None,
        ids: int | Iterable[int] | None = None,
        **which: Unpack[Wanted],
    ) -> Page[Message]:
        """Return a page of retired messages, the last retired first.

        A page may have fewer messages than asked for, or none, and a `next` all the same: then it would have
        taken long to look further.

        Args:
            limit: messages at most, 1 to 1000.
            after: `next` of the page before.
            sort: another order: `retired`, `submitted`, `recipient`, `size`; with - before it the other way
                round.
            ids: only these.
            which: only what these filters mean, by their names in `Wanted`.

        Raises:
            SettingError: a value cannot be, there is no such filter, or the order would take too long.
            NotFound: no such account.
        """
        meant = chosen(which, ids=ids, now=self._queue.clock.now())
        return manage.retired_page(self._queue.store, meant, limit=limit, after=after, sort=sort)

    def count(self, *, ids: int | Iterable[int] | None = None, **which: Unpack[Wanted]) -> int:
        """Return how many retired messages are meant.

        An index tells of all, of one account, of one state but `delivered`, and of a stretch of `retired` in
        these; for other filters each message is looked at, some thousand at a time.

        Args:
            ids: only these.
            which: only what these filters mean, by their names in `Wanted`.

        Raises:
            SettingError: a value cannot be, or there is no such filter.
            NotFound: no such account.
        """
        return manage.count(
            self._queue.store, chosen(which, ids=ids, now=self._queue.clock.now()), retired=True
        )

    def resend(
        self,
        ids: int | Iterable[int] | None = None,
        *,
        all: bool = False,
        reason: str = "",
        dry_run: bool = False,
        progress: Progress | None = None,
        actor: str | None = None,
        **which: Unpack[Wanted],
    ) -> Resent:
        """Submit retired messages anew, to the same recipients.

        Content, sender, wishes, priority and extra are the same. Recipients of one submission that are meant
        together share a new one. They are mail like any other: the schedule is the account's, quotas count
        them, hold rules hold them, suppressed recipients get none. `transport` and `require_tls` stay as they
        were; a transport that is no more is left to the routes. Nothing is sent for a message whose content
        has been purged.

        Args:
            ids: message ids; None: see the others.
            all: everything in the history.
            reason: for the history, of the old message and of the new one, which name each other.
            dry_run: change nothing, and say in `preview` what would happen.
            progress: called with how many messages have been looked at, and how many there are.
            actor: who does it.
            which: what these filters mean, by their names in `Wanted`.

        Raises:
            SettingError: neither ids nor a filter nor `all=True`; or a value cannot be.
            NotFound: an id is unknown, or no such account; nothing was changed.
        """
        meant = self._meant(ids, which, all=all)
        queue = self._queue
        if dry_run:
            return retired.preview_resend(queue.store, meant)
        return retired.resend(
            queue.store,
            meant,
            actor=queue.actor(actor),
            reason=reason,
            clock=queue.clock,
            progress=progress,
        )

    def purge(
        self,
        ids: int | Iterable[int] | None = None,
        *,
        all: bool = False,
        reason: str = "",
        dry_run: bool = False,
        progress: Progress | None = None,
        actor: str | None = None,
        **which: Unpack[Wanted],
    ) -> Purged:
        """Remove messages from the history now, with attempts and events; the content with the last of them.

        An event `admin` says who did it, why, and how many went.

        Args:
            ids: message ids; None: see the others.
            all: everything in the history.
            reason: for that event.
            dry_run: change nothing, and say in `preview` what would happen.
            progress: called with how many messages have been looked at, and None: nobody knows of how many.
            actor: who does it.
            which: what these filters mean, by their names in `Wanted`.

        Raises:
            SettingError: neither ids nor a filter nor `all=True`; or a value cannot be.
            NotFound: an id is unknown, or no such account; nothing was changed.
        """
        meant = self._meant(ids, which, all=all)
        queue = self._queue
        if dry_run:
            return retired.preview_purge(queue.store, meant)
        return retired.purge(
            queue.store,
            meant,
            actor=queue.actor(actor),
            reason=reason,
            now=queue.clock.now(),
            progress=progress,
        )

    def _meant(self, ids: int | Iterable[int] | None, which: Wanted, *, all: bool) -> Filter:
        meant = chosen(which, ids=ids, now=self._queue.clock.now())
        manage.check_meant(self._queue.store, meant, all=all, retired=True)
        return meant

    def show(self, message_id: int) -> Message:
        """Return a retired message. Raises NotFound, also where it is still queued."""
        return manage.retired_message(self._queue.store, message_id)


class IncomingMail:
    """What came in about mail that went out: `queue.incoming_mail`. `queue.incoming` takes it in."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def list(
        self,
        *,
        limit: int = 50,
        after: str | None = None,
        account: str | None = None,
        matched: bool | None = None,
    ) -> Page[Incoming]:
        """Return a page of what came in, the last first.

        A page may have fewer items than asked for, or none, and a `next` all the same: then it would have
        taken long to look further.

        Args:
            limit: items at most, 1 to 1000.
            after: `next` of the page before.
            account: only about mail of this account.
            matched: True: only what is about mail that is known here; False: only what is not.

        Raises:
            SettingError: a value cannot be.
            NotFound: no such account.
        """
        return manage.incoming_page(
            self._queue.store, limit=limit, after=after, account=account, matched=matched
        )

    def show(self, incoming_id: int) -> Incoming:
        """Return what came in, with what followed and its beginning. Raises NotFound."""
        return manage.incoming(self._queue.store, incoming_id)
