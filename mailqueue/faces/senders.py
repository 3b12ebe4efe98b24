"""Who sends, and to whom they write no more."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TextIO

from mailqueue.engine import (
    manage,
    suppressions,
    suppresslist,
)
from mailqueue.engine import settings as steering
from mailqueue.engine.options import When
from mailqueue.model.account import DEFAULT_ACCOUNT, Account, Notices, OnUncertain, OverQuota
from mailqueue.model.filters import Page
from mailqueue.model.rules import (
    SenderDomain,
)
from mailqueue.model.suppression import Imported, Rejudged, Suppression, Unsuppressed

if TYPE_CHECKING:
    from mailqueue.queue import Queue


class Accounts:
    """Who sends: `queue.accounts`."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def add(self, name: str, *, reason: str = "", actor: str | None = None) -> Account:
        """Make an account.

        Args:
            name: what `submit(account=)` calls it.
            reason: why, for the history.
            actor: who does it.

        Raises:
            Conflict: the name is taken.
            SettingError: the name cannot be.
        """
        return steering.add_account(self._queue.store, name, self._queue._by(actor, reason))

    def list(self) -> Sequence[Account]:
        """Return all accounts, in the order made."""
        return tuple(manage.settings(self._queue.store).accounts.values())

    def show(self, name: str) -> Account:
        """Return one account, with how far its quotas are used. Raises NotFound, which names the nearest."""
        return steering.account(self._queue.store, name, self._queue.clock.now())

    def set(
        self,
        name: str,
        *,
        notices: Notices | str | None = None,
        schedule: str | None = None,
        retention: timedelta | None = None,
        keep_content: timedelta | None = None,
        on_uncertain: OnUncertain | str | None = None,
        strict: bool | None = None,
        messages_per_day: int | None = None,
        new_recipients_per_day: int | None = None,
        over_quota: OverQuota | str | None = None,
        fromid: bool | None = None,
        suppression: bool | None = None,
        suppress_for: timedelta | None = None,
        reason: str = "",
        actor: str | None = None,
    ) -> Account:
        """Change what is given of an account; None leaves a value as it is.

        Args:
            name: the account.
            notices: `keep`, `queue` or `none`.
            schedule: name of the retry schedule of its mail from now on.
            retention: how long retired messages stay in the history.
            keep_content: how long content stays that was not delivered to all.
            on_uncertain: `retry`, `hold` or `fail`: what becomes of a message whose answer to the
                final dot was lost, so that it may have arrived.
            strict: refuse at submit what standards forbid.
            messages_per_day: recipients that it may write to in any 24 hours, each message counted;
                0: no quota.
            new_recipients_per_day: of these, the ones that it has not written to before; 0: no quota.
            over_quota: `reject`, `hold` or `drop`: what becomes of mail over a quota.
            fromid: give each message a return address of its own, by which what comes back is matched.
            suppression: send nothing to addresses on its suppression list, and have engines put there what
                has shown to be dead; False: neither, and what is on the list stays there.
            suppress_for: how long what engines put there stays; zero: until somebody removes it.
            reason: why, for the history.
            actor: who does it.

        Raises:
            NotFound: no such account or schedule.
            SettingError: a value cannot be.
        """
        return steering.set_account(
            self._queue.store,
            name,
            notices=notices,
            schedule=schedule,
            retention=retention,
            keep_content=keep_content,
            on_uncertain=on_uncertain,
            strict=strict,
            messages_per_day=messages_per_day,
            new_recipients_per_day=new_recipients_per_day,
            over_quota=over_quota,
            fromid=fromid,
            suppression=suppression,
            suppress_for=suppress_for,
            by=self._queue._by(actor, reason),
        )

    def remove(self, name: str, *, reason: str = "", actor: str | None = None) -> None:
        """Remove an account, and what is kept of whom it has written to.

        Args:
            name: of the account.
            reason: why, for the history.
            actor: who does it.

        Raises:
            NotFound: there is none of that name.
            Conflict: it is `default`, or mail in the queue or the history, routes or hold rules need it;
                the text says how many and what to do.
        """
        steering.remove_account(self._queue.store, name, self._queue._by(actor, reason))


