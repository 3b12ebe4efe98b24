"""What would become of a message that nobody has submitted yet.

The rule: it is made as `submit` makes it, looked at as `explain` looks at one that is there, and never
stored: no transaction is begun.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from mailqueue.clock import to_datetime
from mailqueue.engine import liveness, quota
from mailqueue.engine.envelope import Return, read_recipients, read_sender
from mailqueue.engine.explain import Dns, Seen, mark, why
from mailqueue.engine.options import read_options
from mailqueue.engine.submit import Draft, find_account, find_schedule, find_transport, new_messages
from mailqueue.errors import InvalidSubmission, QuotaExceeded
from mailqueue.mail.base import base_of
from mailqueue.model.account import Account, QuotaUse
from mailqueue.model.explain import Explanation
from mailqueue.model.lane import Block, Lane, Priority
from mailqueue.model.lifecycle import State
from mailqueue.model.message import SYSTEM, Hold, Message, NewMessage
from mailqueue.model.plan import Plan
from mailqueue.model.schedule import STANDARD, times
from mailqueue.model.settings import Settings
from mailqueue.policy.quota import since, usage
from mailqueue.store.base import Reader, Store

TIMES = 10
"""Attempts of which the time is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    """What the database says."""

    seen: Seen
    state: State | None
    """What it would be. None: refused."""
    over: str | None
    """Which quota has no room for it. None: all have."""
    suppressed: str | None
    """Why its recipient is suppressed. None: it is not."""
    usage: tuple[QuotaUse, ...]


def plan(
    store: Store,
    *,
    sender: str,
    recipient: str,
    account: str,
    schedule: str | None,
    transport: str | None,
    require_tls: bool | None,
    priority: Priority | str,
    dns: Dns,
    now: int,
) -> Plan:
    """Return what would become of a message; see `Queue.plan`."""

    def look(reader: Reader) -> _Looked:
        draft = _draft(
            reader.settings(),
            sender=sender,
            recipient=recipient,
            account=account,
            schedule=schedule,
            transport=transport,
            require_tls=require_tls,
            priority=priority,
            now=now,
        )
        return _looked(reader, draft)

    found = store.read(look)
    return _told(found, why(store, found.seen, dns=dns, now=now))


def _draft(
    settings: Settings,
    *,
    sender: str,
    recipient: str,
    account: str,
    schedule: str | None,
    transport: str | None,
    require_tls: bool | None,
    priority: Priority | str,
    now: int,
) -> Draft:
    """Return a submission without content. Raises NotFound, InvalidSubmission."""
    find_account(settings, account)
    if schedule is not None:
        find_schedule(settings, schedule)
    if transport is not None:
        find_transport(settings, transport)
    faults: list[str] = []
    draft = Draft(
        account=account,
        sender=read_sender(sender, None, faults),
        recipients=read_recipients([recipient], None, None, faults),
        wishes=Return(),
        options=read_options(
            not_before=None,
            expires_at=None,
            warn_after=None,
            max_attempts=None,
            priority=priority,
            transport=transport,
            require_tls=require_tls,
            tls_optional=False,
            strict=False,
            now=now,
            faults=faults,
        ),
        header=b"",
        body=b"",
        message_id="",
        subject=None,
        eight_bit=False,
        utf8_header=False,
        schedule=schedule,
        idempotency=None,
        extra={},
        repairs=(),
        actor="",
        now=now,
    )
    if faults:
        raise InvalidSubmission(faults)
    return draft


