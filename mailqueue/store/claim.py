"""Claiming: interactive before normal before bulk; within each, accounts in turn and their lanes in turn.

The one rule: a claim costs what it takes on, not what waits. It looks at no more lanes than it may take
messages (and a few beyond), each by one step into an index; so what it returns may be less than what is
due, and then `next_due_at` says that there is more at once.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Collection, Iterable, Sequence
from itertools import chain, groupby
from operator import itemgetter
from typing import Any

from mailqueue.model.lane import Block, Lane
from mailqueue.model.message import Claimed
from mailqueue.model.rules import HoldRule
from mailqueue.store import rows, suppression
from mailqueue.store.base import ClaimRequest
from mailqueue.store.batch import Batch, write_rows
from mailqueue.store.queries import query
from mailqueue.store.submit import add_mark, count_marks

_LOOKS = 64
"""Lanes beyond its limit that a claim looks at, should it find nothing in some."""

_NOTICE_FOR, _EXPIRES, _EXEMPT = 14, 24, 30  # where these columns stand in a row of claim_candidates

_ANY_TIME = 2**63 - 1

_Row = list[Any]
_Place = tuple[int, int, str, str]  # of a lane in line: due_at, turn, domain, transport


class _Claim:
    """One claim: what it has found so far, and how far it may look."""

    def __init__(self, batch: Batch, request: ClaimRequest) -> None:
        self.batch = batch
        self.request = request
        self.cursor = batch.flush()
        rules = batch.settings().hold_rules
        self.rules = [rule for rule in rules if rule.marking and rule.at_work(request.now)]
        self.looks = request.limit + _LOOKS
        self.taken: list[_Row] = []
        self.more: list[Lane] = []
        """Lanes that have more to give."""
        self.done: list[Lane] = []
        """Lanes that have no more that is due."""
        self.blocked: list[Block] = []
        """Lanes that lead where nothing is taken now."""

    def take(self) -> None:
        """Take what there is room for, the higher priorities first."""
        request = self.request
        due = json.loads(self.cursor.execute(query("due_accounts"), (request.now,)).fetchone()[0])
        for priority, pairs in groupby(due, key=itemgetter(0)):
            accounts = _beginning_after(request.after_account, [account for _, account in pairs])
            lines = [_Line(self, priority, account) for account in accounts]
            self._in_turn(lines, min(request.room[priority], request.limit - len(self.taken)))

    def _in_turn(self, lines: list[_Line], room: int) -> None:
        """Share `room` among accounts: each gets as much, and what one leaves the others get."""
        while room > 0 and lines and self.looks > 0:
            share = max(1, room // len(lines))
            for line in lines:
                room -= line.take(min(share, room))
                if room <= 0:
                    return
            lines = [line for line in lines if not line.at_end]


class _Line:
    """The lanes of one account and priority, in line."""

    def __init__(self, claim: _Claim, priority: int, account_id: int) -> None:
        self.at_end = False
        self._claim = claim
        self._lane = (priority, account_id)
        self._last: _Place = (-1, -1, "", "")
        self._looked = 0
        self._found = 0
        self._shut: list[Block] = []

    def take(self, wanted: int) -> int:
        """Take `wanted` messages at most, from the next lanes in line; return how many."""
        before = self._found
        while not self.at_end and (room := wanted - (self._found - before)) > 0 and self._claim.looks > 0:
            for messages, lanes in self._by_room(self._next(room)):
                left = wanted - (self._found - before)
                self._from(lanes, min(messages, left), left)
            self._overdue(wanted - (self._found - before))
        return self._found - before

    def _next(self, room: int) -> list[Lane]:
        """Return the next lanes in line: as many as `room` messages may take, going by those so far."""
        claim = self._claim
        each = self._found / self._looked if self._looked else claim.request.per_lane
        asked = max(1, min(claim.looks, max(4, min(room, math.ceil(room / max(each, 1))))))
        values = (*self._lane, claim.request.now, *self._last, asked)
        line = json.loads(claim.cursor.execute(query("due_lanes"), values).fetchone()[0])
        self.at_end = len(line) < asked
        claim.looks -= len(line)
        if line:
            self._last = tuple(line[-1])
        return [Lane(*self._lane, domain, transport) for _, _, domain, transport in line]

    def _by_room(self, lanes: Iterable[Lane]) -> list[tuple[int, list[Lane]]]:
        """Return the lanes from which something is wanted, by how much of each; note the blocked ones."""
        wanted: dict[int, list[Lane]] = {}
        request = self._claim.request
        for lane in lanes:
            room = request.wants(lane)
            if room.messages > 0:
                wanted.setdefault(min(room.messages, request.per_lane), []).append(lane)
            elif room.until:
                blocked = self._shut if room.overdue else self._claim.blocked
                blocked.append(Block(lane, room.until, room.blocked_by))
        return list(wanted.items())

    def _from(self, lanes: Sequence[Lane], each: int, room: int) -> None:
        """Take what is due in `lanes`: of each lane so many, in all as long as there is room."""
        claim = self._claim
        if room <= 0:
            return  # they keep their place in line
        due = self._due(lanes, each + 1, _ANY_TIME)
        for lane in lanes:
            there = due.get((lane.domain, lane.transport), [])
            most = min(each, room)
            if most == 0 and there:
                return  # not looked at: it keeps its place in line
            chosen = _unmarked(claim, _alive(there[:most], claim.request.now))
            claim.taken += chosen
            room -= len(chosen)
            self._found += len(chosen)
            self._looked += 1
            (claim.more if len(there) > most else claim.done).append(lane)

    def _overdue(self, room: int) -> None:
        """Take what waits beyond its lifetime in the lanes that are shut, and block these."""
        claim, shut = self._claim, self._shut
        self._shut = []
        if not shut:
            return
        due = self._due([each.lane for each in shut], claim.request.per_lane, claim.request.now)
        for each in shut:
            there = due.get((each.lane.domain, each.lane.transport), [])
            chosen = _unmarked(claim, _alive(there[:room], claim.request.now))
            claim.taken += chosen
            room -= len(chosen)
            self._found += len(chosen)
            if len(there) < claim.request.per_lane and len(there) <= room + len(chosen):
                claim.blocked.append(each)  # the others keep their place in line: there may be more

    def _due(self, lanes: Iterable[Lane], each: int, give_up: int) -> dict[tuple[str, str], list[_Row]]:
        """Return the oldest due in each lane, so many of each, of which those to be given up by then."""
        claim = self._claim
        places = json.dumps([(lane.domain, lane.transport) for lane in lanes])
        values = (places, *self._lane, claim.request.now, each, give_up)
        candidates = json.loads(claim.cursor.execute(query("claim_candidates"), values).fetchone()[0])
        return {place: list(rows) for place, rows in groupby(candidates, key=lambda row: (row[4], row[22]))}


def _beginning_after(last: int, accounts: list[int]) -> list[int]:
    """Return the accounts in turn: those above `last` first."""
    return [each for each in accounts if each > last] + [each for each in accounts if each <= last]


def claim(batch: Batch, request: ClaimRequest) -> list[Claimed]:
    """Claim messages; see `Transaction.claim`."""
    found = _Claim(batch, request)
    found.take()
    cursor = found.cursor
    stopped = _suppressed(found)
    taken = [row for row in found.taken if row[0] not in stopped] if stopped else found.taken
    if taken:
        ids = json.dumps([row[0] for row in taken])
        values = (request.engine_id, request.now, request.now, ids, request.now)
        changed = cursor.execute(query("claim_messages"), values).rowcount
        assert changed == len(taken), "a candidate changed inside the transaction"
    if found.more:
        served = [value for lane in found.more for value in (*lane, request.now)]
        write_rows(cursor, query("end_of_line"), served)
    if found.done:
        true_due(cursor, found.done)
    block(batch, found.blocked)
    maybe = _maybe_arrived(cursor, found.taken)
    separators = batch.settings().separators
    return [
        rows.claimed(
            row,
            engine_id=0 if row[0] in stopped else request.engine_id,
            uncertain=row[0] in maybe,
            separators=separators,
            suppressed=stopped.get(row[0]),
        )
        for row in found.taken
    ]


def _suppressed(claim: _Claim) -> dict[int, str]:
    """Return the ids of what was taken for recipients who are suppressed, notices left out, and why."""
    whom = {row[0]: (row[2], row[3]) for row in claim.taken if row[_NOTICE_FOR] is None}
    found = suppression.suppressed(claim.batch, list(whom.values()), claim.request.now)
    return {identity: found[who] for identity, who in whom.items() if who in found} if found else {}


def _alive(candidates: list[_Row], now: int) -> list[_Row]:
    """Return the candidates that have not expired; the others are about to retire."""
    return [row for row in candidates if row[_EXPIRES] is None or row[_EXPIRES] > now]


def _unmarked(claim: _Claim, candidates: list[_Row]) -> list[_Row]:
    """Mark the candidates that rules at work hold, and return the others."""
    marked: set[int] = set()
    for rule in claim.rules:
        held = [row[0] for row in candidates if rule.id > row[_EXEMPT] and _matches(rule, row)]
        for identity in held:
            add_mark(claim.batch, identity, rule, claim.request.now)
        if held:
            count_marks(claim.batch, json.dumps(held))
            marked.update(held)
    return [row for row in candidates if row[0] not in marked] if marked else candidates


def _matches(rule: HoldRule, row: _Row) -> bool:
    return rule.matches(account_id=row[2], sender=row[11], recipient=row[3])


def _maybe_arrived(cursor: sqlite3.Cursor, taken: list[_Row]) -> frozenset[int]:
    tried = [row[0] for row in taken if row[5] > 0]
    if not tried:
        return frozenset()
    found = cursor.execute(query("maybe_arrived"), (json.dumps(tried),)).fetchone()[0]
    return frozenset(json.loads(found))


def put_back(batch: Batch, messages: Collection[Claimed], due_at: int | None) -> None:
    """Return claims that were never begun."""
    for each in messages:
        due = each.due_at if due_at is None else due_at
        for *lane, at in batch.now().execute(query("put_back"), (due, each.id, each.claim)).fetchall():
            batch.due(Lane(*lane), at)  # as somebody may have wished meanwhile


def let_go(batch: Batch, ids: Sequence[int]) -> None:
    """See to it that messages are looked at when they are due, in the lanes where they wait now."""
    for *lane, at in batch.now().execute(query("next_in_lanes"), (json.dumps(ids),)).fetchall():
        batch.due(Lane(*lane), at)


def true_due(cursor: sqlite3.Cursor, lanes: Iterable[Sequence[Any]]) -> None:
    """Have lanes due with the next message that waits there."""
    write_rows(cursor, query("true_due"), list(chain.from_iterable(lanes)))


# --- blocked lanes ----------------------------------------------------------------------------
def block(batch: Batch, blocks: Sequence[Block]) -> None:
    """Note that the destinations of lanes take nothing for a while."""
    if blocks:
        values = [value for each in blocks for value in (*each.lane, each.until, each.by)]
        write_rows(batch.flush(), query("block_lanes"), values)


def unblock(batch: Batch, destination: str, now: int, limit: int) -> int:
    """Have the lanes that a destination blocks looked at, `limit` at most. Returns how many those were."""
    batch.wake = True
    return batch.flush().execute(query("unblock_lanes"), (now, destination, limit)).rowcount
