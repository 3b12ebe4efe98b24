"""The snapshot of all settings, read again only when its version has moved.

The one rule: only a snapshot that has been committed is left for others. A version number that a
transaction has raised itself is worth nothing outside it: it may be rolled back, and the number
come again with other settings.
"""

from __future__ import annotations

import sqlite3
from types import MappingProxyType

from mailqueue.model.schedule import SHIPPED
from mailqueue.model.settings import Settings
from mailqueue.store import rows
from mailqueue.store.queries import query

_VERSION = query("settings_version")


class Shared:
    """The last committed snapshot that anybody in this process has read."""

    __slots__ = ("latest",)

    def __init__(self) -> None:
        self.latest: Settings | None = None


class Snapshots:
    """The settings as one transaction sees them.

    Args:
        shared: where to find and leave committed snapshots.
        private: never leave one there: somebody else's transaction may have changed settings before.
    """

    __slots__ = ("_current", "_private", "_shared", "moved")

    def __init__(self, shared: Shared, *, private: bool = False) -> None:
        self._shared = shared
        self._private = private
        self._current: Settings | None = None
        self.moved = False
        """This transaction has changed the settings itself."""

    def current(self, cursor: sqlite3.Cursor) -> Settings:
        """Return the settings; their version is read once."""
        if self._current is None:
            version = cursor.execute(_VERSION).fetchone()[0]
            latest = self._shared.latest
            if latest is not None and latest.version == version:
                self._current = latest
            else:
                self._current = read_settings(cursor, version)
                if not self._private:
                    self._shared.latest = self._current
        return self._current

    def changed(self) -> None:
        """Forget the snapshot, and keep those to come for this transaction."""
        self._current = None
        self._private = True
        self.moved = True


def read_settings(cursor: sqlite3.Cursor, version: int) -> Settings:
    """Read all settings; their version is `version`."""

    def read(name: str) -> list[tuple[object, ...]]:
        return cursor.execute(query(name)).fetchall()

    accounts = [rows.account(row) for row in read("all_accounts")]
    own = [rows.schedule(row) for row in read("all_schedules")]
    return Settings(
        version=version,
        accounts=MappingProxyType({each.name: each for each in accounts}),
        accounts_by_id=MappingProxyType({each.id: each for each in accounts}),
        transports=MappingProxyType(
            {each.name: each for each in map(rows.transport, read("all_transports"))}
        ),
        routes=tuple(map(rows.route, read("all_routes"))),
        schedules=MappingProxyType({**SHIPPED, **{each.name: each for each in own}}),
        hold_rules=tuple(map(rows.hold_rule, read("all_hold_rules"))),
        reply_rules=tuple(map(rows.reply_rule, read("all_reply_rules"))),
        shaping_rules=tuple(map(rows.shaping_rule, read("all_shaping_rules"))),
        separators=MappingProxyType(dict(cursor.execute(query("all_sender_domains")).fetchall())),
        endpoints=MappingProxyType(
            {each.account_id: each for each in map(rows.endpoint, read("all_endpoints"))}
        ),
    )
