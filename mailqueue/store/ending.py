"""How hold rules end: they are removed, or let go of what they hold, step by step.

The one rule: a rule that has ended marks nothing more, so its marks only become fewer; it goes with the
last of them, in the same transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from mailqueue.model.events import EventKind
from mailqueue.model.lifecycle import State
from mailqueue.model.rules import HoldRule, Then
from mailqueue.model.settlement import NewNotice, Settlement, Wish, WishKind
from mailqueue.store.admin import note_change
from mailqueue.store.base import Lifted
from mailqueue.store.batch import EVENT, Batch
from mailqueue.store.claim import let_go
from mailqueue.store.queries import query
from mailqueue.store.settle import settle, wish
from mailqueue.store.steer import hold_rule

_Mark = tuple[int, int, int, str]  # of marks_of_rule: its id, the message, how many marks that has, its state


def remove_rule(batch: Batch, rule_id: int, *, actor: str, reason: str, now: int) -> HoldRule:
    """Remove a rule. Its marks stay as they are: without their rule they count as by hand."""
    found = hold_rule(batch, rule_id)
    batch.flush().execute(query("delete_hold_rule"), (rule_id,))
    _note(batch, found, {}, actor=actor, reason=reason, now=now)
    batch.settings_changed()
    return found


def _note(
    batch: Batch, rule: HoldRule, told: Mapping[str, object], *, actor: str, reason: str, now: int
) -> None:
    """Write that a rule ends: by somebody, or ('') because its time has come."""
    verb, why = ("holdrules remove", reason) if actor else ("holdrules end", rule.reason)
    note_change(batch, why, {"verb": verb, "id": rule.id, **told}, actor=actor, now=now)


def end_rule(
    batch: Batch,
    rule_id: int,
    *,
    then: Then,
    per_minute: int | None,
    actor: str,
    reason: str,
    next_at: int,
    now: int,
) -> HoldRule:
    """End a rule; see `Transaction.end_hold_rule`."""
    values = (then.value, per_minute, now, actor or None, reason, next_at, rule_id)
    batch.now().execute(query("end_hold_rule"), values)
    ended = hold_rule(batch, rule_id)
    pace = {} if per_minute is None else {"per_minute": per_minute}
    _note(batch, ended, {"then": then.value, **pace}, actor=actor, reason=reason, now=now)
    batch.settings_changed()
    return ended


def lift_rule(batch: Batch, rule_id: int, *, most: int, next_at: int | None, now: int, limit: int) -> Lifted:
    """Take away the first marks of a rule that has ended; see `Transaction.lift_rule`."""
    rule = hold_rule(batch, rule_id)
    looked: list[_Mark] = batch.flush().execute(query("marks_of_rule"), (rule_id, limit)).fetchall()
    failing = tuple(_failing(looked)) if rule.then is Then.FAIL else ()
    going = [mark for mark in looked if mark[1] not in failing] if failing else _first(looked, most)
    alone = [message for _, message, holds, _ in going if holds == 1]
    _take(batch, going, alone)
    if rule.then is Then.FAIL:
        wish(batch, alone, Wish(kind=WishKind.FAIL, actor="", reason=rule.why_ended), now)
    else:
        _released(batch, rule, alone, now)
    batch.now().execute(query("count_let_go"), (len(going), next_at if alone else None, rule_id))
    rule = hold_rule(batch, rule_id)
    if len(looked) < limit and len(going) == len(looked):
        _go(batch, rule, now)
    return Lifted(rule=rule, failing=failing)


def _failing(looked: Iterable[_Mark]) -> Iterator[int]:
    """Yield the messages that wait, and that nothing else holds."""
    for _, message, holds, state in looked:
        if holds == 1 and state == State.QUEUED:
            yield message


def _first(looked: Iterable[_Mark], most: int) -> list[_Mark]:
    """Return the marks in order, until so many messages have no other."""
    going, left = [], most
    for mark in looked:
        left -= mark[2] == 1
        if left < 0:
            break
        going.append(mark)
    return going


def _released(batch: Batch, rule: HoldRule, ids: Sequence[int], now: int) -> None:
    """Have messages that nothing holds any more looked at when they are due, with an event each."""
    told = (rule.ended_by or "", rule.why_ended, 0, json.dumps({"rule": rule.id}))
    for message in ids:
        batch.add(EVENT, (EventKind.RELEASED.value, message, now, *told))
    let_go(batch, ids)


def _take(batch: Batch, going: Sequence[_Mark], alone: Sequence[int]) -> None:
    """Take marks away; `alone` are the messages that had no other."""
    cursor = batch.now()
    cursor.execute(query("delete_marks"), (json.dumps([mark[0] for mark in going]),))
    cursor.execute(query("recount_marks"), (json.dumps([mark[1] for mark in going]),)).fetchall()
    batch.held -= len(alone)


def _go(batch: Batch, rule: HoldRule, now: int) -> None:
    """Remove a rule that has no mark any more."""
    batch.now().execute(query("delete_hold_rule"), (rule.id,))
    told = f"hold rule {rule.id} holds nothing any more"
    note_change(batch, told, {"id": rule.id, "let_go": rule.let_go}, actor=rule.ended_by or "", now=now)
    batch.settings_changed()


def fail_held(
    batch: Batch, rule_id: int, settlements: Sequence[Settlement], notices: Sequence[NewNotice]
) -> bool:
    """Apply settlements of messages that fail by the end of a rule; see `Transaction.fail_held`."""
    ids = json.dumps([each.message.id for each in settlements])
    [found] = batch.flush().execute(query("count_failing"), (ids, rule_id)).fetchone()
    if found < len(settlements):
        return False
    late = settle(batch, settlements, notices)
    assert not late, "a message changed that a rule held"
    batch.now().execute(query("count_let_go"), (len(settlements), None, rule_id))
    return True
