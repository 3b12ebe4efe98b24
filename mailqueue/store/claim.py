"""Claiming: destinations in turn, the oldest due first within each.

The one rule: a claim costs what it takes on, not what waits. It looks at no more destinations than
it may take messages (and those that it is told to skip), each by one step into an index; so what it
returns may be less than what is due, and then `next_due_at` says that there is more at once.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Collection, Iterator
from itertools import groupby
from typing import Any

from mailqueue.model.message import Claimed
from mailqueue.model.rules import HoldRule
from mailqueue.store import rows
from mailqueue.store.base import ClaimRequest
from mailqueue.store.batch import Batch
from mailqueue.store.queries import query
from mailqueue.store.submit import add_mark, count_marks

_LOOKS = 64
"""Destinations beyond its limit that a claim looks at, should it find nothing at some."""

_EXEMPT = 21  # where exempt_through stands in a row of claim_candidates

_Row = list[Any]


class _Findings:
    """What a claim has found so far."""

    def __init__(self) -> None:
        self.taken: list[_Row] = []
        self.more: list[str] = []
        """Destinations that have more to give."""
        self.done: list[str] = []
        """Destinations that have no more that is due."""

    def destinations_for(self, room: int, per_domain: int) -> int:
        """Return at how many destinations to look next, to find `room` messages, going by those so far."""
        looked = len(self.more) + len(self.done)
        each = len(self.taken) / looked if looked else per_domain
        return max(4, min(room, math.ceil(room / max(each, 1))))


def claim(batch: Batch, request: ClaimRequest) -> list[Claimed]:
    """Claim messages; see `Transaction.claim`."""
    rules = [rule for rule in batch.settings().hold_rules if rule.marking]
    found = _Findings()
    cursor = batch.flush()
    for domains in _line(cursor, request, found):
        _take(batch, request, found, domains, rules)
    if found.taken:
        ids = json.dumps([row[0] for row in found.taken])
        values = (request.engine_id, request.now, request.now, ids, request.now)
        changed = cursor.execute(query("claim_messages"), values).rowcount
        assert changed == len(found.taken), "a candidate changed inside the transaction"
    if found.more:
        cursor.execute(query("end_of_line"), (request.now, json.dumps(found.more)))
    if found.done:
        cursor.execute(query("true_due"), (json.dumps(found.done),))
    maybe = _maybe_arrived(cursor, found.taken)
    return [rows.claimed(row, engine_id=request.engine_id, uncertain=row[0] in maybe) for row in found.taken]


def _line(cursor: sqlite3.Cursor, request: ClaimRequest, found: _Findings) -> Iterator[list[str]]:
    """Yield the destinations in line, a handful at a time, until the claim is full."""
    skip = frozenset(request.skip)
    looks = request.limit + _LOOKS
    last: tuple[int, int, str] = (-1, -1, "")
    while looks > 0 and (room := request.limit - len(found.taken)) > 0:
        wanted = min(looks, found.destinations_for(room, request.per_domain))
        asked = wanted + len(skip)
        line = json.loads(
            cursor.execute(query("due_destinations"), (request.now, *last, asked)).fetchone()[0]
        )
        places = [tuple(place) for place in line if place[2] not in skip]
        if places:
            yield [domain for _, _, domain in places[:wanted]]
        if len(line) < asked and len(places) <= wanted:
            return
        looks -= wanted
        last = places[:wanted][-1] if places else tuple(line[-1])


def _take(
    batch: Batch, request: ClaimRequest, found: _Findings, domains: list[str], rules: Collection[HoldRule]
) -> None:
    """Take what is due at `domains`, so far as there is room."""
    values = (json.dumps(domains), request.now, request.per_domain + 1)
    candidates = json.loads(batch.now().execute(query("claim_candidates"), values).fetchone()[0])
    due = {domain: list(group) for domain, group in groupby(candidates, key=lambda row: row[4])}
    for domain in domains:
        there = due.get(domain, [])
        room = min(request.per_domain, request.limit - len(found.taken))
        if room == 0 and there:
            return  # not looked at: it keeps its place in line
        chosen = there[:room]
        found.taken += _unmarked(batch, chosen, rules, request.now) if rules else chosen
        (found.more if len(there) > room else found.done).append(domain)


def _unmarked(batch: Batch, candidates: list[_Row], rules: Collection[HoldRule], now: int) -> list[_Row]:
    """Mark the candidates that rules at work hold, and return the others."""
    marked: set[int] = set()
    for rule in rules:
        held = [row[0] for row in candidates if rule.id > row[_EXEMPT] and _matches(rule, row)]
        for identity in held:
            add_mark(batch, identity, rule, now)
        if held:
            count_marks(batch, json.dumps(held))
            marked.update(held)
    return [row for row in candidates if row[0] not in marked]


def _matches(rule: HoldRule, row: _Row) -> bool:
    return rule.matches(account_id=row[2], sender=row[11], recipient=row[3])


def _maybe_arrived(cursor: sqlite3.Cursor, taken: list[_Row]) -> frozenset[int]:
    tried = [row[0] for row in taken if row[5] > 0]
    if not tried:
        return frozenset()
    found = cursor.execute(query("maybe_arrived"), (json.dumps(tried),)).fetchone()[0]
    return frozenset(json.loads(found))


def put_back(batch: Batch, messages: Collection[Claimed], now: int) -> None:
    """Return claims that were never begun."""
    for each in messages:
        if batch.now().execute(query("put_back"), (now, each.id, each.claim)).rowcount == 1:
            batch.due(each.domain, now)
