"""The parts of a Queue that steer it: its hold rules, transports, routes, schedules, accounts, history ...

The rule: every verb is one call of a function in `engine`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, TextIO, Unpack

from mailqueue.engine import (
    endpoints,
    holdrules,
    incoming,
    manage,
    retired,
    shaping,
    suppressions,
    suppresslist,
    webhooks,
)
from mailqueue.engine import replies as answers
from mailqueue.engine import settings as steering
from mailqueue.engine.many import Progress
from mailqueue.engine.options import When
from mailqueue.model.account import DEFAULT_ACCOUNT, Account, Notices, OnUncertain, OverQuota
from mailqueue.model.attempt import Category
from mailqueue.model.destination import DestinationInfo
from mailqueue.model.events import EventKind
from mailqueue.model.explain import Purged, Resent
from mailqueue.model.filters import Filter, Order, Page
from mailqueue.model.incoming import Incoming
from mailqueue.model.message import Message
from mailqueue.model.rules import (
    AuthMechanism,
    HoldRule,
    ReplyRule,
    Route,
    SenderDomain,
    ShapingRule,
    Then,
    Tls,
    Transport,
    TransportKind,
)
from mailqueue.model.schedule import Schedule
from mailqueue.model.suppression import Imported, Rejudged, Suppression, Unsuppressed
from mailqueue.model.wanted import Wanted, chosen
from mailqueue.model.webhook import Endpoint, Webhook, WebhookAnswer, WebhookAttempt, WebhookState

if TYPE_CHECKING:
    from mailqueue.queue import Queue


class HoldRules:
    """Rules that hold mail: `queue.hold_rules`."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def add(
        self,
        *,
        account: str | None = None,
        sender_domain: str | None = None,
        sender: str | None = None,
        recipient_domain: str | None = None,
        recipient: str | None = None,
        until: When | None = None,
        then: Then | str = Then.RELEASE,
        per_minute: int | None = None,
        reason: str = "",
        actor: str | None = None,
    ) -> HoldRule:
        """Make a rule, and mark what is queued and matches it.

        Every criterion given must match; with none, all mail is held. The rule acts on new mail and
        on claims from its commit on, before all marks are set.

        Args:
            account: name of the account that sends.
            sender_domain: domain of the envelope sender, without its subdomains.
            sender: the whole envelope sender.
            recipient_domain: domain of the recipient, without its subdomains.
            recipient: the whole recipient.
            until: it ends then, whether or not an engine runs: a datetime with its time zone, or a timedelta
                from now. None: when somebody removes it.
            then: what an engine does at its end with what it alone holds: `release` it, `fail` it with the
                notice that is owed, or `keep` it on hold, by hand. Of what others hold, only its hold goes.
            per_minute: so many are released in a minute, with `until` and `release`. None: all at once.
            reason: why, for people.
            actor: who makes it.

        Raises:
            NotFound: no such account.
            AddressError: an address or a domain cannot be read.
            SettingError: `until` is over or has no time zone; what is said of the end cannot be.
        """
        return holdrules.add(
            self._queue.store,
            account=account,
            sender_domain=sender_domain,
            sender=sender,
            recipient_domain=recipient_domain,
            recipient=recipient,
            until=until,
            then=then,
            per_minute=per_minute,
            by=self._queue._by(actor, reason),
        )

    def list(self) -> Sequence[HoldRule]:
        """Return all rules, oldest first: also those that have ended and still let go of messages."""
        return holdrules.every(self._queue.store)

    def show(self, rule_id: int) -> HoldRule:
        """Return one rule. Raises NotFound."""
        return holdrules.show(self._queue.store, rule_id)

    def held(self, rule_id: int) -> int:
        """Return how many messages a rule holds, alone or with others. Raises NotFound."""
        return holdrules.held(self._queue.store, rule_id)

    def remove(
        self,
        rule_id: int,
        *,
        release: bool = False,
        per_minute: int | None = None,
        reason: str = "",
        actor: str | None = None,
    ) -> HoldRule:
        """Remove a rule. What it holds stays on hold, by marks that name it, until released.

        With `release`, the rule ends: it holds nothing new, what it alone holds is released, and it goes when
        it holds nothing any more. All at once, an engine finishes it should we not; so many a minute, the
        engines do it, together at that pace. Removed again without `release`, the rest stays on hold.
        Returns the rule; one that ends, as it was seen last.

        Args:
            rule_id: of the rule.
            release: release what it alone holds. Of what others hold as well, only its hold goes.
            per_minute: so many are released in a minute. None: all at once.
            reason: why, for the history.
            actor: who removes it.

        Raises:
            NotFound: no such rule.
            SettingError: `per_minute` cannot be, or is given without `release`.
        """
        return holdrules.remove(
            self._queue.store,
            rule_id,
            release=release,
            per_minute=per_minute,
            reason=reason,
            actor=self._queue.actor(actor),
            now=self._queue.clock.now(),
        )


