"""Hold rules: made, looked at, and brought to their end.

The rule: an end goes in steps, each in a transaction that looks whether it is its turn. So whoever is
there does the next, callers and engines alike, and all of them together keep to the pace.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import TypeVar

from mailqueue.clock import Clock, from_datetime, rfc3339, to_datetime
from mailqueue.engine import manage
from mailqueue.engine.audit import note
from mailqueue.engine.options import When
from mailqueue.engine.settings import choice
from mailqueue.engine.settle import Settler, Work
from mailqueue.engine.submit import find_account
from mailqueue.engine.verbs import STEP as FAILURES
from mailqueue.engine.verbs import moment, waiting
from mailqueue.errors import NotFound, SettingError
from mailqueue.mail import address, domain
from mailqueue.model.events import By
from mailqueue.model.rules import HoldRule, Then
from mailqueue.model.settlement import Wish, WishKind
from mailqueue.policy.shape import portion
from mailqueue.store.base import Lifted, Store, Transaction

T = TypeVar("T")

MAX_PER_MINUTE = 60 * manage.STEP
"""Messages a minute that a rule may release at most: a step a second."""


# -- make and look --------------------------------------------------------------------------------
def add(
    store: Store,
    *,
    account: str | None,
    sender_domain: str | None,
    sender: str | None,
    recipient_domain: str | None,
    recipient: str | None,
    until: When | None,
    then: Then | str,
    per_minute: int | None,
    by: By,
) -> HoldRule:
    """Make a rule and mark what matches it, in steps. An engine finishes the marks should we not."""
    wanted = HoldRule(
        id=0,
        account_id=None if account is None else find_account(manage.settings(store), account).id,
        sender_domain=_domain(sender_domain),
        sender=_address(sender),
        recipient_domain=_domain(recipient_domain),
        recipient=_address(recipient),
        reason=by.reason,
        actor=by.actor,
        created_at=to_datetime(by.at),
        marking=True,
        until=_until(until, by.at),
        then=choice("then", then, Then),
        per_minute=_pace(per_minute),
    )
    _check_end(wanted)

    def job(transaction: Transaction) -> HoldRule:
        made = transaction.add_hold_rule(wanted, by.at)
        note(
            transaction,
            by,
            "holdrules add",
            id=made.id,
            account=account,
            sender_domain=made.sender_domain,
            sender=made.sender,
            recipient_domain=made.recipient_domain,
            recipient=made.recipient,
            until=None if until is None else rfc3339(moment("until", until, by.at)),
            then=None if until is None else wanted.then,
            per_minute=per_minute,
        )
        return made

    made = store.run(job)
    manage.in_steps(store, lambda transaction, _: transaction.mark_rule(made.id, by.at, manage.STEP))
    return show(store, made.id)


def _address(text: str | None) -> str | None:
    return None if text is None else str(address.parse(text))


def _domain(text: str | None) -> str | None:
    return None if text is None else domain.normalise_domain(text.removeprefix("@"))


def _until(given: When | None, now: int) -> datetime | None:
    if given is None:
        return None
    at = moment("until", given, now)
    if at <= now:
        raise SettingError(f"until: must be in the future, not {given}")
    return to_datetime(at)


def _pace(per_minute: int | None) -> int | None:
    if per_minute is not None and not 1 <= per_minute <= MAX_PER_MINUTE:
        raise SettingError(f"per-minute: must be 1 to {MAX_PER_MINUTE}, not {per_minute}")
    return per_minute


def _check_end(rule: HoldRule) -> None:
    """See that what is to become of mail at the end of a rule goes together. Raises SettingError."""
    if rule.until is None and rule.then is not Then.RELEASE:
        raise SettingError(f"then: {rule.then.value} at what time? give until")
    if rule.per_minute is not None and (rule.until is None or rule.then is not Then.RELEASE):
        raise SettingError("per-minute: goes with until, and then release")


def every(store: Store) -> Sequence[HoldRule]:
    """Return all rules, oldest first."""
    return tuple(store.read(lambda reader: reader.hold_rules()))


def show(store: Store, rule_id: int) -> HoldRule:
    """Return one rule. Raises NotFound."""
    for rule in every(store):
        if rule.id == rule_id:
            return rule
    raise NotFound(f"no hold rule {rule_id}")


def held(store: Store, rule_id: int) -> int:
    """Return how many messages one rule holds. Raises NotFound."""
    show(store, rule_id)
    return store.read(lambda reader: reader.held_by_rule(rule_id))


# -- end ------------------------------------------------------------------------------------------
def remove(
    store: Store, rule_id: int, *, release: bool, per_minute: int | None, actor: str, reason: str, now: int
) -> HoldRule:
    """Remove a rule, or let it end with a release. Raises NotFound, SettingError."""
    if not release:
        if per_minute is not None:
            raise SettingError("per-minute: goes with release")
        return store.run(
            lambda transaction: transaction.remove_hold_rule(rule_id, actor=actor, reason=reason, now=now)
        )
    pace = _pace(per_minute)
    last = store.run(partial(_end, rule_id=rule_id, per_minute=pace, actor=actor, reason=reason, now=now))
    while pace is None and (lifted := store.run(partial(_step, rule_id=rule_id, now=now))) is not None:
        last = lifted.rule
    return last


def _end(
    transaction: Transaction, *, rule_id: int, per_minute: int | None, actor: str, reason: str, now: int
) -> HoldRule:
    """End a rule with a release; where that is going on already, another pace does not make it sooner."""
    found = transaction.hold_rule(rule_id)
    next_at = now
    if found.ended_at is not None and found.next_at is not None and per_minute is not None:
        next_at = min(from_datetime(found.next_at), now + portion(per_minute)[1])
    return transaction.end_hold_rule(
        rule_id,
        then=Then.RELEASE,
        per_minute=per_minute,
        actor=actor,
        reason=reason,
        next_at=next_at,
        now=now,
    )


def _step(transaction: Transaction, *, rule_id: int, now: int) -> Lifted | None:
    """Do the next step to the end of a rule. None: it is not its turn yet, or the rule has gone."""
    try:
        rule = transaction.hold_rule(rule_id)
    except NotFound:
        return None
    if rule.next_at is None or now < from_datetime(rule.next_at):
        return None
    if rule.ended_at is None and rule.then is Then.KEEP:
        transaction.remove_hold_rule(rule_id, actor="", now=now)
        return None
    if rule.ended_at is None:
        rule = transaction.end_hold_rule(
            rule_id,
            then=rule.then,
            per_minute=rule.per_minute,
            actor="",
            reason="",
            next_at=now,
            now=now,
        )
    limit = FAILURES if rule.then is Then.FAIL else manage.STEP
    most, next_at = limit, None
    if rule.per_minute is not None:
        most, pause = portion(rule.per_minute)
        next_at = now + pause
    return transaction.lift_rule(rule_id, most=most, next_at=next_at, now=now, limit=limit)


async def see_to_ends(store: Store, settler: Settler, clock: Clock, tell: Callable[[Work], None]) -> None:
    """Bring rules nearer to their end whose time has come, as far as their pace allows now.

    Args:
        store: where they are.
        settler: makes settlements of what fails by that.
        clock: tells the time.
        tell: gets what has failed, after each step.
    """
    now = clock.now()
    for rule_id in store.read(lambda reader: reader.ending_hold_rules(now)):
        while (lifted := await _written(store, partial(_step, rule_id=rule_id, now=now))) is not None:
            if lifted.failing:
                await _fail(store, settler, lifted, tell)


async def _fail(store: Store, settler: Settler, lifted: Lifted, tell: Callable[[Work], None]) -> None:
    """Let messages fail; where others have been at them, the next step finds out what is left."""
    wish = Wish(kind=WishKind.FAIL, actor="", reason=lifted.rule.why_ended)
    work = settler.given_up(*store.read(lambda reader: waiting(reader, lifted.failing)), wish)
    if await _written(store, lambda tx: tx.fail_held(lifted.rule.id, work.settlements, work.notices)):
        tell(work)


async def _written(store: Store, job: Callable[[Transaction], T]) -> T:
    return await asyncio.wrap_future(store.enqueue(job))
