"""Questions to the store, each answered from one snapshot.

The one rule: no question walks a whole table, whatever is asked for.
"""

# ruff: noqa: D102 -- the contract in base.py says what each method promises

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import count
from typing import Any

from mailqueue.clock import to_datetime
from mailqueue.errors import NotFound
from mailqueue.model.account import AccountMail, HourUse
from mailqueue.model.attempt import Attempt
from mailqueue.model.destination import Backlog, Destination
from mailqueue.model.engine import EngineInfo
from mailqueue.model.events import Event, Notice
from mailqueue.model.filters import LAST_RETIRED_FIRST, OLDEST_FIRST, Filter, Order, Page
from mailqueue.model.incoming import Incoming
from mailqueue.model.lane import Block, Lane
from mailqueue.model.message import Claimed, Message, Original
from mailqueue.model.rules import HoldRule
from mailqueue.model.settings import Settings
from mailqueue.model.suppression import Suppression
from mailqueue.model.webhook import Webhook, WebhookAttempt, WebhookFilter
from mailqueue.store import incoming, integrity, lists, outbox, quota, rows, suppression, traffic
from mailqueue.store.base import Depth, HourTally, Tally, Waiting
from mailqueue.store.batch import CHUNK
from mailqueue.store.queries import query
from mailqueue.store.settings import Snapshots