class Transports:
    """Ways out: `queue.transports`."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def add(
        self,
        name: str,
        *,
        kind: TransportKind | str,
        host: str | None = None,
        port: int | None = None,
        tls: Tls | str | None = None,
        username: str | None = None,
        password: str | None = None,
        auth: AuthMechanism | str | None = None,
        ca_file: str | None = None,
        allow_private: bool = False,
        reply: str | None = None,
        default: bool = False,
        reason: str = "",
        actor: str | None = None,
    ) -> Transport:
        """Make a transport. The first one made takes all mail that no route matches.

        Args:
            name: what routes and the command line call it.
            kind: `direct`, `relay`, `submission`, `submissions` or `fail`.
            host: of relay, submission and submissions: the name or address of the next hop.
            port: TCP port; None: 587 of submission, 465 of submissions, else 25.
            tls: `opportunistic`, `none`, `required` or `verified`; None: `verified` of submission,
                submissions, and where there is a password, else `opportunistic`.
            username: who we are to the next hop; None: that is not said.
            password: of that user. It is kept as it is, in the database, and never shown.
            auth: how it is proved: `SCRAM-SHA-256`, `CRAM-MD5`, `PLAIN` or `LOGIN`; None: the best
                that both sides know. In the clear, PLAIN and LOGIN are used only where they stand here.
            ca_file: path of the CA certificates (PEM) to trust, and no others; None: those of the system.
            allow_private: direct: also loopback and private addresses that DNS gave.
            reply: fail: what it answers, e.g. "550 5.7.1 not from here".
            default: take the mark `default` from the transport that has it.
            reason: why, for the history.
            actor: who does it.

        Raises:
            SettingError: a value does not fit the kind.
            Conflict: the name is taken.
        """
        return steering.add_transport(
            self._queue.store,
            name,
            by=self._queue._by(actor, reason),
            kind=kind,
            host=host,
            port=port,
            tls=tls,
            username=username,
            password=password,
            auth=auth,
            ca_file=ca_file,
            allow_private=allow_private,
            reply=reply,
            default=default,
        )

    def list(self) -> Sequence[Transport]:
        """Return all transports, in the order made."""
        return tuple(manage.settings(self._queue.store).transports.values())

    def set(
        self,
        name: str,
        *,
        host: str | None = None,
        port: int | None = None,
        tls: Tls | str | None = None,
        username: str | None = None,
        password: str | None = None,
        auth: AuthMechanism | str | None = None,
        ca_file: str | None = None,
        allow_private: bool | None = None,
        reply: str | None = None,
        default: bool | None = None,
        reason: str = "",
        actor: str | None = None,
    ) -> Transport:
        """Change what is given of a transport; None leaves a value as it is.

        Arguments as for `add`.

        An empty text takes `username` (and `password` and `auth` with it), `auth` or `ca_file` away.

        Raises:
            NotFound: no such transport.
            SettingError: a value does not fit its kind, or `default=False` of the default one.
        """
        return steering.set_transport(
            self._queue.store,
            name,
            host=host,
            port=port,
            tls=tls,
            username=username,
            password=password,
            auth=auth,
            ca_file=ca_file,
            allow_private=allow_private,
            reply=reply,
            default=default,
            by=self._queue._by(actor, reason),
        )

    def remove(self, name: str, *, reason: str = "", actor: str | None = None) -> None:
        """Remove a transport.

        Args:
            name: of the transport.
            reason: why, for the history.
            actor: who does it.

        Raises:
            NotFound: no such transport.
            Conflict: a route or a shaping rule uses it, messages in the queue name it, or it is the
                default and others exist.
        """
        steering.remove_transport(self._queue.store, name, self._queue._by(actor, reason))


class Routes:
    """Which mail takes which transport: `queue.routes`."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def add(
        self,
        transport: str,
        *,
        account: str | None = None,
        sender_domain: str | None = None,
        recipient_domain: str | None = None,
        min_attempts: int = 0,
        position: int = 0,
        reason: str = "",
        actor: str | None = None,
    ) -> Route:
        """Make a route. A domain with a leading dot means its subdomains too.

        Routes of an account are tried first, then those that name a domain, then the others; among
        these by position, then in the order made. The first match counts.

        Args:
            transport: name of the transport.
            account: who sends; None: anybody.
            sender_domain: of the envelope sender; None: any.
            recipient_domain: of the recipient; None: any.
            min_attempts: only messages of which at least so many attempts have failed.
            position: lower ones are tried first.
            reason: why, for the history.
            actor: who does it.

        Raises:
            NotFound: no such transport or account.
            AddressError: a domain cannot be read.
            SettingError: `min_attempts` cannot be.
        """
        return steering.add_route(
            self._queue.store,
            transport,
            account=account,
            sender_domain=sender_domain,
            recipient_domain=recipient_domain,
            min_attempts=min_attempts,
            position=position,
            by=self._queue._by(actor, reason),
        )

    def list(self) -> Sequence[Route]:
        """Return all routes in the order in which they are tried."""
        return manage.settings(self._queue.store).routes

    def remove(self, route_id: int, *, reason: str = "", actor: str | None = None) -> None:
        """Remove a route.

        Args:
            route_id: of the route.
            reason: why, for the history.
            actor: who does it.

        Raises:
            NotFound: there is none of that id.
        """
        steering.remove_route(self._queue.store, route_id, self._queue._by(actor, reason))


