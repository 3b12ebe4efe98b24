"""Settling: what policy decided about an attempt is written whole, or not at all.

The one rule: a settlement acts only for the claim it names; one without an attempt, only while the message
waits as it did. Which ones come too late is found out before anything is written.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, assert_never

from mailqueue.model.attempt import OutcomeKind
from mailqueue.model.events import EventKind
from mailqueue.model.lifecycle import State
from mailqueue.model.message import SYSTEM, Claimed, NewSubmission
from mailqueue.model.settlement import NewNotice, Retire, Retry, Settlement, Wish
from mailqueue.store import rows, suppression
from mailqueue.store.base import StaleNotice, Unheeded
from mailqueue.store.batch import ATTEMPT, EVENT, HOLD, Batch, write_rows
from mailqueue.store.claim import let_go
from mailqueue.store.queries import query
from mailqueue.store.submit import count_marks, submit


def settle(batch: Batch, settlements: Sequence[Settlement], notices: Sequence[NewNotice]) -> frozenset[int]:
    """Apply settlements and their notices; see `Transaction.settle`."""
    late, changed = _late(batch, settlements)
    _refuse_unheeded(batch, settlements, changed)
    apply = list(settlements) if not late else _still_apply(batch, settlements, late)
    if late:
        _refuse_stale(notices, late - {each.message.id for each in apply})
    told = {
        message_id: notice_id
        for notice in notices
        for notice_id in (add_notice(batch, notice),)
        for message_id in notice.message_ids
    }
    _move(batch, apply)
    if changed:
        let_go(batch, changed)
    for each in apply:
        for event in each.events:
            row = rows.event_row(event, each.message.id, each.at, told.get(each.message.id, 0))
            batch.add(EVENT, row)
    _learn(batch, apply)
    for each in settlements if not late else _existing(batch, settlements):
        if each.facts is not None:
            batch.add(ATTEMPT, rows.attempt_row(each, each.facts))
    return late


def _late(batch: Batch, settlements: Sequence[Settlement]) -> tuple[frozenset[int], list[int]]:
    """Return the ids of the messages for which this comes too late, and of others that a person changed."""
    guards = json.dumps(
        [
            (each.message.id, each.message.claim, _guarded(each), each.message.transport)
            for each in settlements
        ]
    )
    found = json.loads(batch.now().execute(query("late_settlements"), (guards,)).fetchone()[0])
    late = frozenset(identity for identity, too_late in found if too_late)
    return late, [identity for identity, too_late in found if not too_late]


def _refuse_unheeded(batch: Batch, settlements: Sequence[Settlement], changed: Sequence[int]) -> None:
    if not changed:
        return
    found = batch.now().execute(query("wishes"), (json.dumps(changed),)).fetchall()
    wishes = {row[0]: rows.wish(row) for row in found}
    unheeded = {
        each.message.id: wishes[each.message.id]
        for each in settlements
        if each.message.id in wishes and each.wish is None and each.outcome.kind is not OutcomeKind.DELIVERED
    }
    if unheeded:
        raise Unheeded(unheeded)


def _guarded(settlement: Settlement) -> State:
    """Return the state in which a message must still be."""
    return State.QUEUED if settlement.facts is None else State.CLAIMED


def _still_apply(batch: Batch, settlements: Sequence[Settlement], late: frozenset[int]) -> list[Settlement]:
    """Return the settlements that act: those in time, and late deliveries of what has not retired."""
    fates = _fates(batch, late)
    return [
        each
        for each in settlements
        if each.message.id not in late
        or (each.outcome.kind is OutcomeKind.DELIVERED and not fates.get(each.message.id, True))
    ]


def _existing(batch: Batch, settlements: Sequence[Settlement]) -> list[Settlement]:
    """Return the settlements whose message has not been purged."""
    there = _fates(batch, [each.message.id for each in settlements])
    return [each for each in settlements if each.message.id in there]


def _fates(batch: Batch, ids: Sequence[int] | frozenset[int]) -> dict[int, bool]:
    """Return which of the messages exist, and whether each has retired."""
    found = batch.now().execute(query("fates"), (json.dumps(list(ids)),)).fetchone()[0]
    return {identity: bool(retired) for identity, retired in json.loads(found)}


def _refuse_stale(notices: Sequence[NewNotice], dropped: frozenset[int]) -> None:
    stale = frozenset(identity for notice in notices for identity in notice.message_ids) & dropped
    if stale:
        raise StaleNotice(stale)


def _move(batch: Batch, settlements: Sequence[Settlement]) -> None:
    """Let the messages retire, or wait for their next attempt."""
    done: list[Any] = []
    again: list[Any] = []
    gone: dict[int, tuple[Claimed, str, int]] = {}
    for each in settlements:
        message, move = each.message, each.move
        delivered = each.outcome.kind is OutcomeKind.DELIVERED
        error = "" if delivered else each.outcome.summary()
        match move:
            case Retire():
                done += (message.id, str(move.state), each.at, error)
                gone[message.id] = (message, move.state.value, each.at)
            case Retry():
                again += (message.id, move.next_attempt_at, move.fallback, move.warn_at, error)
                batch.due(message.lane, move.next_attempt_at)
            case _:
                assert_never(move)
    if done:
        write_rows(batch.now(), query("retire"), done)
        for message, state, at in gone.values():
            batch.retires(message.domain, message.submitted_at, state, at)
        marked = batch.now().execute(query("remove_marks"), (json.dumps(done[::4]),))
        batch.held -= len(set(marked.fetchall()))
        _let_go(batch, settlements)
    if again:
        write_rows(batch.now(), query("retry"), again)
        _hold(batch, settlements)


def _hold(batch: Batch, settlements: Sequence[Settlement]) -> None:
    """Put the messages on hold whose settlement says so."""
    ids = []
    for each in settlements:
        if isinstance(each.move, Retry) and each.move.hold is not None:
            ids.append(each.message.id)
            batch.add(HOLD, (each.message.id, None, each.at, SYSTEM, each.move.hold, 0))
            batch.add(EVENT, (EventKind.HELD.value, each.message.id, each.at, "", each.move.hold, 0, ""))
    if ids:
        count_marks(batch, json.dumps(ids))


def _learn(batch: Batch, settlements: Sequence[Settlement]) -> None:
    """Take in what the settlements say about addresses, those to which something was delivered first."""
    suppression.delivered(
        batch,
        (
            (each.message.account_id, each.message.recipient)
            for each in settlements
            if each.outcome.kind is OutcomeKind.DELIVERED
        ),
    )
    suppression.learn(batch, (each.lesson for each in settlements if each.lesson is not None))


def _let_go(batch: Batch, settlements: Sequence[Settlement]) -> None:
    """Note, once they have retired, that messages need their content no more."""
    for each in settlements:
        if isinstance(each.move, Retire):
            message = each.message
            keep_until = each.move.keep_content_until
            batch.spent(message.submission_id, message.content_id, each.at, keep_until)


# --- wishes -----------------------------------------------------------------------------------
def wish(batch: Batch, ids: Sequence[int], wish: Wish, now: int) -> list[int]:
    """Note what is to become of claimed messages; see `Transaction.wish`."""
    values = (wish.kind.value, wish.actor, wish.reason, now, now, json.dumps(ids))
    found = [identity for (identity,) in batch.flush().execute(query("wish"), values).fetchall()]
    data = json.dumps({"verb": wish.kind.value, "after": "the running attempt"})
    for identity in found:
        batch.add(EVENT, (EventKind.ADMIN.value, identity, now, wish.actor, wish.reason, 0, data))
    return found


# --- notices ----------------------------------------------------------------------------------
def add_notice(batch: Batch, notice: NewNotice) -> int:
    """Write a notice, and queue it where it is to be sent. Returns its id."""
    sent_as = None if notice.submission is None else submit(batch, _held(batch, notice.submission)).id
    values = (notice.submission_id, notice.kind.value, notice.at, notice.content, sent_as)
    found = batch.now().execute(query("insert_notice"), values).lastrowid
    assert found is not None
    return found


def _held(batch: Batch, notice: NewSubmission) -> NewSubmission:
    """Return what carries a notice, on hold by those rules that are still there."""
    there = {rule.id for rule in batch.settings().hold_rules}
    messages = tuple(
        replace(each, holds=tuple(rule_id for rule_id in each.holds if rule_id in there))
        for each in notice.messages
    )
    return replace(notice, messages=messages)


def warned(batch: Batch, notice: NewNotice, reason: str) -> bool:
    """Write a `delayed` notice; see `Transaction.warned`."""
    ids = json.dumps(notice.message_ids)
    owed = batch.now().execute(query("count_owed"), (ids, notice.at)).fetchone()[0]
    if owed != len(notice.message_ids):
        return False
    notice_id = add_notice(batch, notice)
    batch.now().execute(query("clear_warnings"), (ids,))
    for message_id in notice.message_ids:
        batch.add(EVENT, (EventKind.DELAYED.value, message_id, notice.at, "", reason, notice_id, ""))
    return True


def unwarned(batch: Batch, message_ids: Sequence[int]) -> None:
    """Note that messages are owed no delay notice; see `Transaction.unwarned`."""
    batch.now().execute(query("clear_warnings"), (json.dumps(list(message_ids)),))
