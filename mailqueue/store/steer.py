"""Holding and releasing, by hand and by rules.

The one rule: a step looks at so many messages and no more, so that bulk changes never hold up
delivery; and the due times of the destinations it touches are true after it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, assert_never

from mailqueue.clock import SECOND, from_datetime, rfc3339, to_datetime
from mailqueue.errors import NotFound
from mailqueue.model.change import Change, RequireTls, Reroute, RescheduleAt, RescheduleBy
from mailqueue.model.events import EventKind
from mailqueue.model.filters import Filter
from mailqueue.model.rules import HoldRule
from mailqueue.store import filters, rows
from mailqueue.store.base import Progress
from mailqueue.store.batch import EVENT, HOLD, Batch
from mailqueue.store.claim import let_go, true_due
from mailqueue.store.queries import query
from mailqueue.store.submit import add_mark, count_marks


def hold(
    batch: Batch, which: Filter, *, actor: str, reason: str, now: int, after: int, limit: int
) -> Progress:
    """Put a mark by hand on the next messages; see `Transaction.hold`."""
    cursor = batch.flush()
    found, rest = _window(batch, which, after, limit, held=False)
    free = json.loads(cursor.execute(query("not_held_by_hand"), (json.dumps(found),)).fetchone()[0])
    for identity in free:
        batch.add(HOLD, (identity, None, now, actor, reason, 0))
        batch.add(EVENT, (EventKind.HELD.value, identity, now, actor, reason, 0, ""))
    _count_marks(batch, free)
    return Progress(changed=len(free), after=rest)


def release(
    batch: Batch, which: Filter, *, actor: str, reason: str, now: int, after: int, limit: int
) -> Progress:
    """Take all marks from the next messages; see `Transaction.release`."""
    cursor = batch.flush()
    # A rule that is still marking would hold them later: they must all be exempt, marked or not.
    marking = any(rule.marking for rule in batch.settings().hold_rules)
    found, rest = _window(batch, which, after, limit, held=not marking)
    held = json.loads(cursor.execute(query("held_of_messages"), (json.dumps(found),)).fetchone()[0])
    chosen = json.dumps(found if marking else held)
    cursor.execute(query("release_messages"), (chosen,))
    cursor.execute(query("remove_marks"), (json.dumps(held),)).fetchall()
    batch.held -= len(held)
    for identity in held:
        batch.add(EVENT, (EventKind.RELEASED.value, identity, now, actor, reason, 0, ""))
    let_go(batch, held)
    return Progress(changed=len(held), after=rest)


def change(
    batch: Batch,
    which: Filter,
    change: Change,
    *,
    actor: str,
    reason: str,
    now: int,
    after: int,
    limit: int,
) -> Progress:
    """Change the next messages; see `Transaction.change`."""
    cursor = batch.flush()
    found, rest = _window(batch, which, after, limit, held=False)
    ids = json.dumps(found)
    left = cursor.execute(query("lanes_of_messages"), (ids,)).fetchall()
    statement, values, told = _change(change, now)
    changed = cursor.execute(query(statement), (*values, ids)).fetchall()
    true_due(cursor, left)  # they may have left it, or wait longer there
    let_go(batch, found)
    for identity, _ in changed:
        batch.add(EVENT, (EventKind.ADMIN.value, identity, now, actor, reason, 0, json.dumps(told)))
    claimed = sum(in_delivery for _, in_delivery in changed)
    return Progress(changed=len(changed) - claimed, after=rest, in_delivery=claimed)


def _change(change: Change, now: int) -> tuple[str, tuple[object, ...], dict[str, object]]:
    """Return the statement of a change, its values, and what the history tells of it."""
    match change:
        case RescheduleAt():
            return (
                "reschedule",
                2 * (now, change.at, now, 0),
                {"verb": "reschedule", "at": rfc3339(change.at)},
            )
        case RescheduleBy():
            return (
                "reschedule",
                2 * (now, None, now, change.by),
                {"verb": "reschedule", "by": change.by / SECOND},
            )
        case Reroute():
            return "reroute", (change.via,), {"verb": "reroute", "via": change.via}
        case RequireTls():
            return "require_tls", (change.value,), {"verb": "require_tls", "value": change.value}
        case _:
            assert_never(change)


def resent(batch: Batch, messages: Mapping[int, int], *, actor: str, reason: str, now: int) -> None:
    """Note that retired messages were sent anew; see `Transaction.resent`."""
    ids = json.dumps(list(messages))
    there = set(json.loads(batch.now().execute(query("retired_of_messages"), (ids,)).fetchone()[0]))
    why = f": {reason}" if reason else ""

    def tell(identity: int, text: str, **other: int) -> None:
        data = json.dumps({"verb": "resend", **other})
        batch.add(EVENT, (EventKind.ADMIN.value, identity, now, actor, text + why, 0, data))

    for old, new in messages.items():
        if old in there:
            tell(old, f"sent anew as message {new}", sent_as=new)
        tell(new, f"message {old} sent anew", again=old)


def lift(batch: Batch, now: int, limit: int) -> int:
    """Take away the marks that end by themselves; see `Transaction.lift_holds`."""
    cursor = batch.flush()
    ended = dict(cursor.execute(query("remove_ended_marks"), (now, limit)).fetchall())
    counted = cursor.execute(query("recount_marks"), (json.dumps(list(ended)),)).fetchall()
    free = [identity for identity, holds in counted if holds == 0]
    batch.held -= len(free)
    for identity in free:
        why = f"its hold has ended: {ended[identity]}" if ended[identity] else "its hold has ended"
        batch.add(EVENT, (EventKind.RELEASED.value, identity, now, "", why, 0, ""))
    let_go(batch, free)
    return len(ended)


def _window(
    batch: Batch, which: Filter, after: int, limit: int, *, held: bool
) -> tuple[list[int], int | None]:
    """Return the ids meant among the next `limit` messages, and where the next step begins."""
    looked = batch.now().execute(*filters.steps(which, after, limit, held=held)).fetchall()
    rest = looked[-1][0] if len(looked) == limit else None
    return [identity for identity, meant, subject, _ in looked if meant and which.has_subject(subject)], rest


def _count_marks(batch: Batch, ids: Sequence[int]) -> None:
    """Count one more mark on each of these messages, and make the due times where they wait true."""
    if not ids:
        return
    text = json.dumps(ids)
    cursor = batch.now()
    count_marks(batch, text)
    true_due(cursor, cursor.execute(query("lanes_of_messages"), (text,)).fetchall())


# --- rules ------------------------------------------------------------------------------------
def add_rule(batch: Batch, rule: HoldRule, now: int) -> HoldRule:
    """Store a rule. It acts from the commit on, until its end."""
    until = None if rule.until is None else from_datetime(rule.until)
    values = (
        rule.account_id,
        rule.sender_domain,
        rule.sender,
        rule.recipient_domain,
        rule.recipient,
        rule.reason,
        rule.actor,
        now,
        until,
        rule.then.value,
        rule.per_minute,
        until,
    )
    identity = batch.cursor().execute(query("insert_hold_rule"), values).lastrowid
    assert identity is not None
    batch.settings_changed()
    return replace(rule, id=identity, created_at=to_datetime(now), marking=True, next_at=rule.until)


def hold_rule(batch: Batch, rule_id: int) -> HoldRule:
    """Return a rule. Raises NotFound."""
    found = _rule_row(batch, rule_id)
    if found is None:
        raise NotFound(f"there is no hold rule {rule_id}")
    return rows.hold_rule(found)


def _rule_row(batch: Batch, rule_id: int) -> tuple[Any, ...] | None:
    found: tuple[Any, ...] | None = batch.now().execute(query("one_hold_rule"), (rule_id,)).fetchone()
    return found


def mark_rule(batch: Batch, rule_id: int, now: int, limit: int) -> Progress:
    """Mark the next messages that a rule matches; see `Transaction.mark_rule`."""
    batch.flush()
    found = _rule_row(batch, rule_id)
    if found is None or not (rule := rows.hold_rule(found)).marking or not rule.at_work(now):
        return Progress(changed=0, after=None)
    through, last = found[-2:]
    values = (rule_id, rule_id, last, through, through, limit)
    looked = batch.now().execute(query("unmarked_messages"), values).fetchall()
    matching = [
        identity
        for identity, account_id, sender, recipient, may in looked
        if may and rule.matches(account_id=account_id, sender=sender, recipient=recipient)
    ]
    for identity in matching:
        add_mark(batch, identity, rule, now)
    _count_marks(batch, matching)
    rest = looked[-1][0] if len(looked) == limit else None
    batch.now().execute(query("marked_through"), (last if rest is None else rest, rule_id))
    if rest is None:
        batch.settings_changed()
    return Progress(changed=len(matching), after=rest)
