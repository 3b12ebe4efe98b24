"""The snapshot of all that is decided in the database.

A snapshot is read whole under one version number; a change of any setting raises the version,
and every process has the new snapshot within a second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mailqueue.model.account import Account
from mailqueue.model.rules import HoldRule, ReplyRule, Route, ShapingRule, Transport
from mailqueue.model.schedule import SHIPPED, STANDARD, Schedule
from mailqueue.model.webhook import Endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All that decides about mail, at one version."""

    version: int
    accounts: Mapping[str, Account]
    transports: Mapping[str, Transport]
    routes: tuple[Route, ...]
    """In the order in which they are tried."""
    schedules: Mapping[str, Schedule]
    """Shipped and own."""
    hold_rules: tuple[HoldRule, ...]
    """With what those that have ended had let go when this was read."""
    accounts_by_id: Mapping[int, Account]
    reply_rules: tuple[ReplyRule, ...] = ()
    """In the order in which they are asked, before the shipped ones."""
    shaping_rules: tuple[ShapingRule, ...] = ()
    """In the order in which they are asked."""
    separators: Mapping[str, str] = field(default_factory=dict)
    """What stands in a return address of its own before what makes it unique, by the senders' domains."""
    endpoints: Mapping[int, Endpoint] = field(default_factory=dict)
    """Where accounts' events are posted, by the accounts' ids."""

    def default_transport(self) -> Transport | None:
        """Return the transport for what no route matches. None: there is none, mail waits."""
        return next((t for t in self.transports.values() if t.is_default), None)

    def schedule(self, name: str) -> Schedule:
        """Return the schedule of that name, or `standard` where it has been removed since."""
        return self.schedules.get(name) or SHIPPED[STANDARD]
