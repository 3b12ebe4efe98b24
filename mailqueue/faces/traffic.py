"""What holds mail back, how much goes at once, and the destinations in trouble."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mailqueue.engine import (
    holdrules,
    manage,
    shaping,
)
from mailqueue.engine.options import When
from mailqueue.model.destination import DestinationInfo
from mailqueue.model.rules import (
    HoldRule,
    ShapingRule,
    Then,
)

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
