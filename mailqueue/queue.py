"""The doors for Python: `Queue`, and `Engine` beside it. Verbs only; what they do is in `engine`.

The rule: every verb is one call of the floor below. `asyncqueue` makes the same verbs awaited.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from email.message import Message as EmailMessage
from types import TracebackType
from typing import Any, BinaryIO, Self, Unpack

from mailqueue.clock import Clock, SystemClock
from mailqueue.engine import explain as explaining
from mailqueue.engine import follow as following
from mailqueue.engine import manage, many, replies, verbs
from mailqueue.engine import plan as planning
from mailqueue.engine import stats as statistics
from mailqueue.engine.many import Progress
from mailqueue.engine.options import When
from mailqueue.engine.replies import classify_alone
from mailqueue.engine.runner import Engine, default_hostname, loop_factory
from mailqueue.engine.submit import MAX_SIZE, Draft, draft, made, store_draft, store_joined
from mailqueue.faces import (
    Accounts,
    Destinations,
    HoldRules,
    IncomingMail,
    ReplyRules,
    Retired,
    Routes,
    Schedules,
    SenderDomains,
    ShapingRules,
    Suppressions,
    Transports,
    Webhooks,
)
from mailqueue.mail.smtp.facts import Phase
from mailqueue.model.account import DEFAULT_ACCOUNT
from mailqueue.model.attempt import Attempt
from mailqueue.model.backup import Backup, Restored
from mailqueue.model.change import Change
from mailqueue.model.events import By, Event, EventKind, Happened, Notice
from mailqueue.model.explain import Explanation, Status, Steered
from mailqueue.model.filters import Filter, Order, Page
from mailqueue.model.incoming import Incoming
from mailqueue.model.lane import Priority
from mailqueue.model.message import Message, Submission
from mailqueue.model.migration import Migration
from mailqueue.model.plan import Plan
from mailqueue.model.recipient import Recipient
from mailqueue.model.settings import Settings
from mailqueue.model.settlement import Wish, WishKind
from mailqueue.model.stats import Stats
from mailqueue.model.verdict import Verdict
from mailqueue.model.wanted import Wanted, chosen
from mailqueue.net.resolver import Resolver
from mailqueue.store import open_store
from mailqueue.store.base import Store

__all__ = ["Content", "Engine", "Queue", "classify_alone", "loop_factory"]

Content = EmailMessage | bytes | BinaryIO
"""What can be submitted: an e-mail object, its octets, or a binary file of them."""


class Queue:
    """A mail queue in an SQLite file. Thread-safe; opens nothing until first used.

    Args:
        path: the database file; it is made, with its tables, where there is none.
        migrate: bring an older schema up to date at first use instead of refusing it; no copy is made.
        busy_timeout: seconds to wait for a lock of the database.
        max_size: octets that a message may have.
        clock: tells the time.
        door: how changes come in, for the history: `python`, `cli` ...
        actor_name: who makes them, where a verb does not say; None: nobody in particular.

    Raises, at first use:
        SchemaOutdated, SchemaNewer: the tables are of another version.
        NotWal: the file exists and is not in WAL mode.
        StoreError: it cannot be opened.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        migrate: bool = False,
        busy_timeout: float = 5.0,
        max_size: int = MAX_SIZE,
        clock: Clock | None = None,
        door: str = "python",
        actor_name: str | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self.clock: Clock = clock or SystemClock()
        self.max_size = max_size
        self._door = door
        self._actor_name = actor_name
        self.store: Store = open_store(self.path, migrate=migrate, busy_timeout=busy_timeout)
        self.hold_rules = HoldRules(self)
        self.transports = Transports(self)
        self.routes = Routes(self)
        self.reply_rules = ReplyRules(self)
        self.shaping_rules = ShapingRules(self)
        self.destinations = Destinations(self)
        self.schedules = Schedules(self)
        self.accounts = Accounts(self)
        self.sender_domains = SenderDomains(self)
        self.suppressions = Suppressions(self)
        self.retired = Retired(self)
        self.webhooks = Webhooks(self)
        self.incoming_mail = IncomingMail(self)

    def actor(self, name: str | None = None) -> str:
        """Return who makes a change, as the history writes it: `python`, `python:anna`, `cli:root` ..."""
        name = name or self._actor_name
        return f"{self._door}:{name}" if name else self._door

    def submit(
        self,
        message: Content,
        *,
        sender: str | None = None,
        recipients: Iterable[str | Recipient] | None = None,
        account: str = DEFAULT_ACCOUNT,
        connection: Any = None,  # noqa: ANN401 - the contract of a DB-API connection is its driver's
        idempotency_key: str | None = None,
        schedule: str | None = None,
        strict: bool | None = None,
        notify: str | Iterable[str] | None = None,
        ret: str | None = None,
        envid: str | None = None,
        not_before: When | None = None,
        expires_at: When | None = None,
        warn_after: timedelta | None = None,
        max_attempts: int | None = None,
        priority: Priority | str = "normal",
        transport: str | None = None,
        require_tls: bool | None = None,
        extra: Mapping[str, str] | None = None,
        actor: str | None = None,
    ) -> Submission:
        """Put a message in the queue. When this returns, it is on disk, for all recipients or none.

        Args:
            message: an e-mail object, its octets, or a binary file.
            sender: envelope sender; '' is the null return path; None: Sender or From of the header.
            recipients: envelope recipients, each an address or a `Recipient` that says more; None: To, Cc
                and Bcc of the header, or the Resent- ones.
            account: who sends.
            connection: a `sqlite3` connection on the queue's own file: the message joins its
                transaction, and exists if and only if that is committed.
            idempotency_key: the same key with the same message returns the first submission again.
            schedule: name of a retry schedule; None: the account's, else `standard`.
            strict: refuse what standards forbid, or else repair what can be; None: as the account says.
            notify: when the sender is told (RFC 3461 4.1): `never`, or some of `success`, `failure`,
                `delay`, in a list or with commas between; None: of failure and delay.
            ret: what a notice of failure returns: `full`, the message up to 50 KiB, or `hdrs`, its header;
                None: what who tells it thinks best, here `full`.
            envid: the sender's own name for the message, which notices repeat: printable ASCII, 100
                characters at most; None: none.
            not_before: no attempt before: a datetime with its time zone, or a timedelta from now; at most
                60 days ahead. None, or a moment that is past: at once.
            expires_at: given up then, on hold or not, with a notice: a datetime with its time zone, or a
                timedelta from now. It may shorten the lifetime of the schedule, and never lengthens it;
                None: that alone.
            warn_after: the sender is told of a delay after this, counted from `not_before` where that is
                given; zero: not at all; None: as the schedule says.
            max_attempts: given up after so many attempts; None: by time alone.
            priority: `interactive`, which never waits behind the others, `normal`, or `bulk`, which waits
                for them.
            transport: name of the transport to take, whatever the routes say; None: as they say.
            require_tls: True: only under TLS with a verified certificate, and to servers with REQUIRETLS
                (RFC 8689), else it fails. False: delivered rather than protected, as by the header field
                `TLS-Required: No`, which counts where this is None.
            extra: what travels along with the message, into its history and webhooks: a text for each key.
                Fields `X-Mailqueue-Extra-Key` of the header say the same, where this does not; they are
                not sent.
            actor: who submits it, for the history.

        Raises:
            InvalidSubmission: it cannot be queued; `.faults` lists every reason.
            NotFound: no such account, schedule or transport.
            TypeError: an argument is of the wrong kind.
            Conflict: the idempotency key is known with other content.
            QuotaExceeded: the account has sent what it may in 24 hours, and rejects what is over that.
            NotInTransaction, WrongDatabase: `connection` cannot be joined.
            StoreError: the database is in the way.
        """
        make = self._draft(
            message,
            self.actor(actor),
            sender=sender,
            recipients=recipients,
            account=account,
            idempotency_key=idempotency_key,
            schedule=schedule,
            strict=strict,
            notify=notify,
            ret=ret,
            envid=envid,
            not_before=not_before,
            expires_at=expires_at,
            warn_after=warn_after,
            max_attempts=max_attempts,
            priority=priority,
            transport=transport,
            require_tls=require_tls,
            extra=extra,
        )
        if connection is not None:
            return store_joined(self.store, connection, make)
        return store_draft(self.store, made(self.store, make))

    def submit_many(
        self,
        messages: Iterable[Content | Mapping[str, Any]],
        *,
        progress: Progress | None = None,
        connection: Any = None,  # noqa: ANN401
        actor: str | None = None,
    ) -> Sequence[Submission]:
        """Put many messages in the queue, in one transaction: when this returns, all are on disk, else none.

        It returns what `submit` returns for each, in their order.

        At most 100,000 messages at once, and 128 MiB of content, which are in memory until then. All are
        looked at first, which nobody waits for; the transaction only writes: 10,000 small messages hold
        up other writers for about a second. Content over 1 MiB is written before it, in steps.

        Args:
            messages: each a message as `submit` takes it, or a mapping of arguments of `submit`:
                `{"message": ..., "recipients": [...], "idempotency_key": ...}`.
            progress: called with how many have been looked at, every hundred, and how many there are
                (None: `messages` does not tell); and once more when all are stored, with their number twice.
            connection: as for `submit`: all join its transaction.
            actor: who submits them, for the history.

        Raises:
            InvalidSubmission: some cannot be queued; `.faults` lists every reason of each, with its number.
            Conflict: idempotency keys are known with other content; the text lists all.
            QuotaExceeded: as for `submit`; the text has the number of the first message that is over.
            NotInTransaction, WrongDatabase: `connection` cannot be joined.
            StoreError: the database is in the way.
        """
        return many.submit_many(
            self.store,
            messages,
            prepare=lambda message: self._draft(actor=self.actor(actor), **_arguments(message)),
            progress=progress,
            connection=connection,
        )

    def _draft(self, message: Content, actor: str, **given: Any) -> Callable[[Settings], Draft]:  # noqa: ANN401
        """Return what makes the draft, once it is known which settings count. It may be made twice.

        Args:
            message: the message.
            actor: who submits it, as the history writes it.
            given: the other arguments of `submit` but for `connection`.
        """
        for name in ("recipients", "notify"):
            if given[name] is not None and not isinstance(given[name], str):
                given[name] = tuple(given[name])
        if given["extra"] is not None:
            given["extra"] = dict(given["extra"])
        return lambda settings: draft(
            message,
            settings=settings,
            now=self.clock.now(),
            max_size=self.max_size,
            actor=actor,
            **given,
        )

    def list(
        self,
        *,
        limit: int = 50,
        after: str | None = None,
        sort: Order | str | None = None,
        ids: int | Iterable[int] | None = None,
        **which: Unpack[Wanted],
    ) -> Page[Message]:
        """Return a page of the messages in the queue, oldest first.

        A page may have fewer messages than asked for, or none, and a `next` all the same: then it would have
        taken long to look further.

        Args:
            limit: messages at most, 1 to 1000.
            after: `next` of the page before.
            sort: another order: `submitted`, `next-attempt`, `recipient`, `size`; with - before it the
                other way round.
            ids: only these.
            which: only what these filters mean, by their names in `Wanted`.

        Raises:
            SettingError: a value cannot be, there is no such filter, or the order would take too long.
            NotFound: no such account.
        """
        return manage.queue_page(
            self.store, chosen(which, ids=ids, now=self.clock.now()), limit=limit, after=after, sort=sort
        )

    def count(self, *, ids: int | Iterable[int] | None = None, **which: Unpack[Wanted]) -> int:
        """Return how many messages in the queue are meant.

        Without filters that is known; of one account, and of what is on hold, an index tells; for other
        filters each is looked at, some thousand at a time.

        Args:
            ids: only these.
            which: only what these filters mean, by their names in `Wanted`.

        Raises:
            SettingError: a value cannot be, or there is no such filter.
            NotFound: no such account.
        """
        return manage.count(self.store, chosen(which, ids=ids, now=self.clock.now()), retired=False)

    def show(self, message_id: int) -> Message:
        """Return a message, queued or retired, with what holds it. Raises NotFound."""
        return manage.message(self.store, message_id)

    def submission(self, submission_id: int) -> Sequence[Message]:
        """Return the messages of a submission. Raises NotFound."""
        return manage.submission(self.store, submission_id)

    def attempts(self, message_id: int) -> Sequence[Attempt]:
        """Return the attempts of a message, in order. Raises NotFound."""
        return manage.attempts(self.store, message_id)

    def events(self, message_id: int) -> Sequence[Event]:
        """Return the events of a message, in order. Raises NotFound."""
        return manage.events(self.store, message_id)

    def follow(
        self, *events: EventKind | str, after: int | None = None, wait: bool = True
    ) -> Iterator[Event]:
        """Yield events as they are written, whoever causes them, each with its message as it is then.

        Whoever keeps the id of the last event that it has dealt with, and hands it in as `after` the next
        time, misses none; what has been purged from the history meanwhile is not told.

        Args:
            events: only these, `failed` ...; all, where none is named.
            after: the id of the last event that is known; 0: from the first there is; None: only new ones.
            wait: go on for ever; else end with the last there is.

        Raises:
            SettingError: there is no such event.
        """
        return following.follow(self.store, after, events, wait=wait)

    def timeline(self, message_id: int) -> Sequence[Happened]:
        """Return all that happened to a message, in order, with who did it and why. Raises NotFound.

        Its submission, holds and releases, every attempt and what came of it, the notices about it, what
        came in about it, every attempt to post what happened to a webhook, and what was done to it by hand.
        """
        return manage.timeline(self.store, message_id)

    def changes(self, *, limit: int = 50, after: str | None = None) -> Page[Event]:
        """Return a page of what was done by hand to the queue, the newest first: who did it, why, and what.

        One for each verb that changed settings, a destination, messages or the file; `data` has the `verb`,
        in the words of the command line, and what was given to it. What was done to each message is in its
        own `timeline`.

        Args:
            limit: changes at most, 1 to 1000.
            after: `next` of the page before.

        Raises:
            SettingError: a value cannot be.
        """
        return manage.changes(self.store, limit=limit, after=after)

    def notices(self, message_id: int) -> Sequence[Notice]:
        """Return the delivery notices that told of a message, in order. Raises NotFound."""
        return manage.notices(self.store, message_id)

    def dump(self, message_id: int) -> bytes:
        """Return the content of a message as it goes out. Raises NotFound, which says when it was purged."""
        return manage.dump(self.store, message_id)

    def explain(self, message_id: int, *, dns: bool | Resolver = True) -> Explanation:
        """Return why a message waits, what happens next, and which way it would go.

        Args:
            message_id: of the message.
            dns: whether to ask DNS for the hosts and their addresses, for 5 s at most; what that comes to is
                part of the answer. A `Resolver`, which nobody else uses, to ask by that one.

        Raises:
            NotFound: there is no such message.
        """
        return explaining.explain(self.store, message_id, dns=dns, now=self.clock.now())

    def plan(
        self,
        *,
        sender: str,
        recipient: str,
        account: str = DEFAULT_ACCOUNT,
        schedule: str | None = None,
        priority: Priority | str = "normal",
        transport: str | None = None,
        require_tls: bool | None = None,
        dns: bool | Resolver = True,
    ) -> Plan:
        """Return what would become of a message, were it submitted now. Nothing is stored.

        Args:
            sender: envelope sender; '' is the null return path.
            recipient: envelope recipient.
            account: who sends.
            schedule: name of a retry schedule; None: the account's, else `standard`.
            priority: `interactive`, `normal` or `bulk`.
            transport: name of the transport to take, whatever the routes say; None: as they say.
            require_tls: as for `submit`.
            dns: as for `explain`.

        Raises:
            InvalidSubmission: it could not be queued; `.faults` lists every reason.
            NotFound: no such account, schedule or transport.
        """
        return planning.plan(
            self.store,
            sender=sender,
            recipient=recipient,
            account=account,
            schedule=schedule,
            priority=priority,
            transport=transport,
            require_tls=require_tls,
            dns=dns,
            now=self.clock.now(),
        )

    def status(self) -> Status:
        """Return how the queue stands."""
        return manage.status(self.store, self.clock.now())

    def stats(self, *, hours: int = 24, limit: int = 20) -> Stats:
        """Return the queue in numbers: how it stands, what happened, what waits for whom, what goes wrong.

        It is counted as it happens, by the hour, so that it takes some milliseconds, however much waits
        (tens of them where mail waits for ten thousand domains).

        Args:
            hours: so many hours back, and from the beginning of that hour on, it is told what happened;
                1 to 744. (What happened before the tables had version 4 is not counted.)
            limit: domains, errors and destinations that are listed at most, 1 to 1000.

        Raises:
            SettingError: a value cannot be.
        """
        return statistics.stats(self.store, hours=hours, limit=limit, now=self.clock.now())

    def hold(
        self,
        ids: int | Iterable[int] | None = None,
        *,
        all: bool = False,
        reason: str = "",
        dry_run: bool = False,
        progress: manage.Tell | None = None,
        actor: str | None = None,
        **which: Unpack[Wanted],
    ) -> Steered:
        """Put messages on hold by hand. One that is in delivery is held after the running attempt.

        Args:
            ids: message ids; None: see the others.
            all: everything in the queue.
            reason: for the history.
            dry_run: change nothing, and say in `preview` what would happen.
            progress: called between the steps of a long run, with how many messages have been changed, and
                how many are meant (None: nobody knows).
            actor: who holds.
            which: what these filters mean, by their names in `Wanted`.

        Raises:
            SettingError: neither ids nor a filter nor `all=True`; or a value cannot be.
            NotFound: an id is unknown, or no such account; nothing was changed.
        """
        meant = self._meant(ids, which, all=all)
        if dry_run:
            return manage.preview(self.store, meant, "put on hold, until released")
        return manage.hold(self.store, meant, self._by(actor, reason), progress)

    def release(
        self,
        ids: int | Iterable[int] | None = None,
        *,
        all: bool = False,
        reason: str = "",
        dry_run: bool = False,
        progress: manage.Tell | None = None,
        actor: str | None = None,
        **which: Unpack[Wanted],
    ) -> Steered:
        """Take every hold from messages, those of rules too; the rules that exist now hold them no more.

        Arguments and errors as for `hold`.
        """
        meant = self._meant(ids, which, all=all)
        if dry_run:
            return manage.preview(self.store, meant, "released from every hold, and due as they were")
        return manage.release(self.store, meant, self._by(actor, reason), progress)

    def fail(
        self,
        ids: int | Iterable[int] | None = None,
        *,
        all: bool = False,
        reason: str = "",
        dry_run: bool = False,
        progress: manage.Tell | None = None,
        actor: str | None = None,
        **which: Unpack[Wanted],
    ) -> Steered:
        """Let messages fail: no further attempt, and the sender gets the notice that is owed.

        One that is in delivery fails after the running attempt, unless that delivers it.

        Arguments and errors as for `hold`.
        """
        meant = self._meant(ids, which, all=all)
        if dry_run:
            return manage.preview(self.store, meant, "failed for good, with the notice that is owed")
        return self._give_up(
            meant, Wish(kind=WishKind.FAIL, actor=self.actor(actor), reason=reason), progress
        )

    def drop(
        self,
        ids: int | Iterable[int] | None = None,
        *,
        all: bool = False,
        reason: str = "",
        dry_run: bool = False,
        progress: manage.Tell | None = None,
        actor: str | None = None,
        **which: Unpack[Wanted],
    ) -> Steered:
        """Let messages go, as `canceled`: no further attempt, and nobody is told.

        One that is in delivery goes after the running attempt, unless that delivers it.

        Arguments and errors as for `hold`.
        """
        meant = self._meant(ids, which, all=all)
        if dry_run:
            return manage.preview(self.store, meant, "dropped for good, without a notice")
        return self._give_up(
            meant, Wish(kind=WishKind.DROP, actor=self.actor(actor), reason=reason), progress
        )

    def reschedule(
        self,
        ids: int | Iterable[int] | None = None,
        *,
        at: When | None = None,
        by: timedelta | None = None,
        all: bool = False,
        reason: str = "",
        dry_run: bool = False,
        progress: manage.Tell | None = None,
        actor: str | None = None,
        **which: Unpack[Wanted],
    ) -> Steered:
        """Change when messages are tried next: not before now, and at the latest when their lifetime ends.

        One that is in delivery is due then after the running attempt. What blocks a destination still does.

        Args:
            ids: message ids; None: see the others.
            at: a datetime with its time zone, or a timedelta from now.
            by: so much later than it would be; below zero: earlier. One of the two is given.
            all: everything in the queue.
            reason: for the history.
            dry_run: change nothing, and say in `preview` what would happen.
            progress: called between the steps of a long run, with how many messages have been changed, and
                how many are meant (None: nobody knows).
            actor: who does it.
            which: what these filters mean, by their names in `Wanted`.

        Raises:
            SettingError: neither ids nor a filter nor `all=True`; or a value cannot be.
            NotFound: an id is unknown, or no such account; nothing was changed.
        """
        wanted = verbs.reschedule(at, by, self.clock.now())
        meant = self._meant(ids, which, all=all)
        if dry_run:
            return manage.preview(self.store, meant, f"tried next {verbs.told(wanted)}")
        return self._change(meant, wanted, self._by(actor, reason), progress)

    def reroute(
        self,
        ids: int | Iterable[int] | None = None,
        *,
        via: str,
        all: bool = False,
        reason: str = "",
        dry_run: bool = False,
        progress: manage.Tell | None = None,
        actor: str | None = None,
        **which: Unpack[Wanted],
    ) -> Steered:
        """Let messages take a transport, whatever the routes say; their times stay as they are.

        One that is in delivery takes it from the next attempt on.

        Args:
            ids: message ids; None: see the others.
            via: name of the transport; '': as the routes say.
            all: everything in the queue.
            reason: for the history.
            dry_run: change nothing, and say in `preview` what would happen.
            progress: called between the steps of a long run, with how many messages have been changed, and
                how many are meant (None: nobody knows).
            actor: who does it.
            which: what these filters mean, by their names in `Wanted`.

        Raises:
            SettingError: neither ids nor a filter nor `all=True`; or a value cannot be.
            NotFound: no such transport or account, or an id is unknown; nothing was changed.
        """
        wanted = verbs.reroute(self.store, via)
        meant = self._meant(ids, which, all=all)
        if dry_run:
            return manage.preview(self.store, meant, f"sent {verbs.told(wanted)}")
        return self._change(meant, wanted, self._by(actor, reason), progress)

    def require_tls(
        self,
        ids: int | Iterable[int] | None = None,
        *,
        value: bool | None,
        all: bool = False,
        reason: str = "",
        dry_run: bool = False,
        progress: manage.Tell | None = None,
        actor: str | None = None,
        **which: Unpack[Wanted],
    ) -> Steered:
        """Change what is asked of TLS for messages (RFC 8689).

        One that is in delivery heeds it from the next attempt on.

        Args:
            ids: message ids; None: see the others.
            value: True: REQUIRETLS; False: `TLS-Required: No`; None: nothing is said.
            all: everything in the queue.
            reason: for the history.
            dry_run: change nothing, and say in `preview` what would happen.
            progress: called between the steps of a long run, with how many messages have been changed, and
                how many are meant (None: nobody knows).
            actor: who does it.
            which: what these filters mean, by their names in `Wanted`.

        Raises:
            SettingError: neither ids nor a filter nor `all=True`; or a value cannot be.
            NotFound: an id is unknown, or no such account; nothing was changed.
        """
        wanted = verbs.require_tls(value)
        meant = self._meant(ids, which, all=all)
        if dry_run:
            return manage.preview(self.store, meant, f"sent {verbs.told(wanted)}")
        return self._change(meant, wanted, self._by(actor, reason), progress)

    def _meant(self, ids: int | Iterable[int] | None, which: Wanted, *, all: bool) -> Filter:
        meant = chosen(which, ids=ids, now=self.clock.now())
        manage.check_meant(self.store, meant, all=all)
        return meant

    def _give_up(self, meant: Filter, wish: Wish, progress: manage.Tell | None) -> Steered:
        return verbs.give_up(
            self.store, meant, wish, clock=self.clock, hostname=default_hostname(), progress=progress
        )

    def _change(self, meant: Filter, wanted: Change, by: By, progress: manage.Tell | None) -> Steered:
        return verbs.change(self.store, meant, wanted, by, progress)

    def _by(self, actor: str | None, reason: str = "") -> By:
        return By(actor=self.actor(actor), reason=reason, at=self.clock.now())

    def incoming(
        self,
        raw: bytes | BinaryIO,
        *,
        recipient: str | None = None,
        sender: str | None = None,
        actor: str | None = None,
    ) -> Incoming:
        """Take in a message that came to a return address: a bounce, a complaint, or anything else.

        When this returns, it is on disk, with what follows for the messages that it is about: an event in
        their history, and `Message.feedback` once they have retired. The same octets for the same address
        again change nothing. No message is ever too strange: what is none is `unreadable`.

        Args:
            raw: the message, or a binary file of it; what is beyond its first 8 MiB is not looked at.
            recipient: the address it came to, which may tell the message by itself; None: as its header says.
            sender: its envelope sender, '' for the null one; None: as its header says.
            actor: who hands it in, for the history.

        Raises:
            TypeError: `raw` is neither.
            StoreError: the database is in the way; hand it in again.
        """
        from mailqueue.engine import incoming  # the patterns that it reads by take half a second to make

        return incoming.take(
            self.store,
            raw,
            recipient=recipient,
            sender=sender,
            actor=self.actor(actor),
            now=self.clock.now,
        )

    def classify(self, reply: str, *, phase: Phase | str = Phase.RCPT) -> Verdict:
        """Return what a reply of a server means, and which rule says so, with the rules of this moment.

        Args:
            reply: as the server sent it: `550 5.7.1 Not here`; its lines separated by line breaks.
            phase: what was answered: `greeting`, `mail`, `rcpt`, `data`, `final` ...

        Raises:
            ParseError: it is no reply, or one that refuses nothing.
            SettingError: there is no such phase.
        """
        return replies.classify(self.store, reply, phase=phase)

    def check_integrity(self, *, mend: bool = False, actor: str | None = None) -> Sequence[str]:
        """Return every fault found in the database, a sentence each, with what mends it. Empty: clean.

        Reads all of it.

        Args:
            mend: count anew what follows from other rows, return claims of engines that do not exist to
                the queue, and return what is left. Nobody else writes meanwhile.
            actor: who mends it.
        """
        return manage.check_integrity(self.store, self._by(actor) if mend else None)

    def migrate(self, *, copy: bool | str | os.PathLike[str] = True, actor: str | None = None) -> Migration:
        """Bring tables of an older version up to date, after a copy of the file as it is.

        It is one transaction: if the process dies, the file is as it was. Nobody else can write
        to the file meanwhile. Does nothing, and copies nothing, where the tables are up to date.

        Args:
            copy: where the copy goes; True: beside the file, as `PATH.v1-backup` (the version of its
                tables); False: none is made. Nothing is ever overwritten.
            actor: who migrates, for the history.

        Raises:
            SchemaNewer: the tables are newer than this mailqueue.
            SchemaMissing: there is no such file, or it holds no tables.
            StoreError: an engine is at work; the copy cannot be made; the database is in the way.
        """
        return manage.migrate(self.store, copy, self._by(actor))

    def backup(self, target: str | os.PathLike[str], *, actor: str | None = None) -> Backup:
        """Copy the whole database to `target`, as its last commit left it, while it is in use.

        The copy is whole when it has its name, is for the same eyes as the database, and holds all that
        the database holds: mail, history, passwords of transports. Nothing is ever overwritten.

        Args:
            target: where the copy goes.
            actor: who makes it, for the history.

        Raises:
            StoreError: there is something at `target`; it cannot be written; the database is in the way.
        """
        return manage.back_up(self.store, target, self._by(actor))

    def restore(
        self,
        source: str | os.PathLike[str],
        *,
        copy: bool | str | os.PathLike[str] = True,
        whole_file: bool = False,
        hold: bool = True,
        actor: str | None = None,
    ) -> Restored:
        """Put a backup in the place of the database, which may be gone, after a copy of it as it is.

        What waits in the backup may have been delivered since it was made: it is put on hold, for
        somebody to look at and release. No id is given a second time where the old file is there. Restart
        whatever uses the database.

        Args:
            source: path of the backup. It is looked through first; one that is not sound is refused.
            copy: where the copy goes; True: beside the file, as `PATH.before-restore`; False: none is made.
            whole_file: replace the tables of others too, where the file has any.
            hold: put on hold all that waits.
            actor: who restores, for the history.

        Raises:
            SchemaMissing, SchemaNewer: the backup has no tables of mailqueue, or newer ones.
            SchemaOutdated: it has older ones: migrate it first.
            StoreError: it is not sound; an engine is at work; the copy cannot be made; the file may not
                be replaced.
        """
        return manage.restore(
            self.store,
            source,
            copy=copy,
            whole_file=whole_file,
            hold_all=hold,
            by=self._by(actor),
        )

    def close(self) -> None:
        """Commit what waits, for at most 10 s, and close. Any later use raises StoreError."""
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


_SUBMIT = inspect.signature(Queue.submit)
_FOR_ALL = ("self", "connection", "actor")


def _arguments(message: object) -> dict[str, Any]:
    """Return the arguments of `submit` for one message of many. Raises TypeError for one it does not take."""
    given = message if isinstance(message, Mapping) else {"message": message}
    if said := [name for name in _FOR_ALL if name in given]:
        raise TypeError(f"{said[0]!r} is not for one message: submit_many takes it for all of them")
    bound = _SUBMIT.bind(None, **given)
    bound.apply_defaults()
    return {name: value for name, value in bound.arguments.items() if name not in _FOR_ALL}