class ReplyRules:
    """The operator's own rules about what replies mean: `queue.reply_rules`."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def add(
        self,
        pattern: str,
        *,
        category: Category | str,
        code: str | None = None,
        permanent: bool | None = None,
        position: int = 0,
        note: str = "",
        actor: str | None = None,
    ) -> ReplyRule:
        """Make a rule. It is asked before those that come with mailqueue; the first that matches counts.

        Args:
            pattern: a regular expression, searched for in the reply as one line with its codes, whatever
                the case of its letters; mail addresses in the reply are cut down to '@' before.
            category: what such a reply means.
            code: only for such reply codes: '550', '4??', '5*'; None: all.
            permanent: True: it is not tried again; False: it is; None: as the code says. A reply of 421,
                and one that refuses the whole session, is tried again all the same.
            position: lower ones are asked first, then in the order made.
            note: why, for people.
            actor: who makes it.

        Raises:
            SettingError: the pattern is no regular expression or could take too long, or a value cannot be.
        """
        return answers.add_rule(
            self._queue.store,
            pattern,
            category=category,
            code=code,
            permanent=permanent,
            position=position,
            by=self._queue._by(actor, note),
        )

    def list(self) -> Sequence[ReplyRule]:
        """Return the own rules in the order in which they are asked."""
        return manage.settings(self._queue.store).reply_rules

    def remove(self, rule_id: int, *, reason: str = "", actor: str | None = None) -> ReplyRule:
        """Remove a rule and return it.

        Args:
            rule_id: of the rule.
            reason: why, for the history.
            actor: who does it.

        Raises:
            NotFound: there is none of that id.
        """
        return answers.remove_rule(self._queue.store, rule_id, self._queue._by(actor, reason))


class ShapingRules:
    """Rules that limit what goes to a destination, or to several together: `queue.shaping_rules`."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def add(
        self,
        *,
        transport: str | None = None,
        domain: str | None = None,
        mx: str | None = None,
        connections: int | None = None,
        per_connection: int | None = None,
        per_minute: int | None = None,
        position: int = 0,
        reason: str = "",
        actor: str | None = None,
    ) -> ShapingRule:
        """Make a rule. Every criterion given must match; with none, it is for all mail.

        The first rule that matches a message counts for it, and no other does. All mail for which a rule
        counts shares its `connections` and `per_minute`, wherever it goes, whoever sends it, and whichever of
        the engines on the file delivers it.

        Args:
            transport: name of the transport that the mail takes; None: any.
            domain: of the recipient; with a leading dot its subdomains too; None: any.
            mx: name of one of the hosts that the mail goes to: a relay's, or one of the MX hosts of the
                recipient's domain; with a leading dot all names below it too; None: any.
            connections: at once.
            per_connection: transactions on one connection, 100 at most whatever is said here.
            per_minute: messages in any minute, each recipient being one; they go evenly spaced.
            position: lower ones are asked first, then in the order made.
            reason: why, for people.
            actor: who makes it.

        Raises:
            SettingError: no limit is given, a limit is not 1 to 1,000,000, or a name cannot be read.
            NotFound: no such transport.
        """
        return shaping.add_rule(
            self._queue.store,
            transport=transport,
            domain=domain,
            mx=mx,
            connections=connections,
            per_connection=per_connection,
            per_minute=per_minute,
            position=position,
            by=self._queue._by(actor, reason),
        )

    def list(self) -> Sequence[ShapingRule]:
        """Return all rules in the order in which they are asked."""
        return manage.settings(self._queue.store).shaping_rules

    def show(self, rule_id: int) -> ShapingRule:
        """Return one rule. Raises NotFound."""
        return shaping.rule(self._queue.store, rule_id)

    def remove(self, rule_id: int, *, reason: str = "", actor: str | None = None) -> ShapingRule:
        """Remove a rule and return it.

        Args:
            rule_id: of the rule.
            reason: why, for the history.
            actor: who does it.

        Raises:
            NotFound: there is none of that id.
        """
        return shaping.remove_rule(self._queue.store, rule_id, self._queue._by(actor, reason))


