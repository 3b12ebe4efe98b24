"""Values to store, made by hand, and short ways to ask a store: for tests of any store.

Moments are whole seconds after NOON: `at(5)` is five seconds past.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from mailqueue.clock import DAY, SECOND, to_datetime
from mailqueue.mail.reply import Reply
from mailqueue.model.attempt import Category, Facts, Outcome, OutcomeKind, Scope
from mailqueue.model.engine import Identity
from mailqueue.model.events import EventKind, NoticeKind
from mailqueue.model.filters import Filter
from mailqueue.model.lane import Priority, Room
from mailqueue.model.lifecycle import State
from mailqueue.model.message import Claimed, Idempotency, Message, NewMessage, NewSubmission, Submission
from mailqueue.model.rules import HoldRule
from mailqueue.model.settlement import NewEvent, NewNotice, Retire, Retry, Settlement
from mailqueue.store.base import ClaimRequest, Store

NOON = 1_700_000_000 * SECOND
FALLBACK = 300 * SECOND
BODY = b"Subject: hello\r\n\r\nhello\r\n"
ALL = Filter()


def at(seconds: float) -> int:
    return NOON + round(seconds * SECOND)


# --- submit -----------------------------------------------------------------------------------
def recipient(
    address: str,
    *,
    due: int = NOON,
    holds: tuple[int, ...] = (),
    priority: Priority = Priority.NORMAL,
    transport: str = "",
    expires_at: int | None = None,
) -> NewMessage:
    return NewMessage(
        recipient=address,
        domain=address.rpartition("@")[2],
        next_attempt_at=due,
        fallback=FALLBACK,
        schedule="standard",
        give_up_at=due + 5 * DAY,
        holds=holds,
        priority=priority,
        transport=transport,
        expires_at=expires_at,
    )


def new(
    *recipients: str | NewMessage,
    content: bytes | int = BODY,
    sender: str = "a@example.org",
    account_id: int = 1,
    key: Idempotency | None = None,
    notice_for: int | None = None,
    submitted_at: int = NOON,
) -> NewSubmission:
    wanted = recipients or ("b@example.net",)
    return NewSubmission(
        account_id=account_id,
        sender=sender,
        message_id="<1@example.org>",
        subject="hello",
        eight_bit=False,
        utf8_header=False,
        content=content,
        messages=tuple(recipient(each) if isinstance(each, str) else each for each in wanted),
        actor="python:test",
        submitted_at=submitted_at,
        idempotency=key,
        notice_for=notice_for,
    )


def submit(store: Store, *recipients: str | NewMessage, **more: object) -> Submission:
    return store.run(lambda transaction: transaction.submit(new(*recipients, **more)))  # type: ignore[arg-type]


# --- engines and claims -----------------------------------------------------------------------
IDENTITY = Identity(host="here", pid=1, process_start="", boot_id="", pid_namespace="")


def engine(store: Store, now: int = NOON) -> int:
    return store.run(lambda transaction: transaction.register_engine(IDENTITY, now))


def claim(
    store: Store,
    engine_id: int,
    now: int = NOON,
    *,
    limit: int = 100,
    per_lane: int = 100,
    room: Sequence[int] | None = None,
    after_account: int = 0,
    rooms: Mapping[str, Room] = MappingProxyType({}),
) -> list[Claimed]:
    """Claim; `rooms` says how much is wanted for some domains."""
    request = ClaimRequest(
        engine_id=engine_id,
        now=now,
        limit=limit,
        per_lane=per_lane,
        room=(limit,) * 3 if room is None else room,
        after_account=after_account,
        wants=lambda lane: rooms.get(lane.domain, Room(limit)),
    )
    return store.run(lambda transaction: transaction.claim(request))


# --- settlements ------------------------------------------------------------------------------
def facts(started_at: int, **more: object) -> Facts:
    return Facts(started_at=started_at, duration=SECOND, **more)  # type: ignore[arg-type]


def delivered(message: Claimed, now: int = NOON) -> Settlement:
    reply = Reply.from_lines(250, [b"2.0.0 queued as 4F"])
    return Settlement(
        message=message,
        facts=facts(now, transport="out", host="mx.example.net", address="192.0.2.1:25", size=message.size),
        outcome=Outcome(kind=OutcomeKind.DELIVERED, category=Category.OK, status=reply.enhanced, reply=reply),
        at=now,
        move=Retire(state=State.DELIVERED, keep_content_until=None),
        events=(NewEvent(event=EventKind.DELIVERED),),
        notice=None,
    )


def failed(message: Claimed, now: int = NOON, *, keep_until: int | None = None) -> Settlement:
    reply = Reply.from_lines(550, [b"5.1.1 nobody here"])
    return Settlement(
        message=message,
        facts=facts(now, transcript="S: 550 5.1.1 nobody here"),
        outcome=Outcome(
            kind=OutcomeKind.FAILED,
            category=Category.MAILBOX_UNKNOWN,
            scope=Scope.RECIPIENT,
            status=reply.enhanced,
            reply=reply,
        ),
        at=now,
        move=Retire(state=State.FAILED, keep_content_until=keep_until),
        events=(NewEvent(event=EventKind.FAILED, reason="nobody here", data={"code": 550}),),
        notice=NoticeKind.FAILED,
    )


def deferred(
    message: Claimed,
    now: int = NOON,
    *,
    again: int,
    warn_at: int | None = None,
    kind: OutcomeKind = OutcomeKind.DEFERRED,
) -> Settlement:
    reply = Reply.from_lines(451, [b"4.7.1 come back"])
    return Settlement(
        message=message,
        facts=facts(now),
        outcome=Outcome(kind=kind, category=Category.GREYLISTED, scope=Scope.MESSAGE, reply=reply),
        at=now,
        move=Retry(next_attempt_at=again, fallback=FALLBACK, warn_at=warn_at),
        events=(),
        notice=None,
    )


def settle(store: Store, *settlements: Settlement, notices: Sequence[NewNotice] = ()) -> frozenset[int]:
    return store.run(lambda transaction: transaction.settle(settlements, notices))


def failure_notice(
    *message_ids: int, submission_id: int = 1, now: int = NOON, send: NewSubmission | None = None
) -> NewNotice:
    return NewNotice(
        submission_id=submission_id,
        kind=NoticeKind.FAILED,
        at=now,
        content=b"Subject: failed\r\n\r\n",
        message_ids=message_ids,
        submission=send,
    )


# --- steering and looking ---------------------------------------------------------------------
def rule(**criteria: object) -> HoldRule:
    wanted: dict[str, object] = {
        "account_id": None,
        "sender_domain": None,
        "sender": None,
        "recipient_domain": None,
        "recipient": None,
        "reason": "trouble",
        **criteria,
    }
    return HoldRule(
        id=0,
        actor="cli:op",
        created_at=to_datetime(NOON),
        marking=True,
        **wanted,  # type: ignore[arg-type]
    )


def add_rule(store: Store, **criteria: object) -> HoldRule:
    return store.run(lambda transaction: transaction.add_hold_rule(rule(**criteria), NOON))


def mark_all(store: Store, rule_id: int, *, step: int = 100) -> int:
    """Let a rule mark all it matches; return how many it marked."""
    marked = 0
    while True:
        done = store.run(lambda transaction: transaction.mark_rule(rule_id, NOON, step))
        marked += done.changed
        if done.after is None:
            return marked


def hold(store: Store, which: Filter = ALL, *, step: int = 100) -> int:
    return _steps(store, "hold", which, step)


def release(store: Store, which: Filter = ALL, *, step: int = 100) -> int:
    return _steps(store, "release", which, step)


def _steps(store: Store, verb: str, which: Filter, step: int) -> int:
    changed, after = 0, 0
    while True:
        done = store.run(
            lambda transaction, after=after: getattr(transaction, verb)(
                which, actor="cli:op", reason="a look", now=NOON, after=after, limit=step
            )
        )
        changed += done.changed
        if done.after is None:
            return changed
        after = done.after


def message(store: Store, message_id: int = 1) -> Message:
    return store.read(lambda reader: reader.message(message_id))


def state(store: Store, message_id: int = 1) -> State:
    return message(store, message_id).state


def events(store: Store, message_id: int = 1) -> list[str]:
    return [each.event.value for each in store.read(lambda reader: reader.events(message_id))]


def outcomes(store: Store, message_id: int = 1) -> list[tuple[int, str]]:
    """Return number and outcome of each attempt."""
    found = store.read(lambda reader: reader.attempts(message_id))
    return [(each.number, each.outcome.value) for each in found]


def due(store: Store) -> int | None:
    return store.read(lambda reader: reader.next_due_at())


def clean(store: Store) -> bool:
    """Whether the database has no fault; fails with the faults."""
    found = store.read(lambda reader: reader.integrity())
    assert found == []
    return True
