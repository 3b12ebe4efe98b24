"""Which way mail goes, when it is tried again, and what replies mean."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from mailqueue.engine import (
    manage,
)
from mailqueue.engine import replies as answers
from mailqueue.engine import settings as steering
from mailqueue.model.attempt import Category
from mailqueue.model.rules import (
    AuthMechanism,
    ReplyRule,
    Route,
    Tls,
    Transport,
    TransportKind,
)
from mailqueue.model.schedule import Schedule

if TYPE_CHECKING:
    from mailqueue.queue import Queue


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