class Destinations:
    """What mail leads to, and is in trouble: `queue.destinations`."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def list(self) -> Sequence[DestinationInfo]:
        """Return the destinations in trouble, the longest first."""
        return shaping.destinations(self._queue.store)

    def show(self, name: str) -> DestinationInfo:
        """Return one destination, in trouble or well again.

        Args:
            name: the transport and its next hop, as in `list` and in `Message.blocked_by`.

        Raises:
            NotFound: nothing is known of trouble there; the nearest name is told.
        """
        return shaping.destination(self._queue.store, name)

    def retry(self, name: str, *, reason: str = "", actor: str | None = None) -> DestinationInfo:
        """Take its block away: mail goes there now, and the next failure blocks it again.

        Args:
            name: as for `show`.
            reason: why, for the history.
            actor: who does it.

        Raises:
            NotFound: as for `show`.
        """
        return shaping.retry(self._queue.store, name, self._queue._by(actor, reason))


class Schedules:
    """Retry schedules: `queue.schedules`."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def add(
        self,
        name: str,
        delays: str,
        *,
        lifetime: timedelta,
        warn_after: timedelta | None = None,
        reason: str = "",
        actor: str | None = None,
    ) -> Schedule:
        """Make a schedule from its readable form.

        Args:
            name: what `submit(schedule=)` and accounts call it.
            delays: e.g. "5m, 15m, 30m, 1h, 2h, 3h*".
            lifetime: given up after this long.
            warn_after: a delay notice after this long; None: none.
            reason: why, for the history.
            actor: who does it.

        Raises:
            ScheduleError: `delays` cannot be read.
            SettingError: the name or the lifetime cannot be.
            Conflict: the name is taken.
        """
        return steering.add_schedule(
            self._queue.store,
            name,
            delays,
            lifetime=lifetime,
            warn_after=warn_after,
            by=self._queue._by(actor, reason),
        )

    def list(self) -> Sequence[Schedule]:
        """Return all schedules, the shipped ones first."""
        return tuple(manage.settings(self._queue.store).schedules.values())

    def show(self, name: str) -> Schedule:
        """Return one schedule. Raises NotFound, which names the nearest."""
        return steering.schedule(self._queue.store, name)


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


