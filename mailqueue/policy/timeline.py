"""All that happened to one message, in one line of time.

The rule: what happens at one moment is told as it follows: what was submitted, what was tried, what
came of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime

from mailqueue.model.attempt import Attempt, OutcomeKind
from mailqueue.model.events import Event, EventKind, Happened
from mailqueue.model.incoming import Incoming
from mailqueue.model.message import Message
from mailqueue.model.webhook import Webhook, WebhookAttempt

SUBMITTED, ATTEMPTED, INCOMING, WEBHOOK = "submitted", "attempted", "incoming", "webhook"


def timeline(
    message: Message,
    submitted: tuple[datetime, str],
    attempts: Iterable[Attempt],
    events: Iterable[Event],
    incoming: Iterable[Incoming],
    posted: Iterable[tuple[Webhook, WebhookAttempt]],
) -> list[Happened]:
    """Return what happened to a message, in order.

    Args:
        message: as it is now; a running attempt is told of too.
        submitted: when, and by whom.
        attempts: that are over.
        events: of the message.
        incoming: what came in about it.
        posted: attempts to post what happened to it.
    """
    at, actor = submitted
    found = [Happened(at=at, what=SUBMITTED, actor=actor, text=message.subject)]
    found += map(_attempted, attempts)
    found += _running(message)
    found += map(_came_in, incoming)
    found += map(_event, events)
    found += [_posted(hook, attempt) for hook, attempt in posted]
    return sorted(found, key=lambda each: (each.at, _ORDER.get(each.what, 3)))


_ORDER = {
    SUBMITTED: 0,
    EventKind.HELD: 1,
    EventKind.RELEASED: 1,
    EventKind.ADMIN: 1,
    ATTEMPTED: 2,
    INCOMING: 2,
    WEBHOOK: 4,
}


def _attempted(attempt: Attempt) -> Happened:
    said = attempt.error or attempt.reply or attempt.category.value
    if attempt.outcome is OutcomeKind.DELIVERED and attempt.reply:
        said = attempt.reply
    at = attempt.host or attempt.transport
    return Happened(
        at=attempt.started_at,
        what=ATTEMPTED,
        actor=None,
        text=f"{attempt.outcome.value}{f' at {at}' if at else ''}: {' '.join(said.split())}",
        attempt=attempt.number,
        data={"outcome": attempt.outcome.value, "category": attempt.category.value},
    )


def _running(message: Message) -> Iterator[Happened]:
    if message.claimed_at is not None:
        yield Happened(
            at=message.claimed_at,
            what=ATTEMPTED,
            actor=None,
            text="in delivery",
            attempt=message.attempts,
        )


def _came_in(incoming: Incoming) -> Happened:
    return Happened(
        at=incoming.at,
        what=INCOMING,
        actor=incoming.actor,
        text=f"{incoming.kind}: {incoming.summary}",
        data={"incoming": incoming.id, "matched_by": incoming.matched_by and incoming.matched_by.value},
    )


def _posted(hook: Webhook, attempt: WebhookAttempt) -> Happened:
    answer = "no answer" if attempt.status is None else f"answered {attempt.status}"
    trouble = f": {attempt.error}" if attempt.error else ""
    return Happened(
        at=attempt.started_at,
        what=WEBHOOK,
        actor=None,
        text=f"{hook.event.value} posted, {answer}{trouble}",
        data={"webhook": hook.id, "attempt": attempt.number, "status": attempt.status},
    )


def _event(event: Event) -> Happened:
    return Happened(
        at=event.at,
        what=event.event.value,
        actor=event.actor,
        text=event.reason,
        notice_id=event.notice_id,
        data=event.data,
    )