class SenderDomains:
    """What is wished for the mail from a domain: `queue.sender_domains`."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def list(self) -> Sequence[SenderDomain]:
        """Return the domains for which something has been set, in the order of their names."""
        return steering.sender_domains(self._queue.store)

    def set(self, name: str, *, separator: str, reason: str = "", actor: str | None = None) -> SenderDomain:
        """Say what is wished for the mail from a domain.

        Args:
            name: of the domain, without its subdomains.
            separator: what stands in a return address of its own before what makes it unique: `+`, as it is
                where nothing is set, `-`, `=` ...; 1 to 4 characters.
            reason: why, for the history.
            actor: who does it.

        Raises:
            AddressError: the name is no domain.
            SettingError: the separator cannot be.
        """
        return steering.set_sender_domain(self._queue.store, name, separator, self._queue._by(actor, reason))

    def remove(self, name: str, *, reason: str = "", actor: str | None = None) -> SenderDomain:
        """Forget what was wished for the mail from a domain.

        Args:
            name: of the domain.
            reason: why, for the history.
            actor: who does it.

        Raises:
            NotFound: nothing is set for it.
        """
        return steering.remove_sender_domain(self._queue.store, name, self._queue._by(actor, reason))


class Suppressions:
    """Whom accounts write to no more: `queue.suppressions`.

    An address is compared by its base: without case, without what follows a `+`, and at gmail.com without
    dots.
    """

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def list(
        self, *, account: str | None = None, limit: int = 50, after: str | None = None
    ) -> Page[Suppression]:
        """Return a page of what is suppressed, in the order of accounts, then of base addresses.

        Args:
            account: only of this account; None: of all.
            limit: entries at most, 1 to 1000.
            after: `next` of the page before.

        Raises:
            SettingError: a value cannot be.
            NotFound: no such account.
        """
        return suppressions.page(
            self._queue.store, account=account, limit=limit, after=after, now=self._queue.clock.now()
        )

    def add(
        self,
        address: str,
        *,
        account: str = DEFAULT_ACCOUNT,
        reason: str = "",
        expires_at: When | None = None,
        actor: str | None = None,
    ) -> Suppression:
        """Suppress an address: mail to it retires as `suppressed`, without an attempt.

        What an entry that is there said before is replaced; since when it counts stays.

        Args:
            address: whom.
            account: whose mail.
            reason: why, for people.
            expires_at: until when, a datetime with its time zone, or a timedelta from now; None: until it is
                removed.
            actor: who does it.

        Raises:
            AddressError: the address cannot be read.
            SettingError: `expires_at` is past, or has no time zone.
            NotFound: no such account.
        """
        return suppressions.add(
            self._queue.store,
            address,
            account=account,
            reason=reason,
            expires_at=expires_at,
            actor=self._queue.actor(actor),
            now=self._queue.clock.now(),
        )

    def lookup(self, address: str, *, account: str = DEFAULT_ACCOUNT) -> Suppression | None:
        """Return the entry that stops mail to an address; None: nothing does.

        Args:
            address: in any spelling of the same base.
            account: whose mail.

        Raises:
            AddressError: the address cannot be read.
            NotFound: no such account.
        """
        return suppressions.lookup(self._queue.store, address, account=account, now=self._queue.clock.now())

    def remove(
        self,
        address: str,
        *,
        account: str = DEFAULT_ACCOUNT,
        replay: bool = False,
        actor: str | None = None,
    ) -> Unsuppressed:
        """Take an address off the list; the failures that counted before count no more.

        Args:
            address: in any spelling of the same base.
            account: whose mail.
            replay: submit anew what the entry has stopped, as `retired.resend` does.
            actor: who does it.

        Raises:
            AddressError: the address cannot be read.
            NotFound: it is not suppressed, or no such account.
        """
        return suppressions.remove(
            self._queue.store,
            address,
            account=account,
            replay=replay,
            actor=self._queue.actor(actor),
            clock=self._queue.clock,
        )

    def import_(
        self,
        lines: Iterable[str],
        *,
        account: str = DEFAULT_ACCOUNT,
        skip_bad: bool = False,
        actor: str | None = None,
    ) -> Imported:
        """Suppress the addresses of a list in CSV (RFC 4180), such as an open text file.

        Its first line names the columns: `address`, and where they are there `reason` and `expires_at`
        (`2027-01-15T08:00:00Z`; lines whose end is past are passed over). What is on the list already stays
        as it is, unless it lasts longer now. All lines are read before the first is stored; then they are, a
        thousand in a transaction.

        Args:
            lines: of the list.
            account: whose mail.
            skip_bad: import the good lines where others are bad.
            actor: who does it.

        Raises:
            ParseError: lines that cannot be read, each with its number, or no column `address`; nothing was
                imported.
            NotFound: no such account.
        """
        return suppresslist.read(
            self._queue.store,
            lines,
            account=account,
            skip_bad=skip_bad,
            actor=self._queue.actor(actor),
            now=self._queue.clock.now(),
        )

    def export(self, file: TextIO, *, account: str = DEFAULT_ACCOUNT) -> int:
        """Write what is suppressed as CSV that `import_` reads; return how many addresses those are.

        Args:
            file: where to, an open text file.
            account: whose mail.

        Raises:
            NotFound: no such account.
        """
        return suppresslist.write(self._queue.store, file, account=account, now=self._queue.clock.now())

    def rejudge(
        self, *, account: str | None = None, remove: bool = False, actor: str | None = None
    ) -> Sequence[Rejudged]:
        """Return the entries that engines have made, and would not make by the rules of this moment.

        What each was made for is judged again, by the reply rules that there are now. Complaints, and what
        people have added, are not judged.

        Args:
            account: only of this account; None: of all.
            remove: take them off the list.
            actor: who does it.

        Raises:
            NotFound: no such account.
        """
        return suppressions.rejudge(
            self._queue.store,
            account=account,
            remove=remove,
            actor=self._queue.actor(actor),
            now=self._queue.clock.now(),
        )