class RetiredWebhooks:
    """The history of webhooks: `queue.webhooks.retired`."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue

    def list(
        self,
        *,
        account: str | None = None,
        event: EventKind | str | None = None,
        message_id: int | None = None,
        state: WebhookState | str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> Page[Webhook]:
        """Return a page of retired webhooks, the newest first.

        A page may have fewer than asked for, or none, and a `next` all the same: then it would have taken
        long to look further.

        Args:
            account: only of this account.
            event: only about this.
            message_id: only about this message.
            state: only `delivered`, `failed` or `canceled`.
            limit: webhooks at most, 1 to 1000.
            after: `next` of the page before.

        Raises:
            NotFound: no such account.
            SettingError: a value cannot be.
        """
        return webhooks.page(
            self._queue.store,
            retired=True,
            account=account,
            event=event,
            message_id=message_id,
            state=state,
            limit=limit,
            after=after,
        )

    def show(self, webhook_id: int) -> Webhook:
        """Return a retired webhook. Raises NotFound, also where it is still on its way."""
        return webhooks.show(self._queue.store, webhook_id, retired=True)


class Webhooks:
    """Where events are posted, and what becomes of each: `queue.webhooks`."""

    def __init__(self, queue: Queue) -> None:
        self._queue = queue
        self.retired = RetiredWebhooks(queue)

    def set(
        self,
        account: str = DEFAULT_ACCOUNT,
        *,
        url: str | None = None,
        events: str | Iterable[str] | None = None,
        authorization: str | None = None,
        secret: str | None = None,
        new_secret: bool = False,
        rotate: bool = False,
        drop_old_secret: bool = False,
        allow_private: bool | None = None,
        actor: str | None = None,
    ) -> Endpoint:
        """Have the events of an account posted; what is not given stays as it is.

        An endpoint that was disabled because it answered 410 is at work again.

        Args:
            account: its name.
            url: where to: `https://...` or `http://...`; needed the first time.
            events: which, as a list or with commas between; the first time None is all.
            authorization: value of the header Authorization, such as `Bearer ...`; '' takes it away.
            secret: what to sign with, `whsec_` and base64; it replaces what there is.
            new_secret: have a secret made; it is the first of `Endpoint.secrets`.
            rotate: sign with the secret there is, too, until `drop_old_secret`.
            drop_old_secret: sign with the newest secret only, from now on.
            allow_private: also call loopback and private addresses.
            actor: who sets it.

        Raises:
            NotFound: no such account.
            SettingError: a value cannot be, or the URL leads to a private address that is not allowed.
        """
        return endpoints.set_endpoint(
            self._queue.store,
            account,
            url=url,
            events=events,
            authorization=authorization,
            secret=secret,
            new_secret=new_secret,
            rotate=rotate,
            drop_old_secret=drop_old_secret,
            allow_private=allow_private,
            actor=self._queue.actor(actor),
            now=self._queue.clock.now(),
        )

    def unset(self, account: str = DEFAULT_ACCOUNT, *, actor: str | None = None) -> Endpoint:
        """Have the events of an account posted no more; what waits is canceled.

        Args:
            account: its name.
            actor: who says so.

        Raises:
            NotFound: no such account, or it has no webhook.
        """
        return endpoints.unset_endpoint(
            self._queue.store, account, actor=self._queue.actor(actor), now=self._queue.clock.now()
        )

    def endpoints(self) -> Sequence[Endpoint]:
        """Return where events are posted, in the order in which the accounts were made."""
        return endpoints.endpoints(self._queue.store)

    def test(self, account: str = DEFAULT_ACCOUNT) -> WebhookAnswer:
        """Post a signed test event to the endpoint of an account, now, and return what it answered.

        It is posted by this process, whether the endpoint is disabled or not, and not noted.

        Args:
            account: its name.

        Raises:
            NotFound: no such account, or it has no webhook.
        """
        return endpoints.test(self._queue.store, account, self._queue.clock.now())

    def list(
        self,
        *,
        account: str | None = None,
        event: EventKind | str | None = None,
        message_id: int | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> Page[Webhook]:
        """Return a page of webhooks on their way, the oldest first.

        A page may have fewer than asked for, or none, and a `next` all the same: then it would have taken
        long to look further.

        Args:
            account: only of this account.
            event: only about this.
            message_id: only about this message.
            limit: webhooks at most, 1 to 1000.
            after: `next` of the page before.

        Raises:
            NotFound: no such account.
            SettingError: a value cannot be.
        """
        return webhooks.page(
            self._queue.store,
            retired=False,
            account=account,
            event=event,
            message_id=message_id,
            limit=limit,
            after=after,
        )

    def show(self, webhook_id: int) -> Webhook:
        """Return a webhook, on its way or retired. Raises NotFound."""
        return webhooks.show(self._queue.store, webhook_id)

    def attempts(self, webhook_id: int) -> Sequence[WebhookAttempt]:
        """Return the attempts of a webhook, in order. Raises NotFound."""
        return webhooks.attempts(self._queue.store, webhook_id)

    def schedule(
        self, ids: int | Iterable[int], *, at: When | None = None, actor: str | None = None
    ) -> Sequence[int]:
        """Have webhooks posted at another time; returns the ids of those that wait, and so will be.

        One that waits for another about the same message goes after that, and not before `at`.

        Args:
            ids: which.
            at: when, a moment or how long from now; None: now.
            actor: who does it.

        Raises:
            NotFound: one of them does not exist, or has been purged; then none is changed.
            SettingError: `at` cannot be.
        """
        return webhooks.schedule(self._queue.store, ids, at, self._queue._by(actor))

    def cancel(
        self, ids: int | Iterable[int], *, reason: str = "", actor: str | None = None
    ) -> Sequence[int]:
        """Cancel webhooks that have not retired; returns the ids of these.

        One that is being posted may arrive all the same.

        Args:
            ids: which.
            reason: why, for people.
            actor: who cancels them.

        Raises:
            NotFound: one of them does not exist, or has been purged; then none is changed.
        """
        return webhooks.cancel(self._queue.store, ids, self._queue._by(actor, reason))

    def replay(self, ids: int | Iterable[int], *, actor: str | None = None) -> Sequence[int]:
        """Post retired webhooks once more, with the same payload; returns the ids of the new ones.

        Args:
            ids: which.
            actor: who does it.

        Raises:
            NotFound: one of them does not exist, or has been purged; then none is posted.
            Conflict: one of them is on its way, or its account has no endpoint at work; then none is posted.
        """
        return webhooks.replay(self._queue.store, ids, self._queue._by(actor))


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
        return incoming.page(self._queue.store, limit=limit, after=after, account=account, matched=matched)

    def show(self, incoming_id: int) -> Incoming:
        """Return what came in, with what followed and its beginning. Raises NotFound."""
        return incoming.show(self._queue.store, incoming_id)