def _looked(reader: Reader, draft: Draft) -> _Looked:
    settings, now = reader.settings(), draft.now
    account = find_account(settings, draft.account)
    schedule = settings.schedule(draft.schedule or account.schedule or STANDARD)
    [new] = new_messages(settings, account, draft, schedule)
    stop = reader.suppression(account.id, base_of(new.recipient), now) if account.suppression else None
    state: State | None = State.SUPPRESSED
    over: str | None = None
    if stop is None:
        new, state, over = _admitted(reader, account, new, now)
    rules = [rule for rule in settings.hold_rules if rule.id in new.holds]
    block = reader.block(Lane(new.priority, account.id, new.domain, new.transport))
    return _Looked(
        seen=Seen(
            message=_message(settings, draft, new, block),
            last=None,
            settings=settings,
            engines=liveness.living(reader.engines(), now),
            rules={rule.id: rule for rule in rules},
            ahead={rule.id: reader.held_by_rule(rule.id) for rule in rules if rule.per_minute is not None},
        ),
        state=state,
        over=over,
        suppressed=None if stop is None else stop.told,
        usage=usage(account, reader.usage(account.id, since(now)), now) if account.quotas else (),
    )


def _admitted(
    reader: Reader, account: Account, new: NewMessage, now: int
) -> tuple[NewMessage, State | None, str | None]:
    """Return a message as the quotas of its account let it in, as what, and which has no room for it."""
    if not account.quotas:
        return new, State.QUEUED, None
    try:
        admission = quota.look(reader, account, [new.recipient], now)
    except QuotaExceeded as error:
        return new, None, str(error)
    [admitted] = quota.as_admitted((new,), admission, account, now)
    if admitted.drop is not None:
        return admitted, State.CANCELED, admitted.drop.reason
    return admitted, State.QUEUED, None if admitted.wait is None else admitted.wait.reason


def _message(settings: Settings, draft: Draft, new: NewMessage, block: Block | None) -> Message:
    """Return a message as it would be in the queue, with 0 for an id."""
    holds = tuple(_holds(settings, new, draft.now))
    blocked_until = None if block is None else block.until
    return Message(
        id=0,
        submission_id=0,
        account=draft.account,
        sender=draft.sender,
        recipient=new.recipient,
        state=State.QUEUED,
        hold=bool(holds),
        holds=holds,
        attempts=0,
        submitted_at=to_datetime(draft.now),
        claimed_at=None,
        next_attempt_at=to_datetime(max(new.next_attempt_at, blocked_until or 0)),
        give_up_at=to_datetime(new.give_up_at),
        schedule=new.schedule,
        last_error=None,
        retired_at=None,
        message_id=draft.message_id,
        subject=draft.subject,
        size=draft.size,
        priority=new.priority,
        transport=new.transport or None,
        require_tls=new.require_tls,
        blocked_until=None if blocked_until is None else to_datetime(blocked_until),
        blocked_by=None if block is None else block.by,
    )


def _holds(settings: Settings, new: NewMessage, now: int) -> Iterator[Hold]:
    """Yield the marks that it would get."""
    since = to_datetime(now)
    for rule in settings.hold_rules:
        if rule.id in new.holds:
            yield mark(rule, since)
    if new.wait is not None:
        until = to_datetime(new.wait.until)
        yield Hold(rule_id=None, since=since, actor=SYSTEM, reason=new.wait.reason, until=until)


def _told(found: _Looked, explained: Explanation) -> Plan:
    message, queued = found.seen.message, found.state is State.QUEUED
    schedule = found.seen.settings.schedule(message.schedule)
    refused = f"refused: {found.over}" if found.state is None else found.over or ""
    if found.suppressed is not None:
        refused = f"not sent, as its recipient is suppressed ({found.suppressed})"
    return Plan(
        account=message.account,
        sender=message.sender,
        recipient=message.recipient,
        priority=message.priority,
        state=found.state,
        over_quota=found.over,
        usage=found.usage,
        gates=explained.gates if queued else (),
        blocked_by=explained.blocked_by if queued else None,
        earliest_attempt_at=explained.earliest_attempt_at if queued else None,
        way=explained.way,
        schedule=schedule.name,
        times=tuple(timedelta(microseconds=each) for each in times(schedule, limit=TIMES)),
        give_up_at=message.give_up_at,
        summary=explained.summary if queued else refused,
    )