class SqliteReader:
    """Questions inside one read transaction; `mailqueue.store.base.Reader` says what each answers."""

    __slots__ = ("_cursor", "_snapshots")

    def __init__(self, cursor: sqlite3.Cursor, snapshots: Snapshots) -> None:
        self._cursor = cursor
        self._snapshots = snapshots

    def _all(self, name: str, *values: object) -> list[Any]:
        return self._cursor.execute(query(name), values).fetchall()

    def _one(self, name: str, *values: object) -> Any:  # noqa: ANN401
        found = self._cursor.execute(query(name), values).fetchone()
        return None if found is None else found[0]

    # -- the whole -----------------------------------------------------------------------------
    def settings(self) -> Settings:
        return self._snapshots.current(self._cursor)

    def wake(self) -> int:
        return int(self._one("wake"))

    def depth(self) -> Depth:
        [(active, claimed, held)] = self._all("counts")
        due = self._first("next_due", "next_hold_end", "next_rule_end")
        return Depth(queued=active - claimed, claimed=claimed, held=held, next_due_at=due)

    def next_due_at(self) -> int | None:
        return self._first("next_due", "next_warning", "next_expiry", "next_hold_end", "next_rule_end")

    def next_hold_end(self) -> int | None:
        return self._first("next_hold_end")

    def _first(self, *names: str) -> int | None:
        """Return the earliest of the moments that some questions give."""
        return min((at for at in map(self._one, names) if at is not None), default=None)

    def next_webhook_at(self, account_ids: Sequence[int]) -> int | None:
        found: int | None = self._one("next_webhook", json.dumps(account_ids))
        return found

    def webhook(self, webhook_id: int) -> Webhook:
        return outbox.show(self._cursor, webhook_id)

    def webhook_attempts(self, webhook_id: int) -> list[WebhookAttempt]:
        outbox.show(self._cursor, webhook_id)
        return [rows.webhook_attempt(row) for row in self._all("webhook_attempts", webhook_id)]

    def webhooks(
        self, which: WebhookFilter, *, retired: bool, limit: int, after: int | None
    ) -> Page[Webhook]:
        return outbox.page(self._cursor, which, retired=retired, limit=limit, after=after)

    def usage(self, account_id: int, since: int) -> list[HourUse]:
        return quota.usage(self._cursor, account_id, since)

    def known_recipients(self, account_id: int, recipients: Sequence[str]) -> dict[str, int]:
        return quota.known_recipients(self._cursor, account_id, recipients)

    def suppression(self, account_id: int, base: str, now: int) -> Suppression | None:
        return suppression.one(self._cursor, account_id, base, now)

    def suppressions(
        self, account_id: int | None, *, limit: int, after: str | None, now: int
    ) -> Page[Suppression]:
        return suppression.page(self._cursor, account_id, limit=limit, after=after, now=now)

    def mail_of_account(self, account_id: int) -> AccountMail:
        [(queued, retired, last)] = self._all("mail_of_account", account_id, account_id)
        return AccountMail(queued=queued, retired=retired, last_message_id=last)

    def hold_rules(self) -> list[HoldRule]:
        return [rows.hold_rule(row) for row in self._all("all_hold_rules")]

    def ending_hold_rules(self, now: int) -> list[int]:
        return [identity for (identity,) in self._all("ending_hold_rules", now)]

    def ahead_in_rule(self, rule_id: int, message_id: int) -> int:
        return int(self._one("ahead_in_rule", rule_id, message_id, rule_id))

    def held_by_rule(self, rule_id: int) -> int:
        return int(self._one("held_by_rule", rule_id))

    def engines(self) -> list[EngineInfo]:
        return [rows.engine(row) for row in self._all("all_engines")]

    def destinations(self) -> list[Destination]:
        return [rows.destination(row) for row in self._all("troubled_destinations")]

    def destination(self, name: str) -> Destination | None:
        return next((rows.destination(row) for row in self._all("one_destination", name)), None)

    def pace(self, rule_id: int) -> int:
        return traffic.pace(self._cursor, rule_id)

    def block(self, lane: Lane) -> Block | None:
        found = self._all("block_of_lane", *lane)
        return None if not found else Block(lane, *found[0])

    def backlog(self, destination: str, limit: int) -> Backlog:
        [(lanes, messages)] = self._all("backlog", destination, destination, limit)
        return Backlog(lanes, messages)

    def waiting_by_domain(self, limit: int) -> tuple[list[Waiting], int]:
        found = self._all("largest_domains", limit)
        hours: dict[str, list[tuple[int, int]]] = {domain: [] for domain, _ in found}
        for domain, *hour in self._all("waiting_by_hour", json.dumps(list(hours))):
            hours[domain].append((hour[0], hour[1]))
        waiting = [Waiting(domain=domain, hours=tuple(each)) for domain, each in hours.items()]
        return waiting, found[0][1] if found else 0

    def tally(self, since: int) -> list[Tally]:
        return [
            Tally(what=what, detail=detail, times=times) for what, detail, times in self._all("tally", since)
        ]

    def tally_by_hour(self, since: int) -> list[HourTally]:
        return [
            HourTally(hour_at=hour_at, submitted=submitted, delivered=delivered, failed=failed)
            for hour_at, submitted, delivered, failed in self._all("tally_by_hour", since)
        ]

    def owed_warnings(self, now: int, limit: int) -> list[Claimed]:
        owed: list[int] = []
        for (submission_id,) in self._all("owed_submissions", now, limit):
            if len(owed) >= limit:
                break
            owed += [identity for (identity,) in self._all("owed_warnings", submission_id, now)]
        return self.waiting(owed)

    def expired(self, now: int, limit: int) -> list[Claimed]:
        return self.waiting([identity for (identity,) in self._all("expired_messages", now, limit)])

    def waiting(self, ids: Sequence[int]) -> list[Claimed]:
        chosen = json.dumps(ids)
        maybe = set(json.loads(self._one("maybe_arrived", chosen)))
        found = self._all("waiting_messages", chosen)
        return [rows.claimed(row, engine_id=0, uncertain=row[0] in maybe, separators={}) for row in found]

    def integrity(self) -> list[str]:
        return list(integrity.faults(self._cursor))

    # -- messages ------------------------------------------------------------------------------
    def message(self, message_id: int) -> Message:
        found = self._messages("WHERE message.id = ?", message_id)
        if not found:
            raise self._no_message(message_id)
        return rows.message(found[0], map(rows.hold, self._all("holds_of_message", message_id)))

    def submission_messages(self, submission_id: int) -> list[Message]:
        found = self._messages("WHERE message.submission_id = ? ORDER BY message.id", submission_id)
        if not found:
            known = self._one("last_submission_id")
            raise NotFound(_gone(f"submission s{submission_id}", purged=0 < submission_id <= known))
        return [rows.message(row) for row in found]

    def queue(
        self, which: Filter, *, limit: int, after: str | None, order: Order = OLDEST_FIRST
    ) -> Page[Message]:
        return self._whole(self._ids(which, order, retired=False, limit=limit, after=after))

    def retired(
        self, which: Filter, *, limit: int, after: str | None, order: Order = LAST_RETIRED_FIRST
    ) -> Page[Message]:
        return self._whole(self._ids(which, order, retired=True, limit=limit, after=after))

    def ids(self, which: Filter, *, retired: bool, after: str | None) -> Page[int]:
        order = LAST_RETIRED_FIRST if retired else OLDEST_FIRST
        return self._ids(which, order, retired=retired, limit=lists.LOOK, after=after)

    def count(self, which: Filter, *, retired: bool) -> int | None:
        return lists.count(self._cursor, which, retired=retired)

    def _ids(self, which: Filter, order: Order, *, retired: bool, limit: int, after: str | None) -> Page[int]:
        return lists.page(
            self._cursor, which, order, retired=retired, limit=limit, after=after, contents=self._pieces
        )

    def _whole(self, page: Page[int]) -> Page[Message]:
        named = "WHERE message.id IN (SELECT value FROM json_each(?))"
        found = {row[0]: rows.message(row) for row in self._messages(named, json.dumps(page.items))}
        return Page(items=tuple(found[each] for each in page.items), next=page.next, looked=page.looked)

    def _messages(self, where: str, *values: object) -> list[Any]:
        return self._cursor.execute(f"{query('read_messages')} {where}", values).fetchall()

    def submissions_of(self, ids: Sequence[int]) -> list[tuple[int, int]]:
        return self._all("submissions_of", json.dumps(ids))

    def originals(self, ids: Sequence[int]) -> list[Original]:
        return [rows.original(row) for row in self._all("originals", json.dumps(ids))]

    def _no_message(self, message_id: int) -> NotFound:
        known = self._one("last_message_id")
        return NotFound(_gone(f"message {message_id}", purged=0 < message_id <= known))

    def _check(self, message_id: int) -> None:
        if not self._all("message_exists", message_id):
            raise self._no_message(message_id)

    def exempt_through(self, message_id: int) -> int:
        self._check(message_id)
        return int(self._one("exempt_through", message_id))

    # -- history of a message ------------------------------------------------------------------
    def attempts(self, message_id: int) -> list[Attempt]:
        self._check(message_id)
        return [rows.attempt(row) for row in self._all("attempts_of_message", message_id)]

    def events(self, message_id: int) -> list[Event]:
        return [rows.event(row) for row in self._all("events_of_message", message_id)]

    def changes(self, *, limit: int, after: int | None) -> Page[Event]:
        found = self._all("changes", 2**63 - 1 if after is None else after, limit + 1)
        items = tuple(rows.event(row) for row in found[:limit])
        return Page(items=items, next=str(items[-1].id) if len(found) > limit else None, looked=len(found))

    def last_event_id(self) -> int:
        [(found,)] = self._all("last_event_id")
        return int(found)

    def events_after(self, after: int, limit: int) -> list[Event]:
        found = [rows.event(row) for row in self._all("events_after", after, limit)]
        about = dict.fromkeys(each.message_id for each in found if each.message_id is not None)
        messages = {identity: self._message(identity) for identity in about}
        return [
            each if each.message_id is None else replace(each, message=messages[each.message_id])
            for each in found
        ]

    def _message(self, message_id: int) -> Message | None:
        with suppress(NotFound):
            return self.message(message_id)
        return None

    def submitted(self, message_id: int) -> tuple[datetime, str]:
        self._check(message_id)
        [(at, actor)] = self._all("submitted", message_id)
        return to_datetime(at), actor

    def notices(self, message_id: int) -> list[Notice]:
        self._check(message_id)
        return [rows.notice(row) for row in self._all("notices_of_message", message_id)]

    # -- what came in --------------------------------------------------------------------------
    def incoming(self, incoming_id: int) -> Incoming:
        return incoming.read(self._cursor, incoming_id)

    def incoming_page(
        self, *, limit: int, after: str | None, account: str | None, matched: bool | None
    ) -> Page[Incoming]:
        return incoming.page(self._cursor, limit=limit, after=after, account=account, matched=matched)

    def incoming_about(self, message_id: int) -> list[Incoming]:
        return incoming.about(self._cursor, message_id)

    # -- content -------------------------------------------------------------------------------
    def content_of(self, message_id: int) -> int:
        found = self._one("content_of", message_id)
        if found is None:
            raise self._no_message(message_id)
        return int(found)

    def content(self, content_id: int) -> bytes:
        row = self._cursor.execute(query("content"), (content_id,)).fetchone()
        if row is None or row[1] is not None:
            raise _no_content(content_id, row)
        if row[2] is not None:
            return bytes(row[2])
        return b"".join(self._one("chunk", content_id, number) for number in range(-(-row[0] // CHUNK)))

    def contents(self, content_ids: Sequence[int]) -> dict[int, bytes]:
        return dict(self._all("inline_contents", json.dumps(content_ids)))

    def content_chunk(self, content_id: int, number: int) -> bytes | None:
        row = self._cursor.execute(query("content_facts"), (content_id,)).fetchone()
        if row is None or row[1] is not None:
            raise _no_content(content_id, row)
        size, _, inline = row
        if number * CHUNK >= size:
            return None
        return bytes(self._one("inline_content" if inline else "chunk", content_id, number))

    def _pieces(self, content_id: int) -> Iterator[bytes]:
        for number in count():
            piece = self.content_chunk(content_id, number)
            if piece is None:
                return
            yield piece

    def content_head(self, content_id: int, octets: int) -> bytes:
        pieces = (self.content_chunk(content_id, number) for number in range(-(-octets // CHUNK)))
        return b"".join(piece or b"" for piece in pieces)[:octets]


def _gone(what: str, *, purged: bool) -> str:
    return f"{what} has been purged from the history" if purged else f"there is no {what}"


def _no_content(content_id: int, row: Any) -> NotFound:  # noqa: ANN401
    if row is None:
        return NotFound(f"there is no content {content_id}")
    return NotFound(f"the content was purged at {to_datetime(row[1]).isoformat(timespec='seconds')}")
